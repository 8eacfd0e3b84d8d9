"""A page needs nothing but itself: its policy allows its own script and style, and no text in it is markup."""

import base64
import hashlib
import re

import pytest

from lina_lab.report.frame import page, part, policy
from tests.nasty import NASTY


def test_the_policy_allows_exactly_what_the_page_runs():
    html = page("a", {"b": "<p>c</p>"}, "parts.json")
    for tag, rule in (("script", "script-src"), ("style", "style-src")):
        (text,) = re.findall(f"<{tag}>(.*?)</{tag}>", html, flags=re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{rule} 'sha256-{digest}'" in policy()
    assert "unsafe" not in policy()
    assert "default-src 'none'" in policy()


def test_a_page_asks_nobody_for_anything():
    html = page("a", {"b": part("head", _plan("q"), _look(), "said", _report())}, "parts.json")
    assert re.findall(r"(?:https?:)?//[\w.]+", re.sub(r"//.*", "", html)) == []
    assert not re.search(r"\son\w+=|\sstyle=", html)


def test_a_page_that_is_no_served_one_does_not_renew_itself():
    assert "http-equiv" not in page("a", {"b": "c"})
    assert "data-parts" not in page("a", {"b": "c"})
    assert '<noscript><meta http-equiv="refresh" content="5"></noscript>' in page("a", {"b": "c"}, "parts.json")


@pytest.mark.parametrize("name", [name for name in NASTY if "\udce9" not in name])
def test_a_text_is_a_text(name):
    plain = part("lost", "x")
    html = part("lost", name)
    assert re.sub(r"<[^>]*>", "", html).count("<") == 0
    assert len(re.findall("<", html)) == len(re.findall("<", plain))
    assert "{{" not in html or "{{" in name
    assert page(name, {"b": html}, name).count("<script>") == 1


def _plan(question):
    return type("Plan", (), {"name": "n", "question": question})


def _look():
    return type("Look", (), {"share": 0.5})


def _report():
    return type("Report", (), {"there": True, "said": "x"})
