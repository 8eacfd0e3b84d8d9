"""The errors that are meant for a user."""

from lina_lab.escape import writable


class LabError(Exception):
    """A user's mistake: the command line prints the message alone and exits with 2.

    The message names what was wrong, where (file, line, key) and what would be right.
    """

    def __str__(self) -> str:
        return writable(super().__str__())


class NotFinite(LabError):
    """Images with NaN or infinite values, which have no 8-bit form and no meaningful metric."""
