"""A recording cut into utterances: sentences where words are known, else stretches of speech."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from mien.prediction.spoken.transcripts import ends_sentence
from mien.types import Word

__all__ = ["LONGEST", "SHORT", "SILENT_PIECE", "Utterance", "cut"]

#: A recording up to this many seconds in which somebody speaks is one utterance.
SHORT = 15.0
#: Seconds of the longest utterance; corpora of the field have few that are longer.
LONGEST = 15.0
#: An utterance shorter than this joins a neighbour, if the pause between them is short.
_LEAST, _JOIN_PAUSE = 1.5, 0.7
#: A pause of so many seconds ends an utterance, whatever the punctuation says.
_PAUSE = 1.0
#: How far an utterance reaches beyond its first and last word, at most.
_MARGIN = 0.25
#: Where nobody speaks for so long, the face gets answers of its own.
_SILENCE = 3.0
#: Seconds of the longest silent piece: an expression changes within a few seconds, and a score of
#: more of them would speak for the one that attention picks.
SILENT_PIECE = 3.0
#: Where words are given, somebody speaks in an utterance if speech lasts for so many seconds.
_LEAST_SPEECH = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Utterance:
    """A piece of a recording that gets an answer of its own.

    Attributes:
        start: Where it begins, in seconds.
        end: Where it ends; None for the end of the recording.
        words: What is said in it, with times of the recording.
        transcript: What is said in it, as it is written.
        is_spoken: Whether somebody speaks in it.
    """

    start: float
    end: float | None
    words: tuple[Word, ...] = ()
    transcript: str = ""
    is_spoken: bool


Span = tuple[float, float]
#: Whether words are few enough to be read at a time.
Fits = Callable[[Sequence[Word]], bool]


def cut(
    seconds: float,
    words: Sequence[Word],
    speech: Sequence[Span],
    *,
    transcript: str = "",
    with_silence: bool,
    separator: str = " ",
    fits: Callable[[str], bool] | None = None,
    are_given: bool = False,
) -> list[Utterance]:
    """Cut a recording into utterances, in the order of time and without overlap.

    A short one in which somebody speaks is a single utterance if all that is said can be read at a
    time. In others, an utterance ends with a sentence or a long pause; one that is too long is cut
    at its longest pauses, one that is too short joins its neighbour. Where words are not known,
    stretches of speech take the place of sentences. Silence, of a short recording too, is cut into
    equal pieces of at most 3 seconds.

    Args:
        seconds: Length of the recording.
        words: What is said, in order.
        speech: Where somebody speaks.
        transcript: What is said, as it is written, for a recording that is a single utterance.
        with_silence: Whether long stretches in which nobody speaks are utterances too.
        separator: What stands between words in writing.
        fits: Whether a transcript can be read at a time; None if any can.
        are_given: Whether the words were given and not recognised; then somebody speaks only where
            ``speech`` has it.
    """

    def fit(piece: Sequence[Word]) -> bool:
        return fits is None or fits(separator.join(word.text for word in piece))

    is_readable = fits is None or not words or fits(transcript)
    is_spoken = bool(speech) or (bool(words) and not are_given)
    is_one = is_spoken or bool(transcript) or not with_silence or seconds <= SILENT_PIECE
    if seconds <= SHORT and is_readable and is_one:
        return [
            Utterance(
                start=0.0, end=None, words=tuple(words), transcript=transcript, is_spoken=is_spoken
            )
        ]
    if words:
        groups = [g for part in _sentences(words) for g in _split(part, fit)]
        pieces: list[tuple[Word, ...]] = [tuple(group) for group in _join(groups, fit)]
    else:
        stretches = [Word("", start, end) for start, end in speech]
        halves = [w for stretch in stretches for w in _halve(stretch)]
        pieces = [tuple(group) for group in _join([[stretch] for stretch in halves], fit)]
    spans = _widen([(piece[0].start, piece[-1].end) for piece in pieces], seconds)
    spoken = [
        Utterance(
            start=start,
            end=end,
            words=piece if words else (),
            transcript=separator.join(word.text for word in piece) if words else "",
            is_spoken=not are_given or _is_speech(piece, speech),
        )
        for (start, end), piece in zip(spans, pieces, strict=True)
    ]
    if not with_silence:
        return spoken
    silent = [
        Utterance(start=start, end=end, is_spoken=False) for start, end in _silences(spans, seconds)
    ]
    return sorted([*spoken, *silent], key=lambda utterance: utterance.start)


def _sentences(words: Sequence[Word]) -> Iterator[list[Word]]:
    """Cut after the end of a sentence, and at long pauses."""
    piece: list[Word] = []
    for word in words:
        if piece and word.start - piece[-1].end >= _PAUSE:
            yield piece
            piece = []
        piece.append(word)
        if ends_sentence(word.text):
            yield piece
            piece = []
    if piece:
        yield piece


def _is_speech(piece: Sequence[Word], speech: Sequence[Span]) -> bool:
    start, end = piece[0].start, piece[-1].end
    spoken_seconds = sum(max(0.0, min(end, b) - max(start, a)) for a, b in speech)
    return spoken_seconds >= _LEAST_SPEECH


def _split(piece: list[Word], fit: Fits) -> Iterator[list[Word]]:
    """Cut a piece that is too long at its longest pause, again and again."""
    waiting = [piece]
    while waiting:
        part = waiting.pop()
        if len(part) < 2 or (part[-1].end - part[0].start <= LONGEST and fit(part)):
            yield part
            continue
        middle = (part[0].start + part[-1].end) / 2

        def rank(k: int, part: list[Word] = part, middle: float = middle) -> tuple[float, float]:
            return part[k].start - part[k - 1].end, -abs(part[k].start - middle)

        at = max(range(1, len(part)), key=rank)
        waiting += [part[at:], part[:at]]


def _halve(stretch: Word) -> Iterator[Word]:
    """Cut a stretch of speech without known words into equal parts."""
    count = max(1, -int(-(stretch.end - stretch.start) // LONGEST))
    step = (stretch.end - stretch.start) / count
    for k in range(count):
        yield Word("", stretch.start + k * step, stretch.start + (k + 1) * step)


def _join(pieces: Sequence[list[Word]], fit: Fits) -> list[list[Word]]:
    """Join pieces that are too short with the one before or after, if that is near."""
    result: list[list[Word]] = []
    for piece in pieces:
        if result and _belong(result[-1], piece) and fit([*result[-1], *piece]):
            result[-1] = [*result[-1], *piece]
        else:
            result.append(list(piece))
    return result


def _belong(before: Sequence[Word], after: Sequence[Word]) -> bool:
    lengths = (before[-1].end - before[0].start, after[-1].end - after[0].start)
    is_near = after[0].start - before[-1].end <= _JOIN_PAUSE
    return is_near and min(lengths) < _LEAST and after[-1].end - before[0].start <= LONGEST


def _widen(spans: Sequence[Span], seconds: float) -> list[Span]:
    """Let every span reach a little beyond its words, but not into its neighbour."""
    result = []
    for index, (start, end) in enumerate(spans):
        before = spans[index - 1][1] if index else 0.0
        after = spans[index + 1][0] if index + 1 < len(spans) else seconds
        low = max(start - _MARGIN, (before + start) / 2 if index else 0.0)
        is_last = index + 1 == len(spans)
        high = min(end + _MARGIN, seconds if is_last else (end + after) / 2)
        result.append((max(0.0, low), max(high, low + 0.05)))
    return result


def _silences(spans: Sequence[Span], seconds: float) -> Iterator[Span]:
    edges = [0.0, *(edge for span in spans for edge in span), seconds]
    for begin, end in zip(edges[::2], edges[1::2], strict=True):
        if end - begin < _SILENCE:
            continue
        count = math.ceil((end - begin) / SILENT_PIECE - 1e-9)
        step = (end - begin) / count
        yield from ((begin + k * step, begin + (k + 1) * step) for k in range(count))
