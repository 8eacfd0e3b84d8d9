"""`lab forecast`: what the cells of a sweep without a result will reach, written down before they have one."""

from typing import TYPE_CHECKING

from lina_lab.cli.documents import print_document
from lina_lab.cli.options import RUNS, AsJson, Runs, SweepName

if TYPE_CHECKING:
    from lina_lab.ledger.forecasts import Forecast, Predicted
    from lina_lab.ledger.plan import Plan


def forecast(name: SweepName, as_json: AsJson = False, runs: Runs = RUNS) -> None:
    """Forecast the cells of a sweep that have no result yet, from those that have one.

    Each has a 95 % interval for a new cell, its seed's scatter included, under a curve with any floor that the sizes
    done allow, and as a power law. It is written into the ledger, with the data and the code that made it, and is never
    changed; lab report holds it against what the cells reach. lab sweep does this by itself before its largest size.

    Example: lab forecast digits
    """
    from lina_lab.analysis.forecast import write_forecast
    from lina_lab.ledger.plan import load_plan

    plan = load_plan(runs, name)
    made, path = write_forecast(runs, plan)
    if as_json:
        print_document("forecast", made.as_json())
        return
    _print(made, plan)
    if path:
        print(f"wrote {path}")
    else:
        print("nothing was forecast, and nothing written" if made.missing else "every cell has a result")


def _print(made: "Forecast", plan: "Plan") -> None:
    from lina_lab.analysis.names import design_names
    from lina_lab.analysis.table import design_axes, human
    from lina_lab.cli.console import print_table, text_table
    from lina_lab.metric_names import axis_label

    names = design_names(plan)
    level = f"{100 * made.level:.4g} % interval"
    print(f"{made.sweep}: {axis_label(made.metric)}, from {len(made.data)} cells that are done\n")
    if made.cells:
        table = text_table("cell", "parameters", "seed", "by", "forecast", level, "as a power law", numbers=3)
        for cell in made.cells:
            value = f"{cell.predicted.value:.4g}"
            label = names(cell.values)
            table.add_row(
                label, human(cell.parameters), str(cell.seed), cell.by, value, _ends(cell.predicted), _ends(cell.power)
            )
        print_table(table)
        print()
    if made.gaps:
        table = text_table("A", "B", "size", "seeds", "A / B", level, "as a power law", numbers=4)
        for gap in made.gaps:
            axes = {name: name for name in design_axes(plan)}
            a, b = (names({name: design[name] for name in axes}) for design in (gap.a, gap.b))
            ratio = f"{gap.predicted.value:.4g}"
            table.add_row(a, b, gap.size, str(len(gap.seeds)), ratio, _ends(gap.predicted), _ends(gap.power))
        print_table(table)
        print()
    for line in made.missing:
        print(f"not forecast: {line}")


def _ends(predicted: "Predicted | None") -> str:
    return f"{predicted.low:.4g} to {predicted.high:.4g}" if predicted else ""
