"""Sampling figures against the points that they show."""

import pandas as pd
import pytest

from lina_lab.analysis.fid_points import FidPoint, scans_table
from lina_lab.analysis.guidance import add_point
from lina_lab.config.experiment import Experiment
from lina_lab.errors import LabError
from lina_lab.figures.sampling import Scanned, chosen, curves, sampling_figure, scanned_cells, write_sampling
from lina_lab.figures.style import design_style
from lina_lab.ledger.cells import create_cell
from tests.analysis import test_guidance

DIVISION = {"normalization": "division", "conv_kernel": 5, "kv_gate": "none"}
SOFTMAX = {"normalization": "softmax", "conv_kernel": 0, "kv_gate": "none"}


def point(guidance_scale=1.0, *, source="guidance", flow_steps_last=None, **changes):
    """A guidance point as a row of the evaluations table."""
    kept = test_guidance.point(guidance_scale, **changes)
    values = {name: getattr(kept, name) for name in FidPoint._fields if hasattr(kept, name)}
    return FidPoint(source=source, flow_steps_last=flow_steps_last, **values)


def scanned(design=DIVISION, points=(), **changes):
    values = {"key": "a" * 12, "size": "nano", "seed": 0}
    return Scanned(design=design, points=points, **values | changes)


def by_guidance(*fids, **changes):
    return [point(scale, fid=fid, recall=0.9 - 0.1 * scale, **changes) for scale, fid in zip((1.0, 2.0, 4.0), fids)]  # noqa: B905


def drawn(axes):
    """x and y of every curve with bars, by its place."""
    return [container.lines[0].get_xydata().tolist() for container in axes.containers]


def test_a_curve_has_its_points_bars_and_the_lowest_ringed():
    points = by_guidance(4.0, 2.0, 3.0, deviations=(0.5, -0.5))
    left, right = sampling_figure([scanned(points=points[::-1])], "guidance_scale").axes
    assert drawn(left) == [[[1, 4], [2, 2], [4, 3]]]
    bars = left.containers[0].lines[2][0].get_segments()
    assert [bar[:, 1].tolist() for bar in bars] == [[3.5, 4.5], [1.5, 2.5], [2.5, 3.5]]
    rings = [line for line in left.lines if line.get_markerfacecolor() == "none"]
    assert [ring.get_xydata().tolist() for ring in rings] == [[[2, 2]]]
    assert right.lines[0].get_xydata().tolist() == [pytest.approx([0.9 - 0.1 * s, 0.5]) for s in (1, 2, 4)]
    assert {text.get_text() for text in right.texts} == {"1", "2", "4"}
    assert "500 samples" in left.get_ylabel()


def test_designs_have_their_own_look_and_a_legend_of_what_differs():
    cells = [scanned(points=by_guidance(4, 2)), scanned(SOFTMAX, points=by_guidance(5, 3))]
    found = curves(cells, "guidance_scale")
    assert [curve.look for curve in found] == [design_style(DIVISION), design_style(SOFTMAX)]
    assert [curve.label for curve in found] == [
        "division + conv",
        "softmax",
    ]


def test_two_curves_of_one_design_are_told_apart_by_what_differs():
    slow = by_guidance(4, 1, flow_steps=50)
    found = curves(
        [scanned(points=by_guidance(4, 2) + slow), scanned(points=by_guidance(5, 3), size="tiny")], "guidance_scale"
    )
    assert [curve.label.partition(", ")[2] for curve in found] == [
        "size nano, flow steps 25",
        "size nano, flow steps 50",
        "size tiny, flow steps 25",
    ]
    assert len({curve.look["color"] for curve in found}) == 3
    falling = scanned(points=by_guidance(5, 3, flow_steps_last=5))
    found = curves([scanned(points=by_guidance(4, 2)), falling], "guidance_scale")
    ends = [curve.label.rpartition(", ")[2] for curve in found]
    assert ends == ["flow steps at last as the first", "flow steps at last 5"]


def test_steps_stand_beside_the_flops_of_an_image_and_single_points_are_no_curve():
    steps = [point(2.0, fid=fid, flow_steps=n, flops=n * 1e9) for n, fid in ((5, 3.0), (10, 2.0))]
    cell = scanned(points=[*steps, point(3.0, flow_steps=5)])
    figure = sampling_figure([cell], "flow_steps")
    assert figure.get_suptitle().startswith("guidance scale 2, autoregressive steps 16\nbars:")
    left, right = figure.axes
    assert drawn(left) == [[[5, 3], [10, 2]]]
    assert drawn(right) == [[[5e9, 3], [10e9, 2]]]
    assert sampling_figure([cell], "autoregressive_steps") is None


def test_points_without_noise_have_no_bars_and_without_precision_no_place():
    points = [p._replace(precision=None) for p in by_guidance(4, 2, deviations=())]
    left, right = sampling_figure([scanned(points=points)], "guidance_scale").axes
    assert not left.containers[0].lines[2]
    assert right.lines[0].get_xydata().tolist() == []


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        ("num_samples", 1000, "500, 1000"),
        ("extractor", "inception-0", "digits-cnn-1a2b3c4d, inception-0"),
        ("reference", "abc", "abc, held-out"),
        ("seed", 3, "0, 3"),
    ],
)
def test_fids_that_were_measured_differently_are_not_drawn_together(field, value, told):
    cells = [scanned(points=by_guidance(4, 2)), scanned(SOFTMAX, points=by_guidance(5, 3, **{field: value}))]
    first = told.partition(",")[0]
    with pytest.raises(LabError, match=rf"different {field} cannot be compared: {told}; .* --only {field}={first}"):
        sampling_figure(cells, "guidance_scale")
    for choice in told.split(", "):
        assert len(curves(chosen(cells, {field: choice}), "guidance_scale")) == 1


@pytest.mark.slow
def test_a_folder_is_written_from_cells_of_the_ledger(tmp_path):
    experiment = {
        "name": "x",
        "model": {"size": "nano", "patch": 2, "attention": {"normalization": "subtraction", "conv_kernel": 3}},
        "training": {"steps": 4, "batch_size": 8, "learning_rate": 2e-3},
    }
    folder = create_cell(tmp_path / "runs", Experiment.model_validate(experiment))
    for scale, fid in ((1.0, 4.0), (2.0, 2.0)):
        add_point(folder / "guidance.csv", test_guidance.point(scale, fid=fid))
    design = {"normalization": "subtraction", "conv_kernel": 3, "kv_gate": "none"}
    table = scans_table([folder])
    assert [cell.design for cell in scanned_cells(table)] == [design]
    paths = write_sampling(table, tmp_path / "out", {})
    assert [path.name for path in paths] == ["guidance_scale.png", "sampling.csv"]
    table = pd.read_csv(paths[1])
    assert table["fid"].tolist() == [4, 2]
    assert set(table["key"]) == {folder.name}
    assert table[list(design)].iloc[0].tolist() == ["subtraction", 3, "none"]
    again = write_sampling(scans_table([folder]), tmp_path / "again", {})
    assert again[0].read_bytes() == paths[0].read_bytes()
