"""Plans of sweeps: nothing that has run under a name is lost when something else runs under it."""

import json
import multiprocessing
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from lina_lab.config.load import Document
from lina_lab.config.sweep import Sweep
from lina_lab.errors import LabError
from lina_lab.ledger.plan import (
    Plan,
    driven,
    is_driven,
    load_plan,
    other_file,
    own_name,
    plan_id,
    plan_names,
    plan_path,
    replaced,
    store_plan,
)
from lina_lab.sweep.planning import PlannedSweep, expand, planned_again, single
from tests.study import EXPERIMENT, PROVENANCE

THREE = {"model.attention.conv_kernel": [0, 3, 5]}
TWO = {"model.attention.conv_kernel": [0, 5]}


def made_of(axes: dict, **changes: object) -> PlannedSweep:
    sweep = Sweep(name="gates", question="?", experiment="-", axes=axes, **changes)
    return expand(sweep, Document(EXPERIMENT, {}), Document({}, {}), Path("gates.yaml"))


def make(axes: dict, **changes: object) -> Plan:
    return made_of(axes, **changes).plan


def keys(plan) -> list[str]:
    return [cell.key for cell in plan.cells]


def test_a_changed_plan_keeps_the_one_before_under_a_name_of_its_own(tmp_path):
    first = store_plan(tmp_path, make(THREE), PROVENANCE)
    second = store_plan(tmp_path, make(TWO), PROVENANCE)
    assert keys(load_plan(tmp_path, "gates")) == keys(second)
    old = load_plan(tmp_path, first.key)
    assert (old.name, keys(old), len(old.cells)) == (f"gates@{first.id}", keys(first), 3)
    assert plan_names(tmp_path, "gates") == ["gates", first.key, second.key]


def test_the_same_plan_again_makes_no_history_and_the_way_back_loses_neither(tmp_path):
    for axes in (THREE, THREE, TWO, THREE, TWO):
        store_plan(tmp_path, make(axes), PROVENANCE)
    assert len(plan_names(tmp_path, "gates")) == 3
    assert {len(load_plan(tmp_path, name).cells) for name in plan_names(tmp_path, "gates")} == {2, 3}


def test_a_plan_that_an_older_version_stored_is_kept_and_is_the_same_plan_today(tmp_path):
    stored = store_plan(tmp_path, make(THREE), PROVENANCE)
    path = plan_path(tmp_path, "gates")
    body = json.loads(path.read_text())
    del body["id"], body["file"]
    path.write_text(json.dumps(body))
    plan_path(tmp_path, stored.key).unlink()
    assert replaced(tmp_path, make(THREE)) is None
    assert load_plan(tmp_path, "gates") == stored
    store_plan(tmp_path, make(TWO), PROVENANCE)
    assert keys(load_plan(tmp_path, stored.key)) == keys(stored)


def test_a_plan_grows_under_one_id(tmp_path):
    plan = make(TWO, tune={"search": {"training.learning_rate": {"low": 1e-4, "high": 1e-2}}, "trials": 2, "seed": 9})
    plan = plan._replace(id=plan_id(plan))
    grown = plan._replace(cells=[], trials=plan.cells[:1])
    ids = {store_plan(tmp_path, each, PROVENANCE).id for each in (plan._replace(cells=[]), grown, plan)}
    assert ids == {plan.id}
    assert len(plan_names(tmp_path, "gates")) == 2
    assert make(TWO, tune={**plan.tune, "trials": 3}).id == ""
    assert plan_id(make(TWO, tune={**plan.tune, "trials": 3})) != plan.id


def test_a_damaged_plan_is_set_aside_and_holds_nothing_up(tmp_path):
    store_plan(tmp_path, make(THREE), PROVENANCE)
    path = plan_path(tmp_path, "gates")
    path.write_text("{")
    store_plan(tmp_path, make(TWO), PROVENANCE)
    assert len(load_plan(tmp_path, "gates").cells) == 2
    assert path.with_name("gates.json.damaged").read_text() == "{"
    assert 3 in {len(load_plan(tmp_path, name).cells) for name in plan_names(tmp_path, "gates")}


