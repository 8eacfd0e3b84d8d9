"""The page of `lab demo`: enter a prompt or a class and watch the tokens of its images fill in, step by step.

Shapes: n images of H x W pixels.
"""

import logging
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, ThreadPoolExecutor
from contextlib import suppress
from html import escape
from queue import SimpleQueue
from threading import Event
from typing import Any, NamedTuple

import gradio as gr
import torch
from torch import Tensor

from lina_lab.config.experiment import Experiment
from lina_lab.config.load import Document, validate
from lina_lab.config.settings import SamplingConfig
from lina_lab.data.autoencoder import Decode, pixels
from lina_lab.data.datasets import load_dataset, to_uint8
from lina_lab.data.text import text_encoder
from lina_lab.errors import LabError
from lina_lab.model.lina import Lina
from lina_lab.sampling.contact_sheet import contact_sheet
from lina_lab.sampling.generate import generate

logger = logging.getLogger(__name__)

MOST_IMAGES, COLUMNS, SHOWN_SIDE = 16, 4, 192
NUM_EXAMPLES = 6
LARGEST_SEED = 2**53 - 1
"""Largest integer that JavaScript represents exactly."""
FONTS = ["system-ui", "sans-serif"]
LOOK: dict[str, Any] = {
    # Plain names are fonts of the system; the theme's default would be fetched from a server.
    "theme": gr.themes.Default(font=FONTS, font_mono=["ui-monospace", "monospace"]),
    "css": "#picture img { image-rendering: pixelated; object-fit: contain; } #said p { min-height: 3em; }",
}


class Frame(NamedTuple):
    """Images (n, 3, H, W) uint8 after a step; unknown tokens are grey, or whatever zeros decode to."""

    step: int
    steps: int
    images: Tensor


class _Stopped(Exception):
    """Ends a drawing that nobody is watching any more."""


class DemoDrawing:
    """The frames of one drawing as they are made; the last holds the finished images."""

    def __init__(self, painter: "Painter", wish: "Wish") -> None:
        self.painter, self.stopped = painter, Event()
        self.frames: SimpleQueue[Frame | None] = SimpleQueue()
        self.drawn = painter.worker.submit(generate, painter.model, *wish, watch=self._show, decode=painter.decode)
        # None ends the iteration, also after an error or a cancelled drawing.
        self.drawn.add_done_callback(lambda _: self.frames.put(None))

    def __iter__(self) -> Iterator[Frame]:
        try:
            yield from iter(self.frames.get, None)
        finally:
            self.stop()
        with suppress(_Stopped, CancelledError):
            self.drawn.result()

    def stop(self) -> None:
        """Stop at the next step, or at once if it has not begun."""
        self.stopped.set()
        self.drawn.cancel()

    def _show(self, step: int, steps: int, latent: Tensor) -> None:
        if self.stopped.is_set() or self.painter.closed.is_set():
            raise _Stopped
        self.frames.put(Frame(step, steps, to_uint8(self.painter.decode(latent.float()).cpu())))


class Painter:
    """Draws from a model on a thread of its own, one drawing at a time."""

    def __init__(self, model: Lina, decode: Decode = pixels) -> None:
        self.model, self.decode, self.closed = model, decode, Event()
        self.worker = ThreadPoolExecutor(1)

    def draw(self, wish: "Wish") -> DemoDrawing:
        """Queue a drawing behind those before it."""
        return DemoDrawing(self, wish)

    def close(self) -> None:
        """Stop the current drawing at its next step, and drop those that wait."""
        self.closed.set()


class Wish(NamedTuple):
    """What a visitor asks for: the condition (n, ...) of n images, and how to draw them."""

    condition: Tensor
    sampling: SamplingConfig
    seed: int


