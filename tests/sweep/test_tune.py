"""Tuning against losses with a known minimum, written as results instead of trained."""

import math
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from optuna.storages.journal import JournalFileBackend

from lina_lab.analysis.coordinates import Moved, check_of
from lina_lab.config.load import Document
from lina_lab.config.problems import ConfigError
from lina_lab.config.sweep import Sweep
from lina_lab.errors import LabError
from lina_lab.ledger.cells import create_cell
from lina_lab.ledger.leases import Watch, claim
from lina_lab.ledger.metrics import append_metrics
from lina_lab.ledger.plan import load_plan, store_plan
from lina_lab.ledger.result import is_done, write_result
from lina_lab.ledger.status import read_status
from lina_lab.sweep import transfer
from lina_lab.sweep.planning import expand
from lina_lab.sweep.run import Steering
from lina_lab.sweep.tune import Tuning, num_trials, rungs
from tests.study import EXPERIMENT, PROVENANCE, fake_result

BEST = {"division": 3e-3, "subtraction": 3e-2}
STEPS = 270
FLAT = [Moved("head.out", width, 0, 1, 1.0) for width in (32, 64)]


def make_plan(seeds=(0, 1), **changes):
    base = EXPERIMENT | {"logging": {"validate_every": 10}}
    base["training"] = base["training"] | {"steps": STEPS}
    tune = {"search": {"training.learning_rate": {"low": 1e-4, "high": 1.0}}, "trials": 8} | changes
    axes = {"model.attention.normalization": list(BEST)}
    sweep = Sweep.model_validate(
        {"name": "tuned", "question": "?", "experiment": "-", "axes": axes, "seeds": list(seeds), "tune": tune}
    )
    return expand(sweep, Document(base, {}), Document({}, {}), Path("tuned.yaml"))


def loss(cell, experiment, steps):
    """Smallest at the design's own rate, and falling with steps; infinite at rates that make training diverge."""
    rate = experiment.training.learning_rate
    if rate > 0.3:
        return math.inf
    return 1 + math.log10(rate / BEST[cell.values["normalization"]]) ** 2 + 10 / steps


def run(runs, todo, planned):
    """What a worker would leave behind."""
    cell, until = todo
    experiment = planned.experiments[cell.key]
    folder = create_cell(runs, experiment)
    attempt = claim(folder, Watch())
    value = loss(cell, experiment, until or STEPS)
    if until and math.isfinite(value):
        append_metrics(folder, until, {"val/loss": value})
        attempt.end("paused")
        return
    result = replace(fake_result(cell.key, cell.seed, 1000, 1.0), steps=STEPS, metrics={"val/loss": value})
    write_result(folder, result if math.isfinite(value) else replace(result, state="diverged", metrics={}))
    attempt.end("done" if math.isfinite(value) else "diverged")


def tune(runs, planned, restart=False):
    """All rounds to the end: the final plan. With `restart`, by a new controller after every trial."""
    tuning = Tuning(runs, planned, planned.tune, 2)
    while True:
        grown, todo = tuning.advance()
        if not todo:
            return grown
        for trial in todo[:1] if restart else todo:
            run(runs, trial, grown)
        if restart:
            tuning = Tuning(runs, planned, planned.tune, 2)


def outline(planned):
    return [(c.key, c.trial, c.seed, tuple(c.tuned.items())) for c in planned.plan.everything]


