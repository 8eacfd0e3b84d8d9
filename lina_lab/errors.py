"""The errors that are meant for a user."""


class LabError(Exception):
    """A user's mistake: the command line prints the message alone and exits with 2.

    The message names what was wrong, where (file, line, key) and what would be right.
    """


class NotFinite(LabError):
    """Images with NaN or infinite values: no 8-bit image stands for them, and no measure of them means anything."""
