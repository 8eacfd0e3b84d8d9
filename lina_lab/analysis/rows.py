"""One cell, or one point along its run, as a row of a results table."""

from collections.abc import Mapping
from dataclasses import replace

from lina_lab.analysis.lengths import AT
from lina_lab.analysis.notes import noted
from lina_lab.fact_names import column
from lina_lab.ledger.plan import PlannedCell
from lina_lab.ledger.result import Continued, Evaluation, Point, Result
from lina_lab.ledger.status import CellStatus
from lina_lab.metric_names import LOSS
from lina_lab.provenance import Arithmetic, LoadedCode

SAMPLING = (
    *("autoregressive_steps", "flow_steps", "flow_steps_last"),
    *("guidance_scale", "guidance_min", "sampling_precision"),
)
COMPARABLE = ("extractor", "data_sha256", "num_generated", "num_reference", "reference_sha256", *SAMPLING)
"""Values of a metric may be compared only where these are equal: they are of other data, or FID's bias is another."""
LEARNT_NOTHING = ("class_chance", "reference_variance")
"""What metrics are by chance: see `ledger.result.Evaluation`."""
ARITHMETIC = ("sdpa", "matmul_precision", "tf32_matmul", "tf32_cudnn")
"""How the machine computed: cells that differ in it differ by more than their designs."""
OLDER_PRECISION = "fp32"
"""Of sampling, where results are older than the setting."""
LOSS_DRAWS, OLDER_DRAWS = "loss_draws", "those of each training seed"
"""The column of what masks, noises and times a held-out loss had, and what older ones had."""


def row_of(cell: PlannedCell, status: CellStatus, result: Result | None) -> dict[str, object]:
    row: dict[str, object] = {
        "key": cell.key,
        "state": status.state,
        "reason": status.reason,
        **cell.values,
        "seed": cell.seed,
        **cell.tuned,
    }
    if result is None:
        return row
    provenance, evaluation = result.provenance, result.evaluation or Evaluation()
    return row | {
        **{column(f"parameters.{part}"): result.parameters[part] for part in ("total", "trainable")},
        **{column(f"flops.{use}"): result.flops.get(use) for use in ("training", "sampling")},
        column("steps"): result.steps,
        column("samples_seen"): result.samples_seen,
        "diverged_at": result.diverged_at,
        "ema_share": result.ema_share,
        # Only where there are imported weights: samples_seen and flops_training are the experiment's word then.
        **({"imported": result.imported.sha256} if result.imported else {}),
        **_continued(result.continued),
        **result.metrics,
        **measured_with(evaluation),
        **({"also": " ".join(evaluation.also)} if evaluation.also else {}),
        **noted(evaluation),
        **{name: getattr(evaluation, name) for name in LEARNT_NOTHING},
        **({"generation_seeds": len(evaluation.generation_seeds)} if evaluation.generation_seeds else {}),
        **({LOSS_DRAWS: evaluation.loss_draws or OLDER_DRAWS} if LOSS in result.metrics else {}),
        **{axis: value for axis, value in cell.values.items() if axis in SAMPLING},
        **{column(f"seconds.{phase}"): seconds for phase, seconds in result.seconds.items()},
        "commit": provenance.commit,
        "diff_sha256": provenance.diff_sha256,
        **_code(provenance.code or LoadedCode()),
        **_arithmetic(provenance.arithmetic or Arithmetic()),
        "cpu": provenance.hardware and provenance.hardware.cpu,
        "versions": " ".join(f"{name} {version}" for name, version in provenance.versions.items()),
        "command": provenance.command,
        "started": provenance.started,
    }


def row_of_point(row: Mapping[str, object], result: Result, point: Point) -> dict[str, object]:
    """The row of a cell with what is another at a point along its run; a metric that the point lacks is missing."""
    kept = {name: value for name, value in row.items() if name not in result.metrics}
    return kept | {
        AT: point.at,
        **{column(f"flops.{use}"): flops for use, flops in point.flops.items()},
        column("steps"): point.step,
        column("samples_seen"): point.samples_seen,
        "ema_share": result.ema_share and result.ema_share * result.steps / point.step,
        **point.metrics,
        **{column(f"seconds.{phase}"): seconds for phase, seconds in point.seconds.items()},
    }


def _continued(continued: Continued | None) -> dict[str, object]:
    """Where a training went on from; `seconds_before` are those of its seconds that earlier cells have spent."""
    if continued is None:
        return {}
    return {
        column("continued.cell"): continued.cell,
        column("continued.step"): continued.step,
        column("continued.seconds"): continued.seconds,
    }


def measured_with(evaluation: Evaluation) -> dict[str, object]:
    """`COMPARABLE` of a measurement; Euler steps that do not change end as they begin."""
    last = evaluation.flow_steps_last or evaluation.flow_steps
    precision = evaluation.sampling_precision or OLDER_PRECISION
    known = replace(evaluation, flow_steps_last=last, sampling_precision=precision)
    return {name: getattr(known, name) for name in COMPARABLE}


def _code(code: LoadedCode) -> dict[str, str | None]:
    """Digests of the package's rooms, `kernels 0a1b2c model 3d4e5f`, and files that changed while the cell ran."""
    rooms = " ".join(f"{room} {digest}" for room, digest in code.rooms.items())
    return {"code": rooms or None, "code_changed": " ".join(code.changed) or None}


def _arithmetic(found: Arithmetic) -> dict[str, object]:
    backends = " / ".join(dict.fromkeys(found.sdpa.values()))
    return {**{name: getattr(found, name) for name in ARITHMETIC}, "sdpa": backends or None}
