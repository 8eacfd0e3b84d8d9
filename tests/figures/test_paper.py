"""Figures for a paper against the published values, and what their captions must say."""

import numpy as np
import pytest
from PIL import Image

from lina_lab.analysis.literature import DESIGNS, at_equal_samples, published_fid, published_losses
from lina_lab.errors import LabError
from lina_lab.figures.panels import WIDTHS
from lina_lab.figures.paper import own_results, write_paper
from lina_lab.figures.paper_captions import beside, context, loss, scaling
from lina_lab.figures.paper_context import context_figure
from lina_lab.figures.paper_lina import beside_figure, loss_figure, scaling_figure
from lina_lab.figures.style import DPI, design_style, save
from lina_lab.report.page import write_report

FID = published_fid()
LOSSES = published_losses()


def lines(axes):
    return {line.get_label(): line for line in axes.lines if not line.get_label().startswith("_")}


def points(axes):
    return {label: line.get_xydata().tolist() for label, line in lines(axes).items()}


def test_lina_is_drawn_with_its_published_values():
    plain, guided, losses = scaling_figure(FID, LOSSES).axes
    assert points(plain) == {
        "division": [[361_910_000, 13.125459], [642_710_000, 9.733762]],
        "subtraction": [[361_910_000, 15.810955]],
        "division+conv": [[362_230_000, 9.107027]],
        "subtraction+conv": [[362_230_000, 9.024086]],
    }
    assert points(guided) == {"division": [[361_910_000, 4.291325]], "division+conv": [[362_230_000, 2.845642]]}
    assert [a.get_title() for a in (plain, guided)] == ["no guidance, 200k steps", "guidance 2.5, 250k steps"]
    assert losses.get_title() == "loss at 154M samples seen"
    equal = at_equal_samples(LOSSES).sort_values("params_M")
    for container in losses.containers:
        rows = equal[equal["variant"] == container.get_label()]
        assert container.lines[0].get_ydata().tolist() == rows["loss"].tolist()
        ends = [segment[:, 1].tolist() for segment in container.lines[2][0].get_segments()]
        assert ends == [pytest.approx([y - e, y + e]) for y, e in zip(rows["loss"], rows["loss_se"], strict=True)]


@pytest.mark.slow
def test_losses_are_against_samples_with_a_band_of_one_standard_error():
    axes = loss_figure(LOSSES).axes
    assert [a.get_title() for a in axes[:3]] == [
        "width 768, batch 2048",
        "width 1024, batch 1536",
        "width 1536, batch 768",
    ]
    run = LOSSES[(LOSSES["variant"] == "subtraction") & (LOSSES["width"] == 1024)]
    assert points(axes[1])["subtraction"] == run[["samples", "loss"]].to_numpy().tolist()
    late = run[run["samples"] >= 50e6]
    assert points(axes[4])["subtraction"] == late[["samples", "loss"]].to_numpy().tolist()
    band = axes[1].collections[list(lines(axes[1])).index("subtraction")].get_paths()[0].vertices
    at = band[band[:, 0] == run["samples"].iloc[4]][:, 1]
    expected = [run["loss"].iloc[4] - run["loss_se"].iloc[4], run["loss"].iloc[4] + run["loss_se"].iloc[4]]
    assert [at.min(), at.max()] == pytest.approx(expected)
    assert list(lines(axes[0])) == [*DESIGNS, "softmax (diverged)"]
    assert list(lines(axes[3])) == list(DESIGNS)


def test_the_context_has_every_curve_and_keeps_guidance_apart():
    plain, guided = context_figure(FID).axes
    assert points(plain)["DiT patch 2, 400k steps"] == [[33e6, 68.4], [130e6, 43.47], [458e6, 23.33], [675e6, 19.47]]
    assert points(guided)["MAR, 800 epochs"] == [[208e6, 2.31], [479e6, 1.78], [943e6, 1.55]]
    assert points(guided)["LINA (final)"] == [[1.4e9, 2.18]]
    assert points(guided)["LINA division+conv"] == [[362_230_000, 2.845642]]
    drawn = set(lines(plain)) | set(lines(guided))
    assert not any("U-ViT" in label or "512" in label for label in drawn)
    assert {"VAR, 200 to 350 epochs", "LlamaGen, 16 x 16 tokens", "LlamaGen, 24 x 24 tokens"} <= drawn
    total = sum(len(xy) for axes in (plain, guided) for xy in points(axes).values())
    assert total == 50 - 14


@pytest.mark.slow
def test_a_published_design_looks_as_the_same_design_does_everywhere():
    for axes, prefix in ((scaling_figure(FID, LOSSES).axes[0], ""), (context_figure(FID).axes[0], "LINA ")):
        for name, values in DESIGNS.items():
            line, look = lines(axes)[prefix + name], design_style(values)
            assert (line.get_color(), line.get_marker()) == (look["color"], look["marker"])
            assert line.get_markerfacecolor() == look["markerfacecolor"]
    dashes = {name: line.get_linestyle() for name, line in lines(scaling_figure(FID, LOSSES).axes[0]).items()}
    assert dashes["division"] == dashes["subtraction"] != dashes["division+conv"]


