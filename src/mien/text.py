"""Transcripts to what a model reads of them: token ids, or states computed ahead and kept."""

import hashlib
import json
import logging
import os
from collections.abc import Callable
from collections.abc import Sequence as Several
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal, cast

import numpy as np
import torch
from jaxtyping import Float, Int, Num
from pydantic import Field
from tokenizers import Tokenizer
from torch import Tensor, nn

from mien.assets import default_text_encoder, find_text_encoder, text_prefix
from mien.backbone import (
    GivenStates,
    StackedEncoder,
    TokenEncoder,
    fingerprint_of,
    load_backbone,
    load_bottom,
    load_settings,
    load_tokenizer,
    load_top,
)
from mien.config import Settings
from mien.errors import AssetError, ConfigError
from mien.folders import FolderKind, staged
from mien.npy import append_array, write_header
from mien.store import Series, Store
from mien.temporaries import sweep_folder
from mien.tensors import pad
from mien.types import Clip

__all__ = [
    "TextEncoderConfig",
    "TextInput",
    "TextReader",
    "cache_folder",
    "prepare_text",
]

logger = logging.getLogger(__name__)

_STATES = FolderKind("a cache of states", lambda _: {"meta.json", "values.npy"})
_CHUNK = 64  # clips encoded at once when states are computed ahead


class TextEncoderConfig(Settings):
    """Where the states of the text come from.

    Attributes:
        input: ``transcript``: what is said, through the encoder's own tokenizer. ``tokens``: the
            published token ids, for an encoder with the same vocabulary. ``embeddings``: the
            published states of the text, without an encoder. ``none``: leave the text out.
        name: ``auto`` (the default encoder for the language of the corpus), a name that
            ``mien assets`` lists, a local folder, or a name on a model hub.
        mode: ``finetune``: train all of the encoder. ``frozen``: train none of it; its states are
            computed once and kept. ``last-k``, for example ``last-2``: train the last k layers; the
            states below them are computed once and kept.
        summary: What the encoder's own summary of a clip is: its first state (``cls``) or the mean
            of all (``mean``).
        max_tokens: Longer transcripts are cut to this many tokens.
    """

    input: Literal["transcript", "tokens", "embeddings", "none"] = "transcript"
    name: str = "auto"
    mode: str = Field("finetune", pattern=r"^(finetune|frozen|last-[1-9][0-9]?)$")
    summary: Literal["cls", "mean"] = "cls"
    max_tokens: int = Field(128, ge=3)

    @property
    def trained_layers(self) -> int | None:
        """How many layers are trained; None stands for all of the encoder."""
        if self.mode == "finetune":
            return None
        return 0 if self.mode == "frozen" else int(self.mode.removeprefix("last-"))


@dataclass(frozen=True, slots=True, kw_only=True)
class TextInput:
    """The text of a corpus, ready for a model.

    Attributes:
        series: Token ids ``(T, 1)`` or states ``(T, d)`` of every clip of the store.
        size: Size of a state that ``build`` gives, d.
        build: Makes the trained part of the encoder, with its pretrained weights.
        step_cost: Work of one step, to pad clips of like cost together.
        name: Which encoder it is; ``embeddings`` if there is none.
        fingerprint: SHA-256 of the encoder's weights; empty if there is none.
        tokens: Gives the tokens of a clip's steps as text, and the characters of the transcript
            that each covers; None if that is not known.
    """

    series: Series
    size: int
    build: Callable[[], nn.Module]
    step_cost: float
    name: str
    fingerprint: str
    tokens: Callable[[Clip], list[tuple[str, int, int]]] | None


def prepare_text(store: Store, config: TextEncoderConfig) -> TextInput | None:
    """Bring the text of a store into the form that the settings ask for.

    States of frozen layers are computed once per store and encoder and kept in the user's cache.

    Returns:
        The input, or None if the settings or the store have no text.

    Raises:
        ConfigError: If the store does not hold what ``config.input`` names.
        AssetError: If the encoder is not here.
    """
    if config.input == "none":
        return None
    if config.input == "embeddings":
        return _given(store)
    if config.input == "tokens" and "tokens" not in store.meta.series:
        raise ConfigError(
            "setting text_encoder.input is 'tokens', but the store has no published token ids; "
            "say text_encoder.input=transcript"
        )
    if config.input == "transcript" and not any(clip.transcript.strip() for clip in store.clips):
        return None
    return _encoded(store, config)


def _given(store: Store) -> TextInput:
    if "text" not in store.meta.series:
        raise ConfigError(
            "setting text_encoder.input is 'embeddings', but the store has no series 'text'; "
            "say text_encoder.input=transcript"
        )
    meta = store.meta.series["text"]
    return TextInput(
        series=store.series("text"),
        size=meta.size,
        build=GivenStates,
        step_cost=1.0,
        name="embeddings",
        fingerprint="",
        tokens=None,
    )