@pytest.mark.slow
@pytest.mark.parametrize("sampler", ["tpe", "random"])
@pytest.mark.parametrize("pruner", ["none", "median", "hyperband"])
def test_every_design_gets_its_own_best_value_from_an_equal_budget(tmp_path, sampler, pruner):
    planned = make_plan(sampler=sampler, pruner=pruner, trials=12)
    tuned, experiments, *_ = tune(tmp_path, planned)
    assert num_trials(planned) == len(tuned.trials) == 24
    assert Counter(cell.values["normalization"] for cell in tuned.trials) == {"division": 12, "subtraction": 12}
    for cell in tuned.cells:
        rate, best = experiments[cell.key].training.learning_rate, BEST[cell.values["normalization"]]
        assert rate == cell.tuned["learning_rate"]
        assert abs(math.log10(rate / best)) < 0.5
        assert cell.tuned["tune_trials"] == 12
        finished = [c for c in tuned.trials if c.values == cell.values and is_done(tmp_path / c.key)]
        best = min(finished, key=lambda c: loss(c, experiments[c.key], STEPS))
        assert rate == experiments[best.key].training.learning_rate
        assert cell.tuned["tune_pruned"] == 12 - len(finished)
    assert [cell.seed for cell in tuned.cells] == [0, 1, 0, 1]
    rates = {cell.values["normalization"]: experiments[cell.key].training.learning_rate for cell in tuned.cells}
    assert len(set(rates.values())) == 2


@pytest.mark.slow
def test_a_pruner_saves_steps_and_its_victims_are_counted(tmp_path):
    tuned = tune(tmp_path, make_plan(pruner="median", trials=12)).plan
    pruned = [cell for cell in tuned.trials if read_status(tmp_path / cell.key).state == "pruned"]
    assert pruned
    for design in BEST:
        cell = next(c for c in tuned.cells if c.values["normalization"] == design)
        assert cell.tuned["tune_pruned"] == sum(c.values["normalization"] == design for c in pruned)
        assert cell.tuned["tune_steps"] < 12 * STEPS


@pytest.mark.slow
@pytest.mark.parametrize("pruner", ["none", "median", "hyperband"])
def test_a_controller_that_is_started_again_after_every_trial_chooses_the_same(tmp_path, pruner):
    plan = make_plan(pruner=pruner)
    assert outline(tune(tmp_path / "a", plan)) == outline(tune(tmp_path / "b", plan, restart=True))


@pytest.mark.slow
@pytest.mark.parametrize("pruner", ["none", "median"])
def test_a_controller_that_is_killed_in_any_line_of_its_journal_chooses_the_same(tmp_path, monkeypatch, pruner):
    plan = make_plan(trials=3, parallel=2, pruner=pruner)
    whole = outline(tune(tmp_path / "whole", plan))
    lines = (tmp_path / "whole" / "sweeps" / "tuned.tune.journal").read_bytes().count(b"\n")
    real = JournalFileBackend.append_logs
    for fatal in range(lines):
        runs, written = tmp_path / str(fatal), Counter()

        def append_logs(backend, logs, fatal=fatal, written=written, runs=runs):
            if written.total() == fatal:
                journal = runs / "sweeps" / "tuned.tune.journal"
                journal.write_bytes(journal.read_bytes() + b'{"op_code": 4, "wor')
                Path(f"{journal}.lock").touch()
                raise KeyboardInterrupt
            written["lines"] += len(logs)
            real(backend, logs)

        with monkeypatch.context() as patch:
            patch.setattr(JournalFileBackend, "append_logs", append_logs)
            with pytest.raises(KeyboardInterrupt):
                tune(runs, plan)
        assert outline(tune(runs, plan)) == whole


@pytest.mark.slow
def test_the_value_of_the_base_experiment_is_the_first_trial(tmp_path):
    tuned, experiments, *_ = tune(tmp_path, make_plan())
    first = [experiments[cell.key] for cell in tuned.trials if cell.trial == 0]
    assert [experiment.training.learning_rate for experiment in first] == pytest.approx([1e-3, 1e-3])


@pytest.mark.slow
def test_a_value_at_the_edge_of_what_was_tried_is_marked(tmp_path):
    inside = tune(tmp_path / "in", make_plan(trials=12))
    assert all(cell.tuned["learning_rate_inside"] for cell in inside.plan.cells)
    search = {"training.learning_rate": {"low": 1e-4, "high": 2e-3}}
    edge = tune(tmp_path / "edge", make_plan(search=search))
    assert not any(cell.tuned["learning_rate_inside"] for cell in edge.plan.cells)


