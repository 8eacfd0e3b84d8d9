"""How far a sweep is, in words."""

import pandas as pd
import pytest

from lina_lab.analysis.progress import unfinished, why_no_metric
from lina_lab.analysis.table import results_table
from lina_lab.config.sweep import Omission


def states(*found: str, **columns: list) -> pd.DataFrame:
    return pd.DataFrame({"state": found, "reason": [""] * len(found)} | columns)


def test_a_study_with_every_result_is_finished_and_one_without_says_what_the_others_do(study):
    made = study()
    assert unfinished(results_table(made.runs, made.stored), made.stored) == ""
    made.change(0, state="diverged", diverged_at=3, metrics={})
    assert unfinished(results_table(made.runs, made.stored), made.stored) == ""
    made.unfinish(1, "waiting")
    made.unfinish(2, "failed", "no memory")
    made.unfinish(3, "running")
    made.unfinish(4, "waiting")
    said = unfinished(results_table(made.runs, made.stored), made.stored)
    assert said == "Unfinished: 4 of 8 cells have results; 1 failed, 1 running, 2 waiting."


def test_designs_whose_tuning_goes_on_are_told_since_their_cells_are_in_no_table(study):
    made = study()
    cells = made.stored.cells
    trials = [cell._replace(trial=0) for cell in cells]
    plan = made.stored._replace(cells=cells[:5], trials=trials, omitted=[Omission(cells[7].values, "no trial ended")])
    assert unfinished(results_table(made.runs, plan), plan) == (
        "Unfinished: 5 of 5 cells have results; 2 designs still in tuning, with their cells yet to come."
    )


@pytest.mark.parametrize(
    ("table", "said"),
    [
        (pd.DataFrame(), "no cell has a FID yet; lab status says how far the sweep is"),
        (states(*["waiting"] * 3), "no cell has a FID yet (3 waiting); lab status says how far the sweep is"),
        (
            states("diverged", "waiting", "running", "failed"),
            "no cell has a FID yet (1 diverged, 1 failed, 1 running, 1 waiting); lab status says how far the sweep is",
        ),
        (
            states(*["diverged"] * 3, diverged_at=[17.0, 3.0, 9.0]),
            "all 3 cells diverged, at steps 3 to 17: there is nothing to measure",
        ),
        (states("diverged", diverged_at=[5.0]), "the one cell diverged, at step 5: there is nothing to measure"),
        (states("diverged", "diverged"), "all 2 cells diverged: there is nothing to measure"),
        (states("failed", "failed").assign(reason="no memory"), "all 2 cells failed: no memory"),
        (
            states("failed", "failed").assign(reason=["no memory", "LabError: no data"]),
            "all 2 cells failed, for 2 reasons, such as: LabError: no data",
        ),
        (states("failed", "failed").assign(reason=None), "all 2 cells failed"),
        (states("failed", "diverged"), "no cell has a FID, and none will: 1 diverged, 1 failed"),
    ],
)
def test_why_there_is_no_metric(table, said):
    assert why_no_metric(table) == said
