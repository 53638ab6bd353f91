"""Transcripts to what a model reads of them: token ids, or states computed ahead and kept."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int
from torch import nn

from mien.data.context.stored_context import add_context
from mien.data.store import Series, Store
from mien.data.text_cache import cached_states
from mien.data.text_reader import TextReader
from mien.data.text_settings import TextEncoderConfig
from mien.data.token_cache import read_tokens
from mien.errors import CheckpointError, ConfigError
from mien.pretrained.encoder_source import (
    asset_prefix,
    default_text_encoder,
    find_text_encoder,
)
from mien.pretrained.text_encoder import GivenStates
from mien.types import Clip

__all__ = ["TextInput", "check_encoder", "check_text", "has_transcripts", "prepare_text"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TextInput:
    """The text of a corpus, ready for a model.

    Attributes:
        series: Token ids ``(T, 1)`` or states ``(T, d)`` of every clip of the store; with a context
            one value more in each step says if it is context.
        size: Size of a state that ``build`` gives, d.
        build: Makes the trained part of the encoder, with its pretrained weights.
        step_cost: Work of one step, to pad clips of like cost together.
        name: Which encoder it is; ``embeddings`` if there is none.
        fingerprint: SHA-256 of the encoder's weights; empty if there is none.
        tokens: Gives the tokens of a clip's steps as text, and the characters of the transcript
            that each covers; None if that is not known.
        max_tokens: How many tokens of a transcript are read; None if it is not read here.
        num_truncated: How many clips have a transcript with more tokens than that.
        num_in_context: How many clips are read with others around them.
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
    num_in_context: int = 0
    prefix: str = ""
    key: str = ""


def prepare_text(
    store: Store,
    config: TextEncoderConfig,
    *,
    online: bool = True,
    rows: Int[np.ndarray, " _"] | None = None,
) -> TextInput | None:
    """Bring the text of a store into the form that the settings ask for.

    States of frozen layers are computed once per store and encoder and kept in the user's cache.

    Args:
        store: The store.
        config: The settings.
        online: Whether an encoder that is named may be downloaded from a hub; not where the
            settings come from a file of somebody else's.
        rows: The clips that are read, if not all are; no states are computed of others.

    Returns:
        The input, or None if the settings or the store have no text.

    Raises:
        ConfigError: If the store does not hold what ``config.input`` names.
        AssetError: If the encoder is not here.
    """
    if check_text(store, config) is not None:
        return _encoded(store, config, online=online, rows=rows)
    return _given(store) if config.input == "embeddings" else None


def check_text(store: Store, config: TextEncoderConfig, *, is_changed: bool = False) -> str | None:
    """Check that a store and this machine have what the settings of the text name.

    Only the description of the store and its clips are read.

    Args:
        store: The store.
        config: The settings.
        is_changed: Whether the model changes the states of a clip inside of the text encoder.

    Returns:
        Name of the encoder; None where the text is left out, or is given as states.

    Raises:
        ConfigError: If the store does not hold what ``config.input`` names.
        AssetError: If the encoder is not here; one of a hub is not looked for.
    """
    if config.input == "none":
        return None
    _check_context(config)
    if config.passage and is_changed:
        raise ConfigError(
            "setting text_encoder.passage reads clips together, and this model changes the states "
            "of each clip inside of the text encoder, or reads padding; set "
            "text_encoder.passage=0, or choose another model"
        )
    if config.input == "embeddings":
        if "text" not in store.meta.series:
            raise ConfigError(
                "setting text_encoder.input is 'embeddings', but the store has no series 'text'; "
                "use text_encoder.input=transcript"
            )
        return None
    if config.input == "tokens" and "tokens" not in store.meta.series:
        raise ConfigError(
            "setting text_encoder.input is 'tokens', but the store has no published token ids; "
            "use text_encoder.input=transcript"
        )
    if config.input == "transcript" and not has_transcripts(store):
        return None
    name = default_text_encoder(store.meta.language) if config.name == "auto" else config.name
    find_text_encoder(name)
    return name


