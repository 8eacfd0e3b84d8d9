"""The parts of a live page say what the ledger says, for any name, at any moment."""

import re

import pytest

from lina_lab.ledger.metrics import append_metrics
from lina_lab.ledger.plan import store_plan
from lina_lab.metric_names import LOSS
from lina_lab.report import live
from lina_lab.report.live import ReportState, summary, sweep_parts
from lina_lab.report.watch import TRAINING_LOSS, SweepWatch
from tests.nasty import NASTY
from tests.study import AXES, PROVENANCE, TWO


def look(made):
    return SweepWatch(made.runs, "fake").look()


def parts(made):
    return sweep_parts(look(made), ReportState())


def text(html):
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", html))


def add_sheets(made, index, *steps):
    folder = made.folder(index) / "samples"
    folder.mkdir(exist_ok=True)
    for step in steps:
        (folder / f"step-{step:07d}.png").write_bytes(b"png")


def test_what_a_page_of_a_sweep_has(study):
    made = study(seeds=[0, 1])
    made.unfinish(0, "failed", "CUDA <out> of memory")
    made.change(1, state="diverged", diverged_at=7)
    add_sheets(made, 2, 10, 20)
    shown = parts(made)
    assert "14 done, 1 diverged, 1 failed of 16 cells" in shown["head"]
    assert "failed : CUDA &lt;out&gt; of memory" in text(shown["trouble"])
    assert "diverged : the loss of step 7 is not finite" in text(shown["trouble"])
    assert shown["curves"].count('class="panel"') == 2  # held-out loss at two sizes; there is no training loss
    assert shown["sheets"].count("<img") == 2
    assert shown["cells"].count("<tr") == 16 + 1


def test_panels_of_both_losses_in_one_axis_a_metric(study):
    made = study()
    append_metrics(made.folder(0), 50, {TRAINING_LOSS: 2.0})
    curves = parts(made)["curves"]
    assert curves.index("held-out loss</h3>") < curves.index("training loss</h3>")
    held_out = curves[: curves.index("training loss</h3>")]
    ticks = [re.findall(r'text-anchor="end" fill="#444">([\d.]+)<', panel) for panel in held_out.split("<svg")]
    assert len({tuple(values) for values in ticks if values}) == 1


def test_designs_are_told_apart_and_seeds_are_a_band(study):
    made = study(seeds=[0, 1])
    curves = parts(made)["curves"]
    assert curves.count("<li>") == 4
    assert curves.count("fill-opacity") == 8  # four designs at two sizes
    assert parts(study(seeds=[0]))["curves"].count("fill-opacity") == 0


@pytest.mark.parametrize(
    ("states", "said"),
    [
        (("running", "done"), "1 done, 1 running of 2 cells; time left not known before the first steps"),
        (
            ("waiting", "done"),
            "1 done, 1 waiting of 2 cells; no cell is at work: lab sweep with the same file continues",
        ),
        (("stopped", "failed"), "1 waiting, 1 failed of 2 cells; no cell is at work"),
        (("done", "done"), "2 done of 2 cells"),
    ],
)
def test_summaries(study, states, said):
    made = study(axes=TWO)
    for index, state in enumerate(states):
        if state != "done":
            made.unfinish(index, state)
    assert summary(look(made)).startswith(said)


def test_a_sweep_without_cells_or_curves(study):
    made = study(axes=TWO)
    store_plan(made.runs, made.plan._replace(cells=[]), PROVENANCE)
    shown = parts(made)
    assert "none of 0 cells" in shown["head"]
    assert "The plan has no cells yet." in shown["cells"]
    assert [shown[name] for name in ("trouble", "curves", "sheets")] == ["", "", ""]


def test_losses_of_the_table_are_the_newest(study):
    made = study(axes=TWO)
    append_metrics(made.folder(0), 150, {TRAINING_LOSS: 0.125, LOSS: float("nan")})
    row = parts(made)["cells"].split("<tr")[2]
    assert "<td>0.1250</td><td>0.8000</td>" in row  # a held-out loss that is not finite is none


@pytest.mark.parametrize("name", [name for name in NASTY if "\udce9" not in name])
def test_names_and_reasons_are_text(study, name):
    made = study(axes=TWO)
    values = {"normalization": "division", "conv_kernel": 0, "size": name, "other": name}
    cells = [made.plan.cells[0]._replace(values=values), made.plan.cells[1]]
    store_plan(made.runs, made.plan._replace(cells=cells, question=name, id=""), PROVENANCE)
    made.unfinish(1, "failed", name)
    for part in parts(made).values():
        assert "<script" not in part
        assert "<b>" not in part
        assert "\x1b" not in part.replace(name, "") or part.count("\x1b") == name.count("\x1b")
        assert "49" not in text(part) or "49" in name


def test_a_large_sweep_shows_those_that_matter(study, monkeypatch):
    made = study()
    made.unfinish(7, "failed", "x")
    made.unfinish(6, "running")
    monkeypatch.setattr(live, "MOST_ROWS", 3)
    cells = parts(made)["cells"]
    assert re.findall(r'<tr class="(\w+)"', cells) == ["failed", "running", "done"]
    assert "3 of 8 cells" in cells


def test_sheets_of_the_first_seed_that_has_some(study):
    made = study(seeds=[0, 1], axes=AXES | {"model.attention.conv_kernel": [0], "model.size": ["nano"]})
    add_sheets(made, 1, 10)
    add_sheets(made, 3, 10, 20)
    made.unfinish(0, "waiting")
    add_sheets(made, 2, 30)
    sheets = parts(made)["sheets"]
    assert re.findall(r'src="sheet/(\w+)/', sheets) == [made.plan.cells[1].key, made.plan.cells[2].key]
    assert 'data-steps="10 30"' in sheets
