"""Who speaks in the context of a clip: what is put before each of its utterances."""

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
from jaxtyping import Int

from mien.data.text_reader import TextReader

__all__ = ["SpeakerMarks"]

_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"

_Tokens = Int[np.ndarray, " _"]


class SpeakerMarks:
    """Puts before utterances who speaks them, as tokens.

    Args:
        reader: Tokenises the names.
        speakers: Speaker of each clip of the store; None where it is not known.
        form: ``name``: by name, and behind the utterances before a clip, where such are read,
            stands who speaks the clip itself; ``role``: A is who speaks the clip, others are
            letters by how near they are; ``none``: nothing is put there.
    """

    def __init__(
        self,
        reader: TextReader,
        speakers: Sequence[str | None],
        form: Literal["none", "name", "role"],
    ) -> None:
        self.speakers, self.form = speakers, form
        self._names_clip = form == "name" and reader.num_before > 0
        names = sorted({name for name in speakers if name is not None} if form == "name" else ())
        texts = [f"{name}:" for name in (*names, *_LETTERS)]
        ids = reader.tokenise_bare(texts)
        tokens = [ids[row][:, 0] for row in range(len(texts))]
        self._of_name = dict(zip(names, tokens, strict=False))
        self._of_letter = tokens[len(names) :]

    def mark(
        self,
        row: int,
        before: Sequence[tuple[int, _Tokens]],
        after: Sequence[tuple[int, _Tokens]],
    ) -> tuple[list[_Tokens], list[_Tokens]]:
        """Return the utterances around a clip, each behind who speaks it.

        Args:
            row: Row of the clip.
            before: Row and tokens of each utterance before it, in the order of time.
            after: Of those after it.
        """
        mark = self._roles(row, before, after) if self.form == "role" else self._names
        marked = [[_join(mark(other), own) for other, own in side] for side in (before, after)]
        own = self._names(row) if self._names_clip else None
        return marked[0] if own is None else [*marked[0], own], marked[1]

    def _names(self, row: int) -> _Tokens | None:
        name = self.speakers[row]
        return None if name is None else self._of_name.get(name)

    def _roles(
        self,
        row: int,
        before: Sequence[tuple[int, _Tokens]],
        after: Sequence[tuple[int, _Tokens]],
    ) -> Callable[[int], _Tokens | None]:
        """Return what gives the letter of an utterance; without a known speaker it has none."""
        own = self.speakers[row]
        if own is None:
            return lambda _: None
        nearest = [*(other for other, _ in reversed(before)), *(other for other, _ in after)]
        people = [name for other in nearest if (name := self.speakers[other]) is not None]
        letters = dict.fromkeys([own, *people])
        place = {name: min(at, len(_LETTERS) - 1) for at, name in enumerate(letters)}

        def mark(other: int) -> _Tokens | None:
            name = self.speakers[other]
            return None if name is None else self._of_letter[place[name]]

        return mark


def _join(mark: _Tokens | None, tokens: _Tokens) -> _Tokens:
    return tokens if mark is None else np.concatenate([mark, tokens])
