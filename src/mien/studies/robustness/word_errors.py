"""Texts with words or tokens lost, replaced or masked, as a model reads them."""

import logging
from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
from jaxtyping import Float, Int, Num

from mien.data.context.stored_context import add_context
from mien.data.dataset import ClipDataset
from mien.data.store import Series, Store
from mien.data.text_reader import TextReader
from mien.data.text_settings import TextEncoderConfig
from mien.data.token_cache import read_tokens
from mien.errors import AssetError, ConfigError
from mien.studies.robustness.conditions import Condition
from mien.studies.robustness.corruption import draw_for
from mien.types import Modality

__all__ = ["WordErrors", "group_words"]

logger = logging.getLogger(__name__)

#: What encoders call the token for what they do not know, and the one that hides a token.
_UNKNOWN: Final = ("[UNK]", "<unk>")
_MASK: Final = ("[MASK]", "<mask>")
#: The first character of the scripts that write words without spaces.
_WITHOUT_SPACES: Final = "\u2e80"
#: Number of the word of tokens that belong to none: marks around a text, and a prefix.
_NO_WORD: Final = -1
#: Gives the ids of a text of the split by its row, what is drawn for it, and whether it is alone.
_Changer = Callable[[int, np.random.Generator, bool], Int[np.ndarray, " _"]]


def group_words(tokens: Sequence[tuple[str, int, int]], text: str) -> Int[np.ndarray, " T"]:
    """Return the number of the word to which each token belongs; -1 for marks and a prefix.

    Words are what stands between spaces. Of scripts without spaces every token is a word.

    >>> group_words([("[CLS]", 0, 0), ("do", 0, 2), ("n't", 2, 5), ("go", 6, 8)], "don't go")
    array([-1,  0,  0,  1])
    """
    numbers, number, before = [], _NO_WORD, -1
    for _, start, end in tokens:
        if end <= start:
            numbers.append(_NO_WORD)
            continue
        covered = text[start:end]
        is_joined = start == before and not covered[0].isspace()
        if not is_joined or max(text[start - 1], covered[0]) >= _WITHOUT_SPACES:
            number += 1
        numbers.append(number)
        before = end
    return np.array(numbers, dtype=np.int64)


