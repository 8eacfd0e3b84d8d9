"""Sentences above figures: every number is counted from the study, and none claims more than was counted."""

import pandas as pd
import pytest

from lina_lab.analysis.ablation import effects
from lina_lab.analysis.report_data import report_data_of_ledger
from lina_lab.analysis.study_metric import metric_of
from lina_lab.figures import sentences as told
from lina_lab.report import page as report_page
from tests.study import AXES, FID, TWO


def says(made, **changes):
    data = report_data_of_ledger(made.runs, made.stored)
    data = data._replace(table=data.table.assign(**changes))
    results = report_page.study_findings(data, lambda share: None, lambda line: None)
    return told.sentences(data, results.metric, results.findings, data.gates)


@pytest.mark.slow
def test_each_figure_says_what_was_counted(study):
    said = says(study())  # conv halves FID, subtraction is 1.1 times as high, micro is 0.625 times nano
    assert said == {
        "scaling": "FID is lower with conv than with no conv in 4 of 4 pairs; it is lower at 405k than at 100k "
        "parameters in 4 of 4 designs (seed 0).",
        "compute_multiplier": "No factor of compute is known for the same FID.",
        "gap": "At every size that was measured FID is higher with subtraction than with division in 2 of 2 settings; "
        "lower with conv than with no conv in 2 of 2 settings.",
        "forest": "FID is higher with subtraction than with division in 4 of 4 pairs; lower with conv than with no "
        "conv in 4 of 4 pairs (seed 0).",
        "training": "At the end of training the held-out loss is lowest for division + conv, micro: 0.25 (seed 0).",
        "efficiency": "The lowest FID, 25, is of division + conv, micro: 2.43M training FLOPs (seed 0).",
    }


@pytest.mark.slow
def test_seeds_are_named_and_every_pair_is_counted(study):
    made = study(seeds=[0, 1, 2])
    data = report_data_of_ledger(made.runs, made.stored)
    table = data.table
    turned = table["conv_kernel"].eq(5) & table["seed"].eq(1) & table["size"].eq("nano")
    table.loc[turned, FID] *= 10  # two of twelve pairs
    pairs = effects(table, made.stored, metric_of(FID))
    sentence = told.forest_says(pairs, made.stored, metric_of(FID))
    assert "lower with conv than with no conv in 10 of 12 pairs (seeds 0, 1, 2)." in sentence


@pytest.mark.slow
def test_of_one_size_the_ends_are_told_and_of_one_design_its_value(study):
    said = says(study(axes=AXES | {"model.size": ["nano"]}))
    assert said["scaling"] == (
        "The lowest FID is 40, of division + conv, nano; the highest 88, of subtraction, nano (seed 0)."
    )
    table = pd.DataFrame({"seed": [0, 1], "parameters": [10, 10], FID: [4.0, 9.0]})
    made = study(axes=TWO | {"model.attention.normalization": ["division"]})
    table = table.assign(normalization="division", conv_kernel=0, size="nano")
    assert told.scaling_says(table, made.stored, metric_of(FID), []) == "FID is 6 (seeds 0, 1)."  # geometric


@pytest.mark.slow
def test_what_is_better_when_higher_is_called_higher(study):
    made = study()
    data = report_data_of_ledger(made.runs, made.stored)
    metric = metric_of("eval/precision/digits-cnn")
    table = data.table.assign(**{metric.column: 1 / data.table[FID]})
    pairs = effects(table, made.stored, metric)
    assert told.scaling_says(table, made.stored, metric, pairs) == (
        "precision is higher with conv than with no conv in 4 of 4 pairs; it is higher at 405k than at 100k parameters "
        "in 4 of 4 designs (seed 0)."
    )


def test_nothing_measured_is_nothing_said(study):
    made = study(axes=TWO)
    metric, nothing = metric_of(FID), pd.DataFrame()
    assert told.gap_says([], made.stored) == told.multiplier_says([], made.stored) == ""
    assert told.forest_says([], made.stored, metric) == told.training_says(nothing, nothing, made.stored) == ""
    assert (
        told.composition_says(nothing, made.stored) == told.gates_says(nothing) == told.tuning_says(nothing, "x") == ""
    )
    assert told.length_says(nothing, nothing, metric) == told.sampling_says(nothing, "guidance_scale") == ""


def test_numbers_of_gates_and_tuning_are_theirs():
    gates = pd.DataFrame({"gate": ["key", "key", "value"], "weight": [0.5, 0.7, 1.25]})
    assert told.gates_says(gates) == "Mean weights, which began at 1: key 0.60, value 1.25."
    table = pd.DataFrame({"rate": [0.001, 0.004, None], "rate_inside": [True, False, None]})
    assert told.tuning_says(table, "rate") == (
        "The chosen rate is 0.001 to 0.004, inside the range that was tried in 1 of 2 cells."
    )


def test_the_end_of_a_run_is_set_against_its_first_point():
    points = pd.DataFrame({"key": ["a", "a", "b"], "samples_seen": [200, 100, 100], FID: [5.0, 9.0, 3.0]})
    table = pd.DataFrame({"key": ["a", "b"], FID: [4.0, 3.5]})
    assert told.length_says(points, table, metric_of(FID)) == (
        "FID is lower at the end than at the first point in 1 of 2 runs."
    )
