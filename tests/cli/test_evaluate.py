"""`lab evaluate`, `lab guidance`, `lab reference` and their figures, as a user types them, on a cell of four steps."""

import csv
import json
import shutil

import numpy as np
import pytest
from typer.testing import CliRunner

from lina_lab.analysis.guidance import read_points
from lina_lab.cell import guidance_scan
from lina_lab.cli import main as cli
from lina_lab.errors import LabError, NotFinite
from lina_lab.sampling import workers
from lina_lab.sampling.generate import generate
from tests.cells import DIGITS, trained_cell

YAML = """\
name: digits
model: {size: nano, patch: 2}
training: {steps: 4, batch_size: 8, learning_rate: 2e-3}
evaluation: {num_samples: 50}
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    return trained_cell(tmp_path_factory.mktemp("runs"), DIGITS | {"evaluation": {"num_samples": 50}})


@pytest.fixture
def cell(trained, tmp_path):
    return shutil.copytree(trained, tmp_path / "runs" / trained.name)


@pytest.mark.slow
def test_further_extractors_measure_a_finished_cell(cell, tmp_path, lab):
    runs = str(tmp_path / "runs")
    lab("evaluate", cell.name, "--runs", runs, "--workers", "1")
    both = lab("evaluate", cell.name, "--runs", runs, "--workers", "1", "--also", "digits-vicreg")
    assert "eval/fid/digits-vicreg" in both
    kept = [json.loads(path.read_text()) for path in (cell / "evaluations").glob("*.json")]
    (with_also,) = [record for record in kept if "also" in record["evaluation"]]
    (without,) = [record for record in kept if "also" not in record["evaluation"]]
    assert with_also["evaluation"]["also"][0].startswith("digits-vicreg-")
    assert without["metrics"].items() <= with_also["metrics"].items()


@pytest.fixture
def drawn(monkeypatch):
    """The numbers of the first images of all chunks that are drawn."""
    first = []

    def counted(*arguments, **named):
        first.append(arguments[5][0])
        return generate(*arguments, **named)

    monkeypatch.setattr(workers, "generate", counted)
    return first


def lab(*words):
    result = CliRunner().invoke(cli.app, [str(word) for word in words], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def metrics(output):
    return {line.split()[0]: float(line.split()[1]) for line in output.splitlines() if line.startswith("eval/")}


@pytest.mark.slow
def test_a_measurement_with_other_settings_is_kept_and_not_made_again(cell, drawn, tmp_path):
    words = ["evaluate", cell, "--num-samples", 60, "--guidance", 1.5, "--autoregressive-steps", 3, "--flow-steps", 2]
    first = lab(*words)
    path = next(cell.glob("evaluations/*.json"))
    kept = json.loads(path.read_text())
    assert kept["metrics"] == pytest.approx(metrics(first), rel=1e-5)
    asked = {"guidance_scale": 1.5, "autoregressive_steps": 3, "flow_steps": 2}
    assert {name: kept["evaluation"][name] for name in asked} == asked
    assert kept["evaluation"]["num_generated"] == 60
    assert drawn == [0]
    assert lab(*words) == first
    assert drawn == [0]
    again = lab(*words, "--npz", tmp_path / "set.npz", "--png", tmp_path / "png")
    assert drawn == [0, 0]
    assert metrics(again) == metrics(first)
    assert np.load(tmp_path / "set.npz")["arr_0"].shape == (60, 8, 8, 3)
    assert len(list((tmp_path / "png").glob("*.png"))) == 60
    assert metrics(lab(*words, "--seed", 7)) != metrics(first)
    assert not [path for path in cell.glob("evaluations/*") if path.is_dir()]


@pytest.mark.slow
def test_a_reference_of_the_held_out_split_gives_the_fid_of_the_held_out_split(cell, tmp_path):
    experiment, path = tmp_path / "digits.yaml", tmp_path / "heldout.npz"
    experiment.write_text(YAML)
    assert "500 images, 32 features of digits-cnn-" in lab("reference", experiment, "--out", path)
    with np.load(path) as file:
        assert (file["mu"].shape, file["sigma"].shape, file["arr_0"].shape) == ((32,), (32, 32), (500, 8, 8, 3))
    own, read = metrics(lab("evaluate", cell)), metrics(lab("evaluate", cell, "--reference", path))
    assert read["eval/fid/digits-cnn"] == pytest.approx(own["eval/fid/digits-cnn"], rel=1e-5)
    assert not any("_train" in name for name in read)
    lab("reference", experiment, "--out", tmp_path / "train.npz", "--split", "train")
    train = metrics(lab("evaluate", cell, "--reference", tmp_path / "train.npz"))
    assert train["eval/fid/digits-cnn"] == pytest.approx(own["eval/fid_train/digits-cnn"], rel=1e-5)


@pytest.mark.slow
def test_the_search_measures_its_grid_and_refinements_once(cell, drawn):
    words = ["guidance", cell, "--scales", "1,2,4", "--refinements", 2]
    first = lab(*words)
    assert "3 values of guidance_scale and 2 refinements, 50 images each" in first
    assert "best guidance_scale of 5 measured:" in first
    path = cell / "guidance.csv"
    points = read_points(path)
    assert len({point.guidance_scale for point in points}) == len(points) == len(drawn) == 5
    assert lab(*words).splitlines()[-3:] == first.splitlines()[-3:]
    assert len(drawn) == 5
    # As after a kill: the last rows are not there, and their measurements are not either.
    rows = path.read_text().splitlines(keepends=True)
    path.write_text("".join(rows[:3]))
    for kept in cell.glob("evaluations/*.json"):
        kept.unlink()
    lab(*words)
    assert len(drawn) == 5 + 3

    def same(point):
        return point._replace(seconds=0.0)

    assert list(map(same, read_points(path))) == list(map(same, points))


@pytest.mark.slow
def test_every_scale_has_the_same_seeds_and_a_row_is_what_evaluate_says(cell):
    lab("guidance", cell, "--scales", "1.5,3", "--refinements", 0, "--flow-steps", 5)
    with (cell / "guidance.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["flow_steps"] == "5"]
    assert [row["guidance_scale"] for row in rows] == ["1.5", "3.0"]
    assert {row["seed"] for row in rows} == {"0"}
    found = metrics(lab("evaluate", cell, "--guidance", 3, "--flow-steps", 5))
    assert float(rows[1]["fid"]) == pytest.approx(found["eval/fid/digits-cnn"], rel=1e-5)
    deviations = [float(word) for word in rows[1]["fid_deviations"].split()]
    sd = found["eval/fid_bootstrap_sd/digits-cnn"]
    assert np.sqrt(np.mean(np.square(deviations))) == pytest.approx(sd, rel=1e-4)


@pytest.mark.slow
def test_steps_are_measured_at_the_values_that_are_named_and_drawn(cell, tmp_path):
    said = lab("guidance", cell, "--over", "flow_steps=4,2,4", "--guidance", 2)
    assert "2 values of flow_steps and 0 refinements" in said
    lab("guidance", cell, "--over", "autoregressive_steps=2,4", "--guidance", 2)
    out = tmp_path / "figures"
    said = lab("figures", "sampling", cell, "--out", out, "--only", "guidance_scale=2")
    kinds = ("png", "pdf", "svg")
    names = {f"{over}.{kind}" for over in ("flow_steps", "autoregressive_steps") for kind in kinds} | {"sampling.csv"}
    assert {path.name for path in out.iterdir()} == names
    assert "flow_steps.png" in said


@pytest.mark.slow
def test_a_point_of_other_weights_is_measured_anew(cell, monkeypatch):
    """The file has only what its setting says; here the weights' hash is another."""
    words = ["guidance", cell, "--over", "flow_steps=6"]
    lab(*words)
    monkeypatch.setattr(guidance_scan, "measure_cell", lambda *arguments: pytest.fail("measured"))
    lab(*words)
    monkeypatch.setattr("lina_lab.cell.reevaluate.weights_digest", lambda folder: "f" * 64)
    with pytest.raises(pytest.fail.Exception, match="measured"):
        lab(*words)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["evaluate", "--num-samples", 41], r"num_samples must be a multiple of the 10 classes .* as 40 or 50, not 41"),
        (["evaluate", "--num-samples", 30], r"evaluation\.num_samples must be at least 33, not 30"),
        (["evaluate", "--extractor", "inceptoin"], r"extractor: must be 'digits-cnn'"),
        (["evaluate", "--reference", "none.npz"], r"none\.npz: no such file"),
        (["guidance", "--scales", "1,x"], r"--scales 1,x: must be numbers"),
        (["guidance", "--scales", "0,1"], r"--scales 0,1: must be numbers above 0"),
        (["guidance", "--over", "steps=3"], r"--over steps=3: must be one of guidance_scale, autoregressive_steps,"),
        (["guidance", "--over", "flow_steps=3", "--scales", "1"], r"either it or --scales"),
        (["guidance", "--over", "flow_steps=2.5"], r"flow_steps must be whole numbers"),
        (["guidance", "--over", "flow_steps=2", "--refinements", 2], r"--refinements is for guidance scales"),
    ],
)
def test_a_mistake_is_named(cell, words, message):
    with pytest.raises(LabError, match=message):
        lab(words[0], cell, *words[1:])


