"""Cells of different code are told apart, where it can decide a result, by digests, by git, or not at all."""

import numpy as np
import pandas as pd
import pytest

from lina_lab.analysis import gap_model, same_code
from lina_lab.analysis.comparison import UNDETERMINED, compare_designs
from lina_lab.analysis.same_code import changed_meanwhile, code_difference, with_code
from lina_lab.provenance import ROOMS
from tests.analysis.simulated import COLUMNS, Case, Truth, table

ONE, TWO = "1" * 40, "2" * 40


def rooms(**other: str) -> str:
    return " ".join(f"{room} {other.get(room, 'aa')}" for room in ROOMS)


def difference(*rows: dict) -> str | None:
    return code_difference(with_code(pd.DataFrame(list(rows))))


@pytest.fixture
def git(monkeypatch):
    """What the package's checkout says of commits."""
    known: dict[str, dict[str, str]] = {}
    monkeypatch.setattr(same_code, "rooms_of_commit", known.get)
    return known


def test_digests_decide_whatever_the_commits_are(git):
    assert difference({"commit": ONE, "code": rooms()}, {"commit": TWO, "code": rooms()}) is None
    assert difference({"commit": ONE, "code": rooms()}, {"commit": TWO, "code": rooms(model="bb", data="cc")}) == (
        "the cells ran different code (commit 111111111111, 222222222222): files under model, data differ"
    )
    dirty = {"commit": ONE, "diff_sha256": "d" * 64, "code": rooms(training="bb")}
    assert "files under training differ" in difference({"commit": ONE, "code": rooms()}, dirty)
    assert difference({"code": rooms()}, {"code": rooms()}, {"code": rooms()}) is None  # no checkout at all


def test_older_records_are_decided_by_git_and_where_it_cannot_they_may_differ(git):
    old = [{"commit": ONE}, {"commit": TWO}]
    may = (
        "the cells may have run different code (commit 111111111111, 222222222222): nothing tells whether files under "
        "design, kernels, model, data, checkpoints, sampling, training, distributed, published, evaluation, "
        "composition or cell differ"
    )
    assert difference(*old) == may
    git[ONE] = dict.fromkeys(ROOMS, "aa")
    assert difference(*old) == may
    git[TWO] = dict.fromkeys(ROOMS, "aa")
    assert difference(*old) is None
    assert difference({"commit": ONE}, {"commit": TWO, "code": rooms()}) is None
    git[TWO] = git[ONE] | {"evaluation": "bb"}
    assert difference(*old).endswith("222222222222): files under evaluation differ")
    assert "may have run" in difference({"commit": ONE}, {"commit": ONE, "diff_sha256": "d" * 64})
    same = {"commit": ONE, "diff_sha256": "d" * 64}
    assert difference(same, same) is None
    assert difference(same, same | {"code": rooms()}) is None  # one of them was made by a newer version


def test_a_table_that_knows_nothing_of_code_says_nothing_and_half_a_table_may_differ(git):
    assert difference({"fid": 1.0}, {"fid": 2.0}) is None
    assert difference({"commit": None}, {"commit": None}) is None
    assert "may have run" in difference({"commit": None}, {"commit": "c0ffee"})


def test_what_changed_while_cells_ran_counts_where_it_decides_results():
    rows = pd.DataFrame({"code_changed": [None, "cli/main.py", "model/lina.py cli/main.py"]})
    assert changed_meanwhile(rows) == "the code changed on the disk while cells ran: model/lina.py"
    assert changed_meanwhile(rows.iloc[:2]) is None


@pytest.fixture
def drawn(monkeypatch):
    monkeypatch.setattr(gap_model, "DRAWS", 10)
    return table(Case(Truth(40, 0.15), Truth(40, 0.10)), np.random.default_rng(0))


@pytest.mark.slow
def test_other_code_is_a_reason_against_the_claims_that_it_touches(drawn):
    drawn["code"] = np.where(drawn["design"] == "new", rooms(), rooms(model="bb"))
    found = compare_designs(drawn, COLUMNS, ["new"], ["old"])
    reason = "the cells ran different code: files under model differ"
    assert (found.better.winner, found.scales_better.winner) == (UNDETERMINED, UNDETERMINED)
    assert found.better.reasons == [reason]
    assert found.scales_better.reasons[0] == reason
    drawn["code"] = np.where(drawn["size"] == "size0", rooms(), rooms(model="bb"))  # each pair is of one code
    found = compare_designs(drawn, COLUMNS, ["new"], ["old"])
    assert (found.better.reasons, found.scales_better.reasons[0]) == ([], reason)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "new", "old"),
    [("sdpa", "flash_attention", "math"), ("matmul_precision", "high", "highest"), ("tf32_matmul", True, False)],
)
def test_other_arithmetic_is_a_reason_and_a_design_without_it_none(drawn, name, new, old):
    drawn[name] = np.where(drawn["design"] == "new", new, old)
    reasons = compare_designs(drawn, COLUMNS, ["new"], ["old"]).better.reasons
    assert len(reasons) == 1
    assert reasons[0].startswith(f"{name} differs: size0 A {new}, size0 B {old}")
    drawn[name] = drawn[name].astype(object).where(drawn["design"] == "new", None)
    assert compare_designs(drawn, COLUMNS, ["new"], ["old"]).better.reasons == []


@pytest.mark.slow
def test_a_long_average_is_a_warning(drawn):
    drawn["ema_share"] = np.where(drawn["size"] == "size0", 0.34, 1 / 3)
    count = (drawn["size"] == "size0").sum()
    warning = f"the averaged weights of {count} of {len(drawn)} cells look back over more than a third"
    assert sum(w.startswith(warning) for w in compare_designs(drawn, COLUMNS, ["new"], ["old"]).warnings) == 1
