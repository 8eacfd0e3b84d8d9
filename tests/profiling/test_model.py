"""A whole model: exact counts, parts that are there, limits; times are nowhere asserted."""

import pytest
import torch

from lina_lab import cost
from lina_lab.config.data import DataShape, TextShape
from lina_lab.config.experiment import Experiment
from lina_lab.config.model import SOFTMAX
from lina_lab.model.lina import Lina
from lina_lab.profiling import measure, model
from lina_lab.profiling.ceilings import Ceilings
from lina_lab.profiling.counting import ALL
from lina_lab.profiling.model import WHOLE, Part, Step, StepSetting, profile_model, prompts_of, visible_tokens

CPU = torch.device("cpu")
SLOW, FAST = Ceilings(1e6, 1e9), Ceilings(1e12, 1e9)


def experiment(attention: dict | None = None, **training: object) -> Experiment:
    return Experiment.model_validate(
        {
            "name": "x",
            "model": {"size": "nano", "patch": 1, "context_tokens": 6, "attention": attention or {}},
            "training": {"steps": 1, "batch_size": 3, "learning_rate": 1e-3, **training},
            "sampling": {"autoregressive_steps": 3, "flow_steps": 2},
        }
    )


@pytest.fixture(autouse=True)
def few_rounds(monkeypatch):
    monkeypatch.setattr(measure, "SECONDS_EACH", 0.0)


@pytest.fixture
def ceilings(monkeypatch):
    def set_to(found: Ceilings) -> None:
        monkeypatch.setattr(model, "measure_ceilings", lambda device, dtype: found)

    return set_to


DESIGNS = [
    {"conv_kernel": 5, "kv_gate": "key_value"},
    {"normalization": "softmax", "conv_kernel": 3},
    {"normalization": "subtraction", "feature_map": "identity"},
]


@pytest.mark.slow
@pytest.mark.parametrize("attention", DESIGNS)
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_model_is_profiled_part_by_part_with_exact_counts(attention, precision, ceilings):
    ceilings(FAST)
    shares: list[float] = []
    chosen = experiment(attention, precision=precision)
    parts, facts = profile_model(chosen, StepSetting(3, CPU, 100.0), shares.append)
    rows = parts.set_index("part")
    built = Lina(chosen.model, chosen.data.shape)
    assert rows.loc[WHOLE, "parameters"] == sum(p.numel() for p in built.parameters())
    assert rows.loc["decoder: mlp", "parameters"] == 2 * sum(p.numel() for p in built.decoder[0].mlp.parameters())
    decoder = cost.attention_macs(chosen.model.decoder, 32, 2, 6 + 64, 64)
    assert rows.loc["decoder: attention", "macs"] == 3 * 2 * decoder
    assert rows.loc["decoder: mlp", "macs"] == 3 * 2 * 2 * 4 * 32 * 32 * 70
    assert rows.loc["decoder", "macs"] == rows.loc["decoder: attention", "macs"] + rows.loc["decoder: mlp", "macs"]
    assert rows.loc["encoder: attention", "macs"] == 3 * 2 * cost.attention_macs(chosen.model.encoder, 32, 2, 6 + 9, 0)
    assert rows["count"].tolist() == [1] + 3 * [1, 2, 2, 4] + [1]
    assert parts.drop(columns="utilisation").notna().all().all()
    assert (parts["reason"] == "").all()
    if precision == "fp32":  # each of four LayerNorms keeps its input, and a mean and a deviation of each token
        assert rows.loc["decoder: norm", "activation_bytes"] == 4 * 3 * 70 * (32 + 2) * 4
    kept = 2 * 3 * 70 * (32 + 2 * 128) * 4  # of two MLPs: input, before and after GELU
    mlp = rows.loc["decoder: mlp", "activation_bytes"]
    assert mlp == kept if precision == "fp32" else mlp < kept
    assert rows.loc[WHOLE, "activation_bytes"] > rows.loc[["context", "decoder", "head"], "activation_bytes"].sum()
    assert facts.keys() == {"optimizer_ms", "step_ms", "images_per_second", "utilisation", "sampling_seconds"}
    assert all(value > 0 for value in facts.values())
    work = 3 * 2 * rows.loc[WHOLE, "macs"]
    assert facts["utilisation"] == pytest.approx(work / (facts["step_ms"] / 1000) / FAST.flops_per_second)
    assert shares == sorted(shares)
    assert shares[-1] == 1


@pytest.mark.slow
def test_a_model_of_prompts_is_counted_with_what_projects_them(ceilings):
    ceilings(FAST)
    text = {"encoder": "hf", "path": "an/encoder", "tokens": 5, "features": 7}
    chosen = Experiment.model_validate(experiment().model_dump() | {"data": {"name": "digits", "text": text}})
    parts, facts = profile_model(chosen, StepSetting(3, CPU, 100.0))
    rows = parts.set_index("part")
    assert rows.loc["context: mlp", "macs"] == 3 * 2 * 2 * 4 * 32 * 32 * (5 + 6)
    assert rows.loc[WHOLE, "macs"] == 3 * cost.forward_macs(chosen, 9) + cost.query_macs(chosen.model)
    assert facts["sampling_seconds"] > 0


