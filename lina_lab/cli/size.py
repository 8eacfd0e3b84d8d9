"""`lab size`: exact parameters by part, and multiply-adds, of a model size. Nothing is allocated."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lina_lab.cli.options import Plugins, Setting

if TYPE_CHECKING:
    from lina_lab.config.data import DataShape
    from lina_lab.config.model import ModelConfig


def size(
    name: Annotated[str, typer.Argument(metavar="SIZE", help="pico, nano, micro, tiny, small, base, B, L or H.")],
    settings: Setting = [],  # noqa: B006, typer reads it
    plugins: Plugins = [],  # noqa: B006, typer reads it
) -> None:
    """Print exact parameters and FLOPs of a size.

    Example: lab size H --set model.attention.conv_kernel=5

    Example: lab size nano --plugin examples/lion.py
    """
    from rich.console import Console

    from lina_lab import cost
    from lina_lab.cli.console import text_table
    from lina_lab.config.data import PUBLISHED_DATA
    from lina_lab.design.value import plain

    model, data = _sized_model(name, settings, plugins)
    count = cost.parameters(model, data)
    what = "256 px ImageNet latents" if data == PUBLISHED_DATA else "digits"
    design = ", ".join(f"{k} {plain(v)}" for k, v in model.decoder.model_dump().items())
    design += f"; position {model.position}" + (f", softmax_every {e}" if (e := model.softmax_every) else "")
    print(f"{name} on {what}: {data.channels} channels of {data.side} x {data.side}, patch {model.patch}; {design}\n")
    table = text_table("part", "parameters", numbers=1)
    for part, number in count.parts.items():
        table.add_row(part, f"{number:,}")
    for title, number in (("total", count.total), ("trainable", count.trainable), ("frozen", count.frozen)):
        table.add_row(title, f"{number:,}", style="bold" if title == "total" else "")
    Console().print(table)
    tokens = cost.tokens(model, data)
    visible = cost.mean_visible(tokens.image)
    macs = {
        "context stack, once an image": cost.context_macs(model, data),
        f"encoder and decoder, {visible:.1f} tokens visible": cost.image_macs(model, data, visible),
        "head, one noisy token": cost.head_macs(model, tokens.values),
    }
    print()
    table = text_table("multiply-adds (1 is 2 FLOPs)", "", numbers=1)
    for part, macs_of_part in macs.items():
        table.add_row(part, f"{macs_of_part:,.0f}")
    Console().print(table)


def _sized_model(name: str, settings: list[str], plugins: list[str]) -> "tuple[ModelConfig, DataShape]":
    """The model of a size name: B, L, H on the published data, the others on digits with patch 2.

    Raises:
        LabError: if there is no such size, or a setting is wrong.
    """
    from lina_lab.config.data import DIGITS, PUBLISHED_DATA
    from lina_lab.config.experiment import default_context_tokens
    from lina_lab.config.load import Document, override, validate
    from lina_lab.config.model import ModelConfig
    from lina_lab.config.plugins import resolved
    from lina_lab.config.problems import ConfigError, FileProblem
    from lina_lab.config.sweep import parse_settings
    from lina_lab.design.sizes import PUBLISHED_SIZES
    from lina_lab.plugins.load import find, load, merged

    published = name in PUBLISHED_SIZES
    data, patch = (PUBLISHED_DATA, 1) if published else (DIGITS.shape, 2)
    changes = {}
    for key, value in parse_settings(settings).items():
        if not key.startswith("model."):
            message = "only keys below model. can be set here, as in model.attention.conv_kernel=5"
            raise ConfigError([FileProblem("--set", key, message)])
        changes[key.removeprefix("model.")] = value
    base = {"size": name, "patch": patch, "context_tokens": default_context_tokens(data.side, patch)}
    document = override(Document(base, {("size",): "lab size"}), changes, "--set")
    words = merged(*(load(find(plugin, Path())).words for plugin in plugins))
    values = resolved({"plugins": words, "model": document.values})["model"]
    return validate(ModelConfig, document._replace(values=values)), data
