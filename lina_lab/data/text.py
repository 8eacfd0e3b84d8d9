"""Conditions of the model: labels, word ids of captions, or features of a frozen text encoder."""

import hashlib
import io
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lina_lab.config.data import DataConfig, TextConfig
from lina_lab.data.examples import Examples
from lina_lab.errors import LabError
from lina_lab.files import CACHE_VARIABLE, cache_folder, write_atomic

__all__ = ["CACHE_VARIABLE", "cache_folder", "conditions", "encoder_digest", "frozen_features", "text_encoder"]

BATCH = 64

Encode = Callable[[Sequence[str]], Tensor]


def conditions(config: DataConfig) -> Callable[[Examples], Tensor]:
    """A function from n examples to their conditions: labels (n,), word ids (n, T), or features (n, T, F)."""
    if config.text is None:
        return lambda examples: examples.labels
    encode = text_encoder(config)
    return lambda examples: encode(examples.captions)


def text_encoder(config: DataConfig) -> Encode:
    """A function from n prompts to word ids (n, T) int64 or features (n, T, F) float32; 0 pads.

    Raises:
        LabError: if the data set has no prompts, or the encoder cannot be loaded.
    """
    if config.text is None:
        raise LabError(f"{config.name} without data.text is conditioned on labels: it has no prompts")
    if config.text.encoder == "hf":
        return _Frozen(config.text).encode
    from lina_lab.data.vocabulary import encode, vocabulary

    words, tokens = vocabulary(config), config.text.tokens
    return lambda prompts: encode(prompts, words, tokens)


@cache
def frozen_features(text: TextConfig, device: torch.device) -> Callable[[Sequence[str]], Iterator[Tensor]]:
    """A function from prompts to features (t, F) of their t tokens, computed on a device without caching.

    The encoder is loaded once a process.

    Raises:
        LabError: as `text_encoder`, when the features are asked for.
    """
    encoder = _Frozen(text, device)

    def features(prompts: Sequence[str]) -> Iterator[Tensor]:
        for first in range(0, len(prompts), BATCH):
            for row in encoder.computed(prompts[first : first + BATCH]):
                yield row[row.any(-1)]

    return features


class _Frozen:
    """A frozen Hugging Face encoder with a cache on disk; it is loaded only for prompts that are not cached."""

    def __init__(self, text: TextConfig, device: torch.device = torch.device("cpu")) -> None:  # noqa: B008, a constant
        self.text, self.path, self.device = text, str(text.path), device
        self.folder = cache_folder() / "text" / encoder_digest(self.path)[:16] / str(text.tokens)
        self.features: dict[str, Tensor] = {}
        self.loaded: tuple[Any, Any] | None = None

    def encode(self, prompts: Sequence[str]) -> Tensor:
        """Last hidden states (n, T, F) of n prompts. An empty prompt has no token: it stands for no prompt.

        Raises:
            LabError: if a prompt has more than `data.text.tokens` tokens, or the features are not `data.text.features`.
        """
        # Captions repeat: each distinct prompt is encoded and read once.
        new = [prompt for prompt in dict.fromkeys(prompts) if prompt not in self.features]
        missing = [prompt for prompt in new if not self._kept(prompt).exists()]
        for first in range(0, len(missing), BATCH):
            chunk = missing[first : first + BATCH]
            for prompt, features in zip(chunk, self.computed(chunk), strict=True):
                _save(self._kept(prompt), features.numpy())
        for prompt in new:
            self.features[prompt] = torch.from_numpy(np.load(self._kept(prompt)))
        return torch.stack([self.features[prompt] for prompt in prompts])

    def _kept(self, prompt: str) -> Path:
        return self.folder / f"{hashlib.sha256(prompt.encode()).hexdigest()}.npy"

    @torch.no_grad()
    def computed(self, prompts: Sequence[str]) -> Tensor:
        """Features (n, T, F), always computed anew."""
        tokenizer, model = self.loaded = self.loaded or _load(self.path)
        counts = [len(ids) for ids in tokenizer(list(prompts))["input_ids"]]
        for prompt, count in zip(prompts, counts, strict=True):
            if count > self.text.tokens:
                most = f"{self.text.tokens} tokens (data.text.tokens)"
                raise LabError(f"a prompt must have at most {most}, not {count}: {prompt[:60]}")
        inputs = tokenizer(list(prompts), padding="max_length", max_length=self.text.tokens, return_tensors="pt")
        hidden = model.to(self.device)(**inputs.to(self.device)).last_hidden_state.float().cpu()  # (n, T, F)
        if hidden.shape[-1] != self.text.features:
            raise LabError(f"data.text.features must be {hidden.shape[-1]} for {self.path}, not {self.text.features}")
        given = torch.tensor([bool(prompt.strip()) for prompt in prompts]).unsqueeze(-1)
        return hidden * (inputs["attention_mask"].cpu() * given).unsqueeze(-1)


def _load(path: str) -> tuple[Any, Any]:
    try:
        from transformers import AutoModel, AutoTokenizer
    except ImportError as error:
        raise LabError("data.text.encoder hf needs transformers: pip install 'lina-lab[text]'") from error
    try:
        tokenizer, model = AutoTokenizer.from_pretrained(path), AutoModel.from_pretrained(path)
    except (OSError, ValueError) as error:
        raise LabError(f"data.text.path {path}: cannot be loaded: {str(error).splitlines()[0]}") from error
    if tokenizer.pad_token is None:
        # Decoder-only models have no padding token; padded positions are masked out, so any will do.
        tokenizer.pad_token = tokenizer.eos_token
    # Padding last: token t of a prompt is then row t, whatever the encoder prefers.
    tokenizer.padding_side = "right"
    return tokenizer, model.eval().requires_grad_(requires_grad=False)


def encoder_digest(path: str) -> str:
    """SHA-256 of an encoder: of a folder's files, or of a hub id, since hub files are cached elsewhere."""
    total = hashlib.sha256(path.encode() if not Path(path).is_dir() else b"")
    for file in _files(Path(path)):
        total.update(file.name.encode())
        with file.open("rb") as stream:
            total.update(hashlib.file_digest(stream, "sha256").digest())
    return total.hexdigest()


def _files(folder: Path) -> Iterator[Path]:
    return iter(sorted(path for path in folder.rglob("*") if path.is_file())) if folder.is_dir() else iter(())


def _save(path: Path, array: "np.ndarray[Any, Any]") -> None:
    buffer = io.BytesIO()
    np.save(buffer, array)
    write_atomic(path, buffer.getvalue())
