"""The figure of forecasts: a bar a design and size, a dot a hit, a cross a miss."""

import pytest

from lina_lab.analysis.forecast_score import Score
from lina_lab.analysis.study_metric import metric_of
from lina_lab.figures.forecast import MISSED, forecast_figure
from lina_lab.figures.style import design_looks
from lina_lab.ledger.forecasts import store_forecast
from lina_lab.report.page import redraw_report, write_report
from tests.analysis.test_forecast_score import ALL, Unfolding, unfolding  # noqa: F401, a fixture
from tests.report.test_page import one_format, text_of  # noqa: F401, a fixture
from tests.study import FID


def drawn(made: Unfolding, found: Score):
    looks = design_looks({"normalization": name} for name in ("division", "subtraction"))
    return forecast_figure(found, made.stored, metric_of(FID), looks)


def marks(figure, marker):
    return sum(len(line.get_xdata()) for line in figure.axes[0].lines if line.get_marker() == marker)


def test_hits_are_dots_and_misses_crosses_beside_their_bars(unfolding):  # noqa: F811
    unfolding.know(["nano", "micro"]).foresee(1)
    found = unfolding.know(ALL).score()
    figure = drawn(unfolding, found)
    assert (marks(figure, "o"), marks(figure, "x"), marks(figure, "|")) == (4, 0, 2)
    assert figure.axes[0].get_yticklabels()[0].get_text().startswith("division, tiny, ")
    found.cells.loc[0, "outcome"] = "miss"
    figure = drawn(unfolding, found)
    assert (marks(figure, "o"), marks(figure, "x")) == (3, 1)
    assert next(line for line in figure.axes[0].lines if line.get_marker() == "x").get_color() == MISSED


def test_before_anything_is_reached_there_are_bars_alone_and_without_forecasts_no_figure(unfolding):  # noqa: F811
    assert drawn(unfolding, unfolding.score()) is None
    unfolding.know(["nano", "micro"]).foresee(1)
    figure = drawn(unfolding, unfolding.score())
    assert (marks(figure, "o"), marks(figure, "x"), marks(figure, "|")) == (0, 0, 2)


@pytest.mark.slow
def test_a_report_shows_and_keeps_it_and_is_redrawn_without_a_ledger(unfolding, tmp_path):  # noqa: F811
    unfolding.know(["nano", "micro"]).foresee(1)
    store_forecast(unfolding.runs, unfolding.forecasts[0])
    out = tmp_path / "out"
    page = text_of(write_report(unfolding.know(ALL).runs, unfolding.stored, out))
    assert "Forecast and outcome" in page
    assert "4 of 4 cells ended inside the 95 % interval that was forecast" in page
    (out / "forecast.md").unlink()
    assert "4 of 4 cells ended inside" in text_of(redraw_report(out))
    for name in ("forecast.json", "forecast.png", "forecast.csv", "forecast.md", "forecast-gaps.csv"):
        assert (out / name).exists(), name
