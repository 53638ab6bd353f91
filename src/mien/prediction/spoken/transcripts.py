"""What is said, where the user knows it: a text, a file of text, or subtitles with times."""

import difflib
import itertools
import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from mien.errors import ConfigError
from mien.files.reading import read_limited, require_whole
from mien.types import Word

__all__ = [
    "Cue",
    "Given",
    "ends_sentence",
    "find_words",
    "place_cues",
    "place_words",
    "read_transcript",
    "split_words",
]

_LARGEST = 4_000_000  # characters of a transcript
_TIME = r"(?:(\d{1,3}):)?(\d{1,2}):(\d{1,2})[.,](\d{1,3})"
_CUE = re.compile(rf"^\s*{_TIME}\s*-->\s*{_TIME}")
_TAG = re.compile(r"<[^>]{0,200}>|\{\\[^}]{0,200}\}")
#: A word is what stands between spaces; a Chinese or Japanese character is one by itself.
_WORD = re.compile(
    r"[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff][^\w\s]*|[^\s\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]+"
)
_ENDS = (".", "!", "?", "…", "。", "！", "？")
_AFTER_END = "\"'”’)]」』"
#: What has a full stop and rarely ends a sentence: titles, initials and the like.
_ABBREVIATION = re.compile(r"(mr|mrs|ms|dr|prof|st|vs|e\.g|i\.e|[a-z](\.[a-z])*)\.", re.IGNORECASE)


class Cue(NamedTuple):
    """What is said from one time of a recording to another, in seconds."""

    text: str
    start: float
    end: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """Where the words of a recording come from.

    Attributes:
        kind: ``auto``: it is recognised. ``none``: it is left out. ``text``: without times.
            ``cues``: with times.
        text: What is said, for ``text`` and ``cues``.
        cues: What is said at which time, for ``cues``, in the order of time and without overlap.
        num_early: How many cues began before the one above them in the file ended.
    """

    kind: str
    text: str = ""
    cues: tuple[Cue, ...] = ()
    num_early: int = 0

    @property
    def words(self) -> tuple[Word, ...]:
        """The words with times, for ``cues``: those of one share its time by their lengths."""
        return tuple(word for cue in self.cues for word in _spread_cue(cue))


def read_transcript(given: str | Path) -> Given:
    """Read what the user gives as a transcript.

    Args:
        given: ``auto``, ``none``, or the words themselves, which are never taken for the name of a
            file; a ``Path`` is a file (.txt, .srt, .vtt).

    Raises:
        ConfigError: If the file is not there, is not text, or has no cue, or words are not whole.
    """
    if isinstance(given, Path):
        return _read_file(given)
    if given in ("auto", "none"):
        return Given(kind=given)
    if len(given) > _LARGEST:
        raise ConfigError(f"transcript: has {len(given)} characters, must be at most {_LARGEST}")
    if not given.strip():
        raise ConfigError("transcript: is empty; say none to leave the words out")
    require_whole(given, "transcript", ConfigError)
    return Given(kind="text", text=" ".join(given.split()))


def _read_file(path: Path) -> Given:
    text = read_limited(path, ConfigError, most=4 * _LARGEST)
    if path.suffix.lower() == ".txt":
        if not text.strip():
            raise ConfigError(f"{path}: is empty; say none to leave the words out")
        return Given(kind="text", text=" ".join(text.split()))
    read = _read_cues(text, path)
    if not read:
        raise ConfigError(f"{path}: has no cue such as 00:00:01,000 --> 00:00:03,500 with text")
    cues = tuple(_put_in_order(read))
    return Given(
        kind="cues",
        text=" ".join(word for cue in cues for word in split_words(cue.text)),
        cues=cues,
        num_early=sum(below.start < above.end for above, below in itertools.pairwise(read)),
    )


def _read_cues(text: str, path: Path) -> list[Cue]:
    """Read the cues of subtitles: a line of times, then what is said up to an empty line."""
    cues: list[Cue] = []
    times: tuple[float, float] | None = None
    lines: list[str] = []
    for number, line in enumerate([*re.split("\r\n|\r|\n", text), ""], start=1):
        match = _CUE.match(line)
        if match is None and line.strip():
            lines.append(line)
            continue
        if times is not None:
            cues.append(Cue(" ".join(_TAG.sub("", " ".join(lines)).split()), *times))
        times, lines = None, []
        if match is not None:
            times = (_seconds(match.groups()[:4]), _seconds(match.groups()[4:]))
            if times[1] < times[0]:
                raise ConfigError(
                    f"{path}, line {number}: the cue ends ({times[1]:g} s) before it begins "
                    f"({times[0]:g} s); mend its times"
                )
    return [cue for cue in cues if cue.text]


