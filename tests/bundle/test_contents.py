"""What a bundle may hold: names from a closed list, and experiments that name nothing of the machine."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lina_lab.bundle.contents import Place, config_bytes, experiment_of, place_of
from lina_lab.config.experiment import Experiment, cell_key, named_paths
from lina_lab.errors import LabError
from tests import cells

KEY = "0123456789ab"


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("plan.json", Place("", "plan.json")),
        ("forecasts/20260101T000000Z-0a1b2c3d.json", Place("", "20260101T000000Z-0a1b2c3d.json")),
        (f"cells/{KEY}/result.json", Place(KEY, "result.json")),
        (f"cells/{KEY}/evaluations/ba9876543210.json", Place(KEY, "evaluations/ba9876543210.json")),
        (f"cells/{KEY}/samples/few.safetensors", Place(KEY, "samples/few.safetensors")),
    ],
)
def test_members_have_their_place(name, place):
    assert place_of(name) == place


@pytest.mark.parametrize(
    "name",
    [
        "/etc/passwd",
        "../plan.json",
        "plan.json/",
        "./plan.json",
        "forecasts/../../x.json",
        "forecasts/.x.json",
        "forecasts/a/b.json",
        f"cells/{KEY}/../result.json",
        f"cells/{KEY}/ema.safetensors",
        f"cells/{KEY}/end/end.json",
        f"cells/{KEY}/attempts/0001.json",
        f"cells/{KEY}/evaluations/../result.json",
        f"cells/{KEY}/evaluations/a.json\n",
        f"cells/{KEY.upper()}/result.json",
        "cells/../result.json",
        f"cells/{KEY}/result.json\0",
        "",
    ],
)
def test_any_other_name_is_refused(name):
    with pytest.raises(LabError, match="is no member of a bundle"):
        place_of(name)


@given(st.text("./\\abcell0123456789sultjonfgdv-", max_size=40))
def test_no_name_leaves_the_ledger(name):
    try:
        place = place_of(name)
    except LabError:
        return
    assert ".." not in place.name.split("/")
    assert not place.name.startswith("/")


def folder_experiment() -> Experiment:
    path, digest = "/home/someone/pictures", "ab" * 32
    body = {
        "name": "own",
        "data": {"name": "images", "path": path, "side": 32, "num_classes": 3},
        "model": {"size": "nano", "patch": 4},
        "training": {"steps": 4, "batch_size": 8, "learning_rate": 2e-3},
        "evaluation": {"extractor": "inception", "num_samples": 12, "reference": f"{path}/reference.npz"},
        "contents": {path: digest, f"{path}/reference.npz": "cd" * 32},
    }
    return Experiment.model_validate(body)


def test_an_experiment_keeps_its_key_and_tells_no_path_of_its_machine():
    own = folder_experiment()
    data = config_bytes(own, cell_key(own))
    assert b"/home" not in data
    assert b"someone" not in data
    known = experiment_of(data, cell_key(own))
    assert cell_key(known) == cell_key(own)
    assert named_paths(known) == {"data.path": "abababab-pictures", "evaluation.reference": "cdcdcdcd-reference.npz"}
    assert known.model == own.model


def test_an_experiment_without_paths_is_as_it_was():
    own = cells.experiment()
    assert experiment_of(config_bytes(own, cell_key(own)), cell_key(own)) == own


def test_an_experiment_of_another_cell_or_version_or_none_is_refused():
    own = cells.experiment()
    body = json.loads(config_bytes(own, cell_key(own)))
    with pytest.raises(LabError, match=f"describes cell {cell_key(own)}, not {KEY}"):
        experiment_of(json.dumps(body).encode(), KEY)
    with pytest.raises(LabError, match="reads schema 1, not 9"):
        experiment_of(json.dumps(body | {"schema": 9}).encode(), KEY)
    for data in (b"{", b"[]", b"[" * 100_000, json.dumps(body | {"later": 1}).encode()):
        with pytest.raises(LabError, match=r"config\.json"):
            experiment_of(data, KEY)
