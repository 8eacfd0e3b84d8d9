"""Data sets by name, and the shapes that a model needs to know."""

from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Self

from pydantic import Field, model_validator

from lina_lab.config.base import Config, Count, KeyProblem, OneOf, PositiveFloat, Table
from lina_lab.config.torchvision_sets import TORCHVISION_SETS
from lina_lab.design.data_sets import SIZES, SOURCES, Sizes, Source
from lina_lab.design.value import plain

Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{12,64}$")]
HELD_OUT = 0.15
"""Default share of each class of a folder that is held out, on average."""
OF_ONE = {
    "images": ("a folder of images", ("path", "num_classes", "digest", "held_out", "fit")),
    "shapes": ("scenes of shapes", ("labels",)),
    "torchvision": ("a set of torchvision", ("dataset", "root")),
}
"""Fields that describe one kind of data set alone, in words and by name."""
NEEDED = ("path", "num_classes", "dataset", "root")
"""Those of them that must be given."""
ENCODABLE = ("emoji", "images")
"""Finite RGB data sets: those that an autoencoder can encode."""


class TextShape(NamedTuple):
    """Shape of a prompt: its tokens, and the features of a token."""

    tokens: int
    features: int
    vocabulary: int
    """Words that the model learns; 0 where an encoder gives the features."""


class DataShape(NamedTuple):
    """Shape of what a model generates: latents (channels, side, side), conditioned on a label or a prompt."""

    channels: int
    side: int
    num_classes: int
    text: TextShape | None = None
    stride: int = 1
    """Image pixels along one side of a latent pixel; 1 if the model sees the pixels themselves."""

    @property
    def prompt_tokens(self) -> int:
        """Tokens before the context queries: one for a label, or those of the prompt."""
        return 1 if self.text is None else self.text.tokens


WORDS = Path(__file__).parent / "vocabularies"
SMALLEST_SIDE = 16
"""Least side of a data set that supports any."""


@cache
def words_of(name: str) -> tuple[str, ...]:
    """The closed vocabulary of a data set's captions; word k (from 0) has the id k + 1."""
    return tuple((WORDS / f"{name}.txt").read_text(encoding="utf-8").split())


SOURCES |= {
    "digits": Source(channels=1, num_classes=10, sides=(8,), vocabulary=0, balanced=True),
    "emoji": Source(channels=3, num_classes=10, sides=(32, 64), vocabulary=len(words_of("emoji"))),
    "fashion-mnist": Source(channels=1, num_classes=10, sides=(28,), vocabulary=0, balanced=True),
    "images": Source(channels=3, num_classes=0, sides=(), vocabulary=0),
    "mnist": Source(channels=1, num_classes=10, sides=(28,), vocabulary=0),
    "shapes": Source(channels=3, num_classes=6, sides=(), vocabulary=len(words_of("shapes")), balanced=True),
    "torchvision": Source(channels=0, num_classes=0, sides=(), vocabulary=0),  # see TORCHVISION_SETS
}
NUM_OBJECTS = 48
"""Classes of `labels: object`: six shapes in eight colours."""


def source_of(name: str, dataset: str | None = None, labels: str = "category") -> Source | None:
    """The facts of a data set, by what a config says of it; None for a name that there is not."""
    known = TORCHVISION_SETS.get(dataset or "")
    if name == "torchvision" and known is not None:
        return Source(channels=known.channels, num_classes=known.num_classes, sides=(known.side,), vocabulary=0)
    source = SOURCES.get(name)
    return source._replace(num_classes=NUM_OBJECTS) if source and labels == "object" else source


SIZES |= {
    "digits": Sizes(1297, 500, 1297),
    "emoji": Sizes(1624, 287, 1624),
    "fashion-mnist": Sizes(27_000, 4000, 27_000),
    "mnist": Sizes(60_000, 10_000, 60_000),
    "shapes": Sizes(2016, 2016, None),
}
PUBLISHED_DATA = DataShape(channels=16, side=16, num_classes=1000, stride=16)
"""ImageNet at 256 px through the MAR autoencoder, as the published class-conditional models see it."""


