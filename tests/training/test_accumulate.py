"""A batch in parts, one after the other: the same training, counted in steps of the optimizer."""

import pytest
import torch

from lina_lab.cell.estimate import cell_seconds
from lina_lab.cell.run import run_cell
from lina_lab.config.engine import Group
from lina_lab.config.experiment import cell_key
from lina_lab.config.load import build, read_yaml
from lina_lab.data.datasets import load_dataset
from lina_lab.errors import LabError
from lina_lab.ledger.cells import create_cell
from lina_lab.ledger.metrics import read_metrics
from lina_lab.model.random_streams import BatchShard, step_streams
from lina_lab.training.recorder import Stopped, checkpoints
from lina_lab.training.train import build_model, train
from tests.cells import experiment

# Clipping, an average that is not updated every step, validations and checkpoints: all that counts steps.
COUNTS = {"training__gradient_clip": 0.2, "training__ema_every": 3}


def rows(folder):
    return [(row.step, row.metric, row.value) for row in read_metrics(folder)]


def trained(runs, parts, stops=(), **changes):
    """Metrics and averaged weights of a training that is stopped at some steps, with other parts after each."""
    for count, until in zip(parts, (*stops, 0), strict=True):
        cell = experiment(**COUNTS, **changes, execution__accumulate=count)
        folder = create_cell(runs, cell)
        try:
            return rows_and_weights(folder, train(folder, cell, load_dataset(cell.data), until=until))
        except Stopped:
            assert until
    raise AssertionError("the training did not end")


def rows_and_weights(folder, done):
    return rows(folder), {name: value.clone() for name, value in done.model.state_dict().items()}


def assert_close(ours, theirs):
    assert [row[:2] for row in ours[0]] == [row[:2] for row in theirs[0]]
    assert [row[2] for row in ours[0]] == pytest.approx([row[2] for row in theirs[0]], rel=1e-5)
    for name, tensor in theirs[1].items():
        torch.testing.assert_close(ours[1][name], tensor, rtol=1e-3, atol=2e-5)


@pytest.fixture(scope="module")
def at_once(tmp_path_factory):
    return trained(tmp_path_factory.mktemp("runs"), [1])


def test_parts_of_a_share_are_shares_of_the_batch():
    assert BatchShard(1, 2).split(3) == [BatchShard(3, 6), BatchShard(4, 6), BatchShard(5, 6)]
    rows = torch.arange(12)
    assert torch.equal(torch.cat([part.of(rows) for part in BatchShard(1, 2).split(3)]), BatchShard(1, 2).of(rows))


@pytest.mark.slow
def test_the_gradient_of_a_batch_is_the_mean_over_its_parts():
    model, config = build_model(experiment()), experiment().training
    torch.nn.init.normal_(model.head.out.weight, std=0.1, generator=torch.Generator().manual_seed(1))
    images, labels = torch.randn(6, 1, 8, 8, generator=torch.Generator().manual_seed(0)), torch.arange(6)
    weights = [weight for weight in model.parameters() if weight.requires_grad]

    def gradient(share):
        batch = share.of(images), share.of(labels)
        loss = model.loss(batch, config, step_streams(0, 3), share)
        return torch.autograd.grad(loss, weights, allow_unused=True)

    whole, parts = gradient(BatchShard()), [gradient(share) for share in BatchShard().split(3)]
    for i, expected in enumerate(whole):
        if expected is not None:
            mean = sum(part[i] for part in parts) / 3
            torch.testing.assert_close(mean, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.slow
def test_a_batch_in_four_parts_trains_what_a_whole_one_trains(tmp_path, at_once):
    assert_close(trained(tmp_path, [4]), at_once)


@pytest.mark.slow
def test_a_cell_goes_on_with_another_number_of_parts(tmp_path, at_once):
    """Checkpoints of a stop at any step, of a validation and of their own turn, to and from more parts."""
    assert_close(trained(tmp_path, [4, 1, 2, 8], stops=[3, 8, 9]), at_once)


@pytest.mark.slow
def test_a_killed_cell_in_parts_continues_to_the_same_bits(tmp_path):
    whole, stopped = trained(tmp_path / "a", [2]), trained(tmp_path / "b", [2, 2, 2], stops=[5, 8])
    assert whole[0] == stopped[0]
    assert all(torch.equal(value, stopped[1][name]) for name, value in whole[1].items())


@pytest.mark.slow
def test_checkpoints_are_of_steps_and_not_of_parts(tmp_path):
    trained(tmp_path, [4])
    (folder,) = tmp_path.iterdir()
    assert [path.name for path in checkpoints(folder)] == ["step-0000008.ckpt", "step-0000004.ckpt"]
    assert torch.load(checkpoints(folder)[0], weights_only=True)["global_step"] == 8


@pytest.mark.slow
def test_a_loss_that_is_not_finite_in_one_part_ends_the_run_at_its_step(tmp_path, monkeypatch):
    cell = experiment(execution__accumulate=4)
    loss = type(build_model(cell)).loss

    def broken(self, batch, training, streams, share=BatchShard()):  # noqa: B008
        value = loss(self, batch, training, streams, share)
        seen.append(share)
        return value * float("nan") if len(seen) == 4 * 2 + 3 else value  # the third part of step 3

    seen: list[BatchShard] = []
    monkeypatch.setattr(type(build_model(cell)), "loss", broken)
    assert train(create_cell(tmp_path, cell), cell, load_dataset(cell.data)).diverged_at == 3
    assert len(seen) == 4 * 4  # until the next row of metrics
    assert seen[:4] == BatchShard().split(4)


def test_parts_enter_no_key():
    assert cell_key(experiment(execution__accumulate=4)) == cell_key(experiment())


def test_a_batch_without_equal_parts_is_refused_before_anything_starts(tmp_path):
    (tmp_path / "cell.yaml").write_text(
        "name: a\nmodel: {size: nano, patch: 2}\nexecution:\n  accumulate: 3\n"
        "training: {steps: 1, batch_size: 8, learning_rate: 1e-3}\n"
    )
    with pytest.raises(LabError, match=r"cell.yaml:4: .*accumulate must divide batch_size \(8\), not 3"):
        build(read_yaml(tmp_path / "cell.yaml"))
    folder = create_cell(tmp_path, experiment(execution__accumulate=4))
    message = r"batch_size must be a multiple of the 4 processes .*, each in 4 parts \(execution.accumulate\), not 8"
    with pytest.raises(LabError, match=message):
        run_cell(folder, group=Group(2, 2))


@pytest.mark.slow
def test_a_cell_in_parts_is_timed_by_one_of_them(monkeypatch):
    monkeypatch.setattr("lina_lab.cell.estimate.FLOPS", 1e18)
    assert cell_seconds(experiment(execution__accumulate=4, evaluation__num_samples=40)).total > 0