@pytest.mark.slow
def test_figures_of_a_cell_without_points_and_wrong_choices_are_refused(cell, tmp_path):
    other = trained_cell(tmp_path, DIGITS)
    with pytest.raises(LabError, match=r"guidance\.csv: no points yet; lab guidance [0-9a-f]{12} measures some"):
        lab("figures", "sampling", other)
    lab("guidance", cell, "--scales", "1,2", "--refinements", 0)
    with pytest.raises(LabError, match=r"--only guidance: must be FIELD=VALUE"):
        lab("figures", "sampling", cell, "--only", "guidance")
    with pytest.raises(LabError, match=r"--only colour: points have guidance_scale, "):
        lab("figures", "sampling", cell, "--only", "colour=red")
    with pytest.raises(LabError, match=r"no cell has two points with seed 99 that differ in"):
        lab("figures", "sampling", cell, "--only", "seed=99")


@pytest.mark.slow
def test_a_run_with_a_reference_is_measured_against_it(tmp_path):
    """From request to result: `evaluation.reference` in the experiment."""
    from lina_lab.cell.run import run_cell
    from lina_lab.config.experiment import Experiment, cell_key
    from lina_lab.ledger.cells import create_cell
    from lina_lab.ledger.result import read_result

    (tmp_path / "digits.yaml").write_text(YAML)
    lab("reference", tmp_path / "digits.yaml", "--out", tmp_path / "heldout.npz")
    few = {"training": {"steps": 4, "batch_size": 8, "learning_rate": 2e-3}, "sampling": {"autoregressive_steps": 3}}
    plain = Experiment.model_validate(DIGITS | few | {"evaluation": {"num_samples": 50}})
    against = plain.model_copy(
        update={"evaluation": plain.evaluation.model_copy(update={"reference": str(tmp_path / "heldout.npz")})}
    )
    assert cell_key(plain) != cell_key(against)
    results = []
    for experiment in (plain, against):
        folder = create_cell(tmp_path / "runs", experiment)
        run_cell(folder)
        results.append(read_result(folder))
    fids = [result.metrics["eval/fid/digits-cnn"] for result in results]
    assert fids[0] == pytest.approx(fids[1], rel=1e-6)
    assert "eval/fid_train/digits-cnn" not in results[1].metrics
    hashes = [result.evaluation.reference_sha256 for result in results]
    assert hashes[0] != hashes[1]


