"""`lab axes`: what it says is true."""

from pathlib import Path

import pytest

from lina_lab.config.experiment import cell_key
from lina_lab.config.load import load_experiment
from lina_lab.config.sweep import parse_settings
from lina_lab.config.variants import VARIANTS
from lina_lab.design.axes import AXES, OTHER_AXES

EXPERIMENT = Path(__file__).parents[2] / "experiments" / "digits.yaml"


def test_axes_lists_every_value_with_formula_and_source(lab):
    output = lab("axes")
    for path, axis in ({f"model.attention.{name}": axis for name, axis in AXES.items()} | OTHER_AXES).items():
        assert f"{path} {axis.question}" in output
        for value, meaning in axis.values.items():
            assert f"  {value!s:<16} {meaning.formula}" in output
            assert meaning.source in output


@pytest.mark.parametrize("variant", VARIANTS)
def test_axes_lists_every_published_variant_as_settings_that_load(lab, variant):
    """The words of its line, put behind --set, are the design."""
    listed = lab("axes").partition("Published variants")[2].splitlines()
    line = next(line for line in listed if line.startswith(f"  {variant} "))
    words = [] if line.endswith("the default") else line.split()[1:]
    plain, loaded = (load_experiment(EXPERIMENT, parse_settings(["model.size=B", *more])) for more in ([], words))
    values = loaded.model_dump()
    for path, value in VARIANTS[variant].items():
        section, name, *axis = path.replace("attention", "decoder").split(".")
        found = values[section][name]
        assert (found[axis[0]] if axis else found) == value
    assert (cell_key(loaded) == cell_key(plain)) == (variant == "linear6")
