"""Data sets by name, and the shapes that a model needs to know."""

from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Self

from pydantic import Field, model_validator

from lina_lab.config.base import Config, Count, KeyProblem, PositiveFloat

Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{12,64}$")]
HELD_OUT = 0.15
"""Default share of each class of a folder that is held out, on average."""
OF_FOLDER = ("path", "num_classes", "digest", "held_out")
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


class Source(NamedTuple):
    """Facts of a data set that a config needs."""

    channels: int
    num_classes: int
    """0 if it depends on the files: then the config must give it."""
    sides: tuple[int, ...]
    """Supported resolutions, default first; empty: any from 16 on."""
    vocabulary: int
    """Words of its closed vocabulary; 0 for none."""
    balanced: bool = False
    """Whether its held-out split has equally many images of every class."""


WORDS = Path(__file__).parent / "vocabularies"
SMALLEST_SIDE = 16
"""Least side of a data set that supports any."""


@cache
def words_of(name: str) -> tuple[str, ...]:
    """The closed vocabulary of a data set's captions; word k (from 0) has the id k + 1."""
    return tuple((WORDS / f"{name}.txt").read_text(encoding="utf-8").split())


SOURCES = {
    "digits": Source(channels=1, num_classes=10, sides=(8,), vocabulary=0, balanced=True),
    "emoji": Source(channels=3, num_classes=10, sides=(32, 64), vocabulary=len(words_of("emoji"))),
    "fashion-mnist": Source(channels=1, num_classes=10, sides=(28,), vocabulary=0, balanced=True),
    "images": Source(channels=3, num_classes=0, sides=(), vocabulary=0),
    "mnist": Source(channels=1, num_classes=10, sides=(28,), vocabulary=0),
    "shapes": Source(channels=3, num_classes=6, sides=(), vocabulary=len(words_of("shapes")), balanced=True),
}


class Sizes(NamedTuple):
    """Images of both splits for evaluation, and examples for training (None: endless)."""

    train: int
    heldout: int
    trained_on: int | None


SIZES = {
    "digits": Sizes(1297, 500, 1297),
    "emoji": Sizes(1624, 287, 1624),
    "fashion-mnist": Sizes(27_000, 4000, 27_000),
    "mnist": Sizes(60_000, 10_000, 60_000),
    "shapes": Sizes(2016, 2016, None),
}
"""Sizes of the data sets that come with the package."""
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
    name: Literal["digits", "emoji", "fashion-mnist", "images", "mnist", "shapes"] = "digits"
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
    text: TextConfig | None = None
    """Null: the condition is the label."""
    autoencoder: AutoencoderConfig | None = None
    """For emoji and images; null: the model sees pixels. lab cache encodes once; `side` stays that of the pixels."""

    @model_validator(mode="before")
    @classmethod
    def _resolve(cls, values: Any) -> Any:
        source = SOURCES.get(str(values.get("name", "digits"))) if isinstance(values, dict) else None
        return values if source is None else {"side": (source.sides or (32,))[0]} | values

    @model_validator(mode="after")
    def _fits(self) -> Self:
        source = SOURCES[self.name]
        if source.sides and self.side not in source.sides:
            sides = " or ".join(map(str, source.sides))
            raise KeyProblem("side", f"side of {self.name} must be {sides}, not {self.side}", "name")
        if not source.sides and self.side < SMALLEST_SIDE:
            message = f"side of {self.name} must be at least {SMALLEST_SIDE}, not {self.side}"
            raise KeyProblem("side", message, "name")
        self._fits_folder()
        self._fits_autoencoder()
        if self.text is not None and self.text.encoder == "words" and not source.vocabulary:
            raise KeyProblem(
                "text",
                f"{self.name} has no closed vocabulary to learn: text must be null, or its encoder hf",
                "name",
                "text.encoder",
            )
        return self

    def _fits_folder(self) -> None:
        """A folder of images has a path and a number of classes, and no other set has what describes one."""
        fields = type(self).model_fields
        given = [field for field in OF_FOLDER if getattr(self, field) != fields[field].default]
        if self.name == "images":
            absent = [field for field in ("path", "num_classes") if field not in given]
            wrong = [KeyProblem(field, f"is missing: a folder of images needs {field}") for field in absent]
        else:
            message = f"describes a folder of images: {self.name} has none"
            wrong = [KeyProblem(field, f"{field} {message}", "name") for field in given]
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
    def shape(self) -> DataShape:
        """What the model sees: of an autoencoder its latents."""
        source, coder = SOURCES[self.name], self.autoencoder
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
