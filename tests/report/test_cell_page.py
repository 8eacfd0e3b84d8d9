"""The page of one cell: its numbers are those of its result, its config is marked where a neighbour's differs."""

import re

import pytest

from lina_lab.errors import LabError
from lina_lab.ledger.cells import create_cell
from lina_lab.ledger.plan import PlannedCell
from lina_lab.report.cell_page import LOG_LINES, cell_parts, marked, nearest, write_cell_pages
from lina_lab.report.watch import SweepWatch
from tests.nasty import NASTY
from tests.study import FID, TWO


def parts_of(made, index=0):
    look = SweepWatch(made.runs, "fake").look()
    key = made.plan.cells[index].key
    return cell_parts(made.runs, look, key, lambda other: f"{other}.html", lambda name: f"sheet/{name}")


def text(html):
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", html))


def test_numbers_with_their_spread_and_that_over_seeds(study):
    made = study(seeds=[0, 1, 2])
    shown = text(parts_of(made)["numbers"])
    # 80, 81.6 and 83.2: see fake_fid
    assert "FID (digits-cnn) 80 ± 0.5 (SD of resampled images) 81.6 (80 to 83.2)" in shown
    assert "over the 3 seeds with a result" in shown
    assert "(resampling)" not in shown  # it has no row of its own


def test_a_cell_without_a_result_has_no_numbers_and_no_provenance(study):
    made = study(axes=TWO)
    made.unfinish(0, "running")
    shown = parts_of(made)
    assert (shown["numbers"], shown["provenance"], shown["log"], shown["error"], shown["sheets"]) == ("",) * 5


def test_where_it_comes_from(study):
    made = study(axes=TWO)
    (made.folder(0) / "diff.patch").write_bytes(b"x" * 1234)
    shown = text(parts_of(made)["provenance"])
    for fact in ("c0ffee", "torch 2.0", "lab sweep fake.yaml", "a processor", "1,234 bytes"):
        assert fact in shown


def cell(key, seed=0, **values):
    return PlannedCell(key, values, seed)


def test_the_nearest_neighbour_differs_least_and_in_its_design():
    cells = [
        cell("a", size="nano", kernel=0),
        cell("b", size="micro", kernel=0),
        cell("c", size="nano", kernel=5),
        cell("d", size="micro", kernel=5),
        *(cell(f"{c}1", seed=1, size=s, kernel=k) for c, s, k in (("a", "nano", 0), ("c", "nano", 5))),
    ]
    plan = type("Plan", (), {"cells": cells, "trials": [], "axes": {"size": "", "kernel": ""}})
    assert nearest(plan, cells[0]).key == "c"
    assert nearest(plan, cells[3]).key == "b"
    assert nearest(plan, cells[4]).key == "c1"
    plan.cells = cells[:1]
    assert nearest(plan, cells[0]) is None
    plan.cells = [cells[0], cells[4]]  # another seed alone
    assert nearest(plan, cells[0]).key == "a1"


def test_lines_that_differ_are_marked_and_no_others():
    own, theirs = ["a: 1", "b: 2", "c:", "  d: 3"], ["a: 1", "b: 5", "c:", "  d: 3", "  e: 4"]
    assert marked(own, theirs) == [("a: 1", None), ("b: 2", "b: 5"), ("c:", None), ("  d: 3", None), ("", "e: 4")]
    assert marked(theirs, own)[-1] == ("  e: 4", "")
    assert [line for line, _ in marked(own, own)] == own


def test_the_config_is_marked_where_the_neighbour_differs(study):
    made = study()
    config = parts_of(made)["config"]
    marks = re.findall(r"<mark>(.*?)</mark>\s*<span class=\"there\"># there: (.*?)</span>", config)
    assert marks == [("    conv_kernel: 0", "conv_kernel: 5")]
    assert f'<a href="{made.plan.cells[2].key}.html">division + conv, nano, seed 0</a>' in config


def test_a_cell_without_a_folder(study):
    made = study(axes=TWO)
    for path in sorted(made.folder(0).rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    assert "Not there yet" in parts_of(made)["config"]
    create_cell(made.runs, made.planned.experiments[made.plan.cells[0].key])
    assert "schema: 1" in parts_of(made)["config"]


@pytest.mark.parametrize("name", NASTY)
def test_a_log_is_text(study, name):
    made = study(axes=TWO)
    made.unfinish(0, "failed", name)
    for file in ("log.txt", "error.txt", "config.yaml"):
        (made.folder(0) / file).write_bytes(f"{name}\n".encode(errors="surrogateescape"))
    shown = parts_of(made)
    for part in shown.values():
        assert "<script" not in part
        assert "<b>" not in part
        assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f\u202e]", part)
    assert 'class="log"' in shown["log"]


def test_the_end_of_a_long_log(study):
    made = study(axes=TWO)
    (made.folder(0) / "log.txt").write_text("".join(f"line {n} of many, {'x' * 60}\n" for n in range(100_000)))
    log = parts_of(made)["log"]
    assert "line 99999 of" in log
    assert log.count("of many") == LOG_LINES
    assert f"The last {LOG_LINES} lines." in log


def test_pages_are_whole(study, tmp_path):
    made = study(axes=TWO)
    (made.folder(0) / "samples").mkdir()
    for step in (10, 20):
        (made.folder(0) / "samples" / f"step-{step:07d}.png").write_bytes(b"png")
    paths = write_cell_pages(made.runs, made.stored, tmp_path / "out")
    assert [path.name for path in paths] == [f"{cell.key}.html" for cell in made.plan.cells]
    html = paths[0].read_text()
    assert html.count('src="data:image/png;base64,cG5n"') == 2
    assert f'href="{made.plan.cells[1].key}.html"' in html
    assert "http-equiv" not in html
    assert paths == write_cell_pages(made.runs, made.stored, tmp_path / "out")
    assert paths[0].read_text() == html


def test_one_page_by_the_start_of_its_key(study, tmp_path):
    made = study(axes=TWO)
    key = made.plan.cells[1].key
    (path,) = write_cell_pages(made.runs, made.stored, tmp_path, [key[:6]])
    assert path == tmp_path / "cells" / f"{key}.html"
    assert 'href="' not in path.read_text().replace('<link rel="icon" href="data:,">', "")  # its neighbour has no page
    with pytest.raises(LabError, match="--cell zz: no such cell in fake"):
        write_cell_pages(made.runs, made.stored, tmp_path, ["zz"])
    with pytest.raises(LabError, match="stands for 2 cells"):
        write_cell_pages(made.runs, made.stored, tmp_path, [""])


def test_the_fid_is_the_result_s(study):
    made = study(axes=TWO)
    made.change(0, metrics={FID: 1.25})
    assert "FID (digits-cnn) 1.25" in text(parts_of(made)["numbers"])
