"""Tables on the terminal say when their rows may not be compared."""

from lina_lab.cli.results import print_results
from tests.conftest import fake_result


def test_values_against_different_references_are_not_shown_side_by_side_without_a_word(study, capsys):
    made = study()
    print_results(made.stored, made.runs, {})
    assert "not comparable" not in capsys.readouterr().out
    evaluation = fake_result("", 0, 1, 1.0)["evaluation"]
    for index in range(len(made.plan.cells)):
        made.change(index, evaluation=evaluation | {"reference_sha256": "c0ffee" if index else "0ther"})
    print_results(made.stored, made.runs, {})
    said = (
        "not comparable: eval/fid/digits-cnn of cells with different reference_sha256 cannot be compared: 0ther, c0ffee"
    )
    assert said in capsys.readouterr().out