@pytest.mark.slow
def test_trials_may_be_cheaper_than_the_study_and_have_a_seed_of_their_own(tmp_path):
    plan = make_plan(set={"training.batch_size": 2})
    tuned, experiments, *_ = tune(tmp_path, plan)
    assert {experiments[cell.key].training.batch_size for cell in tuned.trials} == {2}
    assert {experiments[cell.key].training.batch_size for cell in tuned.cells} == {8}
    assert {cell.seed for cell in tuned.trials} == {1_000_000}


@pytest.mark.slow
def test_failed_trials_count_and_a_design_without_any_value_is_left_out_with_the_reason(tmp_path):
    plan = make_plan(trials=4)
    tuning = Tuning(tmp_path, plan, plan.tune, retries=0)
    while (step := tuning.advance())[1]:
        for todo in step[1]:
            if todo.cell.values["normalization"] == "division":
                folder = create_cell(tmp_path, step[0].experiments[todo.cell.key])
                claim(folder, Watch()).end("failed", "no luck")
            else:
                run(tmp_path, todo, step[0])
    tuned = step[0].plan
    assert {cell.values["normalization"] for cell in tuned.cells} == {"subtraction"}
    (omission,) = tuned.omitted
    assert omission.values == {"normalization": "division"}
    assert "none of its trials" in omission.reason


@pytest.mark.slow
def test_a_metric_that_is_not_measured_is_named(tmp_path):
    with pytest.raises(LabError, match=r"tune.metric: eval/none is not measured; measured are val/loss"):
        tune(tmp_path, make_plan(metric="eval/none"))


@pytest.mark.slow
def test_an_optuna_database_serves_as_well_as_the_journal(tmp_path):
    url = f"sqlite:///{tmp_path / 'optuna.db'}"
    plan = make_plan(trials=3, pruner="median")
    assert outline(tune(tmp_path / "a", make_plan(trials=3, pruner="median", storage=url), restart=True)) == outline(
        tune(tmp_path / "b", plan)
    )
    assert (tmp_path / "optuna.db").exists()


@pytest.mark.slow
def test_steering_gives_out_a_tuned_cell_once_its_own_tuning_has_ended_and_keeps_the_plan(tmp_path):
    plan = make_plan(trials=2, parallel=2)
    steering = Steering(tmp_path, plan, retries=2)
    folders, _ = steering.advance()
    assert len(folders) == 4
    for cell in steering.planned.plan.trials[:2]:
        run(tmp_path, (cell, 0), steering.planned)
    folders, _ = steering.advance()
    planned, experiments, *_ = steering.planned
    done = {cell.key for cell in planned.trials[:2]}
    assert len(folders) == 4
    assert not done & {folder.name for folder in folders}
    assert {cell.values["normalization"] for cell in planned.cells} == {"division"}
    store_plan(tmp_path, planned, PROVENANCE)
    stored = load_plan(tmp_path, "tuned")
    assert [c.key for c in stored.everything] == [c.key for c in planned.everything]
    assert stored.trials[0].label == "division trial 0 learning_rate=0.001"
    assert stored.cells[0].tuned["learning_rate"] == experiments[planned.cells[0].key].training.learning_rate
    assert steering.open


def test_rungs_are_validations_before_the_end():
    experiment = make_plan().own_experiments[0]
    assert rungs(experiment) == [10, 30, 90]
    rare = experiment.model_copy(update={"logging": experiment.logging.model_copy(update={"validate_every": 200})})
    assert rungs(rare) == [200]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"search": {"model.width": {"low": 1, "high": 2}}}, "model.width cannot be tuned"),
        ({"search": {"training.learning_rate": {"low": 2.0, "high": 1.0}}}, "high must be above low"),
        ({"search": {"training.learning_rate": {"low": 0.0, "high": 1.0}}}, "low must be above 0"),
        ({"set": {"model.size": "nano"}}, "another model"),
        ({"set": {"training.learning_rate": 1.0}}, "is searched"),
        ({"pruner": "median", "metric": "eval/fid/digits-cnn"}, "median needs metric val/loss"),
        ({"seed": 1}, "must be none of the sweep's own seeds"),
    ],
)
def test_what_makes_no_sense_is_refused(changes, message):
    with pytest.raises((ConfigError, ValueError), match=message):
        make_plan(**changes)


