"""The figure of compute multipliers against the verdicts that it draws."""

import math

import pytest

from lina_lab.analysis import gap_model
from lina_lab.analysis.findings import findings
from lina_lab.analysis.report_data import report_data_of_ledger
from lina_lab.analysis.study_metric import metric_of
from lina_lab.figures.multiplier import multiplier_figure
from lina_lab.figures.style import versus
from tests.analysis.test_report_data import FID, FOUR, noisy
from tests.study import FakeStudy

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    made = FakeStudy(tmp_path_factory.mktemp("study") / "runs", [0, 1, 2], FOUR)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gap_model, "DRAWS", 2)
        return findings(noisy(report_data_of_ledger(made.runs, made.stored).table), made.stored, metric_of(FID))[0]


def test_points_are_the_factors_of_the_verdicts_between_sizes_and_over_all(found):
    figure = multiplier_figure(found)
    for finding, panel in zip(found, figure.axes, strict=False):
        assert panel.get_title().replace("\n", " ") == versus(finding.axis, finding.baseline, finding.value)
        drawn = {float(y) for line in panel.lines for y in line.get_ydata()}
        computed = [of.verdict.compute[0] for of in finding.contrasts] + [finding.compute[0]]
        for compute in computed:
            for one in (*compute.sizes, compute.overall):
                shown = [v for v in (one.times, one.low, one.high) if one.bounded and 0 < v < math.inf]
                assert {*shown} <= drawn
        assert [tick.get_text() for tick in panel.get_xticklabels()][-1] == "all\nsizes"


def test_an_end_that_nothing_measured_is_an_arrow(found):
    contrast = found[0].contrasts[0]
    compute = contrast.verdict.compute[0]
    open_ = compute.overall._replace(times=math.nan, low=2.1, high=math.inf)
    verdict = contrast.verdict._replace(compute=(compute._replace(overall=open_, sizes=[]),))
    (panel,) = multiplier_figure([found[0]._replace(contrasts=[contrast._replace(verdict=verdict)])]).axes
    assert "^" in {line.get_marker() for line in panel.lines}
    assert "v" not in {line.get_marker() for line in panel.lines}
    assert [2.1] in [[float(y) for y in line.get_ydata()] for line in panel.lines]


def test_the_legend_names_what_is_drawn_alone(found):
    finding = next(finding for finding in found if len(finding.contrasts) > 1)
    first, *others = finding.contrasts
    bare = first._replace(verdict=first.verdict._replace(compute=()))

    def named(contrasts):
        (legend,) = multiplier_figure([finding._replace(contrasts=contrasts)]).legends
        return [text.get_text() for text in legend.get_texts()]

    everything = named([first, *others])
    assert named([bare, *others]) == everything[1:]


def test_nothing_known_is_no_figure(found):
    assert multiplier_figure([]) is None
    bare = [c._replace(verdict=c.verdict._replace(compute=())) for c in found[0].contrasts]
    assert multiplier_figure([found[0]._replace(contrasts=bare)]) is None
