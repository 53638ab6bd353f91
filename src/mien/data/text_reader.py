"""Texts to token ids, or to states below the trained layers, by a pretrained encoder."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import cast

import numpy as np
import torch
from jaxtyping import Num
from torch import nn

from mien.data.context.passages import join_passage, surround_in_passages
from mien.data.context.second_segment import (
    NO_CONTEXT,
    Context,
    SegmentMarks,
    Tokens,
    add_segment,
    surround,
)
from mien.data.store import Series
from mien.data.text_cache import LowerLayers
from mien.data.text_settings import TextEncoderConfig
from mien.data.text_states import states_of
from mien.errors import CheckpointError, ConfigError
from mien.pretrained.adapters import AdaptedEncoder
from mien.pretrained.direct.token_names import rename_tokens
from mien.pretrained.direct.tokenizer import load_tokenizer
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
    load_adapted,
    load_backbone,
    load_bottom,
    load_settings,
    load_top,
)

__all__ = ["TextReader", "TokenisedText"]

_BERT_BEGINS = 101  # id of [CLS], in the vocabulary of every published BERT
_CHUNK = 64  # texts whose states are computed at once
#: Positions of an encoder that may be no token's: RoBERTa and its kin count from 2.
_UNUSED_POSITIONS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenisedText:
    """A text in the tokens of an encoder, as far as it is read.

    Attributes:
        ids: Token ids, ``(T, 1)``.
        tokens: Token of each step, with the characters of the text that it covers.
        fits: Whether the text is read to its end.
        num_characters: How many characters of it are read: all of them if it fits.
        is_known: Whether any part of it is in the vocabulary.
    """

    ids: Num[np.ndarray, "T 1"]
    tokens: tuple[tuple[str, int, int], ...]
    fits: bool
    num_characters: int
    is_known: bool


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
        num_before: How many utterances before a text it is read with, at most.
        num_after: How many after it.
        most_in_passage: Most tokens of a passage in which it is read with others; 0 if in none.
        step_cost: Work of one step, to pad clips of like cost together.
        device: Where states of single texts are computed.

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
        self.num_before, self.num_after = config.context, config.context_after
        self.context_speakers = config.context_speakers
        self.most_in_passage = min(config.passage, positions - _UNUSED_POSITIONS)
        self._most_context, self._positions = config.context_tokens, positions
        self._rank = config.rank if config.has_adapters else None
        self.size, self.vocabulary = int(settings.hidden_size), int(settings.vocab_size)
        self.device = torch.device("cpu")
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
    def reads_context(self) -> bool:
        """Whether texts are read with utterances around them."""
        return self.num_before > 0 or self.num_after > 0 or self.most_in_passage > 0

    @property
    def has_context(self) -> bool:
        """Whether the last value of a step that is read says if it is context.

        Where no layer is trained, states of the texts alone are what is read.
        """
        return self.reads_context and self._trained != 0

    @property
    def width(self) -> int:
        """How many values a step has that is read."""
        with_place = self.has_context and self.most_in_passage > 0
        return (1 if self.layer is None else self.size) + self.has_context + with_place

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
            keeps_context=self.has_context,
        )

    def build(self) -> nn.Module:
        """Make the trained part of the encoder, with its pretrained weights."""
        if self._rank is not None:
            return load_adapted(self.source, self._rank, self._trained)
        if self._trained is None:
            return TokenEncoder(load_backbone(self.source))
        return load_top(self.source, self._trained) if self._trained else GivenStates()

    def join(self, trained: nn.Module) -> nn.Module:
        """Return an encoder from token ids to states, whose trained part is what ``build`` made.

        Adapters become part of its weights, so that ``trained`` is used up.

        Raises:
            CheckpointError: If texts are read with utterances around them.
        """
        if self.reads_context:
            raise CheckpointError(
                "a network that was trained with text_encoder.context, context_after or passage "
                "reads texts with those around them, and an exported one reads each by itself; "
                "train it without"
            )
        if isinstance(trained, AdaptedEncoder):
            trained = trained.merge()
        if self.layer is None:
            return trained
        return StackedEncoder(self._bottom, trained)

    def tokenise(self, texts: Sequence[str]) -> Series:
        """Return the token ids of each text, ``(T, 1)``; no step for an empty one."""
        given = [self.prefix + text if text.strip() else "" for text in texts]
        return _join(given, self._tokenizer.encode(given, self.max_tokens))

    def tokenise_bare(self, texts: Sequence[str]) -> Series:
        """Return the token ids of each text, uncut, without prefix and marks around it."""
        return _join(texts, self._tokenizer.encode_bare(texts))

    def add_context(
        self, own: Num[np.ndarray, "_ 1"], before: Sequence[Tokens], after: Sequence[Tokens]
    ) -> Num[np.ndarray, "_ _"]:
        """Return the token ids of a text with those of its context behind them, marked as such.

        Args:
            own: Those of the text, as ``tokenise`` gives them.
            before: Those of the utterances before it, as ``tokenise_bare`` gives them; as
                ``tokenise`` does where texts are read in passages.
            after: Those of the utterances after it.
        """
        if self.most_in_passage:
            return join_passage(own, before, after, most=self._positions - _UNUSED_POSITIONS)
        marks = self._segment_marks
        num_marks = len(marks.first) + len(marks.last)
        num_left = self._positions - _UNUSED_POSITIONS - len(own) - num_marks
        return add_segment(
            own,
            before,
            after,
            marks=marks,
            most=max(0, min(self._most_context, num_left)),
            reads_both_sides=self.num_before > 0 and self.num_after > 0,
        )

    @cached_property
    def _segment_marks(self) -> SegmentMarks:
        first, last, kind = self._tokenizer.segment_marks()
        return SegmentMarks(tuple(first), tuple(last), kind)

    def put_in_context(
        self, ids: Sequence[Num[np.ndarray, "_ 1"]], context: Context
    ) -> list[Num[np.ndarray, "_ _"]]:
        """Return the token ids of texts with those of the utterances around them, if they are read.

        Args:
            ids: Those of texts in the same place, as ``tokenise`` gives them.
            context: The nearest utterances around that place, with words; what is too far away is
                left out.
        """
        if not self.reads_context:
            return list(ids)
        before, after = context
        if not self.most_in_passage:
            before = before[len(before) - min(self.num_before, len(before)) :]
            after = after[: self.num_after]
        around = [tokens[:, 0] for tokens in self._tokenise_around([*before, *after])]
        return [self.add_context(own, around[: len(before)], around[len(before) :]) for own in ids]

    def _tokenise_around(self, texts: Sequence[str]) -> list[Num[np.ndarray, "_ 1"]]:
        if not texts:
            return []
        read = self.tokenise if self.most_in_passage else self.tokenise_bare
        tokens = read(texts)
        return [tokens[row] for row in range(len(texts))]

    def surround(self, texts: Sequence[str]) -> list[Context]:
        """Return what is read around each of some texts, which follow each other in time."""
        if self.most_in_passage:
            return surround_in_passages(texts, self.tokenise(texts).lengths, self.most_in_passage)
        return surround(texts, self.num_before, self.num_after)

    def rename_tokens(self, ids: Series, language: str) -> Series:
        """Return published token ids, which are BERT's, as this encoder numbers the same tokens.

        Args:
            ids: Token ids of each text, ``(T, 1)``.
            language: ISO 639-1 code of the texts.

        Raises:
            ConfigError: If the encoder has another vocabulary.
            AssetError: If BERT's vocabulary is needed, and is not here.
        """
        starts = ids.offsets[:-1][ids.lengths > 0]
        is_of_bert = len(starts) > 0 and int(np.median(ids.values[starts])) == _BERT_BEGINS
        if not is_of_bert or self._tokenizer.marks[0] == _BERT_BEGINS:
            return ids
        if language != "en":
            raise ConfigError(
                f"setting text_encoder.input is 'tokens', but the published token ids are BERT's, "
                f"and {self.name!r} has another vocabulary; use text_encoder.input=transcript, or "
                "name the BERT that they were made for"
            )
        given = load_tokenizer(find_local_encoder("minilm"))  # has the vocabulary of uncased BERT
        renamed = rename_tokens(np.asarray(ids.values), given, self._tokenizer, self.name)
        return Series(renamed, ids.offsets)

    def analyse(self, text: str) -> TokenisedText:
        """Return a text, which is not empty, in tokens, and how much of it is read."""
        first, *others = self._tokenizer.split(self.prefix + text, self.max_tokens)
        shift, special = len(self.prefix), self._tokenizer.special_ids
        tokens = tuple(
            (name, max(0, start - shift), max(0, end - shift))
            for name, (start, end) in zip(first.tokens, first.spans, strict=True)
        )
        fits = not others
        return TokenisedText(
            ids=np.array(first.ids, dtype=np.int32)[:, None],
            tokens=tokens,
            fits=fits,
            num_characters=len(text) if fits else max((end for _, _, end in tokens), default=0),
            is_known=any(
                end >= shift and number not in special  # a token of the prefix ends before that
                for part in (first, *others)
                for number, (_, end) in zip(part.ids, part.spans, strict=True)
            ),
        )

    def read(self, text: str) -> Num[np.ndarray, "T _"]:
        """Return what a model reads of one text; no step if it is empty."""
        return self.read_many([text])[0]

    def read_many(
        self, texts: Sequence[str], context: Context = NO_CONTEXT
    ) -> list[Num[np.ndarray, "_ _"]]:
        """Return what a model reads of each text; no step of an empty one.

        Args:
            texts: Texts that stand in the same place.
            context: What is said around it.
        """
        tokenised = self.tokenise(texts)
        return self.read_ids([tokenised[row] for row in range(len(texts))], context)

    def read_ids(
        self, ids: Sequence[Num[np.ndarray, "_ 1"]], context: Context = NO_CONTEXT
    ) -> list[Num[np.ndarray, "_ _"]]:
        """Return what a model reads of the token ids of texts: these, or states made of them.

        ``context`` is that of ``read_many``.
        """
        return self.encode_ids(self.put_in_context(ids, context))

    @torch.no_grad()
    def encode_ids(self, ids: Sequence[Num[np.ndarray, "_ _"]]) -> list[Num[np.ndarray, "_ _"]]:
        """Return what a model reads of token ids that have their context, if they are read in one.

        Texts of like length are computed together.
        """
        if self.layer is None:
            return list(ids)
        states: list[Num[np.ndarray, "_ _"]] = [np.zeros((0, self.width), np.float32) for _ in ids]
        order = sorted((row for row, own in enumerate(ids) if len(own)), key=lambda r: len(ids[r]))
        for start in range(0, len(order), _CHUNK):
            rows = order[start : start + _CHUNK]
            chosen = [ids[row] for row in rows]
            chunk = states_of(self._bottom, chosen, keeps_context=self.has_context)
            for row, own in zip(rows, chunk, strict=True):
                states[row] = own.cpu().numpy()
        return states

    @cached_property
    def _bottom(self) -> TokenEncoder:
        return load_bottom(self.source, cast("int", self.layer)).to(self.device)

    def find_token(self, *names: str) -> int | None:
        """Return the id of the first of these tokens that is in the vocabulary; None if none is."""
        vocabulary = self._tokenizer.vocabulary()
        return next((vocabulary[name] for name in names if name in vocabulary), None)

    def count_tokens(self, text: str) -> int:
        """Return how many tokens a text has, with its prefix and the marks around it, uncut."""
        return len(self._tokenizer.encode([self.prefix + text])[0])

    def fits(self, text: str) -> bool:
        """Return whether a text is read to its end."""
        return self.count_tokens(text) <= self.max_tokens

    def count_truncated(self, texts: Sequence[str], ids: Series) -> int:
        """Return how many texts, of which ``ids`` are the token ids, are not read to their end."""
        full = np.flatnonzero(ids.lengths >= self.max_tokens).tolist()
        return sum(not self.fits(texts[row]) for row in full)

    def tokenizer_json(self) -> str:
        """Return the tokenizer as the package ``tokenizers`` reads it; it cuts texts as we do.

        What it cut off is in ``overflowing`` of an encoding.

        Raises:
            AssetError: If the encoder's tokenizer has no such form.
        """
        return self._tokenizer.to_json(self.max_tokens)

    def tokens(self, text: str) -> list[tuple[str, int, int]]:
        """Return the token of each step, and the characters of the text that it covers."""
        return list(self.analyse(text).tokens)


def _join(texts: Sequence[str], encoded: Sequence[Sequence[int]]) -> Series:
    """Return the token ids of texts end to end; none of an empty text."""
    ids = [
        np.array(numbers if text else [], dtype=np.int32)
        for numbers, text in zip(encoded, texts, strict=True)
    ]
    offsets = np.concatenate([[0], np.cumsum([len(numbers) for numbers in ids])])
    return Series(np.concatenate(ids)[:, None], offsets.astype(np.int64))
