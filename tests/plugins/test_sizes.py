"""A named size of the user's own: the widths and depths under a word, and nothing else."""

import pytest
from typer.testing import CliRunner

from lina_lab.cli.main import app
from lina_lab.config.experiment import cell_key, digests
from lina_lab.config.load import load_experiment
from lina_lab.config.problems import ConfigError
from lina_lab.errors import LabError
from lina_lab.ledger.cells import create_cell, read_experiment
from lina_lab.plugins import load
from lina_lab.plugins.sizes import Size
from lina_lab.sweep.next_study import widest
from lina_lab.sweep.planning import load_sweep
from tests.plugins.conftest import forget
from tests.plugins.files import EXPERIMENT

DEEP = {"width": 16, "num_heads": 2, "head_width": 24, "head_depth": 3}
DEPTHS = {"context_depth": 1, "encoder_depth": 4, "decoder_depth": 5}
SIZES = f"""
from lina_lab.plugins.sizes import Size

PROVIDES = [Size("deep", **{DEEP | DEPTHS})]
"""
SWEEP = """\
name: own
question: Is depth better?
experiment: base.yaml
plugins: [sizes.py]
axes: {model.size: [pico, deep]}
"""
OWN = "plugins: [sizes.py]\n" + EXPERIMENT.replace("size: pico", "size: deep")


@pytest.fixture
def sizes(folder):
    for name, text in {"sizes.py": SIZES, "sweep.yaml": SWEEP, "own.yaml": OWN}.items():
        (folder / name).write_text(text)
    return folder


def test_it_is_the_model_that_has_these_widths_and_depths(sizes):
    own = load_experiment(sizes / "own.yaml")
    spelled = load_experiment(sizes / "base.yaml", {f"model.{k}": v for k, v in (DEEP | DEPTHS).items()})
    assert own.model == spelled.model.model_copy(update={"size": "deep"})
    assert cell_key(own) == cell_key(spelled)
    wider = load_experiment(sizes / "own.yaml", {"model.decoder_depth": 2}).model
    assert (wider.decoder_depth, wider.encoder_depth) == (2, 4)


def test_a_cell_needs_its_file_no_more(sizes):
    own = load_experiment(sizes / "own.yaml")
    assert digests(own) == []
    cell = create_cell(sizes / "runs", own)
    (sizes / "sizes.py").unlink()
    forget()
    assert read_experiment(cell) == own


def test_a_sweep_compares_it_with_shipped_ones(sizes):
    made = load_sweep(sizes / "sweep.yaml")
    assert [cell.values["size"] for cell in made.plan.cells] == ["pico", "deep"]
    assert [made.experiments[cell.key].model.decoder_depth for cell in made.plan.cells] == [2, 5]
    with pytest.raises(LabError, match="deep is on no ladder: lab plan knows what follows"):
        widest(made, lambda settings: load_sweep(sizes / "sweep.yaml", settings), 2)


def test_its_size_is_counted(sizes):
    said = CliRunner().invoke(app, ["size", "deep", "--plugin", "sizes.py"], catch_exceptions=False).output
    spelled = [word for key, value in (DEEP | DEPTHS).items() for word in ("--set", f"model.{key}={value}")]
    known = CliRunner().invoke(app, ["size", "nano", *spelled], catch_exceptions=False).output
    assert said.partition("\n")[2] == known.partition("\n")[2]


def test_a_word_that_no_plugin_has_is_refused(sizes):
    (sizes / "own.yaml").write_text(OWN.replace("size: deep", "size: deeper"))
    with pytest.raises(ConfigError, match=r"own\.yaml:3: .*size.*must be one of pico, .*, not 'deeper'"):
        load_experiment(sizes / "own.yaml")


def test_a_shipped_word_is_refused(sizes):
    (sizes / "sizes.py").write_text(SIZES.replace('"deep"', '"nano"'))
    with pytest.raises(LabError, match=r"sizes\.py:4: model\.size nano is shipped with LINA Lab"):
        load.load(sizes / "sizes.py")


@pytest.mark.parametrize("wrong", [0, 2.5, "8", True])
def test_a_field_that_is_no_number_of_things_is_refused(wrong):
    with pytest.raises(ValueError, match="deep: num_heads must be a whole number above 0"):
        Size("deep", **(DEEP | DEPTHS | {"num_heads": wrong}))