class TextConfig(Config):
    """Prompts instead of labels: text tokens take the place of the label token."""

    encoder: Literal["words", "hf"] = "words"
    """words: a learnt vector for every word of the data set's closed vocabulary; hf: a frozen Hugging Face encoder."""
    tokens: Count = 16
    """Tokens of a prompt. Shorter prompts are padded with fixed random rows; rows alone mean no prompt."""
    features: Count = 64
    """Channels of a token before the projection to the model's width; for hf, those of the encoder."""
    path: str | None = None
    """For hf: a local folder or a hub id."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if (self.encoder == "hf") != (self.path is not None):
            message = "path names the folder or id of an hf encoder: hf needs it, words has none"
            raise KeyProblem("path", message, "encoder")
        return self


class AutoencoderConfig(Config):
    """A KL autoencoder: the model sees (z - shift_factor) scaling_factor of its latents z instead of pixels."""

    path: str
    """A local folder, or a hub id, that diffusers reads as an AutoencoderKL."""
    channels: Count
    """Channels of a latent: 16 for MAR's autoencoder, 4 for SDXL's."""
    stride: Count
    """Image pixels along one side of a latent pixel: 16 for MAR's, 8 for SDXL's."""
    scaling_factor: PositiveFloat
    """Usually one over the standard deviation of the latents; published with the weights."""
    shift_factor: Annotated[float, Field(allow_inf_nan=False)] = 0.0
    digest: Digest | None = None
    """The start of the SHA-256 of its weights, which lab cache prints; others are then refused."""


class DataConfig(Config):
    name: Annotated[str, OneOf(Table(SOURCES))] = "digits"
    side: Count
    """Pixels of a side."""
    path: str | None = None
    """For images: their folder."""
    num_classes: Count | None = None
    """For images: the number of sub-folders, 1 for a flat folder."""
    digest: Digest | None = None
    """For images: the start of the SHA-256 of the folder's content; other content is then refused."""
    held_out: Annotated[float, Field(gt=0, lt=1)] = HELD_OUT
    """For images: the share that is held out, by the hash of an image's path."""
    fit: Literal["crop", "pad"] = "crop"
    """For images: their centre square, or the whole on a square of the colour of their edge. Neither enlarges: crop
    refuses what is smaller than the side, pad gives it a wider border."""
    dataset: str | None = None
    """For torchvision: its name there, as MNIST or CIFAR10; EMNIST with its split, as EMNIST-letters."""
    root: str | None = None
    """For torchvision: its root folder. What is missing there is downloaded when a run starts."""
    labels: Literal["category", "object"] = "category"
    """For shapes: the class is one of GenEval's six categories, or the shape and colour of the only object."""
    text: TextConfig | None = None
    """Null: the condition is the label."""
    autoencoder: AutoencoderConfig | None = None
    """For emoji and images; null: the model sees pixels. lab cache encodes once; `side` stays that of the pixels."""

    @model_validator(mode="before")
    @classmethod
    def _resolve(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        source = source_of(str(values.get("name", "digits")), str(values.get("dataset")))
        return values if source is None else {"side": (source.sides or (32,))[0]} | values

    @model_validator(mode="after")
    def _fits(self) -> Self:
        self._fits_kind()
        source = self.source
        if source.sides and self.side not in source.sides:
            sides = " or ".join(map(str, source.sides))
            message = f"side of {self.title} must be {sides}, not {self.side}"
            raise KeyProblem("side", message, "name", "dataset")
        if not source.sides and self.side < SMALLEST_SIDE:
            message = f"side of {self.name} must be at least {SMALLEST_SIDE}, not {self.side}"
            raise KeyProblem("side", message, "name")
        self._fits_autoencoder()
        if self.text is not None and self.text.encoder == "words" and not source.vocabulary:
            raise KeyProblem(
                "text",
                f"{self.title} has no closed vocabulary to learn: text must be null, or its encoder hf",
                "name",
                "text.encoder",
            )
        if self.text is not None and self.labels == "object":
            raise KeyProblem("labels", "labels: object makes the label the condition: text must be null", "text")
        return self

    def _fits_kind(self) -> None:
        """A set has what it needs, and nothing that describes a set of another kind."""
        fields = type(self).model_fields
        wrong = []
        for kind, (what, names) in OF_ONE.items():
            given = [field for field in names if getattr(self, field) != fields[field].default]
            if self.name == kind:
                absent = [field for field in names if field in NEEDED and field not in given]
                wrong += [KeyProblem(field, f"is missing: {what} needs {field}") for field in absent]
            else:
                given = [field for field in given if not (field == "path" and self.source.needs_path)]
                message = f"{{}} describes {what}: {plain(self.name)} has none"
                wrong += [KeyProblem(field, message.format(field), "name") for field in given]
        if self.source.needs_path and self.path is None:
            wrong.append(KeyProblem("path", f"is missing: {plain(self.name)} needs path, the folder of its files"))
        if self.name == "torchvision" and self.dataset is not None and self.dataset not in TORCHVISION_SETS:
            known = ", ".join(TORCHVISION_SETS)
            wrong.append(KeyProblem("dataset", f"dataset must be one of {known}, not {self.dataset}"))
        if wrong:
            first, *more = wrong
            first.also = more
            raise first

    def _fits_autoencoder(self) -> None:
        if self.autoencoder is None:
            return
        if self.name not in ENCODABLE:
            message = f"autoencoder is for {' and '.join(ENCODABLE)}, not for {self.name}"
            raise KeyProblem("autoencoder", message, "name")
        if self.side % (stride := self.autoencoder.stride):
            raise KeyProblem(
                "autoencoder.stride",
                f"stride must divide the side in pixels: {stride} does not divide {self.side}",
                "side",
            )

    @property
    def source(self) -> Source:
        """The facts of the set."""
        return source_of(self.name, self.dataset, self.labels) or SOURCES[self.name]

    @property
    def title(self) -> str:
        """What the set is called: torchvision's word for one of its sets."""
        return self.dataset or plain(self.name)

    @property
    def classes_of(self) -> str:
        """The data set whose classes the labels are, as extractors name it; empty if no other has them."""
        if self.labels == "object":
            return "objects"
        known = TORCHVISION_SETS.get(self.dataset or "")
        return self.name if known is None else known.classes

    @property
    def shape(self) -> DataShape:
        """What the model sees: of an autoencoder its latents."""
        source, coder = self.source, self.autoencoder
        classes, text = source.num_classes or self.num_classes or 0, self._text_shape(source)
        if coder is None:
            return DataShape(channels=source.channels, side=self.side, num_classes=classes, text=text)
        return DataShape(
            channels=coder.channels, side=self.side // coder.stride, num_classes=classes, text=text, stride=coder.stride
        )

    def _text_shape(self, source: Source) -> TextShape | None:
        if self.text is None:
            return None
        words = source.vocabulary if self.text.encoder == "words" else 0
        return TextShape(self.text.tokens, self.text.features, words)


DIGITS = DataConfig.model_validate({"name": "digits"})
