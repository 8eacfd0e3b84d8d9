"""What tests of commands share."""

from collections.abc import Callable

import pytest
from typer.testing import CliRunner

from lina_lab.cli.main import app


@pytest.fixture
def lab() -> Callable[..., str]:
    """`lab("axes")` is what the command prints; it must end well."""

    def run(*words: str) -> str:
        result = CliRunner().invoke(app, list(words), catch_exceptions=False)
        assert result.exit_code == 0
        return result.output

    return run
