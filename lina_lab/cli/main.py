"""The command line: every verb is a file of this folder, which imports what is heavy only when it is called."""

from typing import Annotated

import typer

from lina_lab.cli.axes import axes
from lina_lab.cli.bundle import bundle
from lina_lab.cli.cache import cache
from lina_lab.cli.cell import cell_app
from lina_lab.cli.check import check
from lina_lab.cli.clean import clean
from lina_lab.cli.compare import compare
from lina_lab.cli.coords import coords
from lina_lab.cli.demo import demo
from lina_lab.cli.doctor import doctor
from lina_lab.cli.ending import run
from lina_lab.cli.evaluate import evaluate
from lina_lab.cli.export import export
from lina_lab.cli.figures import figures_app
from lina_lab.cli.fit import fit
from lina_lab.cli.forecast import forecast
from lina_lab.cli.geneval import geneval_app
from lina_lab.cli.guidance import guidance
from lina_lab.cli.import_weights import import_weights
from lina_lab.cli.init import init
from lina_lab.cli.merge import merge
from lina_lab.cli.notebook import notebook
from lina_lab.cli.paper import paper
from lina_lab.cli.plan import plan
from lina_lab.cli.profile import profile
from lina_lab.cli.reference import reference
from lina_lab.cli.report import report
from lina_lab.cli.retry import retry
from lina_lab.cli.sample import sample
from lina_lab.cli.size import size
from lina_lab.cli.status import status
from lina_lab.cli.sweep import sweep
from lina_lab.cli.sync import sync
from lina_lab.cli.table import table
from lina_lab.cli.train import train
from lina_lab.cli.ui import ui

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Ablation and scaling studies of linear-attention image generators.\n\nStart with lab init my-study",
)


@app.callback()
def start(
    verbose: Annotated[
        bool, typer.Option("-v", "--verbose", help="Also print info and debug log lines, on standard error.")
    ] = False,
) -> None:
    import logging

    from lina_lab.logs import show_logs

    show_logs(logging.DEBUG if verbose else logging.WARNING)


RUNS = (init, sweep, train, retry, clean, sample, status)
CELLS = (evaluate, guidance, reference, profile, coords, demo, export)
STUDIES = (
    table,
    report,
    paper,
    forecast,
    notebook,
    fit,
    compare,
    plan,
    bundle,
    merge,
    cache,
    axes,
    check,
    size,
    doctor,
    ui,
    sync,
)
for command in (*RUNS, *CELLS, *STUDIES):
    app.command()(command)
app.command("import")(import_weights)
app.add_typer(cell_app, name="cell")
app.add_typer(figures_app, name="figures")
app.add_typer(geneval_app, name="geneval")


def main() -> None:
    """Run the command; a user's mistake is a message and exit code 2, never a traceback."""
    run(app)


if __name__ == "__main__":
    main()