class WordErrors:
    """The texts of a split, with errors.

    Args:
        store: The store of the split.
        config: How the model reads text: ``input`` is ``transcript`` or ``tokens``.
        dataset: The split, with what the model reads of the texts as they are.
        seed: Seed of what is drawn.
    """

    def __init__(
        self, store: Store, config: TextEncoderConfig, dataset: ClipDataset, seed: int
    ) -> None:
        self._store, self._dataset, self._seed = store, dataset, seed
        self._reader = TextReader(config, store.meta.language, online=False)
        if config.input == "tokens":
            self._ids = self._reader.rename_tokens(store.series("tokens"), store.meta.language)
        else:
            self._ids = read_tokens(self._reader, store.clips.transcripts)
        rows = dataset.rows.tolist()
        self._own = [np.asarray(self._ids[row])[:, 0] for row in rows]
        self._words = [
            self._group(clip, ids, config.input)
            for clip, ids in zip(range(len(rows)), self._own, strict=True)
        ]
        self._pool = [
            tuple(ids[words == number].tolist())
            for ids, words in zip(self._own, self._words, strict=True)
            for number in range(int(words.max(initial=_NO_WORD)) + 1)
        ]

    def _group(self, clip: int, ids: Int[np.ndarray, " T"], kind: str) -> Int[np.ndarray, " T"]:
        if kind == "transcript" and len(ids):
            text = self._dataset.clips[clip].transcript
            try:
                return group_words(self._reader.tokens(text), text)
            except AssetError:  # the tokenizer does not tell which characters a token covers
                logger.debug("%s: every token counts as a word", self._reader.name)
        alone = np.arange(len(ids)) - 1
        if len(ids):
            alone[-1] = _NO_WORD
        return alone

    def read(self, condition: Condition, is_alone: Sequence[bool]) -> list[Num[np.ndarray, "_ _"]]:
        """Return what a model reads of every text of the split.

        Args:
            condition: What is done: ``steps`` and ``blanks`` to tokens, ``words-...`` to words.
            is_alone: Which clips have nothing but text, and so keep a word.

        Raises:
            ConfigError: If the encoder has no token for it.
        """
        change = self._changer(condition)
        changed = [
            change(row, draw_for(self._seed, name, Modality.TEXT), is_alone[row])
            for row, name in enumerate(self._dataset.ids)
        ]
        if self._reader.reads_context:
            return self._reader.encode_ids(self._in_context(changed))
        read: list[Num[np.ndarray, "_ _"]] = [
            np.asarray(self._dataset.series[Modality.TEXT][int(row)]) for row in self._dataset.rows
        ]
        other = [row for row, ids in enumerate(changed) if not np.array_equal(ids, self._own[row])]
        given = [changed[row][:, None].astype(np.int32) for row in other]
        for row, states in zip(other, self._reader.encode_ids(given), strict=True):
            read[row] = states
        return read

    def _in_context(self, changed: Sequence[Int[np.ndarray, " _"]]) -> list[np.ndarray]:
        """Return the ids with those of the utterances around them, which are as they were."""
        every = [np.asarray(self._ids[row])[:, 0] for row in range(len(self._ids))]
        for row, ids in zip(self._dataset.rows.tolist(), changed, strict=True):
            every[row] = ids
        offsets = np.concatenate([[0], np.cumsum([len(ids) for ids in every])]).astype(np.int64)
        own = Series(np.concatenate(every).astype(np.int32)[:, None], offsets)
        joined = add_context(self._store, self._reader, own)
        return [np.asarray(joined[row]) for row in self._dataset.rows.tolist()]

    def _changer(self, condition: Condition) -> _Changer:
        kind, share = condition.kind, condition.level
        if kind == "words-deleted":
            return lambda row, rng, is_alone: self._delete(row, rng, share, is_alone=is_alone)
        if kind == "words-replaced":
            return lambda row, rng, _: self._replace(row, rng, share)
        if kind == "words-masked":
            mask = self._token(_MASK, "mask")
            return lambda row, rng, _: self._hide(row, rng, share, mask)
        if kind == "blanks":
            unknown = self._token(_UNKNOWN, "unknown")
            return lambda row, rng, _: self._blank(row, rng, share, unknown)
        return lambda row, rng, _: self._cut(row, rng, share)

    def _token(self, names: tuple[str, ...], what: str) -> int:
        token = self._reader.find_token(*names)
        if token is None:
            raise ConfigError(
                f"text encoder {self._reader.name!r} has no {what} token ({' or '.join(names)}); "
                "choose other kinds of stress with --only"
            )
        return token

    def _draw_words(
        self, row: int, rng: np.random.Generator
    ) -> tuple[Int[np.ndarray, " T"], Float[np.ndarray, " W"]]:
        words = self._words[row]
        return words, rng.random(int(words.max(initial=_NO_WORD)) + 1)

    def _delete(
        self, row: int, rng: np.random.Generator, share: float, *, is_alone: bool
    ) -> Int[np.ndarray, " _"]:
        words, chances = self._draw_words(row, rng)
        is_lost = chances < share
        if is_lost.size and is_lost.all():
            if not is_alone:
                return self._own[row][:0]
            is_lost[np.argmax(chances)] = False
        return self._own[row][~np.isin(words, np.flatnonzero(is_lost))]

    def _replace(self, row: int, rng: np.random.Generator, share: float) -> Int[np.ndarray, " _"]:
        words, chances = self._draw_words(row, rng)
        places = rng.integers(max(len(self._pool), 1), size=len(chances))
        new: list[int] = []
        last = _NO_WORD
        for token, word in zip(self._own[row].tolist(), words.tolist(), strict=True):
            if word == _NO_WORD or chances[word] >= share:
                new.append(token)
            elif word != last:
                own = tuple(self._own[row][words == word].tolist())
                new += self._other_word(own, int(places[word]))
            last = word
        most = self._reader.max_tokens
        end = [new[-1]] if words.size and words[-1] == _NO_WORD else []
        return np.array(new if len(new) <= most else [*new[: most - len(end)], *end])

    def _other_word(self, own: tuple[int, ...], place: int) -> tuple[int, ...]:
        """Return the word at a place of the pool, or the next one that is another."""
        for step in range(len(self._pool)):
            other = self._pool[(place + step) % len(self._pool)]
            if other != own:
                return other
        return own

    def _hide(
        self, row: int, rng: np.random.Generator, share: float, mask: int
    ) -> Int[np.ndarray, " T"]:
        words, chances = self._draw_words(row, rng)
        return np.where(np.isin(words, np.flatnonzero(chances < share)), mask, self._own[row])

    def _draw_tokens(self, row: int, rng: np.random.Generator) -> Float[np.ndarray, " T"]:
        words = self._words[row]
        return np.where(words == _NO_WORD, np.inf, rng.random(len(words)))

    def _blank(
        self, row: int, rng: np.random.Generator, share: float, unknown: int
    ) -> Int[np.ndarray, " T"]:
        return np.where(self._draw_tokens(row, rng) < share, unknown, self._own[row])

    def _cut(self, row: int, rng: np.random.Generator, share: float) -> Int[np.ndarray, " _"]:
        chances = self._draw_tokens(row, rng)
        is_lost = chances < share
        inside = np.isfinite(chances)
        if inside.any() and is_lost[inside].all():
            is_lost[np.where(inside, chances, -1.0).argmax()] = False
        return self._own[row][~is_lost]
