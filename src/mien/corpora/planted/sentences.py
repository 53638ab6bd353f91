"""Made English sentences whose wording carries a known sentiment, in steps of 0.6 from -3 to 3.

A sentence is one judgement, ``{topic} {was} {evaluation}`` or ``I {verb} {topic}``, with neutral
clauses before or after it. How strong the judgement is follows from its words: an adjective or verb
of graded strength, an intensifier or a diminisher, a negation. A sentence may also report what
somebody else thinks; that is not the speaker's judgement and carries no sentiment.
"""

from collections.abc import Iterator
from typing import NamedTuple, TypeVar

import numpy as np

__all__ = [
    "AROUSALS",
    "GRADES",
    "Sentence",
    "add_arousal",
    "phrases",
    "vocabulary",
    "write_sentence",
]

_Choice = TypeVar("_Choice")


class Sentence(NamedTuple):
    """A sentence, and the range of its characters that carries the sentiment."""

    text: str
    span: tuple[int, int]


#: Sentiments that a wording can have: every 0.6 from -3 to 3.
GRADES: tuple[float, ...] = tuple(round(0.6 * step, 1) for step in range(-5, 6))

# Clauses that say how awake the speaker was, by an arousal from -3 to 3; without one it is 0.
_AROUSED: dict[float, tuple[str, ...]] = {
    -2.0: (
        "and i was half asleep", "and i felt so tired", "and i nearly fell asleep",
        "and i had no energy left", "and i felt slow and heavy",
    ),
    2.0: (
        "and i could not sit still", "and my heart was racing", "and my hands were shaking",
        "and i had to shout", "and i jumped out of my seat",
    ),
}  # fmt: skip

#: Arousals that a wording can have.
AROUSALS: tuple[float, ...] = (-2.0, 0.0, 2.0)

# Strength of an adjective standing alone, in steps of 0.6.
_ADJECTIVES: dict[int, tuple[str, ...]] = {
    4: ("great", "excellent", "wonderful", "fantastic", "brilliant", "amazing", "beautiful"),
    3: ("good", "nice", "funny", "clever", "charming", "exciting", "strong"),
    2: ("pleasant", "decent", "solid", "interesting", "fresh"),
    -2: ("slow", "weak", "flat", "dull", "messy"),
    -3: ("bad", "boring", "poor", "stupid", "annoying", "silly", "empty"),
    -4: ("terrible", "awful", "horrible", "dreadful", "disgusting", "pathetic", "miserable"),
}
_VERBS: dict[int, tuple[str, ...]] = {
    4: ("loved", "adored"),
    3: ("enjoyed", "liked", "admired"),
    -3: ("disliked", "regretted"),
    -4: ("hated", "despised"),
}
# What stands before an adjective, and by how many steps it moves it away from zero.
_STRONGER = ("really", "very", "so", "truly")
_WEAKER = ("a little", "a bit", "somewhat", "slightly")
_UTTERLY = ("absolutely", "utterly", "completely", "totally")

_NEUTRAL = (
    "about average", "neither good nor bad", "what i expected", "the usual kind", "in the middle",
    "like most others", "the same as before", "hard to judge",
)  # fmt: skip

_TOPICS = (
    "the movie", "the film", "the story", "the acting", "the ending", "the music", "the script",
    "the main character", "the first half", "the second half", "the dialogue", "the plot",
    "the lead actor", "the whole cast", "the camera work", "the sound", "the opening scene",
    "the last scene", "the trailer", "the show", "the book", "the concert", "the game", "the phone",
    "the hotel", "the food", "the service", "the lecture",
)  # fmt: skip
_OPENINGS = (
    "so this is my review", "we went there on a tuesday", "my brother came with me",
    "i bought it last week", "it came out in march", "i sat in the third row", "it was raining",
    "you asked me about this one", "i had an hour to spare", "this is the second part",
    "we were four people", "i read about it in the paper", "it is about a family in the north",
    "i wrote down some notes", "they made it in two years", "it is sold in two sizes",
)  # fmt: skip
_CLOSINGS = (
    "and then we took the bus home", "and it ended at nine", "and that was on a monday",
    "and the tickets were at the door", "and my sister drove", "and there is a second one",
    "and we talked about the weather after", "and you can find it online", "and it has ten parts",
    "and we left by the side door", "and i have it here on the table", "and so on",
    "and the next one comes in june", "and i paid by card", "and we sat there with some tea",
)  # fmt: skip
_OTHERS = ("my friend", "my neighbor", "my cousin", "the man next to me", "a guy at work")
_REPORTS = ("said that {topic} was {other}", "told me {topic} was {other}")
_LEADS = ("", "", "i think ", "i have to say ", "well ", "for me ", "in the end ")


