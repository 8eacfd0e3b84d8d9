"""Commands on cells: draw from a trained one, run some."""

import contextlib
from pathlib import Path
from typing import Any

from lina_lab.cli.show import ShareDone
from lina_lab.config.data import DataShape
from lina_lab.config.engine import Group, Limits, WorkerCount
from lina_lab.config.experiment import digest
from lina_lab.config.load import with_sections
from lina_lab.errors import LabError
from lina_lab.ledger.cells import find_cell

REQUEUE = 75
"""Exit code of cells that were asked to stop and have left a checkpoint: EX_TEMPFAIL, start them again."""


def sample_cell(
    runs: Path,
    name: str,
    out: Path | None,
    labels: str,
    prompts: list[str],
    each: int,
    seed: int,
    changes: dict[str, Any],
) -> None:
    """Write a sheet of images, a class or prompt a row, and the images as npz."""
    import torch

    from lina_lab.checkpoints.ema_weights import load_trained
    from lina_lab.data.autoencoder import decoder
    from lina_lab.data.text import text_encoder
    from lina_lab.model.execution import device
    from lina_lab.sampling.contact_sheet import save_sheet
    from lina_lab.sampling.generate import generate, save_images

    folder = find_cell(runs, name)
    experiment, model = load_trained(folder)
    model = model.to(device())
    sampling = with_sections(experiment, {"sampling": experiment.sampling.changed(changes)}).sampling
    if experiment.data.text is not None:
        if labels or not prompts:
            raise LabError(f"{folder.name} follows prompts: give some with --prompt, and no --labels")
        rows: list[str] | list[int] = prompts
        condition = text_encoder(experiment.data)(prompts)
    elif prompts:
        raise LabError(f"{folder.name} is conditioned on labels: it has no prompts; use --labels")
    else:
        rows = _classes(labels, experiment.data.shape)
        condition = torch.tensor(rows)
    condition = condition.repeat_interleave(each, dim=0)
    decode = decoder(experiment.data, device())
    images = generate(model, condition, sampling, seed, ShareDone(f"drawing {len(condition)} images"), decode=decode)
    out = out or folder / "samples" / f"sample-seed{seed}-{digest([rows, each, sampling.model_dump()])[:6]}.png"
    save_sheet(out, images, each)
    of_images = [prompt for prompt in prompts for _ in range(each)]
    save_images(out.with_suffix(".npz"), images, None if prompts else condition, of_images)
    what = f"prompts {', '.join(map(repr, prompts))}" if prompts else f"classes {', '.join(map(str, rows))}"
    print(f"wrote {out} and {out.with_suffix('.npz').name} ({what})")


def run_cells(
    folders: list[Path],
    sweep: str | None,
    workers: WorkerCount,
    per_gpu: int,
    retries: int,
    until: int,
    group: Group,
    limits: Limits,
) -> int:
    """Run cells on this machine, as a job of a cluster does: the exit code."""
    import signal
    from collections import deque

    from lina_lab.ledger.cells import read_experiment
    from lina_lab.ledger.plan import load_plan
    from lina_lab.sweep.alike import FailedAlike
    from lina_lab.sweep.local_engine import Engine, Finished, slots, visible_gpus
    from lina_lab.sweep.slurm_engine import failed_in_array, requeue_this_job

    for folder in folders:
        read_experiment(folder)
    runs = folders[0].parent
    failed: list[Finished] = []

    def show(new: list[Finished]) -> None:
        for finished in new:
            print(f"{finished.folder.name}: {finished.state}{finished.reason and f': {finished.reason}'}", flush=True)
        failed.extend(finished for finished in new if finished.state == "failed")

    signal.signal(signal.SIGTERM, signal.default_int_handler)
    where = slots(len(folders) if workers == "auto" else workers, per_gpu, visible_gpus(), group.devices)
    with contextlib.ExitStack() as stack:
        if sweep is not None:
            from lina_lab.tracking.shipper import Shipper

            keys = frozenset(folder.resolve().name for folder in folders)
            shipper = stack.enter_context(Shipper(runs, load_plan(runs, sweep), only=keys))
        try:
            engine = Engine(deque(folders), where, retries, group, patient=False, limits=limits)
            engine.until = dict.fromkeys(folders, until)
            if sweep is not None and not limits.keep_going:
                engine.alike = failed_in_array(runs, sweep)
                engine.alike.check()
            engine.run(show)
        except FailedAlike as broken:
            print(f"stopped: {broken}; lab sweep goes on, and --keep-going goes on all the same", flush=True)
            return 1
        except KeyboardInterrupt:
            print(f"stopped{', requeued' if requeue_this_job() else '; it will continue'}", flush=True)
            return REQUEUE
    if sweep is not None and shipper.behind:
        print(shipper.behind)
    return 1 if failed else 0


def _classes(text: str, shape: DataShape) -> list[int]:
    """Class numbers of '0,3,7', or all of them."""
    known = list(range(shape.num_classes))
    if not text:
        return known
    try:
        classes = [int(word) for word in text.split(",")]
    except ValueError as error:
        raise LabError(f"--labels {text}: must be class numbers as in 0,3,7") from error
    if not set(classes) <= set(known):
        raise LabError(f"--labels {text}: classes must be 0 to {shape.num_classes - 1}")
    return classes
