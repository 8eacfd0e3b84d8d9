"""A command whose output goes nowhere says so in one line, or none, and by its exit code."""

import subprocess
import sys

import pytest

LAB = f"{sys.executable} -m lina_lab.cli.main"


def ended(line: str) -> tuple[str, list[str]]:
    """The exit code of the first command of a shell's line, and the lines of standard error."""
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=True)
    return done.stdout.strip(), done.stderr.splitlines()


@pytest.mark.slow
@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("command", ["axes", "--help"])
def test_a_full_disk_is_one_line(command, unbuffered):
    line = f"PYTHONUNBUFFERED={unbuffered} {LAB} {command} > /dev/full; echo $?"
    assert ended(line) == ("2", ["error: standard output: No space left on device"])


@pytest.mark.slow
def test_a_reader_that_ends_is_no_traceback():
    assert ended(f"{LAB} axes | true; echo ${{PIPESTATUS[0]}}") == ("1", [])


@pytest.mark.slow
def test_an_output_that_is_closed_takes_a_message_as_well():
    assert ended(f"{LAB} axes >&-; echo $?") == ("0", [])
    code, errors = ended(f"{LAB} status nothing >&-; echo $?")
    assert (code, len(errors)) == ("2", 1)
