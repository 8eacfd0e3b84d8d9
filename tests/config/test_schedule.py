"""Schedules of the sampler, held against the published ones."""

import pytest

from lina_lab.config.schedule import count_schedule, flow_schedule, flow_sigmas, guidance_ramp


@pytest.mark.parametrize(
    ("tokens", "steps", "actual"), [(256, 64, 61), (256, 128, 115), (1024, 128, 125), (4096, 128, 127)]
)
def test_the_count_schedule_drops_empty_steps_as_published(tokens, steps, actual):
    counts = count_schedule(tokens, steps)
    assert len(counts) == actual
    assert sum(counts) == tokens
    assert min(counts) >= 1


def test_the_published_step_sizes():
    expected = [1, 1, 1, 1, 1, 1, 2, 1, 2, 2, 2, 2, 2, 3, 3, 2, 3, 3, 3, 4, 3, 4, 3, 4, 4, 4, 4, 5, 4, 4, 5, 5, 5]
    expected += [5, 5, 5, 5, 5, 5, 6, 5, 6, 6, 5, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 7, 6, 6, 6, 7, 6]
    assert count_schedule(256, 64) == expected


def test_ramp_and_noise_levels_have_the_published_ends():
    assert guidance_ramp(2.4, 1.0, 61)[-1] == 2.4
    assert guidance_ramp(2.4, 1.0, 61)[0] == pytest.approx(1 + 1.4 / 61)
    sigmas = flow_sigmas(25)
    assert (sigmas[0], sigmas[-2], sigmas[-1], len(sigmas)) == (1.0, 0.001, 0.0, 26)
    assert flow_sigmas(1) == [1.0, 0.0]


def test_falling_euler_steps_are_the_published_ones():
    """895 evaluations of the head in 61 steps, from 25 to 5, instead of 1,525."""
    counts = count_schedule(256, 64)
    falling = flow_schedule(25, 5, len(counts))
    assert falling == [int(20 * (61 - 1 - k) / (61 - 1) + 5) for k in range(61)]
    assert (falling[0], falling[-1], sum(falling), 25 * len(counts)) == (25, 5, 895, 1525)
    assert flow_schedule(9, 2, 3) == [9, 5, 2]
    assert flow_schedule(25, None, 3) == [25, 25, 25]
    assert flow_schedule(25, 5, 1) == [25]