def test_a_pruner_without_a_validation_to_ask_at_is_refused(tmp_path):
    plan = make_plan(pruner="median")
    late = plan._replace(
        experiments={
            key: experiment.model_copy(
                update={"logging": experiment.logging.model_copy(update={"validate_every": 500})}
            )
            for key, experiment in plan.experiments.items()
        }
    )
    with pytest.raises(LabError, match=r"logging.validate_every \(500\) must be below training.steps \(270\)"):
        Tuning(tmp_path, late, late.tune, 2)


def make_plan_of_sizes(**changes):
    """Two designs at two sizes, tuned at the smaller."""
    base = EXPERIMENT | {"training": EXPERIMENT["training"] | {"steps": STEPS} | changes}
    axes = {"model.attention.normalization": list(BEST), "model.size": ["nano", "micro"]}
    tune = {"search": {"training.learning_rate": {"low": 1e-4, "high": 1.0}}, "trials": 4, "at": "nano"}
    values = {"name": "tuned", "question": "?", "experiment": "-", "axes": axes, "seeds": [0, 1], "tune": tune}
    return expand(Sweep.model_validate(values), Document(base, {}), Document({}, {}), Path("tuned.yaml"))


@pytest.mark.slow
def test_tuned_at_one_size_every_design_has_trials_there_alone_and_its_value_everywhere(tmp_path, monkeypatch):
    checked = []
    monkeypatch.setattr(transfer, "stored_check", lambda runs, e: checked.append(e) or check_of("mup", 1.0, FLAT))
    planned = make_plan_of_sizes(parametrization="mup")
    tuned = tune(tmp_path, planned)
    assert num_trials(planned) == len(tuned.plan.trials) == 8
    assert {trial.values["size"] for trial in tuned.plan.trials} == {"nano"}
    assert [cell.values for cell in tuned.plan.cells] == [cell.values for cell in planned.plan.cells]
    for design in BEST:
        cells = [cell for cell in tuned.plan.cells if cell.values["normalization"] == design]
        rates = {tuned.experiments[cell.key].training.learning_rate for cell in cells}
        assert len(rates) == 1
        for cell in cells:
            assert cell.tuned["learning_rate"] in rates
            assert cell.tuned["tune_trials"] == 4
            taken = {name: cell.tuned.get(name) for name in ("tune_at", "tune_transfer")}
            there = cell.values["size"] == "nano"
            assert taken == (
                {"tune_at": None, "tune_transfer": None} if there else {"tune_at": "nano", "tune_transfer": "passed"}
            )
    assert {(e.model.size, e.model.decoder.normalization) for e in checked} == {("micro", design) for design in BEST}


@pytest.mark.slow
def test_a_standard_model_takes_the_value_too_and_the_table_says_that_it_does_not_count(tmp_path):
    tuned = tune(tmp_path, make_plan_of_sizes())
    said = {cell.tuned.get("tune_transfer") for cell in tuned.plan.cells if cell.values["size"] == "micro"}
    assert said == {transfer.STANDARD}


def test_plans_and_trials_of_a_sweep_that_tunes_every_size_are_named_as_before():
    assert "at" not in make_plan().plan.tune
    assert make_plan_of_sizes().plan.tune["at"] == "nano"


def test_a_size_to_tune_at_must_be_one_of_the_sweep():
    with pytest.raises(ConfigError, match=r"tune\.at: must be left out, not nano: the sweep has no axis model.size"):
        make_plan(at="nano")
