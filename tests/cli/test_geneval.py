"""`lab geneval`: into the ledger, the table and MLflow, and what a user is told."""

import json
import sys
from dataclasses import replace

import pytest
import torch
from typer.testing import CliRunner

from lina_lab.analysis.table import readable, results_table
from lina_lab.checkpoints.ema_weights import Trained, keep_trained
from lina_lab.cli import main as cli
from lina_lab.composition.geneval import export_images, read_prompts
from lina_lab.config.experiment import Experiment
from lina_lab.data.shapes_grammar import COLOURS, TAGS
from lina_lab.errors import LabError
from lina_lab.ledger.cells import create_cell
from lina_lab.ledger.metrics import read_metrics
from lina_lab.ledger.result import read_result
from lina_lab.model.lina import Lina

OVERALL = "eval/geneval/overall"


@pytest.fixture
def finished(study, tmp_path):
    """A finished sweep; `results(key, wrong)` writes results of an export of a cell's images."""
    made = study()
    prompts = tmp_path / "evaluation_metadata.jsonl"
    lines = [{"tag": TAGS[n % 6], "include": [], "prompt": f"a photo of {n} benches"} for n in range(12)]
    prompts.write_text("".join(json.dumps(line) + "\n" for line in lines))

    def results(key: str, wrong: int):
        out = tmp_path / f"out-{key}"
        export_images(
            out,
            read_prompts(prompts),
            1,
            {"key": key, "seed": 0},
            lambda n: torch.zeros(len(n), 3, 4, 4, dtype=torch.uint8),
        )
        path = tmp_path / "results.jsonl"
        told = [
            {**line, "filename": f"{out}/{n:05d}/samples/0000.png", "correct": n >= wrong}
            for n, line in enumerate(lines)
        ]
        path.write_text("".join(json.dumps(line) + "\n" for line in told))
        return path

    return made, prompts, results


def run(made, *words):
    return CliRunner().invoke(cli.app, ["geneval", *map(str, words), "--runs", str(made.runs)])


def test_official_results_reach_the_ledger_and_the_table(finished):
    made, _, results = finished
    key = made.plan.cells[0].key
    before = read_result(made.runs / key)
    done = run(made, "import", key, results(key, wrong=6))
    assert done.exit_code == 0, done.output
    assert f"{OVERALL}             0.5" in done.output
    result = read_result(made.runs / key)
    assert result.metrics[OVERALL] == 0.5
    assert result.others["geneval"]["num_prompts"] == 12
    assert {k: v for k, v in result.metrics.items() if "geneval" not in k} == before.metrics
    assert replace(result, metrics={}, others={}) == replace(before, metrics={})
    assert (100, OVERALL, 0.5) in [row[:3] for row in read_metrics(made.runs / key)]
    table = results_table(made.runs, made.stored)
    assert table[OVERALL].dropna().tolist() == [0.5]
    assert readable(table, []).loc[0, "GenEval"] == "0.5"


def test_results_that_are_imported_again_take_the_place_of_the_old(finished):
    made, _, results = finished
    key = made.plan.cells[0].key
    rows = len(read_metrics(made.runs / key))
    run(made, "import", key, results(key, wrong=6))
    done = run(made, "import", key, results(key, wrong=0))
    assert done.exit_code == 0, done.output
    assert read_result(made.runs / key).metrics[OVERALL] == 1
    told = read_metrics(made.runs / key)
    assert [row.value for row in told if row.metric == OVERALL] == [1.0]
    assert len(told) == rows + 3 * 7


@pytest.mark.slow
def test_results_reach_mlflow_by_the_usual_sync(finished, monkeypatch):
    from mlflow import MlflowClient

    from lina_lab.tracking.shipper import sync
    from lina_lab.tracking.store import store_uri

    made, _, results = finished
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    sync(made.runs, made.stored)
    key = made.plan.cells[0].key
    run(made, "import", key, results(key, wrong=6))
    sync(made.runs, made.stored)
    client = MlflowClient(store_uri(made.runs))
    experiment = client.get_experiment_by_name("fake")
    found = client.search_runs([experiment.experiment_id], f"tags.`lab.key` = '{key}'")
    assert [one.data.metrics[OVERALL] for one in found] == [0.5]


