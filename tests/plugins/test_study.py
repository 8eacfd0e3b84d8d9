"""A study with a design of the user's own, from its YAML to its report: what every shipped design has."""

import json
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from lina_lab import cost
from lina_lab.cli.main import app
from lina_lab.config.experiment import cell_key
from lina_lab.config.load import load_experiment
from lina_lab.config.problems import ConfigError
from lina_lab.errors import LabError
from lina_lab.interpreter import command, environment
from lina_lab.ledger.cells import create_cell, read_experiment
from lina_lab.model.lina import Lina
from lina_lab.plugins import load
from lina_lab.sweep.planning import load_sweep
from tests.plugins.files import COSINE, EXPERIMENT, SWEEP

OWN = "plugins: [mine.py]\n"
COSINE_EVERYWHERE = {"model.attention.normalization": "cosine"}


def planned(folder: Path) -> dict[str, object]:
    """Keys of the cells of its sweep, by normalization."""
    return {cell.values["normalization"]: cell.key for cell in load_sweep(folder / "sweep.yaml").plan.cells}


def test_the_key_holds_the_source_of_what_a_cell_uses_and_of_nothing_else(folder):
    first = planned(folder)
    plain = cell_key(load_experiment(folder / "base.yaml"))
    assert first["division"] == plain, "a plugin that a cell does not use changes no key"
    (folder / "mine.py").write_text(COSINE + "# a thought\n")
    second = planned(folder)
    assert second["division"] == plain
    assert second["cosine"] != first["cosine"]
    (folder / "mine.py").rename(folder / "moved.py")
    (folder / "sweep.yaml").write_text(SWEEP.replace("mine.py", "moved.py"))
    assert planned(folder) == second, "where a file lies and what it is called changes no result"


def test_a_plan_and_its_cells_call_a_value_what_the_file_does(folder):
    made = load_sweep(folder / "sweep.yaml")
    (digest,) = load.LOADED
    assert [cell.label for cell in made.plan.cells] == ["division", "cosine"]
    decoder = made.own_experiments[1].model.decoder
    assert (decoder.normalization, decoder.feature_map) == (f"cosine@{digest}", "identity")


def test_the_base_experiment_may_name_the_plugin_too(folder):
    (folder / "base.yaml").write_text(OWN + EXPERIMENT)
    both = planned(folder)
    (folder / "sweep.yaml").write_text(SWEEP.replace(OWN, ""))
    assert planned(folder) == both
    alone = load_experiment(folder / "base.yaml", COSINE_EVERYWHERE)
    assert cell_key(alone) == both["cosine"]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("sweep.yaml", SWEEP.replace("cosine]", "cosin]"), r"sweep\.yaml:6: .* or 'cosine', not 'cosin'"),
        ("sweep.yaml", SWEEP.replace(OWN, ""), r"must be 'division', .*, not 'cosine'"),
        ("sweep.yaml", SWEEP.replace("[mine.py]", "mine.py"), r"sweep\.yaml:4: plugins: must be a list of files"),
        ("sweep.yaml", SWEEP.replace("mine.py", "mime.py"), r"sweep\.yaml:4: plugins: .*mime\.py: cannot be read"),
        ("sweep.yaml", SWEEP.replace("mine.py", "mine"), r"sweep\.yaml:4: plugins: mine: no such plugin"),
        ("mine.py", "1 +\n", r"sweep\.yaml:4: plugins: .*mine\.py:1: is not Python"),
        (
            "sweep.yaml",
            SWEEP.replace("mine.py]", "mine.py, other.py]"),
            r"sweep\.yaml:4: plugins: two plugins have a normalization cosine: .*mine\.py and .*other\.py; give one",
        ),
        ("base.yaml", "plugins: [other.py]\n" + EXPERIMENT, "two plugins have a normalization cosine"),
    ],
)
def test_what_is_wrong_is_told_with_file_and_line(folder, name, text, message):
    (folder / "other.py").write_text(COSINE + "# other\n")
    (folder / name).write_text(text)
    with pytest.raises(ConfigError, match=message):
        load_sweep(folder / "sweep.yaml")


