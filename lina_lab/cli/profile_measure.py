"""What `lab profile` measures, prints and writes."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import torch

from lina_lab.analysis.profile import BASE, effects, macs_against_softmax, main_designs
from lina_lab.analysis.table import write_table
from lina_lab.cli.console import print_table, text_table
from lina_lab.cli.progress_display import ShareDone
from lina_lab.config.experiment import Experiment
from lina_lab.config.load import Document, build, load_experiment, override
from lina_lab.figures.efficiency import write_profile
from lina_lab.figures.step_breakdown import parts_figure
from lina_lab.figures.style import save
from lina_lab.files import write_atomic
from lina_lab.ledger.cells import read_experiment
from lina_lab.profiling import attention, model
from lina_lab.profiling.ceilings import Ceilings
from lina_lab.profiling.designs import designs, layout_of
from lina_lab.provenance import provenance
from lina_lab.tracking.profile import EXPERIMENT, Profile, log_profile

KINDS = ("png", "pdf", "svg")
NOISY = 0.2
"""Quartiles further apart than this share of the median are told of."""


class ProfileOptions(NamedTuple):
    """What both kinds of profile share."""

    device: torch.device
    limit: float
    """Seconds that one forward and backward may take."""
    out: Path
    runs: Path | None
    """The ledger whose MLflow store shows the profile; None for no run there."""


def profile_designs(options: ProfileOptions, setting: attention.AttentionSetting, tokens: Sequence[int]) -> None:
    """Measure one attention module; print, write and track it."""
    layouts = [layout_of(length) for length in sorted(set(tokens))]
    told = ", ".join(f"{lay.tokens} = {lay.prefix} + {lay.height} x {lay.width}" for lay in layouts)
    print(f"lengths, prefix + grid: {told}", flush=True)
    kernels = setting.device.type == "cuda" and setting.execution.attention_backend != "torch"
    chosen, omitted = designs(setting.precision, kernels=kernels)
    for line in omitted:
        print(f"left out: {line}")
    table = attention.profile_attention(setting, tokens, chosen, ShareDone("profiling"))
    _print_points(table)
    _print_effects(effects(table))
    _print_left_out(table, "design", options.limit)
    print(macs_against_softmax())
    files = [options.out / "attention.csv", options.out / "attention.json"]
    write_table(table, files[0])
    _write_provenance(files[1], {"left_out": omitted})
    files.append(write_profile(files[0], options.out))
    names = ("device", "width", "num_heads", "batch", "precision", "backend", "compile", *Ceilings._fields)
    params = {name: table[name].iloc[0] for name in names} | {"tokens": " ".join(map(str, sorted(set(tokens))))}
    _finish(options, Profile(name="attention", table=table, facts={}, params=params, files=files))


def _experiment_of(file: Path, changes: Mapping[str, Any]) -> Experiment:
    """Of a YAML file, or of a cell's folder."""
    if not (file / "config.yaml").exists():
        return load_experiment(file, changes)
    return build(override(Document(read_experiment(file).model_dump(mode="json"), {}), changes, "--set"))


def profile_experiment(options: ProfileOptions, file: Path, changes: Mapping[str, Any], batch: int | None) -> None:
    """Measure a whole model; print, write and track it."""
    experiment = _experiment_of(file, changes)
    setting = model.StepSetting(batch or experiment.training.batch_size, options.device, options.limit)
    visible = model.visible_tokens(experiment)
    print(
        f"{experiment.name}: batch {setting.batch}, {visible} tokens visible, the mean of what training draws",
        flush=True,
    )
    found = model.profile_model(experiment, setting, ShareDone("profiling"))
    _print_parts(found.parts)
    _print_left_out(found.parts, "part", options.limit)
    for line in _facts_words(found.facts, experiment, setting.batch):
        print(line)
    stem = options.out / f"model-{experiment.name}"
    files = [stem.with_name(f"{stem.name}.csv"), stem.with_name(f"{stem.name}.json")]
    write_table(found.parts, files[0])
    _write_provenance(files[1], {"facts": found.facts, "experiment": experiment.model_dump(mode="json")})
    figure = parts_figure(found.parts)
    if figure is not None:
        files.append(stem.with_name(f"{stem.name}.png"))
        save(figure, files[-1], KINDS)
    names = ("device", "batch", "visible", "precision", *Ceilings._fields)
    params = {name: found.parts[name].iloc[0] for name in names} | experiment.execution.model_dump()
    _finish(options, Profile(name=experiment.name, table=found.parts, facts=found.facts, params=params, files=files))


def _write_provenance(path: Path, more: Mapping[str, Any]) -> None:
    write_atomic(path, json.dumps({"provenance": provenance().as_json(), **more}, indent=1) + "\n")


