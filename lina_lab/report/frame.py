"""Pages that need nothing but themselves: a title, parts with a name each, one style and one script.

The script renews the parts of a page that is served and moves sliders; without it a page that is served reloads itself,
and all sheets of samples stand in a row.
"""

import base64
import hashlib
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import jinja2
from markupsafe import Markup

HERE = Path(__file__).parent
CSS, JS = (
    Markup("".join((HERE / f"{name}.{ending}").read_text(encoding="utf-8") for name in names))  # noqa: S704, ours
    for ending, names in (("css", ("frame", "slider")), ("js", ("slider", "frame")))
)
Parts = Mapping[str, str]
"""HTML by the name of its part, in their order."""


def page(title: str, parts: Parts, source: str = "") -> str:
    """A page of parts as HTML; `source` is where a page that is served finds its parts anew, as a JSON object."""
    frame = _environment().get_template("frame.html.j2")
    whole = {name: Markup(part) for name, part in parts.items()}  # noqa: S704, of `part`
    return frame.render(title=title, parts=whole, source=source, css=CSS, js=JS)


def part(kind: str, *values: object) -> str:
    """One part, by its macro in parts.html.j2: every text among the values is escaped, what is `Markup` is not."""
    return str(getattr(_environment().get_template("parts.html.j2").module, kind)(*values)).strip()


def policy() -> str:
    """The Content-Security-Policy of a page: it runs and shows what is its own, and asks nobody else for anything."""
    digests = (hashlib.sha256(text.encode()).digest() for text in (JS, CSS))
    script, style = (f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests)
    return (
        f"default-src 'none'; script-src {script}; style-src {style}; img-src 'self' data:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


@cache
def _environment() -> jinja2.Environment:
    loader = jinja2.FileSystemLoader(HERE)
    return jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, loader=loader)
