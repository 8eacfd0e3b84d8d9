"""Gate maps: a planted weight is at the right pixel of the right panel."""

import numpy as np
import pytest

from lina_lab.analysis.gates import gates_table
from lina_lab.figures.gates import gate_maps, gate_overview, places, sheet
from lina_lab.figures.style import save
from tests.analysis.test_gates import DATA, GATED, ones

LAYERS, HEADS = 2, 3


@pytest.fixture
def weights():
    return {f"decoder.{layer}.attention.gates.{gate}": ones(31) for layer in range(LAYERS) for gate in ("key", "value")}


def panels(figure, rows, columns):
    """The images of the panels, which come before the colour bars."""
    found = [axes.images[0].get_array() for axes in figure.axes if axes.images]
    return np.array(found).reshape(rows, columns, *found[0].shape)


def test_the_sheet_has_gates_down_and_grids_across(weights):
    table = gates_table(weights, GATED, DATA)
    part = table[(table["layer"] == 0) & (table["head"] == 0)]
    array = sheet(part)
    assert array.shape == (5 + 1 + 5, 3 + 1 + 5)  # two gates of a 5 x 5 image, beside a context of 2 x 3
    blank = np.isnan(array)
    assert (~blank).sum() == 62
    assert blank[5].all()
    assert blank[:, 3].all()
    assert not blank[0:2, 0:3].any()
    assert blank[2:5, 0:3].all()
    assert [(p.gate, p.region, p.top, p.left) for p in places(part)] == [
        ("key", "context", 0, 0),
        ("value", "context", 6, 0),
        ("key", "image", 0, 4),
        ("value", "image", 6, 4),
    ]


@pytest.mark.slow
def test_a_planted_weight_is_at_its_pixel_and_nowhere_else(weights):
    weights["decoder.1.attention.gates.value"][2, 6 + 5 * 3 + 4] = 7  # image, row 3, column 4
    weights["decoder.0.attention.gates.key"][1, 5] = 11  # context, row 1, column 2
    shown = panels(gate_maps(gates_table(weights, GATED, DATA)), LAYERS, HEADS)
    assert shown[1, 2, 6 + 3, 4 + 4] == 7
    assert shown[0, 1, 1, 2] == 11
    assert (shown == 7).sum() == (shown == 11).sum() == 1


@pytest.mark.slow
def test_the_colours_are_centred_at_the_start_and_shared(weights):
    weights["decoder.0.attention.gates.key"][:, :20] = 1.5
    figure = gate_maps(gates_table(weights, GATED, DATA))
    limits = {axes.images[0].get_clim() for axes in figure.axes if axes.images}
    assert limits == {(0.5, 1.5)}


@pytest.mark.slow
def test_outliers_do_not_bleach_the_rest_and_the_bar_says_so(weights):
    weights["decoder.0.attention.gates.key"][0, 0] = 100
    for gate in weights.values():
        gate[:, 1:4] = 0.75
    figure = gate_maps(gates_table(weights, GATED, DATA))
    assert figure.axes[0].images[0].get_clim() == (0.75, 1.25)
    assert any("beyond the ends" in axes.get_xlabel() for axes in figure.axes)


@pytest.mark.slow
def test_untrained_gates_are_all_the_middle_colour(weights):
    figure = gate_maps(gates_table(weights, GATED, DATA))
    assert figure.axes[0].images[0].get_clim() == (0, 2)


@pytest.mark.slow
def test_titles_and_labels_name_heads_layers_gates_and_regions(weights):
    axes = gate_maps(gates_table(weights, GATED, DATA)).axes
    assert [a.get_title() for a in axes[:HEADS]] == ["head 0", "head 1", "head 2"]
    assert [axes[i * HEADS].get_ylabel() for i in range(LAYERS)] == ["layer 0", "layer 1"]
    assert [t.get_text() for t in axes[0].get_yticklabels()] == ["key", "value"]
    assert [t.get_text() for t in axes[-2].get_xticklabels()] == ["context", "image"]
    shared = {name: ones(31, heads=1) for name in weights}
    assert gate_maps(gates_table(shared, GATED, DATA)).axes[0].get_title() == "all heads share"


@pytest.mark.slow
def test_the_overview_is_the_mean_and_the_spread_over_heads(weights):
    weights["decoder.1.attention.gates.value"][:, 6] = (1, 4, 7)
    figure = gate_overview(gates_table(weights, GATED, DATA))
    shown = panels(figure, LAYERS, 4)
    assert [axes.get_title() for axes in figure.axes[:4]] == ["key: mean", "value: mean", "key: SD", "value: SD"]
    assert shown[1, 1, 0, 4] == 4
    assert shown[1, 3, 0, 4] == pytest.approx(6**0.5)
    assert (shown[1, 3] > 0).sum() == 1


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["png", "pdf", "svg"])
def test_gate_maps_have_the_same_bytes_twice(weights, tmp_path, kind):
    for name in ("a", "b"):
        save(gate_maps(gates_table(weights, GATED, DATA)), tmp_path / name, (kind,))
    assert (tmp_path / f"a.{kind}").read_bytes() == (tmp_path / f"b.{kind}").read_bytes()
