"""What a study says so far, in few lines: for a message, not for a page."""

from pathlib import Path

from lina_lab.analysis.chance import learnt_nothing, with_losses
from lina_lab.analysis.findings import findings, sentences
from lina_lab.analysis.progress import unfinished
from lina_lab.analysis.report_data import report_data_of_ledger
from lina_lab.analysis.study_metric import study_metric
from lina_lab.analysis.table import refuse_mixtures
from lina_lab.ledger.plan import Plan


def verdict_in_short(runs: Path, plan: Plan) -> list[str]:
    """The lines that open a report: what is missing, then the first sentence on every axis value.

    Raises:
        LabError: if no cell has the study's metric yet, or the cells cannot be compared.
    """
    study = report_data_of_ledger(runs, plan)
    metric = study_metric(study.table, study.plan)
    refuse_mixtures(study.table, metric.column)
    table = with_losses(study.table, study.curves)
    compared, _ = findings(table, study.plan, metric)
    first = filter(None, (unfinished(table, study.plan), learnt_nothing(table, study.plan, metric)))
    return [*first, *(next(iter(sentences(finding))) for finding in compared)]
