"""A folder of three classes of images, and what is said of it where it is wrong."""

import pytest
from PIL import Image

from lina_lab.config.data import DataConfig
from lina_lab.data.datasets import load_dataset
from lina_lab.errors import LabError

COLOURS = {"apple": (200, 10, 10), "banana": (220, 210, 40), "cherry": (120, 0, 40)}


def config(path, num_classes: int = 3, side: int = 16, **more) -> DataConfig:
    return DataConfig.model_validate(
        {"name": "images", "path": str(path), "num_classes": num_classes, "side": side} | more
    )


def draw(path, colour=(1, 2, 3), size=(20, 24)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path)


def refusal(path, **options) -> str:
    with pytest.raises(LabError) as caught:
        load_dataset(config(path, **options))
    return str(caught.value)


def all_names() -> list[str]:
    return [f"{name}/{n:03}.png" for name in COLOURS for n in range(40)]
