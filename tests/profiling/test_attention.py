"""The table of one attention module: designs, lengths, exact counts; times are nowhere asserted."""

import math

import pytest
import torch

from lina_lab import cost
from lina_lab.analysis.profile import MAIN, macs_against_softmax
from lina_lab.config.model import AttentionConfig
from lina_lab.config.settings import ExecutionConfig
from lina_lab.design.axes import AXES
from lina_lab.design.normalization import BY_SOFTMAX
from lina_lab.errors import LabError
from lina_lab.model.attention import Attention, Layout
from lina_lab.profiling import attention, measure
from lina_lab.profiling.attention import AttentionSetting, Forecast, ProfilePoint, profile_attention
from lina_lab.profiling.ceilings import Ceilings
from lina_lab.profiling.counting import ALL, counted_macs
from lina_lab.profiling.designs import designs, layout_of
from lina_lab.profiling.measure import ModuleTiming

CPU = torch.device("cpu")
FULL, LENGTHS = (1536, 16), (64, 320, 5120, 16384)


@pytest.fixture(autouse=True)
def machine(monkeypatch):
    """1 GFLOP/s and 1 GB/s, whatever the machine, and no more rounds than must be."""
    monkeypatch.setattr(attention, "measure_ceilings", lambda device, dtype: Ceilings(1e9, 1e9))
    monkeypatch.setattr(measure, "SECONDS_EACH", 0.0)


def test_every_value_of_every_axis_is_in_a_design_and_no_design_is_there_twice():
    found, omitted = designs("fp32")
    shown = [design.config.model_dump() for design in found]
    for axis, values in AXES.items():
        missing = set(values.values) - {config[axis] for config in shown}
        assert all(any(line.startswith(f"{axis} {value}:") for line in omitted) for value in missing)
    assert len({design.config for design in found}) == len({design.name for design in found}) == len(found)
    lina = found[0].config.model_dump()
    for design in found[1:-1]:
        differ = [axis for axis, value in design.config.model_dump().items() if value != lina[axis]]
        assert differ[0] in design.name
        assert len(differ) == (2 if design.config.normalization in BY_SOFTMAX else 1)
    assert omitted == [line for line in omitted if "division needs a positive feature map" in line]


def test_plain_softmax_has_nothing_beside_and_bf16_adds_the_core_without_float32():
    found, _ = designs("bf16")
    softmax = next(design for design in found if design.name == "plain softmax")
    assert softmax.config == AttentionConfig(normalization="softmax")
    assert [design.name for design in found if not design.float32_core] == ["float32 core off"]
    assert set(MAIN) <= {design.name for design in found}
    by_kernels, omitted = designs("bf16", kernels=True)
    assert by_kernels == designs("fp32")[0]  # the kernels know no other core
    assert omitted[-1].startswith("float32 core off: ")


def test_layouts_are_the_published_ones_and_others_are_nearly_square():
    assert layout_of(320) == Layout(64, 16, 16)
    assert layout_of(1280) == Layout(256, 32, 32)
    assert layout_of(5120) == Layout(1024, 64, 64)
    assert layout_of(16384) == Layout(3276, 113, 116)
    for length in LENGTHS:
        assert layout_of(length).tokens == length


def test_a_length_without_a_layout_is_refused_and_the_nearest_that_have_one_are_named():
    with pytest.raises(LabError, match=r"--tokens .* not 66: 13 \+ 1 x 53; the nearest that are: 65, 67"):
        layout_of(66)
    assert layout_of(65).tokens == 65
    assert layout_of(67).tokens == 67
    with pytest.raises(LabError, match="not 0"):
        layout_of(0)


@pytest.mark.parametrize("tokens", [64, *(pytest.param(n, marks=pytest.mark.slow) for n in LENGTHS[1:])])
@pytest.mark.parametrize("index", range(len(designs("fp32")[0])))
def test_torch_counts_the_closed_form_for_every_design_at_full_size(tokens, index):
    config, layout = designs("fp32")[0][index].config, layout_of(tokens)

    def build():
        module, x = Attention(config, *FULL, layout), torch.empty(3, tokens, FULL[0])
        return lambda: module(x)

    closed = cost.attention_macs(config, *FULL, tokens, layout.height * layout.width)
    assert counted_macs(build)[ALL] == 3 * closed


@pytest.mark.slow
def test_a_wrong_closed_form_ends_the_profile_with_both_numbers(monkeypatch):
    monkeypatch.setattr(cost, "attention_macs", lambda *_: 4321)
    # 10 tokens of 24 channels, 8 of them on the grid: 240 (4 * 24 + 2 * 8 + 1) + 25 * 8 * 24
    with pytest.raises(ValueError, match=r"LINA on 10 tokens: the closed form gives 4,321 .* torch counts 31,920"):
        profile_attention(AttentionSetting(24, 3, 1, "fp32", CPU, 1.0), [10], designs("fp32")[0])


