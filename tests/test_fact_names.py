"""Three spellings of one fact, in one table."""

import pytest

from lina_lab.fact_names import column, metric


@pytest.mark.parametrize(
    ("path", "in_table", "in_mlflow"),
    [
        ("parameters.total", "parameters", "model/parameters_total"),
        ("parameters.trainable", "parameters_trainable", "model/parameters_trainable"),
        ("flops.sampling", "flops_sampling", "model/flops_sampling"),
        ("samples_seen", "samples_seen", "model/samples_seen"),
        ("seconds.training", "training_seconds", "seconds/training"),
        ("continued.seconds", "seconds_before", "seconds/before"),
    ],
)
def test_a_fact_is_spelt_as_it_always_was(path, in_table, in_mlflow):
    assert (column(path), metric(path)) == (in_table, in_mlflow)


def test_a_fact_without_a_spelling_has_none():
    assert metric("parameters.decoder") == "model/parameters_decoder"
    with pytest.raises(KeyError, match=r"parameters\.decoder has no column"):
        column("parameters.decoder")
    with pytest.raises(KeyError, match="steps has no metric"):
        metric("steps")