def test_a_crash_between_the_two_files_loses_neither_plan(tmp_path, monkeypatch):
    first = store_plan(tmp_path, make(THREE), PROVENANCE)
    real = os.replace

    def dies(source, target):
        if Path(target).name == "gates.json":
            raise SystemExit
        real(source, target)

    monkeypatch.setattr(os, "replace", dies)
    monkeypatch.setattr(Path, "replace", dies)
    with pytest.raises(SystemExit):
        store_plan(tmp_path, make(TWO), PROVENANCE)
    monkeypatch.undo()
    assert keys(load_plan(tmp_path, "gates")) == keys(first)
    assert {len(load_plan(tmp_path, name).cells) for name in plan_names(tmp_path, "gates")} == {2, 3}


@pytest.mark.slow
def test_launchers_of_many_plans_at_once_lose_none(tmp_path):
    plans = [make({"model.attention.conv_kernel": [0, 5], "training.steps": [100 + i]}) for i in range(8)]
    fork = multiprocessing.get_context("fork")
    launchers = [fork.Process(target=store_plan, args=(tmp_path, plan, PROVENANCE)) for plan in plans]
    for launcher in launchers:
        launcher.start()
    for launcher in launchers:
        launcher.join()
    assert {launcher.exitcode for launcher in launchers} == {0}
    names = [name for name in plan_names(tmp_path) if "@" in name]
    assert {tuple(keys(load_plan(tmp_path, name))) for name in names} == {tuple(keys(plan)) for plan in plans}
    assert load_plan(tmp_path, "gates").key in names


def test_a_name_that_is_not_there_is_said_with_those_that_are(tmp_path):
    stored = store_plan(tmp_path, make(TWO), PROVENANCE)
    with pytest.raises(LabError, match=rf"gates@00000000: no sweep .*there: gates, {stored.key}"):
        load_plan(tmp_path, "gates@00000000")


def test_another_file_of_the_same_name_is_told_from_one_that_was_edited_moved_or_copied(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    a, b, runs = Path("a.yaml"), Path("b.yaml"), Path("runs")
    a.touch()
    b.touch()
    store_plan(runs, make(THREE), PROVENANCE, a)
    old = replaced(runs, make(TWO))
    assert other_file(runs, b, old) == "a.yaml"
    assert replaced(runs, make(THREE)) is None  # a copy of the same study
    (tmp_path / "link").symlink_to(tmp_path)
    for same in (a, tmp_path / "a.yaml", Path("link/a.yaml")):
        assert other_file(runs, same, old) == ""
    a.rename("c.yaml")
    assert other_file(runs, b, old) == ""


def test_a_single_experiment_takes_no_name_from_a_sweep_or_another_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    first, second = (e.model_copy(update={"name": "gates"}) for e in made_of(TWO).own_experiments)
    own, other = single(first).plan, single(second).plan
    here, elsewhere = Path("e.yaml"), Path("f.yaml")
    here.touch()
    elsewhere.touch()
    assert own_name(tmp_path, own, here) == "gates"
    store_plan(tmp_path, other, PROVENANCE, here)
    assert own_name(tmp_path, own, here) == "gates"
    assert own_name(tmp_path, own, elsewhere) == f"gates-{own.cells[0].key}"
    store_plan(tmp_path, make(THREE), PROVENANCE)
    assert own_name(tmp_path, own, here) == f"gates-{own.cells[0].key}"


@pytest.mark.slow
def test_an_earlier_plan_that_is_tried_again_stays_where_it_is(study):
    made = study()
    first = made.stored
    second = store_plan(made.runs, made.plan._replace(cells=made.plan.cells[:2]), PROVENANCE)
    again = store_plan(made.runs, planned_again(made.runs, load_plan(made.runs, first.key)).plan, PROVENANCE)
    assert (again.name, again.id, keys(again)) == (first.key, first.id, keys(first))
    assert keys(load_plan(made.runs, "fake")) == keys(second)
    assert len(plan_names(made.runs, "fake")) == 3


@pytest.mark.slow
def test_a_launcher_is_seen_until_it_ends_or_is_killed(tmp_path):
    assert not is_driven(tmp_path, "gates")
    with driven(tmp_path, "gates"), driven(tmp_path, "gates"):
        assert is_driven(tmp_path, "gates")
        assert not is_driven(tmp_path, "others")
    assert not is_driven(tmp_path, "gates")
    code = "import sys, time; from pathlib import Path; from lina_lab.ledger.plan import driven\n"
    code += "with driven(Path(sys.argv[1]), 'gates'): print('held', flush=True); time.sleep(120)"
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        assert is_driven(tmp_path, "gates")
        process.send_signal(signal.SIGKILL)
    assert not is_driven(tmp_path, "gates")