def demo_page(name: str, experiment: Experiment, painter: Painter) -> gr.Blocks:
    """The page of a cell, with inputs that fit its config."""
    encode = encoder(experiment)

    drawings: dict[str | None, DemoDrawing] = {}  # the latest of each visitor

    def draw(request: gr.Request, asked: Any, *values: float | None) -> Iterator[tuple[Any, str]]:
        try:
            wish = read_wish(encode(asked), experiment.sampling, *values)
        except LabError as error:
            yield None, _said(str(error))
            return
        note = "" if experiment.data.text is None or wish.condition.any() else "; no prompt, so anything may come"
        drawing = drawings[request.session_hash] = painter.draw(wish)
        yield None, _said("waiting for its turn")
        state = "stopped before its first step"
        try:
            for step, steps, images in drawing:
                at = f"step {step} of {steps}{note}"
                state = f"{'done' if step == steps else 'stopped'}: {at}"
                yield contact_sheet(images, min(len(images), COLUMNS), shown_side=SHOWN_SIDE), _said(at)
        except LabError as error:  # such as a guidance scale whose samples are not finite
            state = str(error)
        yield gr.skip(), _said(state)

    def stop_drawing(request: gr.Request) -> None:
        if request.session_hash in drawings:
            drawings.pop(request.session_hash).stop()

    with gr.Blocks(title=f"{experiment.name} {name}") as page:
        gr.Markdown(f"# {experiment.name}\ncell {name}")
        with gr.Row():
            with gr.Column(scale=1):
                condition = _condition_input(experiment)
                inputs = [condition, *_sampling_inputs(experiment.sampling, painter.model.tokens)]
                with gr.Row():
                    start, stop = gr.Button("draw", variant="primary"), gr.Button("stop")
            with gr.Column(scale=2):
                said = gr.HTML(_said("draw shows every step; grey is not known yet"), elem_id="said")
                # Without gradio's share button, which uploads pictures.
                shown: dict[str, Any] = {"buttons": ["download", "fullscreen"], "interactive": False}
                picture = gr.Image(format="png", label="images", elem_id="picture", **shown)
        triggers = [start.click, *([condition.submit] if isinstance(condition, gr.Textbox) else [])]
        hidden: dict[str, Any] = {"api_visibility": "private"}
        # The painter keeps the order: gradio's own queue could not say for certain that a drawing was stopped.
        gr.on(triggers, draw, inputs, [picture, said], concurrency_limit=None, show_progress="minimal", **hidden)
        stop.click(stop_drawing, queue=False, **hidden)
        page.unload(stop_drawing)
    return page


def encoder(experiment: Experiment) -> Callable[[Any], Tensor]:
    """A function from a class or a prompt to the condition (1, ...) of an experiment's model."""
    if experiment.data.text is None:
        return lambda label: torch.tensor([label])
    encode = text_encoder(experiment.data)
    return lambda prompt: encode([prompt])


def read_wish(
    condition: Tensor,
    sampling: SamplingConfig,
    guidance: float | None,
    steps: float | None,
    flow_steps: float | None,
    seed: float | None,
    number: float | None,
) -> Wish:
    """A condition (1, ...) and the values of the page's inputs, in their order, checked.

    Raises:
        LabError: if a number is missing or out of range.
    """
    changes = {"guidance_scale": guidance, "autoregressive_steps": steps, "flow_steps": flow_steps}
    places: dict[tuple[str, ...], str] = {(key,): "page" for key in changes}
    changed = validate(SamplingConfig, Document(sampling.changed(changes), places))
    images = _whole("images", number, 1, MOST_IMAGES)
    return Wish(condition.repeat_interleave(images, dim=0), changed, _whole("seed", seed, 0, LARGEST_SEED))


def _whole(name: str, value: float | None, least: int, most: int) -> int:
    if value is None or not least <= value <= most or value != int(value):
        raise LabError(f"{name} must be a whole number from {least} to {most}, not {value}")
    return int(value)


def example_prompts(experiment: Experiment) -> list[str]:
    """Held-out captions, evenly spaced; none if the data are not on this machine."""
    try:
        captions = list(dict.fromkeys(load_dataset(experiment.data, pixels=False).heldout.captions))
    except LabError as error:
        logger.info("no example prompts: %s", error)
        return []
    return captions[:: max(1, len(captions) // NUM_EXAMPLES)][:NUM_EXAMPLES]


def _condition_input(experiment: Experiment) -> gr.Textbox | gr.Dropdown:
    if experiment.data.text is None:
        return gr.Dropdown(list(range(experiment.data.shape.num_classes)), value=0, label="class", elem_id="condition")
    examples = example_prompts(experiment)
    box = gr.Textbox(examples[0] if examples else "", label="prompt", info="empty for none", elem_id="condition")
    if examples:
        gr.Examples(examples, box, label="held-out captions")
    return box


def _sampling_inputs(sampling: SamplingConfig, tokens: int) -> list[gr.Slider | gr.Number]:
    """Inputs that start at the cell's own values; ranges are widened to include them."""
    scale, steps, flow_steps = sampling.guidance_scale, sampling.autoregressive_steps, sampling.flow_steps
    return [
        gr.Number(scale, label="guidance scale", info="1 for none", elem_id="guidance"),
        gr.Slider(1, max(tokens, steps), steps, step=1, label="autoregressive steps"),
        gr.Slider(1, max(100, flow_steps), flow_steps, step=1, label="flow steps"),
        gr.Number(0, label="seed", elem_id="seed"),
        gr.Slider(1, MOST_IMAGES, COLUMNS, step=1, label="images"),
    ]


def _said(text: str) -> str:
    return f'<p role="status">{escape(text)}</p>'
