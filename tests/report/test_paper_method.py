"""What a paper says of its method is what the cells were asked to be."""

import pandas as pd
import pytest

from lina_lab.analysis.report_data import report_data_of_ledger
from lina_lab.report.paper_method import (
    REFERENCES,
    Told,
    axes_of,
    data_of,
    either,
    fixed_axes,
    rates_of,
    references,
    sizes_table,
)
from tests.study import AXES, PARAMETERS, FakeStudy

RATE = "training.learning_rate"


@pytest.fixture
def data(study):
    made = study(seeds=[0, 1])
    return report_data_of_ledger(made.runs, made.stored)


def test_settings_are_told_as_words():
    told = Told({"a": [600], "b": [1000, 2000, 3000], "c": [None], "d": [0.002], "e": [True]})
    assert [told(name) for name in "abcdex"] == ["600", "1,000, 2,000 or 3,000", "none", "0.002", "yes", ""]
    assert (told.one("a"), told.one("b"), told.one("x")) == (600, None, None)
    assert (told.has("a"), told.has("c"), told.has("x")) == (True, False, False)
    assert either([]) == ""


def test_the_tokens_of_digits_are_those_of_its_patches(data):
    found = data_of(Told(data.settings))
    assert found.title == "digits"
    assert found.pictures == "8 × 8 pixels with 1 channel in 10 classes"
    assert found.split == "1,297 images to train on, 500 held out"
    assert found.tokens == "16 image tokens of 4 values (patches of 2 × 2 pixels) and 4 context tokens"


def test_latents_have_the_tokens_of_their_stride_and_channels():
    settings = {"data.name": ["images"], "data.side": [256], "data.path": ["cats"], "data.num_classes": [1]}
    settings |= {"data.autoencoder.stride": [16], "data.autoencoder.channels": [16], "data.held_out": [0.15]}
    found = data_of(Told(settings | {"model.patch": [1], "model.context_tokens": [64]}))
    assert found.title == "the folder cats"
    assert found.split == "15 % of each class held out"
    assert found.tokens == "256 image tokens of 16 values (patches of 1 × 1 latent pixels) and 64 context tokens"


def test_nothing_is_said_of_data_that_an_older_report_did_not_keep():
    assert data_of(Told({})) == ("", "", "", "")


def test_axes_have_their_formulas_and_who_published_them(data):
    normalization, conv_kernel = axes_of(data.plan)
    assert (normalization.name, [word for word, _ in normalization.values]) == (
        "normalization",
        ["division", "subtraction"],
    )
    assert r"$s = d^{-1/2}$" in normalization.values[1][1]
    assert r"\citep{lina,inline}" in normalization.values[1][1]
    assert r"5\times 5" in dict(conv_kernel.values)["5"]
    assert fixed_axes(Told(data.settings), data.plan).startswith("feature_map relu, conv_weights fixed")


def test_an_axis_without_an_entry_has_its_values_alone(data):
    axes = {"note": "data.note"}
    cells = [cell._replace(values={"note": "$x$"}) for cell in data.plan.cells]
    assert axes_of(data.plan._replace(axes=axes, cells=cells)) == [("note", "", [("$x$", "")])]


def test_every_reference_has_its_number_and_every_source_of_an_axis_that_is_cited_has_an_entry():
    assert len(references()) == REFERENCES.read_text().count("@misc{")
    assert references()["lina"] == "2601.22630"


def test_sizes_have_their_parameters_over_designs(data):
    table = sizes_table(data)
    assert table["size"].tolist() == ["nano", "micro"]
    assert table["width"].tolist() == ["32", "64"]
    assert table["parameters"].tolist() == ["100k to 105k", "400k to 405k"]
    flops = [f"{6 * PARAMETERS[size] / 1e3:.3g}k" for size in ("nano",)]
    assert table["training FLOPs"][0].startswith(flops[0])


def test_learning_rates_are_one_or_set_or_tuned(data, tmp_path):
    assert rates_of(data).one == "0.001"
    rate = {"where": {"model.size": "micro"}, "set": {RATE: 0.5}}
    made = FakeStudy(tmp_path / "other", [0], AXES, set_where=[rate])
    assert rates_of(report_data_of_ledger(made.runs, made.stored)).set_before == "0.001 or 0.5"
    search = {RATE: {"low": 1e-3, "high": 1e-2, "log": True}}
    tune = {"search": search, "trials": 7, "metric": "val/loss", "at": "nano"}
    tuned = rates_of(data._replace(plan=data.plan._replace(tune=tune))).tuned
    assert tuned.startswith("for every design at nano, and taken at its other sizes, from 7 trials log-uniformly")
    older = data._replace(settings={}, table=data.table.assign(**{"train/learning_rate": 0.002}))
    assert rates_of(older).one == "0.002"
    assert rates_of(older._replace(table=pd.DataFrame())) == ("", "", "")
