"""Templates of LaTeX, in which every text is escaped that is not LaTeX already."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2

from lina_lab.escape import latex_prose

TEMPLATES = Path(__file__).parent


class Tex(str):
    """LaTeX that is written as it is."""

    __slots__ = ()


def render(name: str, context: Mapping[str, Any]) -> str:
    """`<name>.tex.j2` with its values: `<<< value >>>`, and `<% if ... %>` for what jinja2 does."""
    environment = jinja2.Environment(  # noqa: S701, finalize escapes; autoescape is HTML's
        loader=jinja2.FileSystemLoader(TEMPLATES),
        undefined=jinja2.StrictUndefined,
        finalize=_escaped,
        block_start_string="<%",
        block_end_string="%>",
        variable_start_string="<<<",
        variable_end_string=">>>",
        comment_start_string="<#",
        comment_end_string="#>",
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template(f"{name}.tex.j2").render(context)


def _escaped(value: object) -> str:
    return value if isinstance(value, Tex) else latex_prose(str(value))