@pytest.mark.slow
def test_samples_that_are_not_finite_are_a_failed_measurement_and_no_number(cell, capsys):
    wild = ["evaluate", cell, "--guidance", "1e30"]
    for _ in range(2):  # what failed is tried again, not remembered as a number
        with pytest.raises(NotFinite, match="samples not finite: 50 of 50 images hold NaN or infinite values"):
            lab(*wild)
    (path,) = cell.glob("evaluations/*.json")
    kept = json.loads(path.read_text())
    assert kept["state"] == "failed"
    assert kept["failed"].startswith("samples not finite: 50 of 50")
    assert kept["settings"]["sampling"]["guidance_scale"] == 1e30
    assert "metrics" not in kept


@pytest.mark.slow
def test_a_scan_goes_on_past_a_scale_whose_samples_are_not_finite(cell):
    output = lab("guidance", cell, "--scales", "1,1.5,1e30", "--refinements", 1)
    assert "guidance_scale 1e+30: failed: " in output
    points = read_points(cell / "guidance.csv")
    assert [point.guidance_scale for point in points][:2] == [1.0, 1.5]
    assert 1.0 < points[2].guidance_scale < 1.5  # where a refinement belongs, and not towards the one that failed
    assert len(points) == 3
    with pytest.raises(LabError, match="samples not finite at every guidance_scale that was tried"):
        lab("guidance", cell, "--scales", "1e30")


@pytest.mark.slow
def test_a_reference_that_was_replaced_is_told_and_measured_with_when_it_is_asked_for(tmp_path, drawn):
    from lina_lab.files import sha256_of

    path = tmp_path / "r.npz"
    np.savez(path, mu=np.zeros(32), sigma=np.eye(32))
    evaluation = {"num_samples": 50, "reference": str(path)}
    cell = trained_cell(
        tmp_path / "runs", DIGITS | {"evaluation": evaluation, "contents": {str(path): sha256_of(path)}}
    )
    np.savez(path, mu=np.ones(32), sigma=np.eye(32))
    with pytest.raises(LabError, match=r"evaluation\.reference: .*r\.npz: has changed since this cell was planned"):
        lab("evaluate", cell)
    assert not drawn
    lab("evaluate", cell, "--reference", path)
    (kept,) = (json.loads(file.read_text()) for file in (cell / "evaluations").glob("*.json"))
    assert kept["evaluation"]["reference_sha256"] == sha256_of(path)
