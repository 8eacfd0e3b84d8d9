"""Sentences of a report that hold for tunings of one kind alone."""

import pandas as pd
import pytest

from lina_lab.ledger.plan import Plan
from lina_lab.report.text import what_tuning_saw

RATE = "training.learning_rate"


@pytest.mark.parametrize(("at", "said"), [(None, 1), ("nano", 0)])
def test_how_the_chosen_rate_goes_with_size_is_said_where_every_size_was_tuned(at, said):
    tune = {"search": {RATE: {"low": 1e-3, "high": 1e-2, "log": True}}, "trials": 3, "at": at}
    axes = {"conv_kernel": "model.attention.conv_kernel", "size": "model.size"}
    plan = Plan(name="s", question="", axes=axes, cells=[], omitted=[], tune=tune)
    table = pd.DataFrame({"conv_kernel": 0, "parameters": [1e5, 2e5, 4e5], "learning_rate": [8e-3, 4e-3, 2e-3]})
    if at:
        table["learning_rate"] = 8e-3
    words = list(what_tuning_saw(table, plan))
    assert len(words) == said
    assert all("to the power -1.00" in sentence for sentence in words)
