"""The one error that is meant for a user."""


class LabError(Exception):
    """A user's mistake: the command line prints the message alone and exits with 2.

    The message names what was wrong, where (file, line, key) and what would be right.
    """
