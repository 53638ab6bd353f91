"""Texts to token ids, or to states below the trained layers, by a pretrained encoder."""

from collections.abc import Sequence
from functools import cached_property
from typing import cast

import numpy as np
import torch
from jaxtyping import Num
from tokenizers import Tokenizer
from torch import nn

from mien.data.store import Series
from mien.data.text_cache import LowerLayers
from mien.data.text_settings import TextEncoderConfig
from mien.data.text_states import states_of
from mien.errors import AssetError, ConfigError
from mien.pretrained.encoder_source import (
    default_text_encoder,
    find_local_encoder,
    find_text_encoder,
    fingerprint_of,
    text_prefix,
)
from mien.pretrained.text_encoder import (
    GivenStates,
    StackedEncoder,
    TokenEncoder,
    load_backbone,
    load_bottom,
    load_settings,
    load_tokenizer,
    load_top,
)

__all__ = ["TextReader"]


class TextReader:
    """Texts to what a model of these settings reads: token ids, or states below its trained layers.

    Args:
        config: Settings of the text, with ``input`` ``transcript`` or ``tokens``.
        language: ISO 639-1 code of the texts.
        online: Whether the encoder may be downloaded from a hub.

    Attributes:
        name: Which encoder it is.
        fingerprint: SHA-256 of its weights.
        revision: Commit of an encoder from a hub; None for a folder.
        size: Size of a state that ``build`` gives, d.
        vocabulary: Number of its tokens.
        prefix: What it expects before every text.
        max_tokens: Longer texts are cut to this many tokens.
        step_cost: Work of one step, to pad clips of like cost together.

    Raises:
        ConfigError: If the encoder has fewer layers than are to be trained.
        AssetError: If the encoder is not here.
    """

    def __init__(self, config: TextEncoderConfig, language: str, *, online: bool = True) -> None:
        self.name = default_text_encoder(language) if config.name == "auto" else config.name
        source = find_text_encoder(self.name)
        self.source = source if online else find_local_encoder(self.name)
        self.fingerprint = fingerprint_of(source)
        self._tokenizer, self.prefix = load_tokenizer(self.source), text_prefix(self.name)
        settings = load_settings(self.source)
        self.revision: str | None = getattr(settings, "_commit_hash", None)
        positions = getattr(settings, "max_position_embeddings", None) or config.max_tokens
        self.max_tokens, self._trained = min(config.max_tokens, positions), config.trained_layers
        self.size, self.vocabulary = int(settings.hidden_size), int(settings.vocab_size)
        self.step_cost = 1.0 if self._trained == 0 else 100.0
        num_layers = int(settings.num_hidden_layers)
        if self._trained is not None and self._trained > num_layers:
            raise ConfigError(
                f"setting text_encoder.mode is {config.mode!r}, but {self.name} has {num_layers} "
                "layers"
            )
        #: After how many layers states are computed ahead; None where token ids are what is read.
        self.layer = None if self._trained is None else num_layers - self._trained

    @property
    def lower_layers(self) -> LowerLayers | None:
        """The layers whose states are computed ahead; None where token ids are what is read."""
        if self.layer is None:
            return None
        return LowerLayers(
            source=self.source,
            layer=self.layer,
            size=self.size,
            fingerprint=self.fingerprint,
            revision=self.revision,
        )

    def build(self) -> nn.Module:
        """Make the trained part of the encoder, with its pretrained weights."""
        if self._trained is None:
            return TokenEncoder(load_backbone(self.source))
        return load_top(self.source, self._trained) if self._trained else GivenStates()

    def join(self, trained: nn.Module) -> nn.Module:
        """Return an encoder from token ids to states, whose trained part is what ``build`` made."""
        if self.layer is None:
            return trained
        return StackedEncoder(self._bottom, trained)

    def tokenise(self, texts: Sequence[str]) -> Series:
        """Return the token ids of each text, ``(T, 1)``; no step for an empty one."""
        given = [self.prefix + text if text.strip() else "" for text in texts]
        encoded = self._tokenizer(
            given, truncation=True, max_length=self.max_tokens, padding=False
        )["input_ids"]
        ids = [
            np.array(numbers if text else [], dtype=np.int32)
            for numbers, text in zip(encoded, given, strict=True)
        ]
        offsets = np.concatenate([[0], np.cumsum([len(numbers) for numbers in ids])])
        return Series(np.concatenate(ids)[:, None], offsets.astype(np.int64))

    @torch.no_grad()
    def read(self, text: str) -> Num[np.ndarray, "T _"]:
        """Return what a model reads of one text; no step if it is empty."""
        ids = self.tokenise([text])
        if self.layer is None:
            return ids[0]
        if not len(ids.values):
            return np.zeros((0, self.size), np.float32)
        return states_of(self._bottom, [ids[0]])[0].numpy()

    @cached_property
    def _bottom(self) -> TokenEncoder:
        return load_bottom(self.source, cast("int", self.layer))

    def count_tokens(self, text: str) -> int:
        """Return how many tokens a text has, with its prefix and the marks around it, uncut."""
        return len(
            self._tokenizer(self.prefix + text, truncation=False, verbose=False)["input_ids"]
        )

    def fits(self, text: str) -> bool:
        """Return whether a text is read to its end."""
        return self.count_tokens(text) <= self.max_tokens

    def count_truncated(self, texts: Sequence[str], ids: Series) -> int:
        """Return how many texts, of which ``ids`` are the token ids, are not read to their end."""
        full = np.flatnonzero(ids.lengths >= self.max_tokens).tolist()
        return sum(not self.fits(texts[row]) for row in full)

    def reach(self, text: str) -> int:
        """Return how many characters of a text are read: all of them if it fits."""
        if self.fits(text):
            return len(text)
        return max((end for _, _, end in self.tokens(text)), default=0)

    def knows(self, text: str) -> bool:
        """Return whether any part of a text is in the vocabulary."""
        ids = self._tokenizer(text, truncation=False, verbose=False)["input_ids"]
        return not set(ids) <= set(self._tokenizer.all_special_ids)

    def tokenizer_json(self) -> str:
        """Return the tokenizer as the package ``tokenizers`` reads it; it cuts texts as we do.

        What it cut off is in ``overflowing`` of an encoding.

        Raises:
            AssetError: If the encoder's tokenizer has no such form.
        """
        backend = getattr(self._tokenizer, "backend_tokenizer", None)
        if backend is None:
            raise AssetError(
                f"text encoder {self.name!r}: its tokenizer is not one of the package "
                "'tokenizers'; give an encoder whose folder has a tokenizer.json"
            )
        copy = Tokenizer.from_str(backend.to_str())
        copy.no_padding()
        copy.enable_truncation(self.max_tokens)
        return copy.to_str()

    def tokens(self, text: str) -> list[tuple[str, int, int]]:
        """Return the token of each step, and the characters of the text that it covers."""
        encoded = self._tokenizer(
            self.prefix + text,
            truncation=True,
            max_length=self.max_tokens,
            return_offsets_mapping=True,
        )
        names = self._tokenizer.convert_ids_to_tokens(encoded["input_ids"])
        shift = len(self.prefix)
        return [
            (name, max(0, start - shift), max(0, end - shift))
            for name, (start, end) in zip(names, encoded["offset_mapping"], strict=True)
        ]