def test_prompts_have_the_shape_that_the_model_asks_for():
    shape = DataShape(1, 8, 3)
    assert prompts_of(shape, 5).tolist() == [0, 1, 2, 0, 1]
    words = prompts_of(shape._replace(text=TextShape(tokens=4, features=6, vocabulary=7)), 5)
    assert words.shape == (5, 4)
    assert set(words.flatten().tolist()) == set(range(1, 8))
    assert prompts_of(shape._replace(text=TextShape(4, 6, 0)), 5).shape == (5, 4, 6)


def test_the_number_of_visible_tokens_is_the_mean_of_what_training_draws():
    assert visible_tokens(experiment()) == round(64 * (1 - 0.867))
    assert Step(experiment(), StepSetting(3, CPU, 1.0)).draws.num_visible == 9


def test_the_step_is_that_of_training():
    """The optimizer moves what training moves, with its decay: LayerNorms have none, frozen weights stay."""
    step = Step(experiment(gradient_clip=1e-9, weight_decay=0.5), StepSetting(3, CPU, 1.0))
    before = {name: p.detach().clone() for name, p in step.model.named_parameters()}
    step.loss().backward()
    step.update()
    moved = {name for name, p in step.model.named_parameters() if not torch.equal(p, before[name])}
    assert "head.out.weight" in moved
    assert not any(name.startswith(("queries.time", "context_patch")) for name in moved)
    norms = [p.grad.norm() for p in step.model.parameters() if p.grad is not None]
    assert torch.stack(norms).norm() <= 1.01e-9


@pytest.mark.slow
def test_what_cannot_be_within_the_limit_is_not_run(ceilings, monkeypatch):
    ceilings(SLOW)
    macs = cost.forward_macs(experiment(batch_size=3), 9) * 3 + cost.query_macs(experiment().model)
    parts, facts = profile_model(experiment(), StepSetting(3, CPU, 1.0))
    rows = parts.set_index("part")
    assert rows.loc[WHOLE, "reason"] == f"would take at least {6 * macs / 1e6:.2g} s"
    assert rows.loc["decoder: norm", "reason"] == ""
    assert rows["forward_ms"].isna().sum() == (rows["reason"] != "").sum() > 0
    assert set(facts.values()) == {None}


@pytest.mark.slow
def test_sampling_that_would_take_too_long_is_left_out(ceilings, monkeypatch):
    ceilings(FAST)
    monkeypatch.setattr(cost, "sampling_flops", lambda experiment: 1e30)
    assert profile_model(experiment(), StepSetting(2, CPU, 100.0)).facts["sampling_seconds"] is None


@pytest.mark.slow
@pytest.mark.parametrize("wrong", ["context_macs", "image_macs", "head_macs", "query_macs"])
def test_a_wrong_closed_form_ends_the_profile(wrong, monkeypatch):
    right = getattr(cost, wrong)
    monkeypatch.setattr(cost, wrong, lambda *arguments: right(*arguments) + 1)
    with pytest.raises(ValueError, match=r"the closed form gives .* torch counts"):
        profile_model(experiment(), StepSetting(3, CPU, 100.0))


def test_the_counter_names_the_whole():
    assert ALL == "Global"


@pytest.mark.slow
def test_a_hybrid_with_rotary_positions_is_profiled_by_kind_of_block(ceilings):
    """Of four blocks counted through encoder and decoder the third, the decoder's first, is softmax."""
    ceilings(FAST)
    chosen = experiment({"conv_kernel": 3, "kv_gate": "key_value"})
    model = chosen.model.model_copy(update={"softmax_every": 3, "position": "rotary"})
    chosen = chosen.model_copy(update={"model": model})
    rows = profile_model(chosen, StepSetting(3, CPU, 100.0))[0].set_index("part")
    own, softmax = (f"decoder{kind}: attention" for kind in ("", ", softmax blocks"))
    assert (rows.loc[own, "count"], rows.loc[softmax, "count"]) == (1, 1)
    assert rows.loc[own, "macs"] == 3 * cost.attention_macs(model.decoder, 32, 2, 70, 64)
    assert rows.loc[softmax, "macs"] == 3 * cost.attention_macs(SOFTMAX, 32, 2, 70, 64)
    built = Lina(model, chosen.data.shape).decoder
    of_softmax = sum(p.numel() for p in built[0].attention.parameters())
    assert rows.loc[softmax, "parameters"] == of_softmax
    assert rows.loc[own, "parameters"] == of_softmax + 10 * 32 + 2 * 2 * 70
    parts = [label for label in rows.index if label.startswith("decoder") and ":" in label]
    assert rows.loc["decoder", "macs"] == rows.loc[parts, "macs"].sum()
    assert not any(label.startswith(("context, softmax", "encoder, softmax")) for label in rows.index)


def test_a_part_of_a_model_with_rotary_positions_is_measured_with_them():
    chosen = experiment()
    chosen = chosen.model_copy(update={"model": chosen.model.model_copy(update={"position": "rotary"})})
    step = Step(chosen, StepSetting(3, CPU, 100.0))
    subject = step.part_subjects([Part("it", "decoder.0.attention", 1)])["it"]()
    module, (x,) = step.model.decoder[0].attention, subject.inputs
    assert torch.equal(subject.forward(), module(x, turns=step.model.turns))
    assert not torch.allclose(subject.forward(), module(x))
