"""What `lab clean` takes away, why, and what it never does."""

import json

import pytest

from lina_lab.cli.clean_ledger import clean_up
from lina_lab.config.load import Document
from lina_lab.config.settings import InitConfig
from lina_lab.config.sweep import Sweep
from lina_lab.errors import LabError
from lina_lab.files import write_atomic
from lina_lab.ledger.cells import create_cell
from lina_lab.ledger.ends import write_end
from lina_lab.ledger.leases import Watch, claim
from lina_lab.ledger.plan import plan_path, store_plan
from lina_lab.ledger.status import write_state
from lina_lab.sweep.planning import expand, single
from tests.study import AXES, EXPERIMENT, PROVENANCE


def other(runs, steps: int, **training: object):
    """The folder of a cell of no plan, which waits."""
    made = EXPERIMENT | {"training": EXPERIMENT["training"] | {"steps": steps} | training}
    planned = expand(
        Sweep(name="other", question="?", experiment="-", axes={"model.size": ["nano"]}),
        Document(made, {}),
        Document({}, {}),
        "other.yaml",
    )
    return create_cell(runs, planned.own_experiments[0])


def cells(runs) -> set[str]:
    return {path.parent.name for path in runs.glob("*/config.yaml")}


def test_checkpoints_go_whether_files_or_folders_and_what_is_damaged_in_them_counts_once(study, capsys):
    study = study()
    folder = study.folder(0)
    (folder / "checkpoints" / "step-0000004.ckpt").mkdir(parents=True)
    (folder / "checkpoints" / "step-0000008.ckpt.damaged").mkdir()
    for file in ("step-0000004.ckpt/0-of-1.pt", "step-0000008.ckpt.damaged/0-of-1.pt", "step-0000012.ckpt.damaged"):
        (folder / "checkpoints" / file).write_bytes(bytes(2**20))
    clean_up(study.runs, [], sure=True)
    line = f"     3.0 MiB  {folder / 'checkpoints'}  the cell is done and will not go on\n"
    assert capsys.readouterr().out == f"{line}removed 1, 3.0 MiB\n"
    assert not (folder / "checkpoints").exists()
    assert (folder / "result.json").exists()


def test_damaged_checkpoints_of_a_cell_without_a_result_go_and_whole_ones_stay(study, capsys):
    study = study()
    folder = study.folder(0)
    (folder / "result.json").unlink()
    (folder / "checkpoints" / "step-0000008.ckpt.damaged").mkdir(parents=True)
    (folder / "checkpoints" / "step-0000004.ckpt").mkdir()
    clean_up(study.runs, [], sure=True)
    assert [path.name for path in (folder / "checkpoints").iterdir()] == ["step-0000004.ckpt"]
    assert "step-0000008.ckpt.damaged  damaged, and set aside" in capsys.readouterr().out


def test_cells_that_a_changed_plan_has_no_more_stay_finished_or_not(study, capsys):
    study = study(axes=AXES)
    study.unfinish(1, "waiting")
    study.unfinish(2, "failed", "no memory")
    before = cells(study.runs)
    store_plan(study.runs, study.plan._replace(cells=study.plan.cells[4:]), PROVENANCE)
    clean_up(study.runs, [], sure=True)
    assert cells(study.runs) == before
    assert capsys.readouterr().out == f"nothing to remove in {study.runs}/\n"


def test_results_of_no_plan_stay_and_are_counted_where_an_older_version_forgot_the_plan(study, capsys):
    study = study(axes=AXES)
    study.change(0, state="diverged", diverged_at=3, metrics={})
    study.unfinish(1, "waiting")
    for path in (study.runs / "sweeps").rglob("*.json"):
        path.unlink()
    left = study.plan.cells[1].key
    clean_up(study.runs, [], sure=True)
    said = capsys.readouterr().out
    assert f"{study.runs / left}  a cell of no plan, and without a result (waiting)" in said
    assert "kept: 7 trained cells that are in no plan; lab clean --cell KEY removes one" in said
    assert cells(study.runs) == {cell.key for cell in study.plan.cells} - {left}


@pytest.mark.parametrize(
    "kept",
    [
        *("result.json", "result.json.diverged", "result.json.damaged", "trained.json", "ema.safetensors"),
        *("imported.json", "evaluations/50k.json", "guidance.csv"),
    ],
)
def test_what_was_trained_or_measured_or_imported_stays_without_a_plan(tmp_path, kept):
    folder = other(tmp_path, 100)
    write_atomic(folder / kept, "{}")
    clean_up(tmp_path, [], sure=True)
    assert folder.exists()


def test_cells_of_lab_train_and_of_a_tuning_belong_to_plans(study):
    made = study()
    trial, alone = other(made.runs, 50), other(made.runs, 60)
    tuned = made.plan._replace(trials=[made.plan.cells[0]._replace(key=trial.name, trial=0)])
    store_plan(made.runs, tuned, PROVENANCE)
    store_plan(made.runs, made.plan._replace(cells=made.plan.cells[:2]), PROVENANCE)
    one = single(made.planned.own_experiments[0].model_copy(update={"name": "one"})).plan
    store_plan(made.runs, one._replace(cells=[one.cells[0]._replace(key=alone.name)]), PROVENANCE)
    store_plan(made.runs, one, PROVENANCE)
    clean_up(made.runs, [], sure=True)
    assert trial.exists()
    assert alone.exists()


