"""Tables of a sweep on the terminal."""

import re
from dataclasses import replace

import pytest

from lina_lab.cli.sweep_results import print_results, print_verdict
from lina_lab.escape import shortened
from lina_lab.ledger.leases import Watch, claim
from tests.study import AXES, TWO, fake_result

MANY = {
    **AXES,
    "model.attention.kv_gate": ["none", "key_value_split"],
    "model.attention.kv_gate_heads": ["per_head", "shared"],
    "model.attention.output_gate": ["none", "sigmoid"],
    "model.attention.sequence_conv": ["fixed_5"],
    "training.steps": [100],
}


@pytest.fixture
def shown(study, monkeypatch, capsys):
    """The lines that `print_results` prints at a width."""

    def show(made, width: int, failed: dict[str, str] | None = None) -> list[str]:
        monkeypatch.setenv("COLUMNS", str(width))
        print_results(made.stored, made.runs, failed or {})
        return capsys.readouterr().out.splitlines()[1:]

    return show


def test_the_results_are_what_varies_the_metric_and_its_spread(study, shown):
    made = study(axes=AXES | {"model.attention.conv_kernel": [5]}, seeds=[0, 3])
    head, first, *_ = shown(made, 120)
    assert head.split() == ["key", "cell", "seed", "state", "parameters", "fid/digits-cnn", "±"]
    key = made.plan.cells[0].key
    assert re.split(r"  +", first.strip()) == [key, "division nano", "0", "done", "105,000", "40", "0.5"]


@pytest.mark.slow
@pytest.mark.parametrize("width", [80, 100, 120, 200])
def test_no_line_of_the_results_is_wider_than_the_terminal_and_every_number_is_whole(study, shown, width, monkeypatch):
    monkeypatch.setattr("tests.study.fake_fid", lambda **axes: 12345.678)
    made = study(axes=MANY)
    head, *rows = shown(made, width)
    rows = rows[: len(made.plan.cells)]
    assert max(map(len, [head, *rows])) <= width
    assert all(row.split()[-2:] == ["1.235e+04", "0.5"] for row in rows)
    assert [row.split()[0] for row in rows] == [cell.key for cell in made.plan.cells]
    assert "…" not in head
    assert not any(re.search(r"…(  |$)", row) for row in rows)  # cut by the table, not in the middle of a label
    assert ("…" in rows[-1]) == (width < 120)
    assert ("parameters" in head) == (width > 120)


def test_a_label_is_shortened_in_its_middle():
    assert shortened("division conv_kernel=5 nano", 27) == "division conv_kernel=5 nano"
    assert shortened("division conv_kernel=5 nano", 12) == "divis…5 nano"
    assert all(len(shortened("x" * 50, width)) == width for width in range(4, 50))


def test_a_sweep_whose_cells_all_diverged_says_that(study, shown):
    made = study()
    for index in range(8):
        made.change(index, state="diverged", diverged_at=10 + index, metrics={})
    lines = shown(made, 120)
    assert lines[0].split() == ["key", "cell", "seed", "state", "parameters"]
    assert lines[-1] == "fake: all 8 cells diverged, at steps 10 to 17: there is nothing to measure"


def test_failed_cells_are_said_even_where_the_ledger_could_not_be_written(study, shown):
    made = study()
    made.unfinish(0, "waiting")
    claim(made.folder(0), Watch()).end("stopped")
    key = made.plan.cells[0].key
    lines = shown(made, 120, {key: "OSError: No space left on device"})
    assert re.split(r"  +", lines[1].strip()) == [key, "division conv_kernel=0 nano", "0", "failed"]
    assert lines[-1] == f"failed: {key}: OSError: No space left on device"


def test_names_are_text_and_no_markup(study, shown):
    made = study()
    cells = [cell._replace(values=cell.values | {"size": "a[/b]:100:"}) for cell in made.stored.cells]
    made.stored = made.stored._replace(cells=[*cells[:7], made.stored.cells[7]])
    assert "division conv_kernel=0 a[/b]:100:" in shown(made, 120)[1]


def test_values_against_different_references_are_not_shown_side_by_side_without_a_word(study, capsys):
    made = study()
    print_results(made.stored, made.runs, {})
    assert "not comparable" not in capsys.readouterr().out
    evaluation = fake_result("", 0, 1, 1.0).evaluation
    for index in range(len(made.plan.cells)):
        made.change(index, evaluation=replace(evaluation, reference_sha256="c0ffee" if index else "0ther"))
    print_results(made.stored, made.runs, {})
    said = (
        "not comparable: eval/fid/digits-cnn of cells with different reference_sha256 cannot be compared: 0ther, c0ffee"
    )
    assert said in capsys.readouterr().out


def test_a_sweep_ends_with_a_line_for_its_answer_and_one_a_question(study, capsys):
    made = study(axes=TWO)
    print_verdict(made.stored, made.runs)
    blank, answer, card = capsys.readouterr().out.splitlines()
    assert blank == ""
    assert answer.startswith("Nothing is decided: one seed was run")
    assert card.startswith("[undetermined] Is subtraction better than division? Seen with one seed")


def test_without_designs_to_compare_or_a_metric_there_is_no_verdict(study, capsys):
    made = study(axes=TWO | {"model.attention.normalization": ["division"]})
    print_verdict(made.stored, made.runs)
    assert capsys.readouterr().out == ""
    made = study(axes=TWO)
    for index in range(2):
        made.unfinish(index, "waiting")
    print_verdict(made.stored, made.runs)
    assert capsys.readouterr().out.startswith("no verdict: no cell has a FID yet")
