"""A bundle has all that a report needs of finished cells, and nothing else."""

import json
from pathlib import Path

import pytest

from lina_lab.bundle.archive import read_archive, read_manifest
from lina_lab.bundle.pack import pack
from lina_lab.errors import LabError
from lina_lab.ledger.part import parse_part
from tests.study import TWO


def names(path: Path) -> list[str]:
    return list(read_manifest(path).members)


def test_the_same_cells_give_the_same_bytes(study, tmp_path):
    made = study()
    for name in ("a.tar.gz", "b.tar.gz"):
        assert pack(made.runs, made.stored, tmp_path / name).cells == 8
    assert (tmp_path / "a.tar.gz").read_bytes() == (tmp_path / "b.tar.gz").read_bytes()


def test_a_part_has_its_cells_and_the_plan_of_all(study, tmp_path):
    made = study([0, 1])
    part = parse_part(["model.size=micro", "seed=1", "conv_kernel=5"], made.stored)
    packed = pack(made.runs, made.stored, tmp_path / "a", part)
    keys = {name.split("/")[1] for name in names(tmp_path / "a") if name.endswith("/result.json")}
    values = [(c.values["size"], c.values["conv_kernel"], c.seed) for c in made.plan.cells if c.key in keys]
    assert values == [("micro", 5, 1)] * 2
    assert packed[:3] == (2, 0, 0)
    plan = json.loads(dict(read_archive(tmp_path / "a"))["plan.json"])
    assert len(plan["cells"]) == 16


def test_cells_without_an_end_are_left_out_and_counted(study, tmp_path):
    made = study()
    for index, state in enumerate(("waiting", "running", "failed")):
        made.unfinish(index, state)
    made.change(3, state="diverged", diverged_at=5)
    assert pack(made.runs, made.stored, tmp_path / "a")[:3] == (5, 0, 3)
    part = parse_part(["size=nano", "conv_kernel=0", "normalization=division"], made.stored)
    with pytest.raises(LabError, match="fake: no cell of this part has ended: there is nothing to pack"):
        pack(made.runs, made.stored, tmp_path / "b", part)
    assert not (tmp_path / "b").exists()


def test_no_weights_logs_attempts_or_places_of_files_are_in_it(study, tmp_path):
    made = study(axes=TWO)
    folder = made.folder(0)
    for name in ("log.txt", "diff.patch", "error.txt", "imported.json", "state.json"):
        (folder / name).write_text("/home/someone")
    for name in ("checkpoints", "end", "attempts", "points", "evaluations"):
        (folder / name).mkdir()
        (folder / name / "a.txt").write_text("/home/someone")
    settings = {"evaluation": {"reference": "/home/someone/reference.npz"}}
    (folder / "evaluations" / "a.json").write_text(json.dumps({"settings": settings}))
    plan = made.stored._replace(file="/home/someone/fake.yaml")
    plan = plan._replace(metric=plan.metric._replace(place="/home/someone/fake.yaml:3"))
    pack(made.runs, plan, tmp_path / "a")
    own = [name.split("/", 2)[2] for name in names(tmp_path / "a") if folder.name in name]
    assert own == ["config.json", "metrics.csv", "evaluations/a.json", "result.json"]
    assert all(b"someone" not in data for _, data in read_archive(tmp_path / "a"))


def test_a_damaged_result_is_left_out_and_counted(study, tmp_path):
    made = study(axes=TWO)
    (made.folder(0) / "result.json").write_text("{}")
    assert pack(made.runs, made.stored, tmp_path / "a")[:3] == (1, 0, 1)
