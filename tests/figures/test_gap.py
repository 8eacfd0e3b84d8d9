"""The figure of gaps against the verdicts that it draws."""

import pytest

from lina_lab.analysis import gap_model
from lina_lab.analysis.findings import findings
from lina_lab.analysis.report_data import report_data_of_ledger
from lina_lab.analysis.study_metric import metric_of
from lina_lab.figures.gap import gap_figure
from lina_lab.figures.panels import BEHIND
from tests.analysis.test_report_data import FID, FOUR, noisy
from tests.study import FakeStudy


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """Findings of 24 designs take many seconds, also with few draws."""
    made = FakeStudy(tmp_path_factory.mktemp("study") / "runs", [0, 1, 2], FOUR)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gap_model, "DRAWS", 50)
        return findings(noisy(report_data_of_ledger(made.runs, made.stored).table), made.stored, metric_of(FID))[0]


@pytest.mark.slow
def test_measured_ratios_and_hollow_predictions_are_those_of_the_verdicts(found):
    figure = gap_figure(found)
    row = figure.axes[2:4]
    assert row[0].get_ylabel() == "conv / no conv"
    assert [panel.get_title() for panel in row] == ["division", "subtraction"]
    drawn = set()
    for panel, contrast in zip(row, found[1].contrasts, strict=True):
        measured, *predicted = panel.containers
        assert measured.lines[0].get_ydata().tolist() == [gap.ratio.mean for gap in contrast.verdict.gaps]
        ends = [segment[:, 1].tolist() for segment in measured.lines[2][0].get_segments()]
        assert ends == [pytest.approx([gap.ratio.low, gap.ratio.high]) for gap in contrast.verdict.gaps]
        hollow = [container.lines[0] for container in predicted]
        assert {line.get_markerfacecolor() for line in hollow} == {"white"}
        drawn |= {(line.get_marker(), float(line.get_ydata()[0])) for line in hollow}
    forms = {"power": "^", "offset": "v"}
    assert drawn == {(forms[p.form], p.ratio.mean) for c in found[1].contrasts for p in c.verdict.predictions}
    assert len(drawn) == 4


@pytest.mark.slow
def test_the_other_settings_of_a_row_stand_behind_in_grey(found):
    panel = gap_figure(found).axes[0]
    (grey,) = [line for line in panel.lines if line.get_color() == BEHIND["color"]]
    assert grey.get_ydata().tolist() == [gap.ratio.mean for gap in found[0].contrasts[1].verdict.gaps]


@pytest.mark.slow
def test_a_wide_bar_leaves_the_panel_and_the_points_do_not(found):
    contrast = found[0].contrasts[0]
    gaps = [gap._replace(ratio=gap.ratio._replace(low=1e-30, high=1e30)) for gap in contrast.verdict.gaps]
    wide = found[0]._replace(contrasts=[contrast._replace(verdict=contrast.verdict._replace(gaps=gaps))])
    low, high = gap_figure([wide]).axes[0].get_ylim()
    assert low > 0.1
    assert high < 10
    assert all(low < gap.ratio.mean < high for gap in gaps)


@pytest.mark.slow
def test_a_place_without_a_panel_is_empty_and_many_settings_share_panels(found):
    alone = found[0]._replace(contrasts=found[0].contrasts[:1])
    figure = gap_figure([*found, alone])
    assert [panel.axison for panel in figure.axes] == [True] * 5 + [False]
    contrast = found[1].contrasts[0]
    many = [
        contrast._replace(pair=contrast.pair._replace(a=contrast.pair.a | {"dial": n}, b=contrast.pair.b | {"dial": n}))
        for n in range(30)
    ]
    figure = gap_figure([found[1]._replace(contrasts=many)])
    assert len([panel for panel in figure.axes if panel.axison]) == 6


@pytest.mark.slow
def test_of_one_size_there_is_no_figure(found):
    few = [c._replace(verdict=c.verdict._replace(gaps=c.verdict.gaps[-1:])) for c in found[0].contrasts]
    assert gap_figure([found[0]._replace(contrasts=few)]) is None


def test_nothing_to_compare_is_no_figure():
    assert gap_figure([]) is None
