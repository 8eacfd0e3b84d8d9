"""Properties of designs: each is missed by a design that lacks it, and that one alone is told."""

import pytest
from typer.testing import CliRunner

from lina_lab.cli.main import app
from lina_lab.errors import LabError
from lina_lab.plugins.load import load
from lina_lab.profiling.properties import check
from tests.plugins.conftest import folder, nothing_stays  # noqa: F401
from tests.plugins.files import COSINE

RETURN = "    return q @ (k.mT @ (weight * v)) / k.shape[-2]\n"


def failed(path, text: str) -> dict[str, str]:
    """What does not hold of the core of a file, and why."""
    path.write_text(text)
    ((word, qualified),) = load(path).words["normalization"].items()
    assert word == "cosine"
    return {finding.name: finding.why for finding in check("normalization", qualified) if finding.why}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("old", "new", "name", "why"),
    [
        (RETURN, RETURN.replace("return ", "return (").replace("\n", ").double()\n"), None, ""),
        (RETURN, RETURN.replace("q @", "q[:, :, :-1] @"), "shape and dtype", ""),
        ("nn.Linear(width, heads)", "nn.Linear(width, 2 * heads)", "shape and dtype", ""),
        (
            "given.parameters(given.x).sigmoid()",
            "given.parameters(given.x).detach().sigmoid()",
            "gradients reach everything",
            "no gradient reaches core.weight, core.bias",
        ),
        (
            "(torch.nn.functional.normalize(u, dim=-1) for",
            "(u / u.norm(dim=-1, keepdim=True) for",
            "finite",
            "outputs are not finite in float32 at inputs of 0",
        ),
        (
            ".sigmoid().mT.unsqueeze(-1)",
            ".sigmoid().mT.unsqueeze(-1).mean(0, keepdim=True)",
            "images apart",
            "an image alone and in a batch differ by up to",
        ),
        (
            RETURN,
            RETURN.replace("q @", "q.cumsum(-2) @"),
            "order of tokens",
            "a core that sees order must say ordered=True",
        ),
        (
            "nn.Linear(width, heads)",
            "Own(width, heads)",
            "same start",
            "drawn from torch's global state: core.weight",
        ),
        (RETURN, RETURN.replace("return ", "return 1.001 * "), "as defined (exact)", "outputs and those of exact"),
        (
            RETURN,
            "    q = q.detach()\n" + RETURN,
            "as defined (exact)",
            "gradients and those of exact differ by up to",
        ),
    ],
)
def test_a_flaw_is_told(folder, old, new, name, why):  # noqa: F811
    own = (
        "\nclass Own(nn.Module):\n    def __init__(self, width, heads):\n        super().__init__()\n"
        "        self.weight = nn.Parameter(torch.randn(heads, width))\n\n"
        "    def forward(self, x):\n        return x @ self.weight.mT\n\n\nPROVIDES = ["
    )
    text = COSINE.replace("\nPROVIDES = [", own)
    assert old in text
    found = failed(folder / "mine.py", text.replace(old, new))
    if name is None:
        assert found == {}, "what leaves the core in float64 is brought back to the dtype of the model"
    else:
        assert why in found[name]


@pytest.mark.slow
def test_a_feature_map_that_is_not_positive_where_it_says_so_is_told(folder):  # noqa: F811
    (folder / "mine.py").write_text(COSINE.replace("u * u", "u * u - 0.1").replace("u**2", "u**2 - 0.1"))
    word = load(folder / "mine.py").words["feature_map"]["square"]
    found = {finding.name: finding.why for finding in check("feature_map", word) if finding.why}
    assert found.pop("feature map").startswith("says positive, and is -0.1 at 0 in torch.float64")


@pytest.mark.slow
def test_the_command_prints_a_table_and_ends_with_2_if_something_fails(folder):  # noqa: F811
    run = CliRunner().invoke(app, ["check", "mine.py"], catch_exceptions=False)
    assert run.exit_code == 0
    assert run.output.count("holds") == 24
    run = CliRunner().invoke(app, ["check", "normalization=mediator"], catch_exceptions=False)
    assert run.exit_code == 0
    assert run.output.count("not claimed") == 2
    (folder / "mine.py").write_text(COSINE.replace(RETURN, RETURN.replace("return ", "return 2 * ")))
    with pytest.raises(LabError, match="properties that do not hold of normalization cosine: 1; the table"):
        CliRunner().invoke(app, ["check", "mine.py"], catch_exceptions=False)


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("nothing=1", "nothing is no axis; known are normalization"),
        ("normalization=new", "'new' is no value of the axis"),
        ("absent.py", "cannot be read"),
    ],
)
def test_what_is_asked_for_must_be_there(what, message):
    with pytest.raises(LabError, match=message):
        CliRunner().invoke(app, ["check", what], catch_exceptions=False)
