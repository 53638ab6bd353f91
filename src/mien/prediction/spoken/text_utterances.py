"""A text that comes from no recording to the utterances that a network scores."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from mien.data.context.second_segment import NO_CONTEXT, Context
from mien.errors import CheckpointError, ConfigError
from mien.files.reading import require_whole
from mien.prediction.explain import UtteranceInput
from mien.prediction.network import ClipSeries, Network
from mien.prediction.spoken.language import name_language
from mien.prediction.spoken.text_input import TextRead, count_notes, read_text
from mien.prediction.spoken.text_parts import cut_text
from mien.types import Modality

__all__ = ["Unscored", "decline", "describe_text", "read_whole_text"]


class Unscored(NamedTuple):
    """What a network is about to score under one name.

    Attributes:
        source: What a prediction calls it.
        utterances: Series of each utterance, and what is known of it beside.
        warnings: What a user should know.
    """

    source: str
    utterances: Sequence[tuple[ClipSeries, UtteranceInput]]
    warnings: tuple[str, ...]


def read_whole_text(network: Network, text: str, source: str) -> Unscored:
    """Read a text; one that is too long is cut into parts.

    Raises:
        ConfigError: If the text is empty, or none that the model can read: without words, in
            letters of another language, or with half of a character.
        CheckpointError: If the model reads no text.
    """
    text, which = " ".join(text.split()), "the text" if source == "text" else source
    if not text:
        raise ConfigError(f"{which} is empty; give a sentence")
    require_whole(text, which, ConfigError)
    reader = network.text
    if Modality.TEXT not in network.modalities or reader is None:
        raise CheckpointError(f"{network.checkpoint}: reads no text; give it a recording")
    parts = cut_text(text, reader.fits)
    absent = dict.fromkeys(network.modalities, "only a text was given")
    around = network.surround(parts)
    reads = [read_text(network, *part) for part in zip(parts, around, strict=True)]
    utterances = [
        ({Modality.TEXT: read.values}, describe_text(part, read, absent, context=context))
        for part, read, context in zip(parts, reads, around, strict=True)
        if not read.unreadable
    ]
    if not utterances:
        raise decline(network, reads[0], source)
    warnings = count_notes([read.notes for read in reads], "parts")
    if len(parts) > 1:
        cut = f"the text was cut into {len(parts)} parts, since the model reads at most "
        warnings = (f"{cut}{reader.max_tokens} tokens at a time", *warnings)
    return Unscored(source, utterances, warnings)


def describe_text(
    text: str,
    read: TextRead,
    absent: Mapping[Modality, str],
    times: Mapping[Modality, Float[np.ndarray, " _"]] = MappingProxyType({}),
    *,
    context: Context = NO_CONTEXT,
) -> UtteranceInput:
    """Return what a network needs to know of a text that comes from no recording."""
    unread = {Modality.TEXT: read.unreadable} if read.unreadable else {}
    return UtteranceInput(
        transcript=text,
        tokens=read.tokens,
        times=times,
        absent={**absent, **unread},
        context=context,
        is_doubtful=read.is_doubtful,
    )


def decline(network: Network, read: TextRead, source: str = "text") -> ConfigError:
    """Return why a text that the network cannot read is not scored."""
    which = "" if source == "text" else f"{source}: "
    language = name_language(network.language)
    return ConfigError(f"{which}{read.unreadable}; give a text in {language}")
