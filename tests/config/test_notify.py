"""Whom a sweep tells: every mistake has its line, and no message shows an address."""

from pathlib import Path

import pytest

from lina_lab.config.notify import Webhook
from lina_lab.config.problems import ConfigError
from lina_lab.sweep.notify import read_notify
from lina_lab.sweep.planning import load_sweep

SWEEP = f"""name: told
question: Does it tell?
experiment: {Path(__file__).parents[2] / "experiments" / "digits.yaml"}
axes: {{model.attention.conv_kernel: [0, 5]}}
"""
ADDRESS = "https://hooks.example/services/T0/B0/c0ffee"


def written(folder, section):
    path = folder / "told.yaml"
    path.write_text(f"{SWEEP}notify:{section}\n")
    return path


def test_an_address_stands_in_no_plan_and_changes_no_key(tmp_path):
    told = load_sweep(written(tmp_path, f" {{webhook: {ADDRESS}, events: [end, fail]}}"))
    (tmp_path / "told.yaml").write_text(SWEEP)
    plain = load_sweep(tmp_path / "told.yaml")
    assert told.plan == plain.plan
    assert "c0ffee" not in repr(told)


def test_an_address_is_read_and_not_shown(tmp_path):
    notify = read_notify(written(tmp_path, f" {{webhook: {ADDRESS}}}"))
    assert notify.webhook.address() == ADDRESS
    assert (notify.command, notify.events) == (None, ["end"])
    assert "c0ffee" not in repr(notify) + str(notify) + notify.model_dump_json()


def test_a_file_without_one_tells_nobody(tmp_path):
    path = tmp_path / "told.yaml"
    path.write_text(SWEEP)
    assert read_notify(path) is read_notify(None) is read_notify(tmp_path / "gone.yaml") is None


@pytest.mark.parametrize(
    ("section", "said"),
    [
        (" {}", "notify.events: needs a command: or a webhook:"),
        (" {command: []}", "notify.command: must have at least 1 item"),
        (" {command: mail me}", "notify.command: must be a list"),
        (" {webhook: 'http://hooks.example/c0ffee'}", "notify.webhook.url: must be https://..., or http:// at this"),
        (" {webhook: 'ftp://hooks.example/c0ffee'}", "notify.webhook.url: must be https://"),
        (" {webhook: c0ffee}", "notify.webhook.url: must be https://"),
        (" {webhook: [c0ffee]}", "notify.webhook: must be an address, or {env: NAME}"),
        (" {webhook: {env: 'A B'}}", "notify.webhook.env: must match pattern"),
        (" {webhook: {}}", "notify.webhook.env: must be an address, or {env: NAME}"),
        (" {webhok: x}", "notify.webhok: unknown key; did you mean webhook?"),
        ("\n  command: [a]\n  events: [start]", "notify.events.0: must be 'end' or 'fail'"),
        (" {command: [a], events: []}", "notify.events: must have at least 1 item"),
    ],
)
def test_a_mistake_is_named_with_its_line(tmp_path, section, said):
    with pytest.raises(ConfigError) as caught:
        load_sweep(written(tmp_path, section))
    line = 7 if "start" in section else 5
    assert f"told.yaml:{line}: {said}" in str(caught.value)
    assert "c0ffee" not in str(caught.value)


@pytest.mark.parametrize("address", ["http://localhost:1/x", "http://127.0.0.2:80", "http://[::1]:9/", ADDRESS])
def test_plain_http_is_for_this_machine_alone(address, monkeypatch):
    monkeypatch.setenv("HOOK", address)
    assert Webhook(env="HOOK").address() == Webhook(url=address).address() == address


@pytest.mark.parametrize("value", ["", "http://hooks.example/c0ffee", "https://[c0ffee"])
def test_a_variable_that_holds_no_address_is_named_without_what_it_holds(value, monkeypatch):
    monkeypatch.setenv("HOOK", value)
    with pytest.raises(ValueError, match="the environment variable HOOK") as caught:
        Webhook(env="HOOK").address()
    assert "c0ffee" not in str(caught.value)
