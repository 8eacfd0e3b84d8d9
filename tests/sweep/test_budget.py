"""What a sweep may cost."""

import pytest

from lina_lab.config.sweep import Budget
from lina_lab.cost import sampling_flops, training_flops
from lina_lab.errors import LabError
from lina_lab.sweep.budget import check_budget, gpu_hours, hours, to_do
from tests.sweep.test_tune import make_plan


def test_only_what_has_no_result_is_to_do(study):
    study = study()
    assert to_do(study.runs, study.plan) == []
    study.unfinish(0, "waiting")
    assert to_do(study.runs, study.plan) == [study.plan.cells[0].experiment]


def test_trials_are_to_do_as_often_as_they_may_run(tmp_path):
    plan = make_plan(trials=5, set={"training.batch_size": 2})
    todo = to_do(tmp_path, plan)
    assert len(todo) == 2 * 2 + 2 * 5
    assert [e.training.batch_size for e in todo] == [8] * 4 + [2] * 10


def test_hours_time_one_cell_of_every_size_and_scale_the_others_by_their_flops(study):
    todo = [cell.experiment for cell in study().plan.cells]
    timed = []

    def seconds(experiment):
        timed.append(experiment.model.size)
        return training_flops(experiment) / 1e9

    found = hours(todo, 2, seconds)
    assert timed == ["nano", "micro"]
    assert found.total == pytest.approx(sum(map(training_flops, todo)) / 1e9 / 2 / 3600)
    alone = hours(todo, 1000, seconds)
    assert alone.total == pytest.approx(max(map(training_flops, todo)) / 1e9 / 3600), "one cell runs on one worker"


def test_a_sweep_that_costs_more_than_its_budget_is_refused_with_the_excess(study):
    study = study()
    todo = [cell.experiment for cell in study.plan.cells]
    total = sum(map(training_flops, todo))
    found = hours(todo, 1, lambda _: 3600.0)

    def check(**budget):
        sweep = study.plan.sweep.model_copy(update={"budget": Budget(**budget)})
        check_budget(study.plan._replace(sweep=sweep), todo, lambda: found)

    check()
    check(flops=total, hours=found.total)
    with pytest.raises(LabError, match=r"budget.flops allows .* \(100%\) too many"):
        check(flops=total / 2)
    with pytest.raises(LabError, match=r"fake: budget.hours allows 2 hours, and there are .* to do"):
        check(hours=2.0)


def test_gpu_hours_are_flops_of_training_and_images_over_the_rate(study):
    experiment = study().plan.cells[0].experiment
    flops = training_flops(experiment) + experiment.evaluation.num_samples * sampling_flops(experiment)
    assert gpu_hours(experiment, tflops=flops / 3600 / 1e12) == pytest.approx(1)
    assert gpu_hours(experiment, tflops=flops / 1800 / 1e12) == pytest.approx(0.5)