def test_captions_name_the_confounds_and_what_is_left_out():
    for caption in (scaling(FID, LOSSES), loss(LOSSES), context(FID, LOSSES)):
        assert "2048 at width 768, 1536 at width 1024, 768 at width 1536" in caption
        assert "200k steps are 410M, 307M, 154M samples" in caption
        assert "one seed a run" in caption
    assert "division 2, subtraction 1, division+conv 1, subtraction+conv 1" in scaling(FID, LOSSES)
    text = context(FID, LOSSES)
    for row in FID[FID["left_out"].notna() | FID["params"].isna()].itertuples():
        assert row.variant in text
    assert "U-ViT-L/2 ImageNet256, U-ViT-H/2 ImageNet256: its source states no number of parameters" in text
    assert "guidance, which MAR tuned for every size (2.9, 3.0, 3.2)" in text
    assert "at least 0.998)" in loss(LOSSES)


@pytest.fixture
def made(study):
    return study(seeds=[0, 1])


def test_own_results_have_a_panel_of_their_own_with_their_values(made):
    left, right = beside_figure(FID, own_results(made.runs, "fake")).axes
    assert "13.125459" not in str(points(right))
    assert len(left.lines) == 4
    container = next(c for c in right.containers if c.get_label() == "subtraction + conv")
    assert container.lines[0].get_xydata().tolist() == [
        pytest.approx([105_000, 44 * 1.02**0.5]),
        pytest.approx([405_000, 27.5 * 1.02**0.5]),
    ]
    assert (left.get_ylabel(), right.get_ylabel()) == ("FID (Inception, ImageNet)", "FID (digits-cnn)")
    assert not left.get_shared_y_axes().joined(left, right)


@pytest.mark.slow
def test_a_report_folder_and_a_ledger_name_are_the_same_results(made, tmp_path):
    report = tmp_path / "report"
    write_report(made.runs, made.stored, report)
    by_folder, by_name = own_results(made.runs, str(report)), own_results(made.runs, "fake")
    assert by_folder.name == by_name.name == "fake"
    assert by_folder.axes == by_name.axes == ["normalization", "conv_kernel"]
    assert by_folder.table[by_folder.metric.column].tolist() == by_name.table[by_name.metric.column].tolist()


@pytest.mark.slow
def test_the_caption_of_own_results_says_how_they_differ_and_what_is_missing(made):
    text = beside(own_results(made.runs, "fake"), LOSSES)
    assert "own FID has digits-cnn-1a2b3c4d features and 1,000 samples" in text
    assert "Published FID has Inception features and 50,000 samples" in text
    assert "95 % t interval over training seeds" in text
    assert "Left out" not in text
    made.change(0, state="diverged", diverged_at=17, metrics={})
    made.unfinish(3, "waiting")
    assert "Left out: cells without a FID (1 diverged, 1 waiting)." in beside(own_results(made.runs, "fake"), LOSSES)


def test_what_is_no_report_is_an_error_that_names_the_file(tmp_path):
    with pytest.raises(LabError, match=r"is no report: it has no plan.json"):
        own_results(tmp_path, str(tmp_path))
    with pytest.raises(LabError, match="no sweep of that name"):
        own_results(tmp_path, "unknown")


@pytest.mark.slow
def test_everything_is_written_in_both_widths_and_three_formats_with_the_same_bytes(made, tmp_path):
    written = write_paper(tmp_path / "a", own_results(made.runs, "fake"))
    assert written == ["lina-scaling", "lina-loss", "context", "published-and-own"]
    figures = {f"{n}{w}.{k}" for n in written for w in ("", "-one-column") for k in ("png", "pdf", "svg")}
    names = {path.name for path in (tmp_path / "a").iterdir()}
    assert names == figures | {"captions.md", "published.md", "published.tex"}
    for name, again in (("lina-loss", loss_figure(LOSSES)), ("context-one-column", context_figure(FID, 1))):
        save(again, tmp_path / f"{name}.png", ("png", "pdf", "svg"))
        for kind in (".png", ".pdf", ".svg"):
            assert (tmp_path / "a" / f"{name}{kind}").read_bytes() == (tmp_path / f"{name}{kind}").read_bytes()
    for name in (name for name in figures if name.endswith(".png")):
        pixels = np.asarray(Image.open(tmp_path / "a" / name).convert("L"))
        assert pixels.shape[1] == round(DPI * WIDTHS[1 if "one-column" in name else 2])
        border = [pixels[:3], pixels[-3:], pixels[:, :3].T, pixels[:, -3:].T]
        assert all((edge == 255).all() for edge in border), f"a label of {name} is cut"
    captions = (tmp_path / "a" / "captions.md").read_text()
    assert [line.removeprefix("## ") for line in captions.splitlines() if line.startswith("## ")] == written
    values = (tmp_path / "a" / "published.md").read_text()
    assert "| 13.13 | LINA repository, evaluation logs (arXiv:2601.22630) | LINA division |" in values
    assert "left out: its source states no number of parameters" in values
