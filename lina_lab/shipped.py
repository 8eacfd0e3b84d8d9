"""The files beside the code: experiments, sweeps and notebooks, as they are installed or as a checkout has them."""

from pathlib import Path

PACKAGE = Path(__file__).parent


def shipped(folder: str) -> Path:
    """The folder "experiments", "sweeps" or "analysis" that comes with the package."""
    installed = PACKAGE / "shipped" / folder
    return installed if installed.is_dir() else PACKAGE.parent / folder
