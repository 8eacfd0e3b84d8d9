"""Warn if EMA weights average over too much of their training."""

from collections.abc import Sequence

from lina_lab.config.experiment import Experiment

LONGEST_SHARE = 1 / 3
"""Most of a training that EMA weights may look back over; beyond it they are those of an earlier, worse model."""
REACHES = "look back over more than a third of the training (1 / (1 - ema_decay) of its updates, steps / ema_every)"


def is_long(share: float) -> bool:
    """Whether a share of the training (`TrainingConfig.ema_share`) is too long, with a tolerance for rounding."""
    return share > LONGEST_SHARE * (1 + 1e-9)


def long_averages(experiments: Sequence[Experiment]) -> list[str]:
    """A warning if EMA weights of some experiments look back too far, with a decay that would suit the worst."""
    trained = [experiment.training for experiment in experiments if experiment.training.imported is None]
    long = [training for training in trained if is_long(training.ema_share)]
    if not long:
        return []
    worst = max(long, key=lambda training: training.ema_share)
    most = max(0.0, 1 - worst.ema_every / worst.steps / LONGEST_SHARE)
    text = (
        f"warning: the averaged weights of {len(long)} of {len(experiments)} cells {REACHES}: what is measured is a "
        f"model of earlier steps. ema_decay {worst.ema_decay:g} with {worst.steps:,} steps and ema_every "
        f"{worst.ema_every} looks back over {worst.ema_share:.0%}; at most {most:.4g} would be right there"
    )
    return [text]
