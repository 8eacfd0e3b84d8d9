"""`lab sync`: bring MLflow up to date with the ledger."""

from lina_lab.cli.options import RUNS, Runs, SweepName


def sync(name: SweepName, runs: Runs = RUNS) -> None:
    """Bring MLflow up to date with the ledger.

    It can be called at any time, and again.

    Example: lab sync digits-quick
    """
    from lina_lab.ledger.plan import load_plan
    from lina_lab.tracking.shipper import sync as bring_up_to_date

    print(bring_up_to_date(runs, load_plan(runs, name)))
