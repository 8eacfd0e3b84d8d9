"""The draws of a step: they do not depend on how many processes share a batch."""

import pytest
import torch

from lina_lab.config.settings import TrainingConfig
from lina_lab.model.random_streams import (
    BLOCK,
    WHOLE,
    BatchShard,
    draw_block_rows,
    step_streams,
    stream,
    training_draws,
)

BATCH, TOKENS, VALUES, REPEATS = 180, 7, 5, 3  # three blocks, the last one not full
CONFIG = TrainingConfig(steps=1, batch_size=BATCH, learning_rate=1e-3, loss_repeat=REPEATS)


def draws(share=WHOLE, batch=BATCH):
    return training_draws(CONFIG, batch, TOKENS, VALUES, step_streams(0, 3), share)


@pytest.mark.parametrize("num_shares", [2, 3, 4, 9])
def test_shares_draw_what_one_process_draws(num_shares):
    whole, parts = draws(), [draws(BatchShard(rank, num_shares)) for rank in range(num_shares)]
    assert {part.num_visible for part in parts} == {whole.num_visible}
    for field in ("keep_label", "order"):
        assert torch.equal(torch.cat([getattr(part, field) for part in parts]), getattr(whole, field))
    for field in ("noise", "time_index"):
        by_repeat = [getattr(part, field).unflatten(0, (REPEATS, -1)) for part in parts]
        assert torch.equal(torch.cat(by_repeat, dim=1).flatten(0, 1), getattr(whole, field))


def test_a_small_batch_has_one_stream_a_purpose():
    noise = torch.randn(REPEATS * BLOCK, TOKENS, VALUES, generator=stream(0, "noise", 3))
    assert torch.equal(draws(batch=BLOCK).noise, noise)


def test_images_of_many_tokens_are_drawn_in_small_blocks():
    tokens = 4096  # 1024 px: four images a block
    draws = training_draws(CONFIG, 6, tokens, 1, step_streams(0, 3))
    second = torch.randn(REPEATS, 2, tokens, 1, generator=stream(0, "noise", 3, 1))
    assert torch.equal(draws.noise.unflatten(0, (REPEATS, -1))[:, 4:], second)


@pytest.mark.parametrize("field", ["keep_label", "order", "noise", "time_index"])
def test_no_two_blocks_are_alike(field):
    rows = getattr(draws(), field).unflatten(0, (-1, BATCH))[0]
    assert not torch.equal(rows[:BLOCK], rows[BLOCK : 2 * BLOCK])


@pytest.mark.parametrize(("share", "blocks"), [(BatchShard(0, 3), [0]), (BatchShard(1, 3), [0, 1]), (WHOLE, [0, 1, 2])])
def test_a_share_draws_only_the_blocks_that_hold_its_rows(share, blocks):
    asked = []
    draw_block_rows(BATCH, share, lambda block, rows: asked.append((block, rows)) or torch.zeros(rows))
    assert asked == [(block, min(BLOCK, BATCH - block * BLOCK)) for block in blocks]


def test_a_batch_without_equal_shares_is_refused():
    with pytest.raises(ValueError, match="180 rows must be a multiple of 7 shares"):
        draws(BatchShard(0, 7))
