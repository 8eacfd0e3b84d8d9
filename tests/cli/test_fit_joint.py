"""`lab fit --joint`: tables, one sentence a design, exact JSON, and refusals."""

import json

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from lina_lab.cli.main import app
from lina_lab.errors import LabError

WORDS = ["--x", "parameters", "--d", "tokens", "--y", "loss", "--by", "design", "--joint"]


def losses(seeds: int = 2, factor: float = 0.7) -> pd.DataFrame:
    """Two designs, the second needs so many times the tokens; noise of 0.3 % common to the lengths of a run."""
    rng = np.random.default_rng(0)
    rows = [
        {"design": design, "parameters": n, "tokens": d, "seed": s, "loss": 0.5 + 30 * n**-0.4 + 100 * (d / f) ** -0.35}
        for design, f in (("base", 1.0), ("new", factor))
        for n in (1e5, 4e5, 1.6e6)
        for s in range(seeds)
        for d in (1e6, 2e6, 4e6, 8e6)
    ]
    table = pd.DataFrame(rows)
    noise = np.repeat(rng.normal(0, 0.003, len(table) // 4), 4) + rng.normal(0, 0.001, len(table))
    return table.assign(loss=table["loss"] * np.exp(noise))


@pytest.fixture
def fitted(tmp_path):
    """`fitted(table, *words)`: what the command prints."""

    def run(table: pd.DataFrame, *words: str) -> str:
        table.to_csv(tmp_path / "t.csv", index=False)
        result = CliRunner().invoke(app, ["fit", str(tmp_path / "t.csv"), *words], catch_exceptions=False)
        assert result.exit_code == 0
        return result.stdout

    return run


@pytest.mark.slow
def test_tables_and_a_sentence_say_what_the_second_needs(fitted):
    out = fitted(losses(), *WORDS)
    assert "design new needs 0.7" in out
    assert "times the tokens of design base; another exponent is not seen to serve better (p " in out
    rows = [line.split() for line in out.splitlines()]
    assert ["new", "tokens", "alone"] in [row[:3] for row in rows]
    assert ["factors", "own", "exponents"] in [row[:3] for row in rows]
    assert sum(len(row) == 6 and row[1].endswith("%") for row in rows) == 5  # floors
    assert "48 rows, 6 clusters of size and seed" in out


@pytest.mark.slow
def test_json_is_one_document_with_exactly_these_keys(fitted):
    whole = json.loads(fitted(losses(), *WORDS, "--json"))
    assert list(whole) == ["document", "version", "fits", "joint"]
    assert whole["fits"] == []
    document = whole["joint"]
    assert list(document) == ["form", "n", "clusters", "loss", "objective", "params", "first", "designs", "floors"]
    assert (document["form"], document["n"], document["clusters"]) == ("surface", 48, 6)
    assert list(document["params"]) == ["E", "A", "alpha", "B", "beta"]
    assert document["first"]["by"] == {"design": "base"}
    (new,) = document["designs"]
    assert list(new) == ["by", "factor", "factors", "product", "exponents", "tests", "says", "words"]
    value, low, high = new["factor"]["tokens"].values()
    assert low < 0.7 < high
    assert low < value < high
    assert list(new["factors"]) == ["parameters", "tokens"]
    assert list(new["tests"]) == ["difference", "second_factor", "exponents", "exponents_beside_floor"]
    assert list(new["tests"]["exponents"]) == ["statistic", "p"]
    assert new["says"] == "one factor"
    assert [list(floor) for floor in document["floors"]] == [["floor", "rise", "exponents", "factors"]] * 5
    assert list(document["floors"][0]["factors"][0]) == ["by", "parameters", "tokens"]


@pytest.mark.slow
def test_one_column_of_sizes_has_the_power_law_with_a_floor(fitted):
    rng = np.random.default_rng(0)
    table = pd.DataFrame(
        [
            {"design": k, "parameters": n, "seed": s, "fid": 2 + 300 * (n / f) ** -0.35}
            for k, f in (("base", 1.0), ("new", 1.5))
            for n in np.geomspace(1e5, 6.4e6, 5)
            for s in range(2)
        ]
    )
    table["fid"] *= np.exp(rng.normal(0, 0.003, len(table)))
    document = json.loads(fitted(table, "--x", "parameters", "--y", "fid", "--by", "design", "--joint", "--json"))[
        "joint"
    ]
    assert document["form"] == "offset"
    (new,) = document["designs"]
    assert new["tests"]["second_factor"] is None
    value, low, high = new["factor"]["parameters"].values()
    assert low < 1.5 < high
    assert new["product"] == new["factors"]["parameters"]
    assert value == pytest.approx(1.5, rel=0.1)


@pytest.mark.slow
def test_with_one_seed_the_factor_stands_without_an_interval(fitted):
    out = fitted(losses(seeds=1), *WORDS)
    assert (
        "by a factor alone; whether another exponent serves better is undetermined: 3 clusters of size and seed" in out
    )
    document = json.loads(fitted(losses(seeds=1), *WORDS, "--json"))["joint"]
    assert [*document["designs"][0]["factor"]["tokens"].values()][1:] == [None, None]
    assert document["designs"][0]["says"] is None


@pytest.mark.parametrize(
    ("change", "words", "said"),
    [
        ({"design": "base"}, WORDS, "--joint compares two designs or more, --by must tell them apart"),
        ({}, [*WORDS[:2], *WORDS[4:], "--form", "power"], "--form must be offset, not power"),
        ({}, [*WORDS, "--form", "offset"], "--form must be surface, not offset"),
        (
            {"tokens": 1e6, "seed": range(48)},
            WORDS,
            "design base: no fit of the form surface: a surface needs 3 distinct",
        ),
        ({"extractor": ["a", "b"] * 24}, WORDS, "with different extractor cannot be fitted together: a, b"),
    ],
)
def test_what_cannot_be_compared_is_refused(tmp_path, change, words, said):
    losses().assign(**change).to_csv(tmp_path / "t.csv", index=False)
    if change == {"design": "base"}:
        losses().query("design == 'base'").to_csv(tmp_path / "t.csv", index=False)
    with pytest.raises(LabError, match=said.replace("(", r"\(")):
        CliRunner().invoke(app, ["fit", str(tmp_path / "t.csv"), *words], catch_exceptions=False)
