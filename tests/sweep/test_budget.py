"""What a sweep may cost."""

import pytest

from lina_lab.cell.estimate import Seconds
from lina_lab.config.experiment import Experiment
from lina_lab.config.sweep import Budget
from lina_lab.cost import sampling_flops, training_flops
from lina_lab.errors import LabError
from lina_lab.sweep.budget import check_budget, gpu_hours, times, to_do
from tests.sweep.test_tune import make_plan


def test_only_what_has_no_result_is_to_do(study):
    study = study()
    assert to_do(study.runs, study.planned) == []
    study.unfinish(0, "waiting")
    assert to_do(study.runs, study.planned) == [study.planned.own_experiments[0]]


def test_trials_are_to_do_as_often_as_they_may_run(tmp_path):
    todo = to_do(tmp_path, make_plan(trials=5, set={"training.batch_size": 2}))
    assert len(todo) == 2 * 2 + 2 * 5
    assert [e.training.batch_size for e in todo] == [8] * 4 + [2] * 10


def test_one_cell_of_every_size_is_timed_and_the_others_are_scaled_by_their_flops(study):
    todo = study().planned.own_experiments
    timed = []

    def seconds(experiment):
        timed.append(experiment.model.size)
        return Seconds(training_flops(experiment) / 1e9, sampling_flops(experiment) / 1e6, rest=2.0)

    each = [training_flops(e) / 1e9 + sampling_flops(e) / 1e6 + 2 for e in todo]
    found = times(todo, 1, seconds, start=7.0)
    assert timed == ["nano", "micro"]
    assert found.total == pytest.approx(7 + sum(each))
    assert times(todo, 1000, seconds, start=7.0).total == pytest.approx(7 + max(each)), "one cell runs on one worker"
    assert times([], 2, seconds, start=7.0).total == 0


@pytest.mark.parametrize(
    ("steps", "slots", "total"),
    [([3, 3, 2, 2, 2], 2, 7), ([2, 2, 2, 3, 3], 2, 7), ([1, 1, 1], 2, 2), ([5, 1, 1], 2, 5)],
)
def test_the_longest_cells_begin_first_each_on_the_worker_that_is_free_first(steps, slots, total):
    values = {"name": "x", "model": {"size": "nano", "patch": 2}}
    todo = [
        Experiment.model_validate(values | {"training": {"steps": n, "batch_size": 1, "learning_rate": 1.0}})
        for n in steps
    ]
    found = times(todo, slots, lambda experiment: Seconds(experiment.training.steps, 0.0))
    assert found.total == pytest.approx(total)


def test_a_sweep_that_costs_more_than_its_budget_is_refused_with_the_excess(study):
    study = study()
    todo = study.planned.own_experiments
    total = sum(map(training_flops, todo))
    found = times(todo, 1, lambda _: Seconds(0.0, 0.0, rest=3600.0))

    def check(**budget):
        check_budget(study.planned._replace(budget=Budget(**budget)), todo, lambda: found)

    check()
    check(flops=total, hours=8)
    with pytest.raises(LabError, match=r"budget.flops allows .* \(100%\) too many"):
        check(flops=total / 2)
    with pytest.raises(LabError, match=r"fake: budget.hours allows 2 hours, and there are 8 to do: 6 \(300%\)"):
        check(hours=2.0)


def test_gpu_hours_are_flops_of_training_and_images_over_the_rate(study):
    experiment = study().planned.own_experiments[0]
    flops = training_flops(experiment) + experiment.evaluation.num_samples * sampling_flops(experiment)
    assert gpu_hours(experiment, tflops=flops / 3600 / 1e12) == pytest.approx(1)
    assert gpu_hours(experiment, tflops=flops / 1800 / 1e12) == pytest.approx(0.5)
    again = experiment.model_copy(
        update={"evaluation": experiment.evaluation.model_copy(update={"generation_seeds": 3})}
    )
    more = 2 * experiment.evaluation.num_samples * sampling_flops(experiment)
    assert gpu_hours(again, tflops=(flops + more) / 3600 / 1e12) == pytest.approx(1)


def test_points_along_a_run_cost_as_many_measurements(study):
    experiment = study().planned.own_experiments[0]
    at = experiment.evaluation.model_copy(update={"at": (0.25, 0.5, 0.75)})
    along = experiment.model_copy(update={"evaluation": at})
    images = experiment.evaluation.num_samples * sampling_flops(experiment)
    assert gpu_hours(along, 1) - gpu_hours(experiment, 1) == pytest.approx(3 * images / 1e12 / 3600)

    def seconds(_):
        return Seconds(training=1.0, drawing=5.0)

    assert times([experiment, along], 1, seconds).total == pytest.approx(1 + 5 + 1 + 4 * 5)
