"""The type of a study's plan, for figures: they are drawn from a report's data and know nothing of the ledger."""

from lina_lab.ledger.plan import Plan

__all__ = ["Plan"]
