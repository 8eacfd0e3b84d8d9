"""What `lab demo` draws and reads, without its page."""

import sys
import threading

import numpy as np
import pytest
import torch

from lina_lab.checkpoints.ema_weights import load_trained
from lina_lab.cli.main import main
from lina_lab.data.text import text_encoder
from lina_lab.demo import MOST_IMAGES, Painter, encoder, example_prompts, read_wish
from lina_lab.errors import LabError, NotFinite
from tests.cells import DIGITS, SHAPES, trained_cell

pytestmark = pytest.mark.slow

GREY = 128


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def digits(runs):
    return trained_cell(runs, DIGITS)


@pytest.fixture(scope="module")
def shapes(runs):
    return trained_cell(runs, SHAPES)


@pytest.fixture
def painter(digits):
    painter = Painter(load_trained(digits)[1])
    yield painter
    painter.close()
    painter.worker.shutdown()


def wished(folder, asked, guidance=1.5, steps=8, flow_steps=3, seed=3, number=2):
    experiment = load_trained(folder)[0]
    return read_wish(encoder(experiment)(asked), experiment.sampling, guidance, steps, flow_steps, seed, number)


def sampled(folder, out, monkeypatch, *words):
    """What `lab sample` draws."""
    monkeypatch.setattr(sys, "argv", ["lab", "sample", str(folder), "--out", str(out), *words])
    with pytest.raises(SystemExit) as exit_:
        main()
    assert not exit_.value.code
    with np.load(out.with_suffix(".npz")) as file:
        return torch.from_numpy(file["arr_0"]).permute(0, 3, 1, 2)


def test_the_last_frame_holds_the_images_of_lab_sample(painter, digits, shapes, tmp_path, monkeypatch):
    settings = ["--seed", "3", "--each", "2", "--guidance", "1.5", "--flow-steps", "5"]
    *_, last = painter.draw(wished(digits, 7, flow_steps=5))
    expected = sampled(digits, tmp_path / "digits.png", monkeypatch, "--labels", "7", *settings)
    assert torch.equal(last.images, expected)
    prompt = "a red circle above a blue ring"
    *_, last = Painter(load_trained(shapes)[1]).draw(wished(shapes, prompt, flow_steps=5))
    expected = sampled(shapes, tmp_path / "shapes.png", monkeypatch, "--prompt", prompt, *settings)
    assert torch.equal(last.images, expected)


def test_tokens_fill_in_and_stay(shapes):
    """Every frame is the last one, but for whole tokens that are grey; with each step there are fewer of these."""
    frames = list(Painter(load_trained(shapes)[1]).draw(wished(shapes, "two crosses", steps=16)))
    assert [frame.step for frame in frames] == list(range(1, frames[0].steps + 1))
    tokens = [frame.images.unfold(2, 4, 4).unfold(3, 4, 4) for frame in frames]  # (n, 3, 4, 4, 4, 4)
    unknown = [(token == GREY).all(-1).all(-1).all(1) for token in tokens]  # (n, 4, 4)
    counts = [int(mask.sum()) for mask in unknown]
    assert counts == sorted(set(counts), reverse=True)
    assert counts[-1] == 0
    for token, mask in zip(tokens, unknown, strict=True):
        known = ~mask[:, None, :, :, None, None]
        assert torch.equal(token * known, tokens[-1] * known)


def test_a_drawing_that_is_left_stops_and_the_next_one_waits_for_that(painter, digits, monkeypatch):
    """Sampling goes on only when it is let, and counts its steps."""
    steps, go = [], threading.Semaphore(0)
    decode = painter.model.decode

    def slow(*arguments):
        assert go.acquire(timeout=120)
        steps.append(threading.get_ident())
        return decode(*arguments)

    monkeypatch.setattr(painter.model, "decode", slow)
    first, second = painter.draw(wished(digits, 1)), painter.draw(wished(digits, 2))
    go.release()
    seen = iter(first)
    assert next(seen).step == 1
    waiting = threading.Thread(target=lambda: steps.append(len(list(second))))
    waiting.start()
    waiting.join(0.2)
    assert len(steps) == 1
    seen.close()
    go.release(100)
    waiting.join(30)
    assert steps[-1] == 7
    assert len(steps) == 1 + 1 + 7 + 1  # one more of the first, all of the second, and its count
    assert len(set(steps[:-1])) == 1


def test_a_drawing_that_waits_can_be_stopped_at_once(painter, digits, monkeypatch):
    go, decode = threading.Event(), painter.model.decode
    monkeypatch.setattr(painter.model, "decode", lambda *arguments: go.wait(30) and decode(*arguments))
    first, second = painter.draw(wished(digits, 1)), painter.draw(wished(digits, 2))
    second.stop()
    assert list(second) == []
    go.set()
    assert len(list(first)) == 7


def test_a_closed_painter_ends_its_drawing_without_an_error(painter, digits):
    drawing = iter(painter.draw(wished(digits, 1, flow_steps=100, number=16)))
    next(drawing)
    painter.close()
    assert len(list(drawing)) < 6


def test_what_goes_wrong_while_drawing_is_not_hidden(painter, digits, monkeypatch):
    monkeypatch.setattr(painter.model, "decode", None)
    with pytest.raises(TypeError, match="NoneType"):
        list(painter.draw(wished(digits, 1)))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"seed": None}, f"seed must be a whole number from 0 to {2**53 - 1}, not None"),
        ({"seed": -1}, "not -1"),
        ({"seed": 0.5}, "not 0.5"),
        ({"seed": 2**53}, f"not {2**53}"),
        ({"seed": float("inf")}, "not inf"),
        ({"number": 0}, "images must be a whole number from 1 to 16, not 0"),
        ({"number": MOST_IMAGES + 1}, "not 17"),
        ({"guidance": 0}, "page: guidance_scale: must be greater than 0, not 0"),
        ({"guidance": None}, "guidance_scale: must be a valid number, not None"),
        ({"steps": 2.5}, "autoregressive_steps: must be a valid integer, not 2.5"),
        ({"flow_steps": 0}, "flow_steps: must be greater than 0, not 0"),
    ],
)
def test_a_number_that_cannot_be_drawn_with_is_named(digits, values, message):
    with pytest.raises(LabError) as caught:
        wished(digits, 1, **values)
    assert message in str(caught.value)


def test_example_prompts_are_different_and_can_be_read(shapes):
    experiment, _ = load_trained(shapes)
    examples = example_prompts(experiment)
    assert len(examples) == len(set(examples)) == 6
    assert text_encoder(experiment.data)(examples).any(1).all()


def test_without_the_data_there_are_no_examples(shapes, monkeypatch):
    def away(config, *, pixels):
        raise LabError("no such folder")

    monkeypatch.setattr("lina_lab.demo.load_dataset", away)
    assert example_prompts(load_trained(shapes)[0]) == []


def test_a_drawing_that_is_not_finite_says_so_and_shows_no_black_image(painter, digits):
    frames = []
    with pytest.raises(NotFinite, match="samples not finite: 2 of 2 images"):
        frames.extend(painter.draw(wished(digits, 7, guidance=1e30)))
    assert all(frame.images.float().std() > 0 or (frame.images == GREY).all() for frame in frames)
