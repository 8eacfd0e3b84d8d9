"""A study in parts, as a user types it: two folders that share nothing, real trainings, one report."""

import json
from pathlib import Path

import pytest

from lina_lab.bundle.merge import _difference
from lina_lab.ledger.plan import load_plan
from lina_lab.ledger.result import read_result
from tests.cli.test_sweep import EXPERIMENT
from tests.lab import lab

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("parts")]
SWEEP = """\
name: little
question: Does it run in parts?
experiment: small.yaml
axes: {model.attention.normalization: [division, subtraction]}
seeds: [0, 1]
"""
TUNED = """\
name: tuned
question: Which learning rate does each size want?
experiment: small.yaml
axes: {model.size: [nano, micro]}
tune:
  search: {training.learning_rate: {low: 1e-4, high: 1e-1}}
  trials: 3
  parallel: 3
  pruner: median
"""


def machine(folder: Path) -> Path:
    folder.mkdir()
    (folder / "small.yaml").write_text(EXPERIMENT.replace("validate_every: 6", "validate_every: 2"))
    (folder / "little.yaml").write_text(SWEEP)
    (folder / "tuned.yaml").write_text(TUNED)
    return folder


def run(folder: Path, sweep: str, *words: str) -> str:
    return lab(folder, "sweep", f"{sweep}.yaml", "--workers", "2", "--no-tracking", *words).stdout


def results(folder: Path) -> dict[Path, int]:
    return {path.relative_to(folder): path.stat().st_mtime_ns for path in folder.glob("runs/*/result.json")}


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    """Two machines with a seed each, and a third that has both merged."""
    a, b, c = (machine(tmp_path_factory.mktemp("parts") / name) for name in "abc")
    for seed, folder in enumerate((a, b)):
        dry = run(folder, "little", "--where", f"seed={seed}", "--dry-run", "--no-timing")
        assert "2 of 4 cells" in dry
        assert dry.count("in another part") == 2
        assert "little: 2 of 4 cells on 2 workers" in run(folder, "little", "--where", f"seed={seed}")
        assert len(results(folder)) == 2
        packed = lab(folder, "bundle", "little", "--out", "part.tar.gz").stdout
        assert "wrote part.tar.gz: 2 cells of little@" in packed
        assert "; 2 have not ended and are left out" in packed
    said = lab(c, "merge", str(a / "part.tar.gz"), str(b / "part.tar.gz")).stdout
    assert said.count("2 added to runs/, 0 were there; little") == 2
    return a, b, c


def test_the_parts_are_one_report_and_nothing_runs_again(parts):
    _, _, c = parts
    before = results(c)
    assert "0 added to runs/, 2 were there" in lab(c, "merge", str(parts[0] / "part.tar.gz")).stdout
    assert "little: 4 cells on" in run(c, "little")
    assert results(c) == before
    lab(c, "report", "little")
    table = (c / "reports" / "little" / "table.csv").read_text().splitlines()
    assert len(table) == 5
    assert all(",done," in line for line in table[1:])
    assert (c / "reports" / "little" / "samples.png").exists()


def test_what_needs_weights_says_where_they_are(parts):
    _, _, c = parts
    key = load_plan(c / "runs", "little").cells[0].key
    for words in (
        ("sample", key),
        ("evaluate", key, "--num-samples", "40"),
        ("guidance", key),
        ("export", key, "out.safetensors"),
        ("figures", "gates", key),
    ):
        said = lab(c, *words, code=2).stderr
        assert f"cell {key} was merged from a bundle, which has no weights: they are on " in said, words
        assert f"lab clean --cell {key}, then lab sweep" in said


def test_the_remedy_that_is_told_works(parts, tmp_path):
    a, _, _ = parts
    d = machine(tmp_path / "d")
    lab(d, "merge", str(a / "part.tar.gz"))
    plan = load_plan(d / "runs", "little")
    key = plan.cells[0].key
    before = read_result(d / "runs" / key)
    lab(d, "clean", "--cell", key, "--yes")
    run(d, "little", "--where", "seed=0", "--where", "normalization=division")
    assert _difference(before, read_result(d / "runs" / key)) == ""
    assert (d / "runs" / key / "ema.safetensors").exists()
    assert "0 added to runs/, 2 were there" in lab(d, "merge", str(a / "part.tar.gz")).stdout


def test_a_longer_training_says_that_it_begins_at_the_start(parts, tmp_path):
    a, _, _ = parts
    d = machine(tmp_path / "d")
    lab(d, "merge", str(a / "part.tar.gz"))
    lengths = SWEEP.replace("[division, subtraction]}", "[division], training.steps: [6, 8]}").replace("[0, 1]", "[0]")
    (d / "lengths.yaml").write_text(lengths.replace("name: little", "name: lengths"))
    said = run(d, "lengths")
    assert "1 train from the start: " in said
    assert "the shorter cells of the same trainings were merged, and their end states are where they ran" in said
    assert len(results(d)) == 3


def test_a_changed_file_is_refused_and_leaves_no_ledger(parts, tmp_path):
    a, _, _ = parts
    d = machine(tmp_path / "d")
    whole = bytearray((a / "part.tar.gz").read_bytes())
    whole[len(whole) // 2] ^= 1
    (d / "bad.tar.gz").write_bytes(whole)
    assert "bad.tar.gz" in lab(d, "merge", str(a / "part.tar.gz"), "bad.tar.gz", code=2).stderr
    assert not (d / "runs").exists()


def test_a_part_that_is_not_there_is_named(parts):
    a, _, _ = parts
    assert (
        "seed never takes 7 here; its values are 0, 1"
        in lab(a, "sweep", "little.yaml", "--where", "seed=7", code=2).stderr
    )
    assert "no sweep of that name" in lab(a, "bundle", "nothing", code=2).stderr


def outline(folder: Path) -> list:
    plan = load_plan(folder / "runs", "tuned")
    return [(cell.key, cell.values, cell.seed, cell.tuned, cell.trial) for cell in plan.everything]


def test_a_tuned_study_goes_on_from_its_parts_and_chooses_the_same(tmp_path):
    whole, a, b = (machine(tmp_path / name) for name in ("whole", "a", "b"))
    run(whole, "tuned")
    assert "tuned: 3 trials, then 1 of 2 cells on 2 workers" in run(a, "tuned", "--where", "size=nano")
    states = json.loads(lab(a, "status", "tuned", "--json").stdout)["cells"]
    assert {cell["values"]["size"] for cell in states} == {"nano"}
    assert "of tuned@" in lab(a, "bundle", "tuned").stdout
    lab(b, "merge", str(a / "tuned.bundle.tar.gz"))
    nano = results(b)
    run(b, "tuned")
    assert {path: results(b)[path] for path in nano} == nano
    assert outline(b) == outline(whole)
    lab(whole, "bundle", "tuned")
    said = lab(b, "merge", str(whole / "tuned.bundle.tar.gz")).stdout
    assert "0 added to runs/, 8 were there" in said
    lab(whole, "report", "tuned")
    c = machine(tmp_path / "c")
    lab(c, "merge", str(whole / "tuned.bundle.tar.gz"))
    lab(c, "report", "tuned")
    # Not the page: a bundle carries no sheets of steps, so that of a merged study has no slider.
    for name in ("table.csv", "trials.csv", "samples.npz", "plan.json", "verdict.json", "scaling.svg"):
        assert (c / "reports" / "tuned" / name).read_bytes() == (whole / "reports" / "tuned" / name).read_bytes(), name
    before = results(c)
    run(c, "tuned")
    assert results(c) == before
    assert outline(c) == outline(whole)
