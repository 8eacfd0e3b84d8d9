"""Whatever is wrong with a bundle is found before anything of it is written."""

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save

from lina_lab.bundle.archive import read_archive, write_archive
from lina_lab.bundle.pack import pack
from lina_lab.bundle.verify import verified
from lina_lab.errors import LabError
from tests.study import TWO


@pytest.fixture
def made(study, tmp_path):
    return study(axes=TWO)


@pytest.fixture
def members(made, tmp_path) -> dict[str, bytes]:
    pack(made.runs, made.stored, tmp_path / "whole")
    return dict(read_archive(tmp_path / "whole"))


def refused(tmp_path: Path, members: dict[str, bytes], match: str) -> None:
    """An archive whose checksums are right all the same."""
    write_archive(tmp_path / "a.tar.gz", lambda: iter(members.items()), {})
    with pytest.raises(LabError, match=match) as error:
        verified(tmp_path / "a.tar.gz")
    assert str(tmp_path / "a.tar.gz") in str(error.value)


def test_a_whole_one_is_known_by_its_plan_and_results(made, members, tmp_path):
    found = verified(tmp_path / "whole")
    assert found.plan.cells == made.plan.cells
    assert [result.key for result in found.ended.values()] == [cell.key for cell in made.plan.cells]
    assert {"sweep", "plan", "host", "commit", "versions"} <= found.manifest.facts.keys()


@pytest.mark.parametrize(
    "name", ["../x", "/x", "cells/../x", "cells/{key}/ema.safetensors", "cells/{key}/../../x.json", "note.txt"]
)
def test_a_member_that_has_no_place_is_refused(made, members, tmp_path, name):
    name = name.format(key=made.plan.cells[0].key)
    refused(tmp_path, members | {name: b"{}"}, "is no member of a bundle")


def test_a_result_that_was_changed_is_refused_though_the_manifest_agrees(made, members, tmp_path):
    name = f"cells/{made.plan.cells[0].key}/result.json"
    changed = members[name].replace(b'"val/loss": 0.8', b'"val/loss": 0.1')
    assert changed != members[name]
    refused(tmp_path, members | {name: changed}, r"result\.json: damaged: its checksum is wrong")


def test_a_result_of_another_cell_is_refused(made, members, tmp_path):
    one, two = (f"cells/{cell.key}/result.json" for cell in made.plan.cells)
    refused(tmp_path, members | {one: members[two]}, f"is the result of cell {made.plan.cells[1].key}")


def test_a_config_of_another_cell_is_refused(made, members, tmp_path):
    one, two = (f"cells/{cell.key}/config.json" for cell in made.plan.cells)
    refused(tmp_path, members | {one: members[two]}, f"describes cell {made.plan.cells[1].key}")


def test_cells_without_beginning_or_end_or_in_pieces_are_refused(made, members, tmp_path):
    one, two = (f"cells/{cell.key}" for cell in made.plan.cells)

    def but(*names: str) -> dict[str, bytes]:
        return {name: data for name, data in members.items() if name not in names}

    refused(tmp_path, but(f"{one}/config.json"), "out of its order")
    refused(tmp_path, but(f"{one}/result.json"), "out of its order")
    refused(tmp_path, but(f"{two}/result.json"), "out of its order")
    again = {"plan.json": members["plan.json"]}
    refused(tmp_path, but("plan.json") | again | {f"{one}/trained.json": b"{}"}, "out of its order")
    late = but(f"{one}/metrics.csv") | {f"{one}/metrics.csv": b""}
    refused(tmp_path, late, "out of its order")
    refused(tmp_path, but("plan.json"), "has no plan.json")


@pytest.mark.parametrize(
    ("field", "value", "match"),
    [
        ("name", "../../x", "must have the name of a sweep"),
        ("name", ".hidden", "must have the name of a sweep"),
        ("file", "/etc/passwd", "name no file"),
        ("cells", [], "cells that are not in its plan"),
        ("cells", [{"key": "../x", "values": {}, "seed": 0}], "keys, values and seeds"),
        ("cells", [{"key": "0123456789ab", "values": [], "seed": 0}], "keys, values and seeds"),
        ("schema", 99, "reads schema"),
    ],
)
def test_a_plan_that_is_none_is_refused(members, tmp_path, field, value, match):
    plan = json.loads(members["plan.json"]) | {field: value}
    refused(tmp_path, members | {"plan.json": json.dumps(plan).encode()}, match)


@pytest.mark.parametrize(
    ("name", "data", "match"),
    [
        ("gates.safetensors", b"abc", "gates.safetensors: damaged"),
        ("gates.safetensors", save({"head.weight": np.zeros(3)}), "head.weight, which is no gate"),
        ("samples/few.safetensors", b"abc", "few.safetensors: damaged"),
        ("samples/few.safetensors", save({"images": np.zeros(3)}), "few.safetensors: damaged"),
        ("evaluations/a.json", b"[" * 100_000, "a.json: damaged"),
        ("trained.json", b"\xff", "trained.json: damaged"),
        ("metrics.csv", b"\xff", "metrics.csv: damaged"),
        ("metrics.csv", b"step,metric,value,time\r\n1,loss,x,2\r\n", "metrics.csv:2: must be step,metric,value,time"),
        ("pruned.json", b'{"reason": "?"}', "is of no trial"),
    ],
)
def test_a_damaged_file_of_a_cell_is_named(made, members, tmp_path, name, data, match):
    at = f"cells/{made.plan.cells[0].key}"
    first, *rest = [(key, members[key]) for key in members if key.startswith(at) and not key.endswith(name)]
    if name == "pruned.json":
        rest = [member for member in rest if not member[0].endswith("result.json")]
    cell = dict([first]) | {f"{at}/{name}": data} | dict(rest)
    if name == "pruned.json":
        cell[f"{at}/{name}"] = cell.pop(f"{at}/{name}")
    others = {key: data for key, data in members.items() if not key.startswith(at)}
    refused(tmp_path, others | cell, match)


def test_samples_that_would_be_no_pictures_are_refused(made, members, tmp_path):
    wrong = {
        "images": np.zeros((2, 4, 4, 3), np.uint8),
        "labels": np.zeros(2, np.int64),
        "numbers": np.zeros(2, np.int64),
        "titles": np.full((2, 3), 2**31, np.uint32),
    }
    at = f"cells/{made.plan.cells[-1].key}"
    end = members.pop(f"{at}/result.json")
    for change in ({}, {"titles": np.zeros((1, 1), np.uint32)}, {"labels": np.zeros(())}):
        few = {f"{at}/samples/few.safetensors": save(wrong | change), f"{at}/result.json": end}
        refused(tmp_path, members | few, "must be images")
