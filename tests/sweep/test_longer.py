"""Which cells go on from shorter ones, in which order they run, and what that leaves to train and to keep."""

from collections import deque
from pathlib import Path

import pytest

from lina_lab.config.engine import EngineConfig
from lina_lab.config.load import Document
from lina_lab.config.sweep import Sweep
from lina_lab.cost import training_flops
from lina_lab.ledger.cells import create_cell, read_experiment
from lina_lab.ledger.ends import write_end
from lina_lab.ledger.leases import Watch, claim
from lina_lab.ledger.metrics import read_metrics
from lina_lab.ledger.result import read_result, write_result
from lina_lab.sweep import slurm_engine
from lina_lab.sweep.budget import to_do
from lina_lab.sweep.local_engine import Engine
from lina_lab.sweep.longer import (
    Source,
    end_bytes,
    in_order,
    kept_bytes,
    sources,
    sources_of,
    told,
    unfinished,
)
from lina_lab.sweep.planning import PlannedSweep, expand
from lina_lab.sweep.run import Steering, run_sweep
from tests.study import fake_result
from tests.sweep.test_local_engine import BASE


def plan(steps: list[int], seeds: list[int] = [0], **changes: object) -> PlannedSweep:  # noqa: B006, nobody changes it
    """Designs by steps: the cells of one design are one training, of several lengths."""
    axes = {"training.steps": steps, "model.attention.normalization": ["division", "subtraction"]}
    sweep = Sweep(name="test", question="?", experiment="-", axes=axes, seeds=seeds)
    return expand(sweep, Document(BASE | changes, {}), Document({}, {}), Path("test.yaml"))


def keys(planned: PlannedSweep) -> dict[tuple[int, str], str]:
    return {(cell.values["steps"], cell.values["normalization"]): cell.key for cell in planned.plan.cells}


def finished(runs: Path, planned: PlannedSweep, key: str, *, kept: bool = True) -> Path:
    """A cell with a result that nobody trained, and, if it is kept, the record of its end."""
    from lina_lab.config.experiment import training_key

    experiment = planned.experiments[key]
    folder = create_cell(runs, experiment)
    write_result(folder, fake_result(key, 0, 1000, 10.0))
    if kept:
        write_end(folder, training_key(experiment), experiment.training.steps, 7.0)
    return folder


def test_in_a_plan_a_cell_goes_on_from_the_longest_shorter_one_of_its_design(tmp_path):
    planned = plan([2, 4, 6])
    of = keys(planned)
    assert sources(tmp_path, unfinished(tmp_path, planned)) == {
        of[6, "division"]: Source(of[4, "division"], 4),
        of[4, "division"]: Source(of[2, "division"], 2),
        of[6, "subtraction"]: Source(of[4, "subtraction"], 4),
        of[4, "subtraction"]: Source(of[2, "subtraction"], 2),
    }


@pytest.mark.parametrize(("at", "shorter"), [([0.5], []), ([0.75], [4]), ([0.25, 0.75], [])])
def test_no_cell_goes_on_from_behind_one_of_its_points_whose_weights_would_be_missing(tmp_path, at, shorter):
    planned = plan([4, 8], evaluation=BASE["evaluation"] | {"at": at})
    found = sources(tmp_path, unfinished(tmp_path, planned))
    assert sorted({source.step for source in found.values()}) == shorter


@pytest.mark.parametrize(
    "changes",
    [
        {"seeds": [1]},
        {"training": BASE["training"] | {"warmup_steps": 1}},
        {"training": BASE["training"] | {"ema_decay": 0.5}},
        {"model": BASE["model"] | {"context_tokens": 2}},
        {"execution": {"accumulate": 2}},
    ],
)
def test_what_changes_a_training_makes_it_another_one(tmp_path, changes):
    short, long = plan([4]), plan([6], **changes)
    for cell in short.plan.cells:
        finished(tmp_path, short, cell.key)
    assert sources(tmp_path, unfinished(tmp_path, long)) == {}


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "other"},
        {"sampling": {"autoregressive_steps": 2, "guidance_scale": 3.0}},
        {"evaluation": {"num_samples": 60}},
        {"logging": {"every": 1}},
        {"checkpoint": {"keep_end": True}},
    ],
)
def test_what_comes_after_a_training_does_not(tmp_path, changes):
    short, long = plan([4]), plan([6], **changes)
    for cell in short.plan.cells:
        finished(tmp_path, short, cell.key)
    found = sources(tmp_path, unfinished(tmp_path, long))
    assert {source.step for source in found.values()} == {4}
    assert len(found) == 2


def test_an_end_counts_only_where_it_was_kept_and_its_cell_is_done(tmp_path):
    short, long = plan([2, 3, 4]), plan([6])
    of, wanted = keys(short), keys(long)
    finished(tmp_path, short, of[2, "division"])
    finished(tmp_path, short, of[4, "division"], kept=False)
    (finished(tmp_path, short, of[3, "division"]) / "result.json").unlink()
    found = sources(tmp_path, unfinished(tmp_path, long))
    assert found == {wanted[6, "division"]: Source(of[2, "division"], 2)}


def test_without_an_end_nothing_goes_on(tmp_path):
    planned = plan([2, 6], checkpoint={"keep_end": "no"})
    assert sources(tmp_path, unfinished(tmp_path, planned)) == {}
    assert kept_bytes(unfinished(tmp_path, planned), {}) == []


