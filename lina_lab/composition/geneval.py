"""GenEval's files: read its prompts, write the folder of images for its evaluator, read the evaluator's results.

    OUT/lab.json                  which cell drew the images, and how; the evaluator ignores it
        00000/metadata.jsonl      the line of the prompt file
              samples/0000.png    ...
        00001/ ...

Shapes: k prompts with m images each.
"""

import hashlib
import io
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from lina_lab.composition.proportions import Proportion, as_metrics, mean, share
from lina_lab.data.shapes_grammar import TAGS
from lina_lab.errors import LabError
from lina_lab.files import write_atomic

MANIFEST = "lab.json"
IMAGES_AT_ONCE = 256
IMAGE = re.compile(r"(\d{5})[/\\]samples[/\\](\d+)\.png")
PREFIX = "eval/geneval"


class Prompt(NamedTuple):
    """One line of the official prompt file."""

    tag: str
    text: str
    line: str


def read_prompts(path: Path) -> list[Prompt]:
    """The prompts of an official file, `evaluation_metadata.jsonl`.

    Raises:
        LabError: naming the line that does not have the format.
    """
    prompts = [
        Prompt(values["tag"], values["prompt"], line)
        for line, values in _lines(path, {"tag": str, "prompt": str, "include": list})
    ]
    for tag in TAGS:
        if sum(prompt.tag == tag for prompt in prompts) == 1:
            raise LabError(f"{path}: must have two or more prompts of {tag}, for an interval over them, not 1")
    return prompts


