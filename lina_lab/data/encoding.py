"""Make a cache of latents, shard by shard, with any number of processes on any number of nodes.

A shard is made by the process that holds its lease.
"""

import json
import multiprocessing
import os
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from lina_lab.config.data import DataConfig
from lina_lab.data import cache
from lina_lab.data.moved import take_over
from lina_lab.data.pictures import refuse
from lina_lab.data.shard import Job, make_shard
from lina_lab.errors import LabError
from lina_lab.files import write_atomic
from lina_lab.interpreter import BINDING, surroundings
from lina_lab.ledger.leases import Watch, claim
from lina_lab.provenance import commit, versions

POLL_SECONDS = 0.5
SHOW_SECONDS = 2.0
PRELOADED = ["lina_lab.data.encoding", "diffusers.models.autoencoders.autoencoder_kl"]
Show = Callable[[float, int], None]
"""Called now and then with the share done (0 to 1) and the number of images."""


def num_workers(device: str) -> int:
    """The default number of processes: one a GPU, or one a core without GPUs."""
    return torch.cuda.device_count() if device == "cuda" else os.cpu_count() or 1


def make_cache(
    config: DataConfig,
    workers: int = 1,
    device: str = "cpu",
    *,
    verify: bool = False,
    show: Show = lambda share, count: None,
    tell: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """Make the missing, damaged and changed shards of a config's cache, and return its manifest.

    Raises:
        LabError: if an image cannot be used (all are named), or a worker failed.
    """
    job = _job(config, cache.place(config), device, workers)
    made_with, numbers = job.made_with(), range(len(job.shards))
    if job.reads_text and not job.pictures.texts:
        raise LabError(f"{config.path}: has no captions for data.text: write them into metadata.jsonl")
    tell(f"{len(job.pictures.names):,} images, shards: {len(numbers)}; {job.root}")
    take_over(job, made_with, tell)
    if not _sorted_out(job, made_with, verify=verify, tell=tell):
        # While a manifest exists, cells take the cache for finished: remove it before shards change.
        (job.root / cache.MANIFEST).unlink(missing_ok=True)
        missing = sum(not job.is_made(number) for number in numbers)
        if min(workers, missing) == 1:
            _work(job, made_with, _now_and_then(job, show))
        else:
            _work_together(job, min(workers, missing), device, show)
    refused = [cache.read_json(cache.shard_folder(job.root, n) / cache.REFUSED) for n in numbers]
    refuse([problem for record in refused if record for problem in record["problems"]])
    records = [cache.read_json(cache.shard_folder(job.root, number) / cache.RECORD) for number in numbers]
    whole = [record for record in records if record is not None]
    if len(whole) < len(records):
        raise LabError(f"{job.root}: {len(records) - len(whole)} shards are missing: start lab cache again")
    scaling = config.autoencoder.model_dump(include={"scaling_factor", "shift_factor"}) if config.autoencoder else {}
    made = {"versions": versions(), "commit": commit()}
    manifest = cache.manifest_of(whole, made_with) | scaling | made
    write_atomic(job.root / cache.MANIFEST, json.dumps(manifest, indent=1))
    return manifest


def _job(config: DataConfig, root: Path, device: str, workers: int) -> Job:
    if device == "cpu":
        torch.set_num_threads(1)  # another number of threads would give other bits
    pictures = cache.PICTURES[config.name](config)
    threads = max(1, (os.cpu_count() or 1) // workers)
    return Job(config=config, root=root, pictures=pictures, device=torch.device(device), threads=threads)


def _sorted_out(job: Job, made_with: dict[str, Any], *, verify: bool, tell: Callable[[str], None]) -> bool:
    """Whether every shard exists and is up to date; the others are removed, and the reasons shown."""
    right = True
    for number, rows in enumerate(job.shards):
        shard = cache.shard_folder(job.root, number)
        (shard / cache.REFUSED).unlink(missing_ok=True)
        if not (shard / cache.RECORD).exists():
            right = False
            continue
        record = cache.read_json(shard / cache.RECORD)
        if record is None or not cache.is_whole(shard, record):
            reason = "damaged"
        else:
            reason = cache.changes(record, job.pictures, rows, made_with, verify=verify)
        if reason:
            (shard / cache.RECORD).unlink(missing_ok=True)
            tell(f"{shard}: {reason}; it is made again")
            right = False
    for shard in job.root.glob("[0-9]" * 5):
        if int(shard.name) >= len(job.shards):
            shutil.rmtree(shard)
            right = False
    return right


def _work_together(job: Job, workers: int, device: str, show: Show) -> None:
    # Workers are forked from a process that has only imported: imports take longer than many shards.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([BINDING, *PRELOADED])
    devices = [f"cuda:{n % torch.cuda.device_count()}" if device == "cuda" else device for n in range(workers)]
    processes = [context.Process(target=_worker, args=(job.config, job.root, name, workers)) for name in devices]
    tick = _now_and_then(job, show)
    try:
        with surroundings({}):
            for process in processes:
                process.start()
        while any(process.is_alive() for process in processes):
            time.sleep(POLL_SECONDS)
            tick()
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.join()
    if failed := [process.exitcode for process in processes if process.exitcode]:
        raise LabError(f"{len(failed)} of {workers} workers failed ({failed}); what they made is kept: start again")


def _worker(config: DataConfig, root: Path, device: str, workers: int) -> None:
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes; the first one ends the others
    threading.Thread(target=_ends_with, args=(multiprocessing.parent_process(),), daemon=True).start()
    job = _job(config, root, device, workers)
    _work(job, job.made_with(), lambda: None)


def _ends_with(parent: Any) -> None:
    parent.join()
    os._exit(1)


def _now_and_then(job: Job, show: Show) -> Callable[[], None]:
    last = time.monotonic()

    def tick() -> None:
        nonlocal last
        if time.monotonic() - last > SHOW_SECONDS:
            last = time.monotonic()
            show(_share(job), len(job.pictures.names))

    return tick


def _share(job: Job) -> float:
    """The share (0 to 1) of shards that exist, whichever node made them."""
    channels, side = job.config.shape[:2]
    done = 0
    for number, rows in enumerate(job.shards):
        part = cache.shard_folder(job.root, number) / f"{cache.MOMENTS}.part"
        if job.is_made(number):
            done += len(rows)
        elif part.exists():
            done += part.stat().st_size // (4 * channels * side * side)
    return done / len(job.pictures.names)


def _work(job: Job, made_with: dict[str, Any], tick: Callable[[], None]) -> None:
    """Make shards until all exist. Wait for those that others are making, in case such a process dies."""
    watch = Watch()
    while pending := [number for number in range(len(job.shards)) if not job.is_made(number)]:
        worked = False
        for number in pending:
            claimed = claim(cache.shard_folder(job.root, number), watch)
            if claimed is None:
                continue
            worked = True
            with claimed:
                try:
                    if not job.is_made(number):
                        make_shard(job, number, made_with, tick)
                finally:
                    claimed.end("done" if job.is_made(number) else "stopped")
        if not worked:
            tick()
            time.sleep(POLL_SECONDS)
