"""Every metric that a cell can have: its key, what a reader is shown, and which way is better. One table for all."""

from collections.abc import Iterable
from typing import Literal, NamedTuple

FID = "eval/fid/"
FID_SD = "eval/fid_bootstrap_sd/"
"""The standard deviation of a FID over resampled images, not over seeds."""
FID_GENERATION_MEAN = "eval/fid_generation_mean/"
FID_GENERATION_SD = "eval/fid_generation_sd/"
"""The standard deviation of the FID of one model over generation seeds: what other images would have given."""
FID_BEST = "eval/fid_best/"
"""At the guidance scale that suits the cell best, by seeds that did not choose it; the mean over them."""
FID_BEST_SD = "eval/fid_best_generation_sd/"
GUIDANCE_BEST = "eval/guidance_best/"
LOSS, LOSS_SE = "val/loss", "val/loss_se"
"""The held-out loss, and its standard error over held-out images, not over seeds."""


class MetricName(NamedTuple):
    key: str
    """As metrics.csv has it; after one that ends in / comes the extractor."""
    label: str
    better: Literal["lower", "higher", ""] = ""
    unit: Literal["", "share"] = ""
    brief: bool = True
    """Whether it stands in tables for readers; a file of results has every metric."""
    ratios: bool = True
    """Whether values are compared by their ratio; by their difference where they may be zero or negative."""
    error: str = ""
    """The key of the metric that is its standard error, without that over seeds; '' for none."""
    error_words: str = ""

    def covers(self, metric: str) -> bool:
        """Whether a metric, by its whole name, is this one."""
        return metric.startswith(self.key) if self.key.endswith("/") else metric == self.key


METRICS = (
    MetricName(FID, "FID", "lower", error=FID_SD, error_words="SD of resampled images"),
    MetricName(FID_SD, "± (resampling)"),
    MetricName("eval/fid_halves_sd/", "± (halves)", brief=False),
    MetricName(FID_GENERATION_MEAN, "FID, mean of generation seeds", "lower"),
    MetricName(FID_GENERATION_SD, "± (generation seeds)"),
    MetricName(FID_BEST, "FID at the best guidance", "lower"),
    MetricName(FID_BEST_SD, "± (generation seeds, best guidance)"),
    MetricName(GUIDANCE_BEST, "best guidance scale"),
    MetricName("eval/fid_jackknife/", "FID, jackknifed", "lower", ratios=False),
    MetricName("eval/fid_train/", "FID to train", "lower"),
    MetricName("eval/kid/", "KID", "lower", ratios=False),
    MetricName("eval/kid_train/", "KID to train", "lower", brief=False, ratios=False),
    MetricName(key="eval/precision/", label="precision", better="higher", unit="share", ratios=False),
    MetricName(key="eval/recall/", label="recall", better="higher", unit="share", ratios=False),
    MetricName(key="eval/density/", label="density", better="higher", ratios=False),
    MetricName(key="eval/coverage/", label="coverage", better="higher", unit="share", ratios=False),
    MetricName("eval/sfid/", "sFID", "lower"),
    MetricName("eval/inception_score/", "IS", "higher"),
    MetricName("eval/cmmd/", "CMMD", "lower", ratios=False),
    MetricName(key="eval/class_accuracy/", label="class accuracy", better="higher", unit="share", ratios=False),
    MetricName(key="eval/composition/overall", label="composition", better="higher", unit="share", ratios=False),
    MetricName(
        key="eval/composition/overall_heldout",
        label="composition, held out",
        better="higher",
        unit="share",
        ratios=False,
    ),
    MetricName(key="eval/geneval/overall", label="GenEval", better="higher", unit="share", ratios=False),
    MetricName(LOSS, "held-out loss", "lower", error=LOSS_SE, error_words="standard error over held-out images"),
    MetricName(LOSS_SE, "± (held-out images)"),
    MetricName("train/loss", "training loss", "lower", brief=False),
    MetricName("train/learning_rate", "learning rate", brief=False),
)
"""In the order in which they are shown."""


def find_metric(metric: str) -> MetricName | None:
    """The entry of a metric, by its whole name; None for one of the many that the table does not single out."""
    return next((known for known in METRICS if known.covers(metric)), None)


def known_metric(name: str) -> MetricName | None:
    """The entry of a metric by its whole name or as a study names it: fid for eval/fid/<extractor>."""
    return find_metric(name) or find_metric(f"eval/{name}/")


PUBLISHED_LABELS = {f"{FID}dinov2": "FD-DINOv2", f"{FID}clip": "FD-CLIP", "eval/cmmd/clip": "CMMD"}
"""As they are published, by whole names: such a Fréchet distance is no FID, which is Inception's."""


def rank(metric: str) -> tuple[int, str]:
    """Sorts metrics as they are shown: those of the table first, others by name."""
    known = find_metric(metric)
    return len(METRICS) if known is None else METRICS.index(known), metric


def axis_label(metric: str, *, direction: bool = False) -> str:
    """A metric for the axis of a figure: 'FID (digits-cnn)'; with its direction 'FID (digits-cnn), lower is better'."""
    known = find_metric(metric)
    if known is None:
        return metric
    extractor = f" ({metric.removeprefix(known.key)})" if known.key.endswith("/") else ""
    label = PUBLISHED_LABELS.get(metric, f"{known.label}{extractor}")
    return f"{label}{f', {known.better} is better' if direction and known.better else ''}"


def heading(metric: str, columns: Iterable[object]) -> str:
    """A metric for a table: 'FID', with its extractor where other extractors have measured it, too."""
    known = find_metric(metric)
    return axis_label(metric) if known is None or other_extractors(metric, columns) else known.label


def other_extractors(metric: str, columns: Iterable[object]) -> list[str]:
    """The columns of the same metric by other extractors, as eval/fid/inception beside eval/fid/digits-cnn."""
    known = find_metric(metric)
    if known is None or not known.key.endswith("/"):
        return []
    return [name for name in map(str, columns) if known.covers(name) and name != metric]
