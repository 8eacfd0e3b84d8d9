"""The composition figure shows the table's numbers: means over seeds, and the first seed's interval."""

import pytest

from lina_lab.analysis.table import results_table
from lina_lab.figures.composition import CATEGORIES, PREFIX, composition_figure
from tests.study import fake_result


def scores(seed: int) -> dict[str, float]:
    found = {}
    for number, name in enumerate((*CATEGORIES, "counting_heldout", "overall_heldout")):
        value = 0.1 * number + 0.04 * seed
        found |= {f"{PREFIX}{name}": value, f"{PREFIX}{name}_low": value - 0.02, f"{PREFIX}{name}_high": value + 0.03}
    return found


@pytest.mark.slow
def test_dots_are_means_over_seeds_of_the_largest_size_and_bars_the_first_interval(study):
    made = study(seeds=[0, 1])
    for index, cell in enumerate(made.plan.cells):
        result = fake_result(cell.key, cell.seed, 100_000 if cell.values["size"] == "nano" else 400_000, 10.0)
        extra = scores(cell.seed) if cell.values["size"] == "micro" else dict.fromkeys(scores(0), 0.9)
        made.change(index, parameters=result.parameters, metrics={**result.metrics, **extra})
    figure = composition_figure(results_table(made.runs, made.stored), made.stored)
    seen, novel = figure.axes
    designs = [line for line in seen.lines if not line.get_label().startswith("_")]
    assert len(designs) == 4
    for line in designs:
        assert list(line.get_ydata()) == pytest.approx([0.1 * n + 0.02 for n in range(len(CATEGORIES))])
    bars = [line for line in seen.lines if len(line.get_ydata()) == 2 and line.get_linewidth() == 0.8]
    assert list(bars[0].get_ydata()) == pytest.approx([-0.02, 0.03])
    assert [text.get_text() for text in novel.get_xticklabels()] == ["counting", "overall"]


def test_without_scores_there_is_no_figure(study):
    made = study()
    assert composition_figure(results_table(made.runs, made.stored), made.stored) is None
