"""Where Optuna keeps the trials of a tuning: a database by its URL, or a journal in the ledger."""

from pathlib import Path
from typing import Any

from lina_lab.files import write_atomic


def journal_of(runs: Path, name: str) -> Path:
    """The journal of a sweep's tuning."""
    return runs / "sweeps" / f"{name}.tune.journal"


def open_storage(journal: Path, url: str | None) -> Any:
    """An Optuna storage: a database by its URL, or a journal file. The caller holds the lock."""
    import optuna
    from optuna.storages import JournalStorage, RDBStorage
    from optuna.storages.journal import JournalFileBackend

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    if url is not None:
        return RDBStorage(url)
    if journal.exists():
        whole = journal.read_bytes()
        # A controller that was killed may leave half a line, which Optuna would not read, and its lock.
        write_atomic(journal, whole[: whole.rfind(b"\n") + 1])
        Path(f"{journal}.lock").unlink(missing_ok=True)
    return JournalStorage(JournalFileBackend(str(journal)))
