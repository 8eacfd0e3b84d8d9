"""Whether a learning rate that was tuned at one size may be taken at another.

runs/coordinates/<digest>.json: the coordinate check of a design with the recipe that it had; its rate does not count.
"""

from collections.abc import Iterable
from itertools import groupby
from pathlib import Path

from lina_lab.analysis.coordinates import Check, checks_text, parse_checks
from lina_lab.config.experiment import AFTER_TRAINING, Experiment, canonical, digest
from lina_lab.config.model import at_base, base_model
from lina_lab.config.tune import Tune
from lina_lab.errors import LabError
from lina_lab.files import write_atomic
from lina_lab.ledger.part import belongs
from lina_lab.ledger.plan import PlannedCell
from lina_lab.sweep.planning import PlannedSweep

SIZE = "size"
"""The axis of sizes, by its name in a plan."""
STANDARD = "in the standard parametrization, where the best rate may change with the width"
OTHER_DESIGN = "to a model that differs by more than its width, which muP does not cover"


def groups(cells: Iterable[PlannedCell]) -> list[list[PlannedCell]]:
    """The cells of every design at every size, which differ by their seeds alone."""
    return [list(group) for _, group in groupby(cells, key=lambda cell: cell.values)]


def sources(planned: PlannedSweep, tune: Tune) -> list[int]:
    """For each of `groups`, the place of the one whose trials choose for it: itself, or its design at `tune.at`.

    At the base width one cell stands for both parametrizations of a design.

    Raises:
        LabError: if a design has no cell at that size.
    """
    points = [group[0] for group in groups(planned.plan.cells)]
    if tune.at is None:
        return list(range(len(points)))
    axes = {axis for axis, path in planned.plan.axes.items() if path == "training.parametrization"}
    at = [place for place, cell in enumerate(points) if cell.values[SIZE] == tune.at]

    def of(cell: PlannedCell, but: set[str]) -> int | None:
        design = {axis: value for axis, value in cell.values.items() if axis not in but}
        return next((p for p in at if design == {a: v for a, v in points[p].values.items() if a not in but}), None)

    found = []
    for cell in points:
        place = of(cell, {SIZE})
        if place is None and (shared := of(cell, {SIZE, *axes})) is not None:
            place = shared if at_base(planned.experiments[points[shared].key].model) else None
        if place is None:
            raise LabError(f"tune.at: {cell.label} has no cell of size {tune.at}, at which its design is to be tuned")
        found.append(place)
    return found


def tuned_places(planned: PlannedSweep, tune: Tune) -> list[int]:
    """The places of those of `groups` whose trials choose for the cells that run here."""
    pairs = zip(groups(planned.plan.cells), sources(planned, tune), strict=True)
    return sorted({source for group, source in pairs if any(belongs(cell, planned.part) for cell in group)})


def transfer(runs: Path, source: Experiment, target: Experiment) -> str:
    """`analysis.coordinates.PASSED`, or what is wrong with taking the learning rate of `source` at `target`.

    Both have that rate. A check that is not in the ledger is made, in seconds for digits.
    """
    if target.training.parametrization != "mup":
        return STANDARD
    if base_model(source.model) != base_model(target.model):
        return OTHER_DESIGN
    return stored_check(runs, target).words


def stored_check(runs: Path, experiment: Experiment) -> Check:
    """The coordinate check of an experiment's design and recipe, from the ledger or made for it."""
    from lina_lab.training.coordinates import SETTING, check

    wide = experiment.model_copy(update={"model": base_model(experiment.model, 2)})  # at the base muP is out of the key
    body = canonical(wide, seed=False)
    for field in ("steps", "learning_rate", "warmup_steps"):
        del body["training"][field]
    body = {name: value for name, value in body.items() if name not in AFTER_TRAINING}
    path = runs / "coordinates" / f"{digest([body, SETTING])[:12]}.json"
    if path.exists():
        return parse_checks(path.read_text(encoding="utf-8"), path)[0]
    found = check(experiment)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, checks_text([found]))
    return found
