"""How fast a cache of latents is read at random, in which format, and whether training's loader keeps a GPU busy.

    python benchmarks/latents.py [--images 131072] [--rounds 5] [--out FILE.json]

The cache is noise of the published shape, 16,384 bytes an image (mean and log-variance of 16 x 16 x 16, float16), in a
temporary folder that is removed. Formats hold the same bytes; those whose library is not installed are left out.
Variants take turns, so that what else the machine does falls on all. What is read was written just before, so it comes
from the page cache for the most part: what is measured is the cost of the format, not of a disk.

The loader is training's own, one share of 32 of a batch: with latents of 256 px and labels, and with latents of SDXL's
shape and two texts an image of 16 to 256 tokens of 2,560 features. `wait_ms` is how long a step waits for its batch if
it takes as long as one on a GPU that computes at 400 TFLOP/s, FLOPs by the closed form: `step_ms`.
"""

import json
import statistics
import tempfile
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from safetensors import safe_open
from safetensors.numpy import save_file

from lina_lab import cost
from lina_lab.config.data import PUBLISHED_DATA, DataConfig
from lina_lab.config.experiment import Experiment
from lina_lab.data import cache
from lina_lab.data.examples import Dataset, Examples, Latents
from lina_lab.data.latents import Stored
from lina_lab.model.random_streams import BatchShard
from lina_lab.provenance import hardware, provenance
from lina_lab.training.batches import AHEAD, Batches, picker

SHARD, SHAPE = 4096, (32, 16, 16)
IMAGE_BYTES = 2 * 32 * 16 * 16
TFLOPS = 4e14
"""Of one GPU: an assumption, above what was reached anywhere."""
GPUS = 32
"""That share the published batch."""
Read = Callable[[np.ndarray], np.ndarray]