def test_results_of_another_cell_are_refused(finished):
    made, _, results = finished
    first, second = (cell.key for cell in made.plan.cells[:2])
    with pytest.raises(LabError, match=f"holds results of cell {second}, not {first}"):
        CliRunner().invoke(
            cli.app,
            ["geneval", "import", first, str(results(second, 0)), "--runs", str(made.runs)],
            catch_exceptions=False,
        )
    assert OVERALL not in read_result(made.runs / first).metrics


def test_a_cell_that_is_not_finished_takes_no_results(finished):
    made, _, results = finished
    key = made.plan.cells[0].key
    path = results(key, 0)
    made.change(0, state="diverged")
    assert isinstance(run(made, "import", key, path).exception, LabError)
    made.unfinish(0, "waiting")
    assert "the cell is not finished" in str(run(made, "import", key, path).exception)


def trained_cell(runs, **data):
    """A cell with weights, of shapes 16x16."""
    experiment = Experiment.model_validate(
        {
            "name": "x",
            "data": {"name": "shapes", "side": 16, **data},
            "model": {"size": "nano", "patch": 4},
            "training": {"steps": 1, "batch_size": 4, "learning_rate": 1e-3},
            "sampling": {"autoregressive_steps": 2, "flow_steps": 2},
            "evaluation": {"extractor": "inception", "num_samples": 12},
        }
    )
    folder = create_cell(runs, experiment)
    model, generator = Lina(experiment.model, experiment.data.shape), torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in model.parameters():  # at the start the head's last layer is 0, and every image the same
            weight.copy_(0.1 * torch.randn(weight.shape, generator=generator))
    keep_trained(folder, Trained(model, None, 1.0))
    return folder.name


@pytest.mark.slow
def test_a_cell_of_prompts_draws_every_prompt_and_goes_on_where_it_was(finished, tmp_path):
    made, prompts, _ = finished
    key = trained_cell(made.runs, text={"encoder": "words", "tokens": 8, "features": 8})
    lines = [{"tag": TAGS[n % 6], "include": [], "prompt": f"a {word} circle"} for n, word in enumerate(COLOURS)]
    prompts.write_text("".join(json.dumps(line) + "\n" for line in lines if line["tag"] in TAGS[:2]))
    whole, begun = tmp_path / "whole", tmp_path / "begun"
    for out, drawn in ((whole, 4), (begun, 4), (begun, 0)):
        done = run(made, "export", key, "--prompts", prompts, "--out", out, "--each", 3)
        assert done.exit_code == 0, (done.output, done.exception)
        assert f"wrote {3 * drawn} images of {drawn} prompts" in done.output
    (begun / "00002" / "metadata.jsonl").unlink()
    (begun / "00002" / "samples" / "0001.png").unlink()
    run(made, "export", key, "--prompts", prompts, "--out", begun, "--each", 3)
    files = sorted(path.relative_to(whole) for path in whole.rglob("*.png"))
    assert len(files) == 12
    # An image does not depend on what is drawn beside it.
    assert all((whole / path).read_bytes() == (begun / path).read_bytes() for path in files)
    assert len({(whole / path).read_bytes() for path in files}) == 12


def test_a_prompt_outside_the_vocabulary_is_told_before_anything_is_drawn(finished, tmp_path):
    made, prompts, _ = finished
    key = trained_cell(made.runs, text={"encoder": "words", "tokens": 8, "features": 8})
    done = run(made, "export", key, "--prompts", prompts, "--out", tmp_path / "out")
    assert isinstance(done.exception, LabError)
    assert "benches" in str(done.exception)
    assert not (tmp_path / "out").exists()


def test_a_cell_of_labels_has_no_prompts(finished, tmp_path, monkeypatch, capsys):
    made, prompts, _ = finished
    key = trained_cell(made.runs)
    words = ["export", key, "--prompts", str(prompts), "--out", str(tmp_path / "o"), "--runs", str(made.runs)]
    monkeypatch.setattr(sys, "argv", ["lab", "geneval", *words])
    with pytest.raises(SystemExit) as left:
        cli.main()
    assert left.value.code == 2
    assert capsys.readouterr().err == f"error: {key} is conditioned on labels: it has no prompts\n"
    assert not (tmp_path / "o").exists()
