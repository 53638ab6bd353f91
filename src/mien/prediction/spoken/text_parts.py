"""Texts longer than what a model reads at a time, cut into parts that it can read."""

from collections.abc import Callable, Iterator

from mien.prediction.spoken.transcripts import ends_sentence, find_words

__all__ = ["cut_text"]

#: A sentence of fewer words joins the one before it, as short utterances of a recording do.
_FEWEST_WORDS = 4
_CLAUSE_ENDS = (",", ";", ":", "，", "；", "：", "、", "—", "–")

Span = tuple[int, int]


def cut_text(text: str, fits: Callable[[str], bool]) -> list[str]:
    """Cut a text into parts that fit, in order; together they hold all of its words.

    A text that fits is one part. A longer one is cut after every sentence; a sentence that is too
    long by itself is cut after a comma or the like, else between words, near its middle.

    Args:
        text: The text, with single spaces.
        fits: Whether a text can be read at a time.

    >>> cut_text("One two three four. Five six seven eight.", lambda text: len(text) < 25)
    ['One two three four.', 'Five six seven eight.']
    """
    if fits(text):
        return [text]
    parts: list[Span] = []
    for sentence in _sentences(text):
        if parts and len(sentence) < _FEWEST_WORDS:
            joined = (parts[-1][0], sentence[-1][1])
            if fits(text[slice(*joined)]):
                parts[-1] = joined
                continue
        parts += _divide(text, sentence, fits)
    return [text[start:end] for start, end in parts]


def _sentences(text: str) -> Iterator[list[Span]]:
    """Give the words of one sentence after the other, as characters from where to where."""
    sentence: list[Span] = []
    for start, end in find_words(text):
        sentence.append((start, end))
        if ends_sentence(text[start:end]):
            yield sentence
            sentence = []
    if sentence:
        yield sentence


def _divide(text: str, words: list[Span], fits: Callable[[str], bool]) -> Iterator[Span]:
    """Halve words until every part fits; a word that is too long by itself is cut within."""
    waiting = [words]
    while waiting:
        part = waiting.pop()
        start, end = part[0][0], part[-1][1]
        if fits(text[start:end]) or end - start == 1:
            yield start, end
        elif len(part) == 1:
            middle = (start + end) // 2
            waiting += [[(middle, end)], [(start, middle)]]
        else:
            at = _find_border(text, part)
            waiting += [part[at:], part[:at]]


def _find_border(text: str, words: list[Span]) -> int:
    """Return the number of the word with which the second half begins.

    That is after a comma or the like in the middle half, if there is one, else in the middle.
    """
    middle = len(words) / 2
    borders = range(1, len(words))
    clauses = [
        at
        for at in borders
        if abs(at - middle) <= middle / 2 and text[slice(*words[at - 1])].endswith(_CLAUSE_ENDS)
    ]
    return min(clauses or borders, key=lambda at: abs(at - middle))
