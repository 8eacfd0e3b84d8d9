"""The page of `lab demo`: a prompt or a class in, images out, whose tokens fill in step by step.

Shapes: n images of H x W pixels.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from html import escape
from queue import SimpleQueue
from threading import Event
from typing import Any, NamedTuple, Self

import gradio as gr
import torch
from PIL import Image
from torch import Tensor

from lina_lab.config.experiment import Experiment
from lina_lab.config.load import Document, validate
from lina_lab.config.settings import SamplingConfig
from lina_lab.data.datasets import load_dataset, to_uint8
from lina_lab.data.text import text_encoder
from lina_lab.errors import LabError
from lina_lab.model.lina import Lina
from lina_lab.training.images import generate
from lina_lab.training.sheets import sheet

MOST_IMAGES, COLUMNS, SHOWN_SIDE = 16, 4, 192
NUM_EXAMPLES = 6
END_OF_SEEDS = 2**53
"""From here on the numbers of a browser are not exact."""
FONTS = ["system-ui", "sans-serif"]
LOOK: dict[str, Any] = {
    # Plain names are the system's fonts; the theme's own would be asked for.
    "theme": gr.themes.Default(font=FONTS, font_mono=["ui-monospace", "monospace"]),
    "css": "#picture img { image-rendering: pixelated; object-fit: contain; } #said p { min-height: 3em; }",
}


class Frame(NamedTuple):
    """Images (n, 3, H, W) uint8 after a step, grey where no token is known yet."""

    step: int
    steps: int
    images: Tensor


class Painter:
    """Draws from a model, one drawing at a time, on a thread of its own."""

    def __init__(self, model: Lina) -> None:
        self.model, self.closed = model, Event()
        self.worker = ThreadPoolExecutor(1)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.closed.set()
        self.worker.shutdown()

    def draw(self, condition: Tensor, sampling: SamplingConfig, seed: int) -> Iterator[Frame]:
        """A frame after every step, the last with the images of `generate`; a drawing left before its end stops."""
        frames: SimpleQueue[Frame | None] = SimpleQueue()
        left = Event()

        def show(step: int, steps: int, latent: Tensor) -> None:
            if left.is_set() or self.closed.is_set():
                raise _Stopped
            frames.put(Frame(step, steps, to_uint8(latent.float().cpu())))

        drawing = self.worker.submit(generate, self.model, condition, sampling, seed, watch=show)
        drawing.add_done_callback(lambda _: frames.put(None))
        try:
            yield from iter(frames.get, None)
        finally:
            left.set()
        drawing.result()


class _Stopped(Exception):
    """Ends a drawing that nobody looks at any more."""


class Asked(NamedTuple):
    """What a visitor asks for: a condition (1, ...) and how to draw n images of it."""

    condition: Tensor
    sampling: SamplingConfig
    seed: int
    number: int


def demo_page(name: str, experiment: Experiment, painter: Painter) -> gr.Blocks:
    """The page of a cell; its words and choices are those of the cell's config."""
    ask = partial(asked, condition_of(experiment), experiment.sampling)

    def draw(*values: Any) -> Iterator[tuple[Image.Image | None, str]]:
        try:
            wish = ask(*values)
        except LabError as error:
            yield None, _said(str(error))
            return
        note = "" if experiment.data.text is None or wish.condition.any() else "; no prompt: nothing is asked for"
        condition = wish.condition.repeat_interleave(wish.number, dim=0)
        for step, steps, images in painter.draw(condition, wish.sampling, wish.seed):
            state = "done: step" if step == steps else "step"
            yield sheet(images, min(wish.number, COLUMNS), SHOWN_SIDE), _said(f"{state} {step} of {steps}{note}")

    with gr.Blocks(title=f"{experiment.name} {name}", analytics_enabled=False) as page:
        gr.Markdown(f"# {experiment.name}\ncell {name}")
        with gr.Row():
            with gr.Column(scale=1):
                condition = _condition_input(experiment)
                inputs = [condition, *_sampling_inputs(experiment.sampling, painter.model.tokens)]
                with gr.Row():
                    start, stop = gr.Button("draw", variant="primary"), gr.Button("stop")
            with gr.Column(scale=2):
                said = gr.HTML(_said("draw shows every step; grey is not known yet"), elem_id="said")
                picture = gr.Image(format="png", interactive=False, label="images", elem_id="picture")
        triggers = [start.click, *([condition.submit] if isinstance(condition, gr.Textbox) else [])]
        hidden: dict[str, Any] = {"api_visibility": "private"}
        drawing = gr.on(triggers, draw, inputs, [picture, said], concurrency_limit=1, show_progress="minimal", **hidden)
        stop.click(lambda: _said("stopped"), None, said, cancels=[drawing], queue=False, **hidden)
    return page


def condition_of(experiment: Experiment) -> Callable[[Any], Tensor]:
    """From a class or a prompt to the condition (1, ...) of an experiment's model."""
    if experiment.data.text is None:
        return lambda label: torch.tensor([int(label)])
    encode = text_encoder(experiment.data)
    return lambda prompt: encode([prompt])


def asked(
    condition_of: Callable[[Any], Tensor],
    sampling: SamplingConfig,
    condition: Any,
    guidance: float,
    steps: float,
    flow_steps: float,
    seed: float | None,
    number: float,
) -> Asked:
    """The values of the page's inputs, in their order, checked.

    Raises:
        LabError: if a prompt cannot be read, or a number is none that can be drawn with.
    """
    if seed is None or seed != int(seed) or not 0 <= seed < END_OF_SEEDS:
        raise LabError(f"seed must be a whole number from 0 to {END_OF_SEEDS - 1}, not {seed}")
    changes = {"guidance_scale": guidance, "autoregressive_steps": int(steps), "flow_steps": int(flow_steps)}
    changed = validate(SamplingConfig, Document(sampling.model_dump() | changes, {}))
    return Asked(condition_of(condition), changed, int(seed), int(number))


def example_prompts(experiment: Experiment) -> list[str]:
    """Held-out captions, from all over the split; none where the data are not on this machine."""
    try:
        captions = list(dict.fromkeys(load_dataset(experiment.data).heldout.captions))
    except LabError:
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
    """Beginning with the cell's own values, which always fit."""
    scale, steps, flow_steps = sampling.guidance_scale, sampling.autoregressive_steps, sampling.flow_steps
    return [
        gr.Slider(min(0.1, scale), max(10, scale), scale, step=0.1, label="guidance scale"),
        gr.Slider(1, max(tokens, steps), steps, step=1, label="autoregressive steps"),
        gr.Slider(1, max(100, flow_steps), flow_steps, step=1, label="flow steps"),
        gr.Number(0, label="seed", elem_id="seed"),
        gr.Slider(1, MOST_IMAGES, COLUMNS, step=1, label="images"),
    ]


def _said(text: str) -> str:
    return f'<p role="status">{escape(text)}</p>'