def _put_in_order(cues: Sequence[Cue]) -> Iterator[Cue]:
    """Give cues in the order of time; one begins, at the earliest, when those before it end."""
    latest = 0.0
    for cue in sorted(cues, key=lambda cue: cue.start):
        start = max(cue.start, latest)
        latest = max(cue.end, start)
        yield Cue(cue.text, start, latest)


def place_cues(given: Given, seconds: float) -> tuple[tuple[Word, ...], int]:
    """Return the words of the cues in a recording, and how many cues lie beyond its end.

    A cue that begins before the end and ends after it is cut to the end.

    Args:
        given: The cues.
        seconds: Length of the recording.

    Raises:
        ConfigError: If all of them lie beyond its end.
    """
    inside = [cue for cue in given.cues if cue.start < seconds]
    if not inside:
        first = given.cues[0]
        raise ConfigError(
            f"transcript: its first cue begins at {first.start:g} s, after the end of the "
            f"recording ({seconds:.1f} s); give the subtitles of this recording, or none"
        )
    cut = [cue._replace(end=min(cue.end, seconds)) for cue in inside]
    words = tuple(word for cue in cut for word in _spread_cue(cue))
    return words, len(given.cues) - len(inside)


def _spread_cue(cue: Cue) -> list[Word]:
    return _spread(split_words(cue.text), cue.start, cue.end)


def _seconds(parts: Sequence[str | None]) -> float:
    hours, minutes, seconds, fraction = (part or "0" for part in parts)
    return 3600 * int(hours) + 60 * int(minutes) + int(seconds) + int(fraction.ljust(3, "0")) / 1000


def _spread(texts: Sequence[str], start: float, end: float) -> list[Word]:
    total = sum(len(text) for text in texts) or 1
    words, at = [], start
    for text in texts:
        upto = at + (end - start) * len(text) / total
        words.append(Word(text, at, min(upto, end)))
        at = upto
    return words


def split_words(text: str) -> list[str]:
    """Return the words of a text, each with the punctuation that follows it.

    >>> split_words("Good, really."), split_words("很好。 ok")
    (['Good,', 'really.'], ['很', '好。', 'ok'])
    """
    return _WORD.findall(text)


def find_words(text: str) -> list[tuple[int, int]]:
    """Return the characters, from where to where, of each word of ``split_words``."""
    return [match.span() for match in _WORD.finditer(text)]


def ends_sentence(word: str) -> bool:
    """Return whether a sentence ends with a word and the punctuation that follows it.

    >>> [ends_sentence(word) for word in ("good.", "good,", "(good!)", "Mr.", "J.", "好。")]
    [True, False, True, False, False, True]
    """
    bare = word.rstrip(_AFTER_END)
    return bare.endswith(_ENDS) and not _ABBREVIATION.fullmatch(bare.lstrip("\"'“‘(["))


def place_words(
    texts: Sequence[str], recognised: Sequence[Word], speech: Sequence[tuple[float, float]]
) -> tuple[Word, ...]:
    """Give times to words that are known, by words that were recognised with times.

    Words that both have are put where they were recognised; those in between share the time that is
    left there. If nothing was recognised they share the time in which somebody speaks.

    Args:
        texts: The words that are known.
        recognised: What was recognised.
        speech: Where somebody speaks.
    """
    if not texts or not (recognised or speech):
        return ()
    matcher = difflib.SequenceMatcher(
        None,
        [_plain(word) for word in texts],
        [_plain(word.text) for word in recognised],
        autojunk=False,
    )
    known: dict[int, Word] = {}
    for first, second, size in matcher.get_matching_blocks():
        for k in range(size):
            if _plain(texts[first + k]):
                known[first + k] = recognised[second + k]
    begin = recognised[0].start if recognised else speech[0][0]
    end = recognised[-1].end if recognised else speech[-1][1]
    words: list[Word] = []
    waiting: list[str] = []
    at = begin
    for index, text in enumerate(texts):
        if index not in known:
            waiting.append(text)
            continue
        word = known[index]
        words += _spread(waiting, at, max(at, word.start))
        words.append(Word(text, max(at, word.start), max(at, word.end)))
        at, waiting = max(at, word.end), []
    return (*words, *_spread(waiting, at, max(at, end)))


def _plain(word: str) -> str:
    """Return a word without case, accents and punctuation."""
    spread = unicodedata.normalize("NFKD", word.casefold())
    return "".join(char for char in spread if char.isalnum())
