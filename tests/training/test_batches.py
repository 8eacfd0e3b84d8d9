"""The order of the training data."""

import pytest
import torch

from lina_lab.data.datasets import Dataset, Examples
from lina_lab.data.examples import Latents
from lina_lab.model.random_streams import WHOLE, BatchShard
from lina_lab.training import batches as module
from lina_lab.training.batches import Batches, batch_indices, picker


def pick(images: torch.Tensor, labels: torch.Tensor):
    part = Examples(images, labels)
    return picker(Dataset(part, part), lambda examples: examples.labels, torch.device("cpu"))


def test_every_epoch_sees_every_image_once_and_batches_run_on_over_its_end():
    count, size = 23, 5
    seen = torch.cat([batch_indices(count, size, 0, step) for step in range(23)])
    for epoch in range(5):
        assert sorted(seen[epoch * count : (epoch + 1) * count].tolist()) == list(range(count))
    assert not torch.equal(seen[:count], seen[count : 2 * count])


def test_a_batch_larger_than_the_data_takes_several_epochs():
    assert sorted(batch_indices(4, 12, 0, 3).tolist()) == [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3]


def test_batches_from_a_later_step_on_are_the_same_as_reaching_it():
    images, labels = torch.arange(23), torch.arange(23) + 100
    from_start = iter(Batches(*pick(images, labels), 5, seed=1))
    batches = [next(from_start) for _ in range(9)]
    resumed = iter(Batches(*pick(images, labels), 5, seed=1, start=7))
    for expected in batches[7:]:
        assert all(torch.equal(a, b) for a, b in zip(next(resumed), expected, strict=True))


def test_the_order_depends_on_the_seed_alone():
    orders = {tuple(batch_indices(50, 50, seed, 0).tolist()) for seed in (0, 1, 2)}
    torch.manual_seed(99)
    again = tuple(batch_indices(50, 50, 0, 0).tolist())
    assert len(orders) == 3
    assert again in orders


def test_a_set_without_end_shows_every_example_once_and_every_seed_others():
    def draw(index: torch.Tensor) -> Examples:
        return Examples(index.double(), index, [str(i) for i in index.tolist()])

    part = Examples(torch.zeros(1), torch.zeros(1))
    chosen = picker(Dataset(part, part, draw), lambda examples: examples.labels, torch.device("cpu"))
    seen = []
    for seed in (0, 1):
        batches = iter(Batches(*chosen, 6, seed=seed, start=3))
        for _ in range(4):
            images, labels = next(batches)
            assert torch.equal(images, labels.double())
            seen += labels.tolist()
    assert len(set(seen)) == len(seen) == 48
    assert seen[:6] == list(range(18, 24))
    assert batch_indices(None, 3, 10**12, 5).min() >= 0  # any seed


def latents(count: int = 600) -> Latents:
    """Example i has the mean i and the deviation 1, and its text is the uniform number that it is chosen by."""

    def take(index: torch.Tensor, noise: torch.Tensor, choice: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return index.double().view(-1, 1, 1, 1) + noise, choice

    return Latents(count, (3, 2, 2), take, lambda most: (torch.empty(0), torch.empty(0)), "")


def posterior_batches(share: BatchShard = WHOLE, start: int = 0, depth: int = 0, seed: int = 0):
    part = Examples(torch.zeros(1), torch.zeros(1))
    data = Dataset(part, part, latents=latents())
    pick, count = picker(data, lambda examples: examples.labels, torch.device("cpu"))
    return iter(Batches(pick, count, 300, seed, start, (share,), depth))


@pytest.mark.parametrize("shares", [2, 3, 10])
def test_samples_of_the_posterior_do_not_depend_on_the_number_of_shares(shares):
    whole, parts = posterior_batches(), [posterior_batches(BatchShard(rank, shares)) for rank in range(shares)]
    for _ in range(3):
        expected, joined = next(whole), [next(part) for part in parts]
        for kind in (0, 1):
            assert torch.equal(torch.cat([part[kind] for part in joined]), expected[kind])


def test_every_step_samples_anew_and_a_resumed_run_samples_the_same():
    seen = [next(batches) for batches in [posterior_batches()] for _ in range(4)]
    resumed = posterior_batches(start=2)
    for expected in seen[2:]:
        assert all(torch.equal(a, b) for a, b in zip(next(resumed), expected, strict=True))
    noise = [image - batch_indices(600, 300, 0, step).view(-1, 1, 1, 1) for step, (image, _) in enumerate(seen)]
    drawn, chosen = torch.cat(noise).flatten().double(), torch.cat([choice for _, choice in seen])
    # An index comes twice in four steps, with other noise.
    assert len(drawn.unique()) > 0.99 * len(drawn)
    assert abs(drawn.mean()) < 5 / len(drawn) ** 0.5
    assert abs(drawn.std() - 1) < 5 / (2 * len(drawn)) ** 0.5
    assert abs(chosen.mean() - 0.5) < 5 / (12 * len(chosen)) ** 0.5
    assert not torch.equal(next(posterior_batches(seed=1))[1], seen[0][1])


def test_large_latents_are_drawn_in_small_blocks_and_a_share_draws_little_more_than_its_own(monkeypatch):
    drawn, randn = [], torch.randn
    monkeypatch.setattr(torch, "randn", lambda *shape, **more: (drawn.append(shape), randn(*shape, **more))[1])
    next(posterior_batches(BatchShard(2, 60)))
    assert drawn == [(64, 3, 2, 2)]
    drawn.clear()
    monkeypatch.setattr(module, "BLOCK_VALUES", 4 * 3 * 2 * 2)
    whole, part = next(posterior_batches()), next(posterior_batches(BatchShard(2, 60)))
    assert drawn == [(4, 3, 2, 2)] * (75 + 2)
    assert all(torch.equal(own, one[10:15]) for own, one in zip(part, whole, strict=True))


def test_batches_made_ahead_are_the_same():
    plain, ahead = posterior_batches(), posterior_batches(depth=2)
    for _ in range(5):
        assert all(torch.equal(a, b) for a, b in zip(next(ahead), next(plain), strict=True))