def shards(folder: Path, count: int) -> list[Path]:
    """Moments, a file a shard."""
    generator, paths = np.random.default_rng(0), []
    for number in range(count // SHARD):
        paths.append(folder / f"{number:05}" / cache.MOMENTS)
        paths[-1].parent.mkdir(parents=True)
        generator.integers(0, 2**13, (SHARD, *SHAPE), np.uint16).tofile(paths[-1])  # small positive float16
    return paths


def memmaps(paths: list[Path]) -> Read:
    maps = [np.memmap(path, np.float16, "r", shape=(SHARD, *SHAPE)) for path in paths]
    return lambda rows: np.stack([maps[row // SHARD][row % SHARD] for row in rows.tolist()])


def one_file(folder: Path, paths: list[Path]) -> Read:
    whole = folder / "whole.bin"
    with whole.open("wb") as file:
        for path in paths:
            file.write(path.read_bytes())
    mapped = np.memmap(whole, np.float16, "r", shape=(len(paths) * SHARD, *SHAPE))
    return lambda rows: mapped[rows]


def tensors(folder: Path, paths: list[Path]) -> Read:
    """safetensors, a tensor a shard, read by slices."""
    opened = []
    for path in paths:
        name = folder / f"{path.parent.name}.safetensors"
        save_file({"moments": np.fromfile(path, np.float16).reshape(SHARD, *SHAPE)}, name)
        opened.append(safe_open(name, "np").__enter__().get_slice("moments"))
    return lambda rows: np.stack([opened[row // SHARD][row % SHARD] for row in rows.tolist()])


def database(folder: Path, paths: list[Path]) -> Read:
    import lmdb

    environment = lmdb.open(str(folder / "lmdb"), map_size=2 * len(paths) * SHARD * IMAGE_BYTES, sync=False)
    for number, path in enumerate(paths):
        with environment.begin(write=True) as writing:
            for row, image in enumerate(np.fromfile(path, np.float16).reshape(SHARD, -1)):
                writing.put((number * SHARD + row).to_bytes(8), image.tobytes())
    reading = environment.begin(buffers=True)
    return lambda rows: np.stack([
        np.frombuffer(reading.get(row.to_bytes(8)), np.float16).reshape(SHAPE) for row in rows.tolist()
    ])  # fmt: skip


def published(size: str, batch: int, text: dict | None = None) -> Experiment:
    """A cell of 256 px, of labels through MAR's autoencoder or of prompts through SDXL's."""
    channels, stride, patch = (16, 16, 1) if text is None else (4, 8, 2)
    coder = {"path": "-", "channels": channels, "stride": stride, "scaling_factor": 1.0}
    return Experiment.model_validate({
        "name": size,
        "data": {"name": "images", "path": "-", "num_classes": 1000, "side": 256, "autoencoder": coder, "text": text},
        "model": {"size": size, "patch": patch, "attention": {"conv_kernel": 5, "kv_gate": "key_value"}},
        "training": {"steps": 1, "batch_size": batch, "learning_rate": 8e-4},
        "evaluation": {"extractor": "inception"},
    })  # fmt: skip


def loader(folder: Path, tokens: list[list[list[int]]], data: DataConfig) -> Dataset:
    """Training's own reading of the shards, as of a cache that `lab cache` wrote; `tokens` of every text, by shard."""
    records = [{"names": [""] * len(own), "tokens": own} for own in tokens]
    count = sum(map(len, tokens))
    labels = torch.arange(count) % PUBLISHED_DATA.num_classes
    stored = Stored(data, folder, records, labels, [])
    latents = Latents(count, stored.shape, stored.take, lambda most: stored.take(torch.arange(most), None, None), "")
    nothing = Examples(torch.empty(0), torch.empty(0))
    return Dataset(nothing, nothing, latents=latents)


def texts(folder: Path, count: int) -> list[list[list[int]]]:
    """One shard with features: how many tokens each text has."""
    (folder / "00000").mkdir(parents=True)
    generator = np.random.default_rng(0)
    np.zeros((count, 8, 32, 32), np.float16).tofile(folder / "00000" / cache.MOMENTS)
    counts = generator.integers(16, 257, (count, 2)).tolist()
    with (folder / "00000" / cache.TEXT).open("wb") as file:
        for own in counts:
            generator.integers(0, 2**13, (sum(own), 2560), np.uint16).tofile(file)
    return [counts]


def waits(data: Dataset, experiment: Experiment, batch: int, rounds: int) -> list[dict[str, float]]:
    """A share's batches made when they are asked for, and ahead by a thread."""
    step, rows = cost.training_flops(experiment) / TFLOPS, []
    for depth in (0, AHEAD):
        pick, count = picker(data, lambda examples: examples.labels, torch.device("cpu"))
        batches = iter(Batches(pick, count, batch * GPUS, seed=0, shares=(BatchShard(3, GPUS),), depth=depth))
        next(batches)  # the permutation of an epoch
        each = [seconds(lambda batches=batches: list(islice(batches, 16))) / 16 for _ in range(rounds)]
        waiting = []
        for _ in range(16 * rounds):
            time.sleep(step)
            waiting.append(seconds(lambda batches=batches: next(batches)))
        rows.append({"size": experiment.name, "ahead": depth, "images_per_second": batch / statistics.median(each)})
        rows[-1] |= {"batch_ms": 1000 * statistics.median(each), "step_ms": 1000 * step, "needed": batch / step}
        rows[-1] |= {"wait_ms": 1000 * statistics.median(waiting), "wait_share": sum(waiting) / len(waiting) / step}
    return rows


def seconds(call: Callable[[], object]) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def main(
    images: int = 131_072,
    batch: int = 64,
    rounds: int = 5,
    reads: int = 8192,
    folder: Annotated[Path | None, typer.Option(help="Where the temporary cache is made.")] = None,
    out: Annotated[Path | None, typer.Option()] = None,
) -> None:
    torch.set_num_threads(1)
    images -= images % SHARD
    with tempfile.TemporaryDirectory(dir=folder) as place:
        root = Path(place)
        paths = shards(root / "shards", images)
        print(f"{images:,} images, {images * IMAGE_BYTES / 1e9:.1f} GB", flush=True)
        formats: dict[str, Read] = {"memmap a shard": memmaps(paths), "one memmap": one_file(root, paths)}
        formats["safetensors a shard"] = tensors(root, paths)
        try:
            formats["LMDB"] = database(root, paths)
        except ImportError:
            print("LMDB is not installed")
        generator = np.random.default_rng(1)
        first = generator.integers(0, images, 256)
        assert len({formats[name](first).tobytes() for name in formats}) == 1
        taken: dict[str, list[float]] = {name: [] for name in formats}
        for _ in range(rounds):
            for name, read in formats.items():
                rows = [generator.integers(0, images, batch) for _ in range(reads // batch)]
                taken[name].append(seconds(lambda read=read, rows=rows: [read(some) for some in rows]))
        rows_of = []
        for name, times in taken.items():
            median = statistics.median(times)
            rows_of.append({"format": name, "reads_per_second": reads / median, "least_seconds": min(times)})
            rows_of[-1]["ratio"] = statistics.median(taken["memmap a shard"]) / median
        classes = loader(root / "shards", [[[]] * SHARD] * (images // SHARD), published("B", batch).data)
        steps = waits(classes, published("B", batch), batch, rounds)
        prompts = published("H", 16, {"encoder": "hf", "path": "-", "tokens": 256, "features": 2560})
        steps += waits(loader(root / "text", texts(root / "text", 1024), prompts.data), prompts, 16, rounds)
    for row in (*rows_of, *steps):
        print("  ".join(f"{k} {v:.4g}" if isinstance(v, float) else f"{k} {v}" for k, v in row.items()))
    if out is not None:
        facts = {"images": images, "bytes": images * IMAGE_BYTES, "batch": batch, "of": batch * GPUS, "rounds": rounds}
        facts |= {"device": f"{hardware().cpu}, 1 thread", "tflops": TFLOPS / 1e12}
        found = {"formats": rows_of, "loader": steps, "provenance": provenance().as_json()}
        out.write_text(json.dumps(facts | found, indent=1) + "\n")


if __name__ == "__main__":
    typer.run(main)
