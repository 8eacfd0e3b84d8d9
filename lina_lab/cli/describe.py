"""Commands that describe: axes, sizes, and the machine."""

import os
import platform
import shutil
from importlib import metadata
from pathlib import Path

from rich.console import Console
from rich.text import Text

from lina_lab import cost
from lina_lab.cli.results import text_table
from lina_lab.config.data import DIGITS, PUBLISHED_DATA, DataShape
from lina_lab.config.experiment import default_context_tokens
from lina_lab.config.load import ConfigError, Document, FileProblem, override, validate
from lina_lab.config.model import ModelConfig
from lina_lab.config.settings import EXTRACTORS
from lina_lab.config.sizes import PUBLISHED_SIZES
from lina_lab.config.sweep import parse_settings
from lina_lab.config.variants import VARIANTS
from lina_lab.design.axes import AXES, OTHER_AXES
from lina_lab.errors import LabError

REQUIRED = (
    *("torch", "torchvision", "pytorch-lightning", "torch-fidelity", "mlflow", "optuna", "pandas", "matplotlib"),
    *("seaborn", "typer", "pydantic", "safetensors", "scikit-learn", "scipy"),
)

OPTIONAL = {
    "transformers": ("text", "prompts through a frozen encoder"),
    "diffusers": ("latents", "data.autoencoder"),
    "gradio": ("demo", "lab demo"),
    "papermill": ("notebooks", "lab notebook"),
}
"""Packages, with the extra that brings them and what it is for."""


def print_axes() -> None:
    """Every axis with its question, its values with formula and source, and the published variants."""
    console = Console(soft_wrap=True)
    for path, axis in ({f"model.attention.{name}": axis for name, axis in AXES.items()} | OTHER_AXES).items():
        console.print(Text(path, style="bold"), Text(axis.question))
        for value, meaning in axis.values.items():
            console.print(Text(f"  {value!s:<16} {meaning.formula}"))
            console.print(Text(f"  {'':<16} {meaning.source}", style="dim"))
        console.print()
    console.print(
        "A segment takes another value of an attention axis with model.context.NAME, model.encoder.NAME or "
        "model.decoder.NAME.\n"
    )
    console.print(Text("Published variants", style="bold"), Text("as values; everything else is the default."))
    for variant, values in VARIANTS.items():
        words = " ".join(f"{key}={value}" for key, value in values.items())
        console.print(Text(f"  {variant:<16} {words or 'the default'}"))


def print_size(name: str, settings: list[str]) -> None:
    """Exact parameters by part, and multiply-adds, of a size with changes; nothing is allocated.

    Raises:
        LabError: if there is no such size, or a setting is wrong.
    """
    model, data = sized_model(name, settings)
    count = cost.parameters(model, data)
    what = "256 px ImageNet latents" if data == PUBLISHED_DATA else "digits"
    design = ", ".join(f"{k} {v}" for k, v in model.decoder.model_dump().items())
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


def sized_model(name: str, settings: list[str]) -> tuple[ModelConfig, DataShape]:
    """The model of a size name: B, L, H on the published data, the others on digits with patch 2."""
    published = name in PUBLISHED_SIZES
    data, patch = (PUBLISHED_DATA, 1) if published else (DIGITS.shape, 2)
    changes = {}
    for key, value in parse_settings(settings).items():
        if not key.startswith("model."):
            message = "only keys below model. can be set here, as in model.attention.conv_kernel=5"
            raise ConfigError([FileProblem("--set", key, message)])
        changes[key.removeprefix("model.")] = value
    base = {"size": name, "patch": patch, "context_tokens": default_context_tokens(data.side, patch)}
    document = Document(base, {("size",): "lab size"})
    return validate(ModelConfig, override(document, changes, "--set")), data


def print_doctor(runs: Path) -> None:
    """What is here, what is missing, and how to get it."""
    rows = [("Python", platform.python_version())]
    rows += [(package, _version(package) or f"MISSING: pip install {package}") for package in REQUIRED]
    for package, (extra, purpose) in OPTIONAL.items():
        missing = f"not here, and needed for {purpose} alone: pip install 'lina-lab[{extra}]'"
        rows.append((package, _version(package) or missing))
    for what, found in (*rows, *_devices(), *_weights(), *_places(runs)):
        print(f"{what:<25}{found}")


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _devices() -> list[tuple[str, str]]:
    import torch

    rows = [("processor", f"{os.cpu_count()} cores, {torch.get_num_threads()} torch threads")]
    if torch.cuda.is_available():
        for index in range(torch.cuda.device_count()):
            properties = torch.cuda.get_device_properties(index)
            rows.append((f"GPU {index}", f"{properties.name}, {properties.total_memory / 2**30:.0f} GiB"))
    else:
        rows.append(("GPU", "none that torch can use: cells run on the processor"))
    return rows


def _weights() -> list[tuple[str, str]]:
    from lina_lab.evaluation.extractors import (
        INCEPTION_FILE,
        INCEPTION_SOURCE,
        INCEPTION_VARIABLE,
        find_inception_weights,
    )

    inception = find_inception_weights()
    missing = (
        f"not here, and needed for extractor inception alone: get {INCEPTION_FILE} from {INCEPTION_SOURCE} "
        f"and name its path in {INCEPTION_VARIABLE}"
    )
    embedded = [(f"extractor {name}", _state_of_extractor(name)) for name in EXTRACTORS]
    return [*embedded, ("extractor inception", str(inception or missing))]


def _state_of_extractor(name: str) -> str:
    from lina_lab.evaluation.extractors import load_extractor

    try:
        return load_extractor(name).id
    except LabError as error:
        return f"DAMAGED: {error}"


def _places(runs: Path) -> list[tuple[str, str]]:
    from lina_lab.provenance import commit
    from lina_lab.tracking.store import store_uri, without_password

    free = shutil.disk_usage(runs if runs.exists() else Path.cwd()).free
    return [
        ("commit", commit() or "not in a git checkout"),
        ("ledger", f"{runs.resolve()} ({free / 2**30:.0f} GiB free)"),
        ("MLflow", without_password(store_uri(runs))),
    ]