def test_an_unfinished_cell_of_no_plan_goes_unless_a_cell_that_stays_starts_from_it(study):
    runs = study().runs
    grandparent = other(runs, 10)
    parent = other(runs, 20, init_from=InitConfig(cell=grandparent.name))
    child = other(runs, 30, init_from=InitConfig(cell=parent.name))
    lonely = other(runs, 40)
    lonely_child = other(runs, 50, init_from=InitConfig(cell=lonely.name))
    (child / "trained.json").write_text("{}")
    clean_up(runs, [], sure=True)
    assert [path.exists() for path in (grandparent, parent, child)] == [True] * 3
    assert [path.exists() for path in (lonely, lonely_child)] == [False] * 2


def test_a_running_cell_of_no_plan_stays(tmp_path):
    folder = other(tmp_path, 100)
    claim(folder, Watch())
    clean_up(tmp_path, [], sure=True)
    assert folder.exists()


def test_what_has_a_result_since_it_was_listed_stays(tmp_path, monkeypatch):
    done, waiting = other(tmp_path, 100), other(tmp_path, 200)

    def confirm(question: str) -> bool:
        assert question.startswith("remove these 2 (")
        (done / "result.json").write_text("{}")
        return True

    monkeypatch.setattr("lina_lab.cli.clean_ledger.typer.confirm", confirm)
    clean_up(tmp_path, [], sure=False)
    assert done.exists()
    assert not waiting.exists()


def test_a_folder_that_is_no_cell_is_nobodys_to_remove(tmp_path):
    (tmp_path / "website").mkdir()
    (tmp_path / "website" / "config.yaml").write_text("title: mine\n")
    clean_up(tmp_path, [], sure=True)
    assert (tmp_path / "website" / "config.yaml").exists()


def test_a_damaged_plan_is_said_and_leaves_every_cell_where_it_is(study, capsys):
    study = study()
    folder = other(study.runs, 100)
    plan_path(study.runs, "fake").write_text("{")
    clean_up(study.runs, [], sure=True)
    assert folder.exists()
    assert "fake.json: damaged" in capsys.readouterr().out


def test_a_result_goes_by_its_key_alone_and_the_line_says_what_it_is(study, capsys):
    study = study()
    folder = study.folder(0)
    clean_up(study.runs, [], [folder.name], sure=True)
    assert f"{folder}  asked for: done; of fake\n" in capsys.readouterr().out
    assert cells(study.runs) == {cell.key for cell in study.plan.cells[1:]}


def test_a_cell_that_is_asked_for_and_needed_or_at_work_or_none_is_refused(study, tmp_path, monkeypatch):
    study = study()
    parent, runs = study.folder(0), study.runs
    child = other(runs, 30, init_from=InitConfig(cell=parent.name))
    with pytest.raises(LabError, match=rf"cell {child.name}, which has no result yet, starts from it"):
        clean_up(runs, [], [parent.name], sure=True)
    claimed = claim(child, Watch())
    write_state(child, step=3, steps=30)
    with pytest.raises(LabError, match="is running, step 3 of 30: stop it first"):
        clean_up(runs, [], [parent.name, child.name], sure=True)
    claimed.end("stopped")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config.yaml").touch()
    for name in ("", ".", parent.name[:6], "sweeps", "..", "website"):
        with pytest.raises(LabError, match="must be the whole key of a cell"):
            clean_up(runs, [], [name], sure=True)
    clean_up(runs, [], [parent.name, str(child)], sure=True)
    assert not parent.exists()
    assert not child.exists()


def test_the_cells_of_a_sweep_are_those_of_all_its_plans(study):
    study = study()
    (study.folder(0) / "checkpoints").mkdir()
    store_plan(study.runs, study.plan._replace(cells=study.plan.cells[4:]), PROVENANCE)
    loose = other(study.runs, 100)
    clean_up(study.runs, ["fake"], sure=True)
    assert not (study.folder(0) / "checkpoints").exists()
    assert loose.exists()
    assert json.loads((study.folder(0) / "result.json").read_text())["state"] == "done"


def test_kept_end_states_are_told_with_their_bytes_and_go_only_when_asked_for(study, capsys):
    study = study()
    for index in (0, 1):
        write_end(study.folder(index), "a", 10, 1.5)
        (study.folder(index) / "end" / "step-0000010.ckpt").write_bytes(bytes(2**20))
    (study.folder(1) / "result.json").unlink()
    clean_up(study.runs, [], sure=True)
    assert "kept: 1.0 MiB of end states of 1 cells, for longer ones; lab clean --ends" in capsys.readouterr().out
    assert (study.folder(0) / "end").exists()
    clean_up(study.runs, ["fake"], sure=True, with_ends=True)
    told = capsys.readouterr().out
    assert f"{study.folder(0) / 'end'}  the end of its training: without it, a longer one trains from the start" in told
    assert [(study.folder(index) / "end").exists() for index in (0, 1)] == [False, True]
    assert (study.folder(0) / "result.json").exists()
