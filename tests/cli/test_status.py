"""`lab status`: what it tells of a sweep."""

from lina_lab.cli.status import print_status
from lina_lab.ledger.plan import load_plan, store_plan
from lina_lab.study_values import status_of
from tests.study import PROVENANCE


def test_the_status_names_the_other_plans_of_a_sweep_and_how_to_see_them(study, capsys):
    made = study()
    print_status(status_of(made.runs, made.stored), made.runs)
    assert capsys.readouterr().out.splitlines()[-1] == "fake: 8 done of 8 cells"
    now = store_plan(made.runs, made.plan._replace(cells=made.plan.cells[:3]), PROVENANCE)
    print_status(status_of(made.runs, now), made.runs)
    old = made.stored.key
    assert capsys.readouterr().out.splitlines()[-2:] == [
        "fake: 3 done of 3 cells",
        f"fake: an earlier plan, with 8 cells: lab status {old}, lab report {old}",
    ]
    print_status(status_of(made.runs, load_plan(made.runs, old)), made.runs)
    assert capsys.readouterr().out.splitlines()[-2:] == [
        f"{old}: 8 done of 8 cells",
        "fake: its plan now, with 3 cells: lab status fake, lab report fake",
    ]