def _lines(path: Path, keys: Mapping[str, type]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The JSON objects of a file with one on each line, all with these keys and a tag of `TAGS`.

    Raises:
        LabError: naming the line and the key that is wrong, or if there is no line.
    """
    lines = path.read_text(encoding="utf-8", errors="replace").split("\n")
    if not any(lines):
        raise LabError(f"{path}: must have a JSON object a line, not be empty")
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        where = f"{path}:{number}"
        try:
            values = json.loads(line)
        except ValueError as error:
            raise LabError(f"{where}: must be a JSON object, not {line[:60]!r}: {error}") from error
        if not isinstance(values, dict):
            raise LabError(f"{where}: must be a JSON object, not {line[:60]!r}")
        for key, kind in keys.items():
            if not isinstance(values.get(key), kind):
                actual = json.dumps(values[key])[:60] if key in values else "missing"
                raise LabError(f"{where}: key {key} must be a {kind.__name__}, not {actual}")
        if values["tag"] not in TAGS:
            raise LabError(f"{where}: key tag must be one of {', '.join(TAGS)}, not {values['tag']!r}")
        yield line, values


def export_images(
    folder: Path,
    prompts: Sequence[Prompt],
    each: int,
    made_by: Mapping[str, Any],
    draw: Callable[[list[int]], Tensor],
) -> int:
    """Write the evaluator's folder, and return how many prompts had to be drawn; complete ones are kept.

    `draw` maps prompt numbers (k) to images (k m, 3, H, W) uint8, m = `each` consecutive images for each prompt. An
    image must not depend on the other prompts. `made_by` records what draws them, the cell's `key` first of all.

    Raises:
        LabError: if the folder holds something else, or images made otherwise.
    """
    manifest = {**made_by, "each": each, "prompts": [[prompt.tag, prompt.text] for prompt in prompts]}
    _claim(folder, manifest)
    missing = [number for number, prompt in enumerate(prompts) if not _is_whole(folder, number, prompt, each)]
    step = max(1, IMAGES_AT_ONCE // each)
    for first in range(0, len(missing), step):
        numbers = missing[first : first + step]
        for number, images in zip(numbers, draw(numbers).split(each), strict=True):
            for index, image in enumerate(images):
                write_atomic(folder / _sample(number, index), _png(image))
            # Written last: a prompt's folder that has it is complete.
            write_atomic(folder / f"{number:05d}" / "metadata.jsonl", prompts[number].line + "\n")
    return len(missing)


def _claim(folder: Path, manifest: Mapping[str, Any]) -> None:
    path = folder / MANIFEST
    if not path.exists():
        if folder.exists() and any(folder.iterdir()):
            raise LabError(f"{folder}: must be new or of lab geneval export, but has files and no {MANIFEST}")
        write_atomic(path, json.dumps(manifest, indent=1))
        return
    old = read_manifest(folder)
    manifest = json.loads(json.dumps(manifest))  # as it will be when read back
    differs = [name for name in sorted(old.keys() | manifest.keys()) if old.get(name) != manifest.get(name)]
    if differs:
        raise LabError(f"{folder}: holds images made with another {', '.join(differs)}; give --out another folder")


def _is_whole(folder: Path, number: int, prompt: Prompt, each: int) -> bool:
    written = folder / f"{number:05d}" / "metadata.jsonl"
    return (
        written.exists()
        and written.read_text(encoding="utf-8") == prompt.line + "\n"
        and all((folder / _sample(number, index)).exists() for index in range(each))
    )


def _sample(number: int, index: int) -> str:
    return f"{number:05d}/samples/{index:04d}.png"


def _png(image: Tensor) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image.permute(1, 2, 0).numpy()).save(file, "PNG")
    return file.getvalue()


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of an exported folder.

    Raises:
        LabError: if it has none.
    """
    path = folder / MANIFEST
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise LabError(f"{path}: no such file: name the folder of lab geneval export with --export") from error
    except ValueError as error:
        raise LabError(f"{path}: damaged: {error}; run lab geneval export again into a new folder") from error
    if not isinstance(manifest, dict) or not {"key", "each", "prompts"} <= manifest.keys():
        raise LabError(f"{path}: damaged: must have key, each and prompts; run lab geneval export into a new folder")
    return manifest


def read_results(path: Path, key: str, export: Path | None = None) -> tuple[dict[str, float], dict[str, Any]]:
    """Metrics, and their record, from the official evaluator's results.jsonl for the images of a cell.

    `eval/geneval/TAG` is the share of right images, `overall` the mean of the six categories; each has its interval
    over prompts and images. `export` is the folder of the images, by default the one that the results name.

    Raises:
        LabError: if the file has another format, an image is missing or occurs twice, or the images are not this
            cell's.
    """
    lines = [values for _, values in _lines(path, {"filename": str, "tag": str, "prompt": str, "correct": bool})]
    export = export or _exported(path, lines[0]["filename"])
    manifest = read_manifest(export)
    if manifest["key"] != key:
        raise LabError(f"{path}: holds results of cell {manifest['key']}, not {key}, as {export / MANIFEST} says")
    right = _right(path, lines, manifest)
    tags = [tag for tag, _ in manifest["prompts"]]
    shares = _scores(tags, right)
    record = {name: value for name, value in manifest.items() if name != "prompts"} | {
        "num_prompts": len(tags),
        "prompts_sha256": hashlib.sha256(json.dumps(manifest["prompts"]).encode()).hexdigest(),
        "results_sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "intervals": "95 %, over prompts and images",
    }
    return as_metrics(PREFIX, shares), record


def _exported(path: Path, filename: str) -> Path:
    """The folder above 00000/samples/0000.png, relative to here or to the results."""
    folder = Path(filename).parent.parent.parent
    return folder if (folder / MANIFEST).exists() else path.parent / folder


def _right(path: Path, lines: Sequence[Mapping[str, Any]], manifest: Mapping[str, Any]) -> NDArray[np.bool_]:
    """Which images are right, (k, m); each image must occur once."""
    prompts, each = manifest["prompts"], manifest["each"]
    told: dict[tuple[int, int], bool] = {}
    for values in lines:
        match = IMAGE.search(values["filename"])
        place = (int(match[1]), int(match[2])) if match else None
        if place is None or place[0] >= len(prompts) or place[1] >= each:
            raise LabError(
                f"{path}: key filename must be of the export, as 00000/samples/0000.png, not {values['filename']!r}"
            )
        if place in told:
            raise LabError(f"{path}: must name {_sample(*place)} once, not twice")
        if [values["tag"], values["prompt"]] != prompts[place[0]]:
            tag, text = prompts[place[0]]
            raise LabError(
                f"{path}: the prompt of {_sample(*place)} must be {text!r} ({tag}), as in the export, "
                f"not {values['prompt']!r} ({values['tag']})"
            )
        told[place] = values["correct"]
    missing = [(k, m) for k in range(len(prompts)) for m in range(each) if (k, m) not in told]
    if missing:
        raise LabError(
            f"{path}: must have all {len(prompts) * each} images of the export, but lacks {len(missing)}, "
            f"{_sample(*missing[0])} first"
        )
    return np.array([[told[k, m] for m in range(each)] for k in range(len(prompts))])


def _scores(tags: Sequence[str], right: NDArray[np.bool_]) -> dict[str, Proportion]:
    shares = {tag: share(right[[other == tag for other in tags]]) for tag in TAGS if tag in tags}
    return shares | ({"overall": mean(list(shares.values()))} if len(shares) == len(TAGS) else {})