class TextReader:
    """Texts to what a model of these settings reads: token ids, or states below its trained layers.

    Args:
        config: Settings of the text, with ``input`` ``transcript`` or ``tokens``.
        language: ISO 639-1 code of the texts.

    Attributes:
        name: Which encoder it is.
        fingerprint: SHA-256 of its weights.
        size: Size of a state that ``build`` gives, d.
        vocabulary: Number of its tokens.
        prefix: What it expects before every text.
        max_tokens: Longer texts are cut to this many tokens.
        step_cost: Work of one step, to pad clips of like cost together.

    Raises:
        ConfigError: If the encoder has fewer layers than are to be trained.
        AssetError: If the encoder is not here.
    """

    def __init__(self, config: TextEncoderConfig, language: str) -> None:
        self.name = default_text_encoder(language) if config.name == "auto" else config.name
        self.source = find_text_encoder(self.name)
        self.fingerprint = fingerprint_of(self.source)
        self._tokenizer, self.prefix = load_tokenizer(self.source), text_prefix(self.name)
        settings = load_settings(self.source)
        places = getattr(settings, "max_position_embeddings", None) or config.max_tokens
        self.max_tokens, self._trained = min(config.max_tokens, places), config.trained_layers
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

    def tokenise(self, texts: Several[str]) -> Series:
        """Return the token ids of each text, ``(T, 1)``; no step for an empty one."""
        given = [self.prefix + text if text.strip() else "" for text in texts]
        encoded = self._tokenizer(
            given, truncation=True, max_length=self.max_tokens, padding=False
        )["input_ids"]
        ids = [
            np.array(one if text else [], dtype=np.int32)
            for one, text in zip(encoded, given, strict=True)
        ]
        offsets = np.concatenate([[0], np.cumsum([len(one) for one in ids])]).astype(np.int64)
        return Series(np.concatenate(ids)[:, None], offsets)

    @torch.no_grad()
    def read(self, text: str) -> Num[np.ndarray, "T _"]:
        """Return what a model reads of one text; no step if it is empty."""
        ids = self.tokenise([text])
        if self.layer is None:
            return ids[0]
        if not len(ids.values):
            return np.zeros((0, self.size), np.float32)
        return _states_of(self._bottom, ids, np.arange(1))[0].numpy()

    @cached_property
    def _bottom(self) -> TokenEncoder:
        return load_bottom(self.source, cast("int", self.layer))

    def tokenizer_json(self) -> str:
        """Return the tokenizer as the package ``tokenizers`` reads it; it cuts texts as we do.

        Raises:
            AssetError: If the encoder's tokenizer has no such form.
        """
        whole = getattr(self._tokenizer, "backend_tokenizer", None)
        if whole is None:
            raise AssetError(
                f"text encoder {self.name!r}: its tokenizer is not one of the package "
                "'tokenizers'; give an encoder whose folder has a tokenizer.json"
            )
        copy = Tokenizer.from_str(whole.to_str())
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


def _encoded(store: Store, config: TextEncoderConfig) -> TextInput:
    reader = TextReader(config, store.meta.language)
    if config.input == "tokens":
        ids = store.series("tokens")
    else:
        ids = reader.tokenise([clip.transcript for clip in store.clips])
    _check_ids(ids, reader.vocabulary, reader.name)

    def tokens(clip: Clip) -> list[tuple[str, int, int]]:
        return reader.tokens(clip.transcript)

    series = ids
    if reader.layer is not None:
        key = _key(store, config, reader.fingerprint, reader.layer)
        series = _cached_states(ids, reader.source, reader.layer, key)
    return TextInput(
        series=series,
        size=reader.size,
        build=reader.build,
        step_cost=reader.step_cost,
        name=reader.name,
        fingerprint=reader.fingerprint,
        tokens=tokens if config.input == "transcript" else None,
    )


def _check_ids(ids: Series, vocabulary: int, name: str) -> None:
    if len(ids.values) and not 0 <= int(ids.values.min()) <= int(ids.values.max()) < vocabulary:
        raise ConfigError(
            f"setting text_encoder.name is {name!r} with {vocabulary} tokens, but the token ids "
            f"reach {int(ids.values.max())}; they belong to another encoder"
        )


def cache_folder() -> Path:
    """Return where states computed once are kept: ``MIEN_CACHE``, or the user's cache folder."""
    if "MIEN_CACHE" in os.environ:
        return Path(os.environ["MIEN_CACHE"])
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mien"


def _key(store: Store, config: TextEncoderConfig, fingerprint: str, layer: int) -> str:
    parts = [store.meta.fingerprint, fingerprint, config.input, str(config.max_tokens), str(layer)]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:24]


def _cached_states(ids: Series, source: Path | str, layer: int, key: str) -> Series:
    """Return the states after ``layer`` layers, from the cache if they are there."""
    folder = cache_folder() / "states" / key
    if not (folder / "meta.json").is_file():
        sweep_folder(folder.parent)
        with staged(folder, _STATES, replace=True) as partial:
            _compute_states(ids, source, layer, partial / "values.npy")
            (partial / "meta.json").write_text(json.dumps({"layer": layer}), encoding="utf-8")
    return Series(np.load(folder / "values.npy", mmap_mode="r", allow_pickle=False), ids.offsets)


@torch.no_grad()
def _compute_states(ids: Series, source: Path | str, layer: int, path: Path) -> None:
    bottom = load_bottom(source, layer)
    shape = (len(ids.values), int(load_settings(source).hidden_size))
    order = np.argsort(ids.lengths, kind="stable")
    order = order[ids.lengths[order] > 0]
    logger.info("computing text states once: %d clips", len(order))
    with path.open("wb") as file:  # not mapped: on a full disk that would end the process
        first = write_header(file, "float32", shape)
        for start in range(0, len(order), _CHUNK):
            rows = order[start : start + _CHUNK]
            for row, one in zip(rows, _states_of(bottom, ids, rows), strict=True):
                file.seek(first + int(ids.offsets[row]) * shape[1] * np.float32().itemsize)
                append_array(file, one.numpy())


def _states_of(
    bottom: TokenEncoder, ids: Series, rows: Int[np.ndarray, "_"]
) -> list[Float[Tensor, "_ d"]]:
    states = bottom(pad([torch.from_numpy(np.array(ids[row])) for row in rows.tolist()]))
    return [states[i, : int(ids.lengths[row])] for i, row in enumerate(rows.tolist())]