def phrases(grade: float) -> tuple[tuple[str, str], ...]:
    """Return every wording of a grade as ``(frame, phrase)``; the frame says where it may stand.

    Args:
        grade: One of ``GRADES``.

    >>> ("was", "not bad") in phrases(0.6), ("i", "really loved") in phrases(3.0)
    (True, True)
    """
    return _PHRASES[GRADES.index(grade)]


def vocabulary() -> frozenset[str]:
    """Return every word that can occur in a sentence, in lower case."""
    parts = [*_TOPICS, *_OPENINGS, *_CLOSINGS, *_OTHERS, *_LEADS, "i was but then"]
    parts += [report.format(topic="", other="") for report in _REPORTS]
    parts += [phrase for wordings in _PHRASES for _, phrase in wordings]
    parts += [clause for clauses in _AROUSED.values() for clause in clauses]
    return frozenset(word for part in parts for word in part.split())


def write_sentence(grade: float, generator: np.random.Generator, *, hearsay: float) -> Sentence:
    """Write a sentence of the given sentiment.

    Args:
        grade: One of ``GRADES``.
        generator: Where choices are drawn from.
        hearsay: Share of sentences that begin with somebody else's opinion, of any grade.
    """
    frame, phrase = _draw(generator, phrases(grade))
    topic, lead = _draw(generator, _TOPICS), _draw(generator, _LEADS)
    if frame == "was":
        before, after = f"{lead}{topic} was ", ""
    else:
        before, after = f"{lead}i ", f" {topic}"
    if generator.random() < hearsay:
        before = f"{_report(topic, generator)} but {before}"
    elif generator.random() < 0.6:
        before = f"{_draw(generator, _OPENINGS)}, {before}"
    if generator.random() < 0.5:
        after = f"{after}, {_draw(generator, _CLOSINGS)}"
    text = f"{before}{phrase}{after}."
    return Sentence(text[0].upper() + text[1:], (len(before), len(before) + len(phrase)))


def add_arousal(sentence: Sentence, arousal: float, generator: np.random.Generator) -> Sentence:
    """Return a sentence that also says how awake the speaker was.

    Args:
        sentence: What is said besides.
        arousal: One of ``AROUSALS``.
        generator: Where the choice is drawn from.
    """
    if not arousal:
        return sentence
    clause = _draw(generator, _AROUSED[arousal])
    return sentence._replace(text=f"{sentence.text.removesuffix('.')}, {clause}.")


def _report(topic: str, generator: np.random.Generator) -> str:
    strength = (-4, -3, 3, 4)[generator.integers(4)]
    other = _draw(generator, _ADJECTIVES[strength])
    report = _draw(generator, _REPORTS).format(topic=topic, other=other)
    return f"{_draw(generator, _OTHERS)} {report}"


def _draw(generator: np.random.Generator, choices: tuple[_Choice, ...]) -> _Choice:
    return choices[generator.integers(len(choices))]


def _wordings() -> Iterator[tuple[int, str, str]]:
    """Yield steps of 0.6, frame and phrase of every judgement that the grammar can make."""
    yield from ((0, "was", phrase) for phrase in _NEUTRAL)
    for steps, adjectives in _ADJECTIVES.items():
        sign = 1 if steps > 0 else -1
        for word in adjectives:
            yield steps, "was", word
            yield from _moderated(steps, sign, word)
            yield from _negated(steps, sign, word)
    for steps, verbs in _VERBS.items():
        sign = 1 if steps > 0 else -1
        for word in verbs:
            yield steps, "i", word
            yield steps + sign, "i", f"really {word}"


def _moderated(steps: int, sign: int, word: str) -> Iterator[tuple[int, str, str]]:
    if abs(steps) == 4:
        yield from ((5 * sign, "was", f"{adverb} {word}") for adverb in _UTTERLY)
        return
    yield from ((steps + sign, "was", f"{adverb} {word}") for adverb in _STRONGER)
    if abs(steps) == 2:
        yield from ((sign, "was", f"{adverb} {word}") for adverb in _WEAKER)


def _negated(steps: int, sign: int, word: str) -> Iterator[tuple[int, str, str]]:
    """Negate: "not great" is milder than "not good", and "not bad" is faint praise."""
    if abs(steps) == 4:
        yield -sign, "was", f"not {word}"
    elif abs(steps) == 3:
        yield (-2 if sign > 0 else 1), "was", f"not {word}"
        yield (-3 if sign > 0 else 2), "was", f"not {word} at all"


_PHRASES: tuple[tuple[tuple[str, str], ...], ...] = tuple(
    tuple((frame, phrase) for strength, frame, phrase in _wordings() if strength == step)
    for step in range(-5, 6)
)
