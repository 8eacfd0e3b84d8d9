"""`lab doctor`: what this machine has, what is missing, and how to get it."""

import os
from pathlib import Path

from lina_lab.cli.options import RUNS, Runs
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


def doctor(runs: Runs = RUNS) -> None:
    """Check packages, GPUs, weights and folders.

    What is missing is listed with the way to get it.

    Example: lab doctor
    """
    import platform

    rows = [("Python", platform.python_version())]
    rows += [(package, _version(package) or f"MISSING: pip install {package}") for package in REQUIRED]
    for package, (extra, purpose) in OPTIONAL.items():
        missing = f"not here, and needed for {purpose} alone: pip install 'lina-lab[{extra}]'"
        rows.append((package, _version(package) or missing))
    for what, found in (*rows, *_devices(), *_weights(), *_places(runs)):
        print(f"{what:<25}{found}")


def _version(package: str) -> str | None:
    from importlib import metadata

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
    from lina_lab.config.settings import EXTRACTORS, PUBLISHED
    from lina_lab.evaluation.published_extractors import find_weights, how_to_get

    embedded = [(f"extractor {name}", _state_of_extractor(name)) for name in EXTRACTORS]
    missing = {name: f"not here, and needed for extractor {name} alone: {how_to_get(name)}" for name in PUBLISHED}
    return [*embedded, *((f"extractor {name}", str(find_weights(name) or missing[name])) for name in PUBLISHED)]


def _state_of_extractor(name: str) -> str:
    from lina_lab.evaluation.extractors import load_extractor

    try:
        return load_extractor(name).id
    except LabError as error:
        return f"DAMAGED: {error}"


def _places(runs: Path) -> list[tuple[str, str]]:
    import shutil

    from lina_lab.provenance import commit
    from lina_lab.tracking.store import store_uri, without_password

    free = shutil.disk_usage(runs if runs.exists() else Path.cwd()).free
    return [
        ("commit", commit() or "not in a git checkout"),
        ("ledger", f"{runs.resolve()} ({free / 2**30:.0f} GiB free)"),
        ("MLflow", without_password(store_uri(runs))),
    ]