@pytest.mark.slow
def test_auto_keeps_the_ends_that_a_longer_cell_of_the_plan_needs_and_yes_keeps_all(tmp_path):
    for asked, kept in (("auto", {2, 4}), ("yes", {2, 4, 6})):
        planned = plan([2, 4, 6], checkpoint={"keep_end": asked})
        runs = tmp_path / asked
        Steering(runs, planned, 0).advance()
        found = {key: read_experiment(runs / key).checkpoint.keep_end for key in planned.experiments}
        assert {n for (n, _), key in keys(planned).items() if found[key] == "yes"} == kept


def test_what_is_to_do_are_the_steps_that_are_left(tmp_path):
    planned = plan([2, 6])
    whole = {e.training.steps: training_flops(e) for e in planned.own_experiments}
    assert sum(map(training_flops, to_do(tmp_path, planned))) == pytest.approx(2 * whole[6])
    for (steps, _), key in keys(planned).items():
        if steps == 2:
            finished(tmp_path, planned, key)
    assert sum(map(training_flops, to_do(tmp_path, planned))) == pytest.approx(2 * (whole[6] - whole[2]))


def test_before_a_tuning_nobody_knows_what_is_the_same_training(tmp_path):
    planned = plan([2, 6])
    tuned = planned._replace(tune=object())
    assert sources_of(tmp_path, planned, unfinished(tmp_path, planned))
    assert sources_of(tmp_path, tuned, unfinished(tmp_path, tuned)) == {}


def test_the_most_expensive_chain_comes_first_and_in_it_the_shortest_cell(tmp_path):
    planned = plan([2, 6])
    found = sources(tmp_path, unfinished(tmp_path, planned))
    cells = in_order(planned.plan.cells, found)
    assert [cell.values["steps"] for cell in cells] == [2, 2, 6, 6]
    assert [cell.values["steps"] for cell in in_order(planned.plan.cells, {})] == [6, 6, 2, 2]


def test_a_line_a_step_says_what_goes_on_from_what():
    found = {"a": Source("b", 1000), "c": Source("d", 1000), "e": Source("a", 3000)}
    assert told(found) == ["2 go on from step 1,000: a from b, c from d", "1 go on from step 3,000: e from a"]


class Fake(Engine):
    """An engine that only says what it would hand out."""

    def take(self) -> Path | None:
        folder = self._next()
        if folder is not None:
            self.queue.remove(folder)
        return folder


def test_a_cell_waits_while_the_one_before_it_is_queued_runs_or_runs_elsewhere_and_not_longer():
    short, long = Path("short"), Path("long")
    engine = Fake(deque([long, short]), [{}, {}])
    engine.after = {long: short}
    assert engine.take() == short
    engine.running = {object(): short}
    assert engine.take() is None
    engine.running, engine.elsewhere = {}, [short]
    assert engine.take() is None
    engine.elsewhere = []  # it has ended: done, diverged or failed
    assert engine.take() == long
    assert engine.take() is None


def test_slurm_runs_longer_cells_when_the_jobs_of_the_shorter_ones_have_ended(tmp_path, monkeypatch):
    planned, jobs = plan([2, 4, 6]), []

    def ask(*command: str) -> str:
        assert command[0] == "sbatch"
        jobs.append(Path(command[-1]))
        return str(100 + len(jobs))

    monkeypatch.setattr(slurm_engine, "_ask", ask)
    submitted, _ = slurm_engine.submit(tmp_path, planned, EngineConfig(name="slurm"), 0)
    assert submitted == {"101": 2, "102": 2, "103": 2}
    steps = {str((tmp_path / key).resolve()): n for (n, _), key in keys(planned).items()}
    of_jobs = [{steps[line] for line in job.with_suffix(".cells").read_text().splitlines()} for job in jobs]
    assert of_jobs == [{2}, {4}, {6}]
    waits = [[line for line in job.read_text().splitlines() if "dependency" in line] for job in jobs]
    assert waits == [[], ["#SBATCH --dependency=afterany:101"], ["#SBATCH --dependency=afterany:102"]]


def test_on_slurm_a_cell_whose_shorter_one_is_already_at_work_waits_for_nothing(tmp_path, monkeypatch):
    planned, jobs = plan([2, 6]), []
    for (steps, _), key in keys(planned).items():
        if steps == 2:
            claimed = claim(create_cell(tmp_path, planned.experiments[key]), Watch())
            assert claimed is not None
    monkeypatch.setattr(slurm_engine, "_ask", lambda *command: jobs.append(Path(command[-1])) or "7")
    assert slurm_engine.submit(tmp_path, planned, EngineConfig(name="slurm"), 0)[0] == {"7": 2}
    assert "dependency" not in jobs[0].read_text()


@pytest.mark.slow
def test_a_sweep_trains_nothing_twice_on_several_workers_to_the_same_bits(tmp_path):
    planned = plan([4, 6])
    run_sweep(tmp_path / "one", planned, [{}] * 2, lambda snapshot, new: None, 0)
    alone = plan([6])
    run_sweep(tmp_path / "two", alone, [{}] * 2, lambda snapshot, new: None, 0)
    for (_, design), key in keys(alone).items():
        one, two = (tmp_path / runs / key for runs in ("one", "two"))
        result = read_result(one)
        assert (result.continued.cell, result.continued.step) == (keys(planned)[4, design], 4)
        assert (one / "ema.safetensors").read_bytes() == (two / "ema.safetensors").read_bytes()
        assert [r[:3] for r in read_metrics(one)] == [r[:3] for r in read_metrics(two)]
        assert not (one / "end").exists(), "auto keeps nothing that no longer cell needs"
        state = next((tmp_path / "one" / keys(planned)[4, design] / "end").glob("*.ckpt"))
        about = end_bytes(planned.experiments[keys(planned)[4, design]])
        assert state.stat().st_size == pytest.approx(about, rel=0.25), "of a tiny model, names take their part"