def test_plugins_are_no_setting(folder):
    with pytest.raises(ConfigError, match="--set: plugins: name plugins in the YAML file"):
        load_experiment(folder / "base.yaml", {"plugins": ["mine.py"]})


def test_an_ordered_core_is_refused_where_the_order_is_random_and_a_gated_mean_everywhere(folder):
    (folder / "mine.py").write_text(COSINE.replace("    exact=exact,", "    ordered=True,"))
    with pytest.raises(LabError, match=r"sweep\.yaml:6: .* encoder sees only the visible tokens, in random order"):
        load_sweep(folder / "sweep.yaml")
    (folder / "base.yaml").write_text(OWN + EXPERIMENT)
    load_experiment(folder / "base.yaml", {"model.decoder.normalization": "cosine"})
    with pytest.raises(LabError, match="cosine has no key mean of its own to gate"):
        load_experiment(
            folder / "base.yaml",
            {"model.decoder.normalization": "cosine", "model.decoder.kv_gate": "key_value_split"},
        )


def test_a_feature_map_of_ones_own_is_taken_where_a_positive_one_is_needed(folder):
    (folder / "base.yaml").write_text(OWN + EXPERIMENT)
    squared = {"model.attention.feature_map": "square"}
    load_experiment(folder / "base.yaml", squared | {"model.attention.normalization": "division"})
    (folder / "mine.py").write_text(COSINE.replace("positive=True", "positive=False"))
    with pytest.raises(LabError, match="division needs a positive feature map"):
        load_experiment(folder / "base.yaml", squared | {"model.attention.normalization": "division"})


@pytest.mark.slow
def test_a_cell_is_read_from_its_own_copy(folder):
    made = load_sweep(folder / "sweep.yaml").own_experiments[1]
    cell = create_cell(folder / "runs", made)
    (folder / "mine.py").unlink()
    load.LOADED.clear()
    assert read_experiment(cell) == made
    (source,) = [plugin.source for plugin in load.LOADED.values()]
    assert source.path.is_relative_to(cell)
    shutil.rmtree(cell / "plugins")
    # Nothing is found by accident: in another process the word would mean nothing.
    code = "import lab_code; from pathlib import Path; from lina_lab.ledger.cells import read_experiment; "
    code += f"read_experiment(Path({str(cell)!r}))"
    done = subprocess.run([sys.executable, "-c", code], env=environment(), capture_output=True, text=True, check=False)
    assert f"not 'cosine@{source.digest}'" in done.stderr


def test_parameters_and_multiply_adds_are_what_torch_counts(folder):
    (folder / "base.yaml").write_text(OWN + EXPERIMENT)
    own = load_experiment(folder / "base.yaml", COSINE_EVERYWHERE)
    plain = load_experiment(folder / "base.yaml")
    with torch.device("meta"):
        model = Lina(own.model, own.data.shape)
    assert cost.parameters(own.model, own.data.shape).total == sum(p.numel() for p in model.parameters())

    def macs(attention, length):
        return cost.attention_macs(attention, 24, 3, length, 0)

    # M and q M, as division without its denominator, and the map from D to H.
    closed = 4 * 20 * 24**2 + 2 * 20 * 24 * 8 + 20 * 24 * 3
    assert macs(own.model.decoder, 20) == closed
    assert macs(own.model.decoder, 20.25) == pytest.approx(closed * 20.25 / 20)
    assert macs(plain.model.decoder, 20) == closed - 20 * 24 * 3 + 20 * 24


def test_a_closed_form_is_taken_instead(folder):
    (folder / "base.yaml").write_text(OWN + EXPERIMENT)
    counted = load_experiment(folder / "base.yaml", COSINE_EVERYWHERE).model.decoder
    macs = "    macs=lambda N, heads, d: N * heads * d * (2 * d + heads),\n    exact=exact,"
    both = "    num_parameters=lambda width, heads: (width + 1) * heads,\n" + macs
    (folder / "mine.py").write_text(COSINE.replace("    exact=exact,", both))
    closed = load_experiment(folder / "base.yaml", COSINE_EVERYWHERE).model.decoder
    assert closed != counted
    for ask in (
        lambda design: cost.attention_macs(design, 48, 3, 37, 0),
        lambda d: cost.attention_parameters(d, 48, 3, 9),
    ):
        assert ask(closed) == ask(counted)


