"""A finished sweep with known numbers, of cells that nobody trained."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from lina_lab.config.load import Document
from lina_lab.config.sweep import Sweep
from lina_lab.ledger.cells import create_cell
from lina_lab.ledger.leases import Watch, claim
from lina_lab.ledger.metrics import append_metrics
from lina_lab.ledger.plan import Plan, load_plan, store_plan
from lina_lab.ledger.result import Evaluation, Point, Result, read_result, write_result
from lina_lab.provenance import Hardware, Provenance
from lina_lab.sweep.planning import expand

EXPERIMENT = {
    "name": "fake",
    "model": {"size": "nano", "patch": 2},
    "training": {"steps": 100, "batch_size": 8, "learning_rate": 1e-3},
}
AXES = {
    "model.attention.normalization": ["division", "subtraction"],
    "model.attention.conv_kernel": [0, 5],
    "model.size": ["nano", "micro"],
}
TWO = AXES | {"model.attention.conv_kernel": [0], "model.size": ["nano"]}
"""Two cells: the fewest that make a report."""
FIDS = {"nano": 80.0, "micro": 50.0, "tiny": 32.0, "small": 20.0}
PARAMETERS = {"nano": 100_000, "micro": 400_000, "tiny": 1_600_000, "small": 6_400_000}
FID = "eval/fid/digits-cnn"
PROVENANCE = Provenance(
    commit="c0ffee",
    versions={"torch": "2.0"},
    python="3.11",
    hardware=Hardware(cpu="a processor", cores=2),
    command="lab sweep fake.yaml",
    started="2026-01-01T00:00:00+00:00",
)


def fake_fid(size: str, seed: int, normalization: str = "division", conv_kernel: int = 0, **rest: object) -> float:
    """A FID without noise of measurement: known to the last digit."""
    base = FIDS[size] * (0.5 if conv_kernel else 1.0)
    return base * (1.1 if normalization == "subtraction" else 1.0) * (1 + 0.02 * seed)


def fake_result(key: str, seed: int, parameters: int, fid: float) -> Result:
    names = {"fid": fid, "fid_bootstrap_sd": 0.5, "kid": fid / 100, "precision": 0.5, "recall": 0.25}
    return Result(
        key=key,
        name="fake",
        seed=seed,
        parameters={"total": parameters, "trainable": parameters - 10},
        flops={"training": 6.0 * parameters},
        steps=100,
        samples_seen=800,
        ema_share=0.25,
        seconds={"training": 10.0, "sampling": 1.0, "evaluation": 0.5},
        state="done",
        metrics={f"eval/{name}/digits-cnn": value for name, value in names.items()} | {"val/loss": fid / 100},
        evaluation=Evaluation(
            extractor="digits-cnn-1a2b3c4d",
            num_generated=1000,
            num_reference=500,
            autoregressive_steps=16,
            flow_steps=25,
            guidance_scale=1.0,
            guidance_min=1.0,
        ),
        provenance=PROVENANCE,
    )


class FakeStudy:
    """A finished sweep, written through the ledger's own functions."""

    def __init__(self, runs: Path, seeds: list[int], axes: dict, **more: object) -> None:
        self.runs = runs
        values = {"name": "fake", "question": "Which is better?", "experiment": "-", "axes": axes, "seeds": seeds}
        sweep = Sweep.model_validate(values | more)
        self.planned = expand(sweep, Document(EXPERIMENT, {}), Document({}, {}), Path("fake.yaml"))
        self.plan: Plan = self.planned.plan
        store_plan(runs, self.plan, PROVENANCE)
        self.stored: Plan = load_plan(runs, "fake")
        for cell in self.plan.cells:
            folder = create_cell(runs, self.planned.experiments[cell.key])
            fid = fake_fid(**cell.values, seed=cell.seed)
            parameters = PARAMETERS[cell.values["size"]] + 1000 * (cell.values.get("conv_kernel", 0))
            for step in (50, 100):
                append_metrics(folder, step, {"val/loss": fid / step})
            write_result(folder, fake_result(cell.key, cell.seed, parameters, fid))

    def folder(self, index: int) -> Path:
        return self.runs / self.plan.cells[index].key

    def change(self, index: int, **changes: object) -> None:
        """Write one cell's result anew, with changes."""
        cell = self.plan.cells[index]
        result = fake_result(cell.key, cell.seed, 100_000, fake_fid(**cell.values, seed=cell.seed))
        write_result(self.folder(index), replace(result, **changes))

    def add_points(self, shares: Sequence[float] = (0.25, 0.5)) -> None:
        """Points along every run, whose FID falls with the root of the samples seen."""
        for cell in self.plan.cells:
            result = read_result(self.runs / cell.key)
            metrics = {name: value for name, value in result.metrics.items() if name.startswith("eval/")}
            points = tuple(
                Point(
                    at=share,
                    step=round(100 * share),
                    samples_seen=round(800 * share),
                    flops={"training": share * result.flops["training"]},
                    seconds={"training": 10 * share, "sampling": 1.0, "evaluation": 0.5},
                    metrics=metrics | {FID: metrics[FID] / share**0.5},
                    weights_sha256="c0ffee",
                )
                for share in shares
            )
            write_result(self.runs / cell.key, replace(result, points=points))

    def unfinish(self, index: int, state: str, reason: str = "") -> None:
        (self.folder(index) / "result.json").unlink()
        if state != "waiting":
            claimed = claim(self.folder(index), Watch())
            if state != "running":
                claimed.end(state, reason)