def test_the_published_numbers_are_in_the_line():
    line = macs_against_softmax()
    assert line == "N 5120, D 1536, 16 heads: 49,993,482,240 MAC against 128,849,018,880 of softmax: 61% less"
    assert "more" in macs_against_softmax(prefix=1, grid=4)


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_every_cell_of_a_small_profile_is_filled_and_the_exact_ones_are_exact(precision):
    chosen = designs(precision)[0]
    shares: list[float] = []
    table = profile_attention(AttentionSetting(24, 3, 2, precision, CPU, 100.0), [20, 10, 10], chosen, shares.append)
    assert list(table["tokens"]) == [10] * len(chosen) + [20] * len(chosen)
    assert list(table["design"]) == 2 * [design.name for design in chosen]
    assert table.notna().all().all()
    assert (table["reason"] == "").all()
    assert len(shares) == 2 * len(chosen)
    assert shares[-1] == 1
    size = 4 if precision == "fp32" else 2
    for row in table.to_dict("records"):
        design = next(d for d in chosen if d.name == row["design"])
        layout = layout_of(row["tokens"])
        module = Attention(design.config, 24, 3, layout)
        parameters = sum(p.numel() for p in module.parameters())
        assert row["parameters"] == parameters
        assert row["activation_bytes"] >= size * 2 * row["tokens"] * 24
        # At the end of the forward, weights and activations; at the end of the backward, weights and gradients.
        assert row["peak_bytes"] >= max(row["activation_bytes"] + size * parameters, 2 * size * parameters)
        assert row["roofline"] == pytest.approx(row["bound_ms"] / (row["forward_ms"] + row["backward_ms"]))
        grid = layout.height * layout.width
        moved = cost.attention_bytes(design.config, 24, 3, layout.tokens, grid, 2, size)
        bound = max(2 * row["macs"], moved.forward) + max(4 * row["macs"], moved.backward)
        assert row["bound_ms"] == pytest.approx(bound / 1e6)


@pytest.mark.slow
def test_the_core_without_float32_keeps_fewer_bytes():
    table = profile_attention(AttentionSetting(24, 3, 2, "bf16", CPU, 100.0), [20], designs("bf16")[0])
    kept = table.set_index("design")["activation_bytes"]
    assert kept["float32 core off"] < kept["LINA"]


@pytest.mark.slow
def test_beyond_the_limit_cells_are_empty_and_the_reason_says_why():
    """At 1 GFLOP/s, 20,480 tokens of 24 channels take longer than a second; 10 do not."""
    table = profile_attention(AttentionSetting(24, 3, 2, "fp32", CPU, 0.3), [10, 20480], designs("fp32")[0][:1])
    near, far = table.to_dict("records")
    assert near["reason"] == ""
    assert far["reason"].startswith("would take about ")
    assert far["macs"] > 0
    assert far["bound_ms"] > 300
    for name in ("forward_ms", "backward_ms", "iqr_ms", "repeats", "peak_bytes", "activation_bytes", "roofline"):
        assert not math.isnan(near[name])
        assert table[name].isna().tolist() == [False, True]


@pytest.mark.slow
def test_compiled_modules_are_measured_each_by_itself_after_a_reset(monkeypatch):
    """Otherwise torch stops compiling after eight of them, and the rest are measured as they are uncompiled."""
    events: list[str] = []
    monkeypatch.setattr(torch.compiler, "reset", lambda: events.append("reset"))
    monkeypatch.setattr(Attention, "compile", lambda module: events.append("compile"))
    setting = AttentionSetting(24, 3, 1, "fp32", CPU, 100.0, ExecutionConfig(compile=True))
    table = profile_attention(setting, [10, 20], designs("fp32")[0][:3])
    assert events == ["reset", "compile"] * 6
    assert table["compile"].all()
    events.clear()
    profile_attention(setting._replace(execution=ExecutionConfig()), [10], designs("fp32")[0][:3])
    assert events == []


def test_a_forecast_learns_from_its_own_design_and_takes_the_worst_for_one_it_does_not_know():
    lina, other, third = designs("fp32")[0][:3]
    points = [
        [ProfilePoint(design, layout_of(n), 1, 1, bound_ms=float(n)) for design in (lina, other, third)]
        for n in (10, 20)
    ]
    forecast = Forecast(points, 0.05, lambda share: None)
    (a, b, _), (a2, b2, c2) = points
    assert forecast.seconds(a2) == pytest.approx(0.020)  # nothing known: the bound itself
    forecast.learn(a, ModuleTiming(10, 10, 0, 3, 0, 0))
    forecast.learn(b, ModuleTiming(10, 30, 0, 3, 0, 0))
    assert forecast.seconds(a2) == pytest.approx(0.040)
    assert forecast.seconds(c2) == pytest.approx(0.080)
    assert forecast.refuse(a2) is None
    assert forecast.refuse(b2) == "would take about 0.08 s"
    assert b2 not in forecast.left


def test_heads_that_do_not_divide_the_width_are_refused():
    with pytest.raises(LabError, match="5 heads do not divide 24 channels"):
        profile_attention(AttentionSetting(24, 5, 1, "fp32", CPU, 1.0), [10], designs("fp32")[0])