def _check_context(config: TextEncoderConfig) -> None:
    """Refuse settings of what is read around a text that do not go together."""
    if config.reads_context and config.input != "transcript":
        raise ConfigError(
            "settings text_encoder.context, context_after and passage: the input is "
            f"{config.input!r}, and only transcripts can be read with those around them; set all "
            "to 0, or text_encoder.input=transcript"
        )
    if config.context_speakers != "none" and not config.context + config.context_after:
        raise ConfigError(
            "setting text_encoder.context_speakers names who speaks in the context of a clip, and "
            "there is none; set text_encoder.context=1 or more, or context_speakers=none"
        )
    if config.passage and (config.context or config.context_after):
        raise ConfigError(
            "setting text_encoder.passage reads the clips of a video together, and "
            "text_encoder.context and context_after put a context behind each; set those to 0, or "
            "passage=0"
        )
    if config.passage and config.trained_layers:
        raise ConfigError(
            f"setting text_encoder.passage is {config.passage}, and text_encoder.mode is "
            f"{config.mode!r}, for which the states of whole passages would be kept for every clip "
            "of them; set mode=finetune, mode=lora or mode=frozen, or passage=0"
        )


def has_transcripts(store: Store) -> bool:
    """Return whether a transcript of a store has more than spaces."""
    transcripts = store.clips.transcripts
    filled = transcripts.take(np.flatnonzero(transcripts.num_bytes))
    return any(transcript.strip() for transcript in filled)


def _given(store: Store) -> TextInput:
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


def check_encoder(
    checkpoint: Path, header: Mapping[str, Any], text: TextInput | TextReader | None
) -> None:
    """Check that a text encoder is the one of a training: its weights, and how texts begin.

    A header that does not say how texts began is of a time when the encoder's name decided.

    Args:
        checkpoint: Named in errors.
        header: Its header.
        text: What reads the text here; None if there is no text.

    Raises:
        CheckpointError: If it is another.
    """
    name = header["text_encoder"]
    if header["text_encoder_fingerprint"] != (text.fingerprint if text else None):
        raise CheckpointError(
            f"{checkpoint}: was trained with other weights of text encoder {name!r} than those "
            "that are here; use the same ones"
        )
    prefix = header.get("text_prefix", asset_prefix(name or ""))
    if text is not None and text.prefix != prefix:
        raise CheckpointError(
            f"{checkpoint}: was trained on texts that begin with {prefix!r}, text encoder {name!r} "
            f"now gets them with {text.prefix!r}; train it again"
        )


def _encoded(
    store: Store,
    config: TextEncoderConfig,
    *,
    online: bool,
    rows: Int[np.ndarray, " _"] | None,
) -> TextInput:
    reader = TextReader(config, store.meta.language, online=online)
    num_truncated = num_in_context = 0
    if config.input == "tokens":
        ids = reader.rename_tokens(store.series("tokens"), store.meta.language)
    else:
        transcripts = store.clips.transcripts
        ids = read_tokens(reader, transcripts)
        num_truncated = reader.count_truncated(transcripts, ids)
    _check_ids(ids, reader.vocabulary, reader.name)
    if reader.reads_context:
        alone, ids = ids, add_context(store, reader, ids)
        num_in_context = int((ids.lengths > alone.lengths).sum())

    def tokens(clip: Clip) -> list[tuple[str, int, int]]:
        return reader.tokens(clip.transcript)

    series, key = ids, ""
    if reader.lower_layers is not None:
        series, key = cached_states(ids, reader.lower_layers, rows)
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
        num_in_context=num_in_context,
        prefix=reader.prefix,
        key=key,
    )


def _check_ids(ids: Series, vocabulary: int, name: str) -> None:
    if len(ids.values) and not 0 <= int(ids.values.min()) <= int(ids.values.max()) < vocabulary:
        raise ConfigError(
            f"setting text_encoder.name is {name!r} with {vocabulary} tokens, but the token ids "
            f"reach {int(ids.values.max())}; they belong to another encoder"
        )
