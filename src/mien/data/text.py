"""Transcripts to what a model reads of them: token ids, or states computed ahead and kept."""

import hashlib
import json
import logging
from collections.abc import Callable, Mapping
from collections.abc import Sequence as Several
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import torch
from jaxtyping import Float, Num
from pydantic import Field
from tokenizers import Tokenizer
from torch import nn

from mien.config import Settings
from mien.data.store import Series, Store
from mien.data.text_states import compute_states, states_of
from mien.errors import AssetError, CheckpointError, ConfigError
from mien.files.cache import locked, versions_of
from mien.files.folders import FolderKind, staged
from mien.files.hashing import hash_json
from mien.files.source_code import code_fingerprint
from mien.files.temporaries import sweep_folder
from mien.files.user_folders import cache_folder
from mien.pretrained.encoder_source import (
    asset_prefix,
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
from mien.types import Clip

__all__ = [
    "TextEncoderConfig",
    "TextInput",
    "TextReader",
    "check_encoder",
    "prepare_text",
]

logger = logging.getLogger(__name__)

_STATES = FolderKind("a cache of states", lambda _: {"meta.json", "values.npy"})


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
        max_tokens: Longer transcripts are cut to this many tokens; preparing a store tells how many
            are. In prediction a longer text is read in parts.
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
        max_tokens: How many tokens of a transcript are read; None if it is not read here.
        num_truncated: How many clips have a transcript with more tokens than that.
        prefix: What the encoder expects before every text.
        key: Names states computed ahead by all that they depend on; empty where there are none.
    """

    series: Series
    size: int
    build: Callable[[], nn.Module]
    step_cost: float
    name: str
    fingerprint: str
    tokens: Callable[[Clip], list[tuple[str, int, int]]] | None
    max_tokens: int | None = None
    num_truncated: int = 0
    prefix: str = ""
    key: str = ""


def prepare_text(
    store: Store, config: TextEncoderConfig, *, online: bool = True
) -> TextInput | None:
    """Bring the text of a store into the form that the settings ask for.

    States of frozen layers are computed once per store and encoder and kept in the user's cache.

    Args:
        store: The store.
        config: The settings.
        online: Whether an encoder that is named may be downloaded from a hub; not where the
            settings come from a file of somebody else's.

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
    return _encoded(store, config, online=online)


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
        place = find_text_encoder(self.name)
        self.source = place if online else find_local_encoder(self.name)
        self.fingerprint = fingerprint_of(place)
        self._tokenizer, self.prefix = load_tokenizer(self.source), text_prefix(self.name)
        settings = load_settings(self.source)
        self.revision: str | None = getattr(settings, "_commit_hash", None)
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

    def count_truncated(self, texts: Several[str], ids: Series) -> int:
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


def check_encoder(
    checkpoint: Path, header: Mapping[str, Any], found: TextInput | TextReader | None
) -> None:
    """Check that a text encoder is the one of a training: its weights, and how texts begin.

    A header that does not say how texts began is of a time when the encoder's name decided.

    Args:
        checkpoint: Named in errors.
        header: Its header.
        found: What reads the text here; None if there is no text.

    Raises:
        CheckpointError: If it is another.
    """
    name = header["text_encoder"]
    if header["text_encoder_fingerprint"] != (found.fingerprint if found else None):
        raise CheckpointError(
            f"{checkpoint}: was trained with other weights of text encoder {name!r} than those "
            "that are here; bring the same ones"
        )
    prefix = header.get("text_prefix", asset_prefix(name or ""))
    if found is not None and found.prefix != prefix:
        raise CheckpointError(
            f"{checkpoint}: was trained on texts that begin with {prefix!r}, text encoder {name!r} "
            f"now gets them with {found.prefix!r}; train it again"
        )


def _encoded(store: Store, config: TextEncoderConfig, *, online: bool) -> TextInput:
    reader = TextReader(config, store.meta.language, online=online)
    num_truncated = 0
    if config.input == "tokens":
        ids = store.series("tokens")
    else:
        transcripts = [clip.transcript for clip in store.clips]
        ids = reader.tokenise(transcripts)
        num_truncated = reader.count_truncated(transcripts, ids)
    _check_ids(ids, reader.vocabulary, reader.name)

    def tokens(clip: Clip) -> list[tuple[str, int, int]]:
        return reader.tokens(clip.transcript)

    series, key = ids, ""
    if reader.layer is not None:
        series, key = _cached_states(ids, reader, reader.layer)
    return TextInput(
        series=series,
        size=reader.size,
        build=reader.build,
        step_cost=reader.step_cost,
        name=reader.name,
        fingerprint=reader.fingerprint,
        tokens=tokens if config.input == "transcript" else None,
        max_tokens=reader.max_tokens if config.input == "transcript" else None,
        num_truncated=num_truncated,
        prefix=reader.prefix,
        key=key,
    )


def _check_ids(ids: Series, vocabulary: int, name: str) -> None:
    if len(ids.values) and not 0 <= int(ids.values.min()) <= int(ids.values.max()) < vocabulary:
        raise ConfigError(
            f"setting text_encoder.name is {name!r} with {vocabulary} tokens, but the token ids "
            f"reach {int(ids.values.max())}; they belong to another encoder"
        )


def _cached_states(ids: Series, reader: TextReader, layer: int) -> tuple[Series, str]:
    """Return the states after ``layer`` layers and their key; from the cache if they are there.

    An entry of the cache that is not what it should be is computed again.
    """
    key = _key(ids, reader, layer)
    folder, shape = cache_folder() / "states" / key, (len(ids.values), reader.size)
    values = _read_states(folder, shape)
    if values is None:
        with locked(folder):
            values = _read_states(folder, shape)  # by another process in the meantime
            if values is None:
                values = _keep_states(ids, reader, layer, folder)
    return Series(values, ids.offsets), key


def _key(ids: Series, reader: TextReader, layer: int) -> str:
    """Return a name for states, from all that they depend on.

    The token ids stand for the texts, the tokenizer, its prefix and where texts were cut.
    """
    digest = hashlib.sha256()
    for array in (ids.values, ids.offsets):
        digest.update(f"{array.dtype} {array.shape}".encode() + np.ascontiguousarray(array).data)
    parts = {
        "ids": digest.hexdigest(),
        "encoder": [reader.fingerprint, reader.revision],
        "layer": layer,
        "code": code_fingerprint("mien.data.text_states"),
        "versions": versions_of("torch", "transformers"),
    }
    return hash_json(parts)


def _read_states(folder: Path, shape: tuple[int, int]) -> Float[np.ndarray, "_ d"] | None:
    """Return the states in a folder of the cache; None if they are not there, or damaged."""
    if not folder.exists():
        return None
    try:
        values: np.ndarray = np.load(folder / "values.npy", mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError):
        values = np.empty(0)
    if values.shape == shape and values.dtype == np.float32:
        return values
    logger.warning("%s: is damaged; its text states are computed again", folder)
    return None


def _keep_states(
    ids: Series, reader: TextReader, layer: int, folder: Path
) -> Float[np.ndarray, "_ d"]:
    sweep_folder(folder.parent)
    with staged(folder, _STATES, replace=True) as partial:  # in the place of a damaged one
        compute_states(ids.values, ids.offsets, reader.source, layer, partial / "values.npy")
        (partial / "meta.json").write_text(json.dumps({"layer": layer}), encoding="utf-8")
    values: np.ndarray = np.load(folder / "values.npy", mmap_mode="r", allow_pickle=False)
    return values
