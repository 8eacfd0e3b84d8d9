"""Names of sweeps whose settings change cells."""

import re

import pytest

from lina_lab.config.naming import set_name


@pytest.mark.parametrize("value", ["a/b c", "../x", "$(rm)", "ü" * 300, {"cell": "0123456789ab"}, "x" * 300])
def test_a_name_of_settings_is_a_safe_file_name_and_tells_values_apart(value):
    name = set_name("s", {"path": "data.path"}, {"data.path": value})
    assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{1,119}", name)
    assert name != set_name("s", {"path": "data.path"}, {"data.path": f"{value} "})
    assert name == set_name("s", {"path": "data.path"}, {"data.path": value})
