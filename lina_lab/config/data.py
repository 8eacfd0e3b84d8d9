"""The data sets by name, and what a model must know of them."""

from typing import Any, Literal, NamedTuple, Self

from pydantic import model_validator

from lina_lab.config.base import Config, Count, KeyProblem


class TextShape(NamedTuple):
    """What a model must know of its prompts: their tokens, and the features of a token."""

    tokens: int
    features: int
    vocabulary: int
    """Words that the model learns; 0 where an encoder gives the features."""


class DataShape(NamedTuple):
    """What a model must know of its data: latents of shape (channels, side, side) and a label or a prompt."""

    channels: int
    side: int
    num_classes: int
    text: TextShape | None = None


class Source(NamedTuple):
    """A data set as far as a config must know it."""

    channels: int
    num_classes: int
    """0 where only the files tell: then a config must say it."""
    sides: tuple[int, ...]
    """Sides that it has, the first by default; none for any side from 16 on."""
    vocabulary: int
    """Words of its closed vocabulary; 0 for none."""


SOURCES = {
    "digits": Source(channels=1, num_classes=10, sides=(8,), vocabulary=0),
    "shapes": Source(channels=3, num_classes=6, sides=(), vocabulary=30),
}
SMALLEST_SIDE = 16
"""Of a data set that is drawn at any side."""
PUBLISHED_DATA = DataShape(channels=16, side=16, num_classes=1000)
"""ImageNet at 256 px through the MAR autoencoder, as the published class-conditional models see it."""


class TextConfig(Config):
    """Prompts instead of labels: the text tokens stand where the label token stands otherwise."""

    encoder: Literal["words", "hf"] = "words"
    """words: a learnt vector for every word of the data set's closed vocabulary; hf: a frozen Hugging Face encoder."""
    tokens: Count = 16
    """Tokens of a prompt; shorter ones are filled with fixed random rows, which also stand for no prompt."""
    features: Count = 64
    """Channels of a token before the projection to the model's width; of hf, what the encoder gives."""
    path: str | None = None
    """Of hf: a local folder or a hub id."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if (self.encoder == "hf") != (self.path is not None):
            raise KeyProblem("path", "path names the folder or id of an hf encoder: hf needs it, words has none")
        return self


class DataConfig(Config):
    name: Literal["digits", "shapes"] = "digits"
    side: Count
    """Pixels of a side."""
    text: TextConfig | None = None
    """Null: the condition is the label."""

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
            raise KeyProblem("side", f"side of {self.name} must be {sides}, not {self.side}")
        if self.side < SMALLEST_SIDE and not source.sides:
            raise KeyProblem("side", f"side of {self.name} must be {SMALLEST_SIDE} or more, not {self.side}")
        if self.text is not None and self.text.encoder == "words" and not source.vocabulary:
            raise KeyProblem("text", f"{self.name} has no captions to learn words from: text must be null")
        return self

    @property
    def shape(self) -> DataShape:
        source = SOURCES[self.name]
        return DataShape(source.channels, self.side, source.num_classes, self._text_shape(source))

    def _text_shape(self, source: Source) -> TextShape | None:
        if self.text is None:
            return None
        words = source.vocabulary if self.text.encoder == "words" else 0
        return TextShape(self.text.tokens, self.text.features, words)


DIGITS = DataConfig.model_validate({"name": "digits"})