def _finish(options: ProfileOptions, profile: Profile) -> None:
    """Say what was written, and show it in MLflow."""
    print(f"wrote {', '.join(path.name for path in profile.files)} to {options.out}")
    if options.runs is not None:
        log_profile(options.runs, profile)
        print(f"MLflow has it in the experiment {EXPERIMENT}")


def _print_points(table: pd.DataFrame) -> None:
    """Every length of the main designs."""
    shown = text_table(
        "design", "tokens", "MAC", "forward ms", "backward ms", "bound ms", "roofline", "activations", "peak", numbers=8
    )
    for row in main_designs(table).dropna(subset=["forward_ms"]).sort_values(["design", "tokens"]).to_dict("records"):
        shown.add_row(
            row["design"],
            f"{row['tokens']:,}",
            f"{row['macs']:,}",
            *(f"{row[name]:.4g}" for name in ("forward_ms", "backward_ms", "bound_ms")),
            f"{row['roofline']:.0%}",
            *(_mebibytes(row[name]) for name in ("activation_bytes", "peak_bytes")),
        )
    print_table(shown)


def _print_effects(table: pd.DataFrame) -> None:
    """What each part costs, at the longest length that was measured."""
    if table.empty:
        return
    print(f"\n{BASE} with one thing changed, on {table['tokens'].iloc[0]:,} tokens; ratios are to {BASE}")
    shown = text_table(
        "design", "forward ms", "backward ms", "time", "activations", "peak", "MAC", "roofline", numbers=7
    )
    for row in table.to_dict("records"):
        ratios = (_number(row[name], ".3f") for name in ("time", "activations", "peak", "macs"))
        times = (_number(row[name], ".4g") for name in ("forward_ms", "backward_ms"))
        shown.add_row(row["design"], *times, *ratios, _number(row["roofline"], ".0%"))
    print_table(shown)
    print()


def _print_parts(table: pd.DataFrame) -> None:
    shown = text_table(
        "part",
        "number",
        "parameters",
        "MAC",
        "forward ms",
        "backward ms",
        "utilisation",
        "activations",
        "peak of one",
        numbers=8,
    )
    for row in table.to_dict("records"):
        shown.add_row(
            row["part"],
            str(row["count"]),
            f"{row['parameters']:,}",
            f"{row['macs']:,}",
            *(_number(row[name], ".4g") for name in ("forward_ms", "backward_ms")),
            _number(row["utilisation"], ".0%"),
            *(_mebibytes(row[name]) for name in ("activation_bytes", "peak_bytes")),
        )
    print_table(shown)


def _print_left_out(table: pd.DataFrame, label: str, limit: float) -> None:
    """What was not measured and why; and where the machine was too busy for steady times."""
    left = table[table["reason"] != ""]
    for at, rows in (
        left.groupby(left["tokens"].map(" at {:,} tokens".format), sort=False) if "tokens" in left else [("", left)]
    ):
        reasons = [f"{', '.join(same[label])} {why}" for why, same in rows.groupby("reason", sort=False)]
        if reasons:
            print(f"not measured{at}, --limit being {limit:g} s: {'; '.join(reasons)}")
    noisy = int((table["iqr_ms"] > NOISY * (table["forward_ms"] + table["backward_ms"])).sum())
    if noisy:
        measured = int(table["forward_ms"].notna().sum())
        print(f"{noisy} of {measured} times vary by more than {NOISY:.0%} (quartiles): the machine was busy")


def _facts_words(facts: Mapping[str, float | None], experiment: Experiment, batch: int) -> list[str]:
    """Sentences on a training step and on sampling."""
    words = []
    if facts["step_ms"] is not None:
        words.append(
            f"training step of {batch} images: {facts['step_ms']:.4g} ms, of which the optimizer takes "
            f"{facts['optimizer_ms']:.3g}; {facts['images_per_second']:.4g} images/s; "
            f"{facts['utilisation']:.0%} of the FLOP/s of a large matrix product"
        )
    sampling = experiment.sampling
    last = f" to {sampling.flow_steps_last}" if sampling.flow_steps_last else ""
    steps = f"{sampling.autoregressive_steps} autoregressive, {sampling.flow_steps}{last} Euler steps"
    if facts["sampling_seconds"] is None:
        words.append(f"sampling ({steps}) was not measured: it would take more than ten times --limit")
    else:
        words.append(f"sampling {batch} images at once: {facts['sampling_seconds']:.3g} s an image ({steps})")
    return words


def _number(value: float, form: str) -> str:
    return "" if pd.isna(value) else format(value, form)


def _mebibytes(value: float) -> str:
    return "" if pd.isna(value) else f"{value / 2**20:.4g} MiB"
