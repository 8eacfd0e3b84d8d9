"""Efficiency figures against the numbers that they show."""

import math

import pandas as pd
import pytest

from lina_lab.analysis.profile import PROFILE_COLUMNS, read_profile
from lina_lab.analysis.table import results_table
from lina_lab.errors import LabError
from lina_lab.figures.efficiency import efficiency_figure, profile_figure, write_profile
from lina_lab.figures.style import design_style

FID = "eval/fid/digits-cnn"
PROFILE = """\
device,normalization,conv_kernel,kv_gate,tokens,forward_ms,backward_ms,peak_bytes,macs
one GPU,division,5,key_value,64,1.5,3.5,2097152,1000
one GPU,division,5,key_value,320,2,5,4194304,5000
one GPU,softmax,0,none,64,1,2,,1100
two cores,division,5,key_value,64,10,20,3145728,1000
"""


def spread(table):
    """With seconds that go with the parameters, so that there is something to see."""
    return table.assign(training_seconds=table["parameters"] / 1e4)


def lines(axes):
    return {line.get_label(): line.get_xydata().tolist() for line in axes.lines if not line.get_label().startswith("_")}


@pytest.mark.slow
def test_quality_is_against_flops_and_seconds_and_sampling_against_size(study):
    made = study()
    table = results_table(made.runs, made.stored)
    table["training_seconds"] = [10.0 + n for n in range(8)]
    table["sampling_seconds"] = [100.0 * (n + 1) for n in range(8)]
    flops, seconds, sampling = efficiency_figure(table, made.stored).axes
    assert lines(flops)["division + conv"] == [
        pytest.approx([6.0 * 105_000, 40]),
        pytest.approx([6.0 * 405_000, 25]),
    ]
    assert lines(seconds)["division"] == [pytest.approx([10, 80]), pytest.approx([11, 50])]
    assert lines(sampling)["division"] == [
        pytest.approx([100_000, 100 / 1000]),
        pytest.approx([400_000, 200 / 1000]),
    ]
    assert flops.lines[0].get_color() == design_style({"normalization": "division", "conv_kernel": 0})["color"]


@pytest.mark.slow
def test_the_line_joins_geometric_means_over_seeds_and_dots_are_cells(study):
    made = study(seeds=[0, 1, 2])
    axes = efficiency_figure(results_table(made.runs, made.stored), made.stored).axes[0]
    mean = math.exp(sum(math.log(80 * f) for f in (1, 1.02, 1.04)) / 3)
    assert lines(axes)["division"][0] == pytest.approx([600_000, mean])
    dots = next(line for line in axes.lines if line.get_marker() == ".")
    assert len(dots.get_xdata()) == 6


@pytest.mark.slow
def test_seconds_of_different_processors_are_not_comparable_and_the_figure_says_so(study):
    made = study()
    table = results_table(made.runs, made.stored)
    assert efficiency_figure(table, made.stored).get_suptitle() == "seconds on a processor"
    table.loc[1, "cpu"] = "another"
    assert "2 kinds of processor: not comparable" in efficiency_figure(table, made.stored).get_suptitle()


@pytest.mark.slow
def test_what_is_missing_has_no_panel_and_nothing_no_figure(study):
    made = study()
    table = spread(results_table(made.runs, made.stored))
    assert len(efficiency_figure(table.drop(columns="training_seconds"), made.stored).axes) == 2
    assert len(efficiency_figure(table.assign(sampling_seconds=math.nan), made.stored).axes) == 2
    bare = table.drop(columns=["training_seconds", "sampling_seconds", "flops_training"])
    assert efficiency_figure(bare, made.stored) is None


@pytest.mark.slow
def test_equal_costs_have_no_panel(study):
    """Of one size FLOPs differ by a few per thousand: an axis of them shows nothing."""
    made = study()
    table = results_table(made.runs, made.stored).assign(flops_training=6e5)
    labels = [panel.get_xlabel() for panel in efficiency_figure(spread(table), made.stored).axes]
    assert labels == ["training seconds", "parameters"]


@pytest.mark.slow
def test_a_cell_that_was_not_measured_is_no_point_at_zero(study):
    made = study()
    table = spread(results_table(made.runs, made.stored))
    table.loc[0, "training_seconds"] = math.nan
    assert len(lines(efficiency_figure(table, made.stored).axes[1])["division"]) == 1


@pytest.fixture
def profile(tmp_path):
    (tmp_path / "profile.csv").write_text(PROFILE)
    return tmp_path / "profile.csv"


def test_a_profile_is_drawn_a_row_a_device_with_its_numbers(profile):
    table = read_profile(profile)
    axes = profile_figure(table).axes
    assert len(axes) == 6
    name = "division + conv + gate"
    assert lines(axes[0])[name] == [[64, 2000], [320, 10_000]]  # 2 FLOPs a multiply-add
    assert lines(axes[1])[name] == [[64, 2], [320, 4]]
    assert lines(axes[2])[name] == [pytest.approx([64, 5]), pytest.approx([320, 7])]
    assert lines(axes[5])[name] == [pytest.approx([64, 30])]
    assert list(lines(axes[1])) == [name]  # softmax's memory was not measured
    assert [a.get_title(loc="left") for a in axes[::3]] == ["one GPU", "two cores"]


def test_a_table_that_is_no_profile_makes_no_figure(profile):
    table = read_profile(profile)
    assert profile_figure(table.drop(columns="macs")) is None
    assert profile_figure(table.iloc[:0]) is None


def test_a_wrong_profile_is_named_with_file_line_and_column(tmp_path, profile):
    pd.read_csv(profile).drop(columns="peak_bytes").to_csv(profile, index=False)
    with pytest.raises(LabError, match=r"profile.csv: must have the columns device, .* there is no peak_bytes"):
        read_profile(profile)
    for bad in ("-3", "0", "fast"):
        profile.write_text(PROFILE.replace("320,2,5", f"320,{bad},5"))
        with pytest.raises(
            LabError, match=rf"profile.csv:3: column forward_ms: must be a positive number, not '?{bad}"
        ):
            read_profile(profile)
    profile.write_text("")
    with pytest.raises(LabError, match="must be a CSV with a header"):
        read_profile(profile)
    profile.write_text(",".join(PROFILE_COLUMNS) + "\n")
    with pytest.raises(LabError, match="must have rows of measurements"):
        write_profile(profile, tmp_path)


@pytest.mark.slow
def test_profile_figures_are_written_in_three_formats_with_the_same_bytes(profile, tmp_path):
    for name in ("a", "b"):
        write_profile(profile, tmp_path / name)
    names = {path.name for path in (tmp_path / "a").iterdir()}
    assert names == {f"profile.{kind}" for kind in ("png", "pdf", "svg")}
    assert all((tmp_path / "a" / n).read_bytes() == (tmp_path / "b" / n).read_bytes() for n in names)


def test_every_column_of_a_profile_is_asked_for(profile):
    assert list(pd.read_csv(profile).columns) == list(PROFILE_COLUMNS)