@pytest.mark.parametrize(
    ("closed", "message"),
    [
        ("macs=lambda N, heads, d: 7 * N", "cosine: macs gives 140 for .*, torch counts 9,120: mend it"),
        ("num_parameters=lambda width, heads: 5", "cosine: num_parameters gives 5 for .*, torch counts 75: mend it"),
    ],
)
def test_a_closed_form_that_torch_counts_otherwise_is_refused(folder, closed, message):
    (folder / "base.yaml").write_text(OWN + EXPERIMENT)
    (folder / "mine.py").write_text(COSINE.replace("    exact=exact,", f"    {closed},\n"))
    own = load_experiment(folder / "base.yaml", COSINE_EVERYWHERE)
    with pytest.raises(LabError, match=message):
        cost.training_flops(own) if "macs" in closed else cost.parameters(own.model, own.data.shape)


def test_what_torch_cannot_count_needs_a_closed_form(folder):
    (folder / "mine.py").write_text(
        COSINE.replace("    return q @ (k", "    assert q.sum().item() < 9\n    return q @ (k")
    )
    (folder / "base.yaml").write_text(OWN + EXPERIMENT)
    own = load_experiment(folder / "base.yaml", COSINE_EVERYWHERE).model.decoder
    with pytest.raises(LabError, match=r"cosine: torch cannot count its multiply-adds: .*; give a closed form, macs="):
        cost.attention_macs(own, 24, 3, 20, 0)


@pytest.mark.slow
def test_axes_size_and_a_dry_run_know_it(folder):
    def lab(*words: str) -> str:
        result = CliRunner().invoke(app, list(words), catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return result.output

    assert "  cosine           o_n = mean_m cos(q_n, k_m) w_m v_m" in lab("axes", "--plugin", "mine.py")
    sized = lab("size", "nano", "--plugin", "mine.py", "--set", "model.attention.normalization=cosine")
    assert "normalization cosine," in sized
    dry = lab("sweep", "sweep.yaml", "--dry-run", "--no-timing")
    assert [line.split()[1] for line in dry.splitlines() if "pico" in line or "e+" in line][:2] == [
        "division",
        "cosine",
    ]


@pytest.mark.slow
def test_a_sweep_runs_in_workers_is_measured_and_reported(folder):
    def lab(*words: str) -> str:
        done = subprocess.run(
            command("lina_lab.cli.main", *words),
            env=environment({"OMP_NUM_THREADS": "1"}),
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    timed = lab("sweep", "sweep.yaml", "--dry-run")
    assert "2 cells" in timed
    assert "not timed" not in timed
    lab("sweep", "sweep.yaml", "--workers", "1")
    (folder / "mine.py").unlink()  # from here on the copies are enough
    cells = [path.parent for path in (folder / "runs").glob("*/result.json")]
    assert len(cells) == 2
    (own,) = (cell for cell in cells if (cell / "plugins").exists())
    result = json.loads((own / "result.json").read_text())
    assert result["parameters"]["total"] > 0
    lab("sample", own.name)
    lab("evaluate", own.name, "--num-samples", "40")
    lab("report", "own")
    page = (folder / "reports" / "own" / "index.html").read_text()
    assert "cosine" in page
    assert "cosine@" not in page
    lab("bundle", "own")
    with tarfile.open(folder / "own.bundle.tar.gz") as tar:
        (copy,) = (name for name in tar.getnames() if name.endswith("/mine.py"))
        tar.extract(copy, folder, filter="data")
    lab("merge", "own.bundle.tar.gz", "--plugin", copy, "--runs", "merged")
    lab("report", "own", "--runs", "merged", "--out", "again")
    tables = [(folder / report / "table.csv").read_text() for report in ("reports/own", "again")]
    assert tables[0] == tables[1]
