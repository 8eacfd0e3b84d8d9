"""Whom a sweep tells when it has ended or a cell has failed: no result, key or plan depends on it."""

import ipaddress
import os
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, model_validator

from lina_lab.config.base import Config, KeyProblem

EventName = Literal["end", "fail"]


class Webhook(Config):
    """An address that takes a JSON POST: a secret, since whoever knows it can write there."""

    url: SecretStr | None = None
    env: str | None = Field(default=None, pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")
    """The environment variable that holds the address."""

    @model_validator(mode="before")
    @classmethod
    def _bare(cls, value: Any) -> Any:
        if not isinstance(value, str | dict):  # pydantic's own message would show what may be an address
            raise ValueError("must be an address, or {env: NAME} for the variable that holds it")  # noqa: TRY004
        return {"url": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _is_one_address(self) -> Self:
        if (self.url is None) == (self.env is None):
            raise KeyProblem("env", "must be an address, or {env: NAME} for the variable that holds it")
        if self.url is not None and (wrong := wrong_address(self.url.get_secret_value())):
            raise KeyProblem("url", wrong)
        return self

    def address(self) -> str:
        """The address itself.

        Raises:
            ValueError: if its variable is not set, or holds no address that may be used. The text has no address.
        """
        if self.url is not None:
            return self.url.get_secret_value()
        address = os.environ.get(self.env or "", "")
        if not address:
            raise ValueError(f"the environment variable {self.env} is not set")
        if wrong := wrong_address(address):
            raise ValueError(f"the environment variable {self.env} {wrong}")
        return address


def wrong_address(address: str) -> str:
    """What is wrong with an address, without naming it; '' where nothing is."""
    try:
        parts = urlsplit(address)
        host = parts.hostname or ""
        _ = parts.port
    except ValueError:
        host = ""
    if host and parts.scheme == "https":
        return ""
    if host and parts.scheme == "http" and _is_loopback(host):
        return ""
    return "must be https://..., or http:// at this machine: what is sent would be read on its way"


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class Notify(Config):
    command: Annotated[list[str], Field(min_length=1)] | None = None
    """Program and arguments, started without a shell; the event as JSON on its standard input."""
    webhook: Webhook | None = None
    """An address for a JSON POST, as Slack's: https://..., or {env: NAME}."""
    events: Annotated[list[EventName], Field(min_length=1)] = ["end"]
    """end: the sweep has ended, or stopped as its cells failed alike; fail: a cell has failed for good."""

    @model_validator(mode="after")
    def _tells_someone(self) -> Self:
        if self.command is None and self.webhook is None:
            raise KeyProblem("events", "needs a command: or a webhook: that is told")
        return self
