"""What is said, where the user knows it: a text, a file of text, or subtitles with times."""

import difflib
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mien.errors import ConfigError
from mien.types import Word

__all__ = ["Given", "place_words", "read_transcript", "split_words"]

_LARGEST = 4_000_000  # characters of a transcript
_TIME = r"(?:(\d{1,3}):)?(\d{1,2}):(\d{1,2})[.,](\d{1,3})"
_CUE = re.compile(rf"^\s*{_TIME}\s*-->\s*{_TIME}")
_TAG = re.compile(r"<[^>]{0,200}>|\{\\[^}]{0,200}\}")
#: A word is what stands between spaces; a Chinese or Japanese character is one by itself.
_WORD = re.compile(
    r"[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff][^\w\s]*|[^\s\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]+"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """How what is said is known.

    Attributes:
        kind: ``auto``: it is recognised. ``none``: it is left out. ``text``: without times.
            ``cues``: with times.
        text: What is said, for ``text`` and ``cues``.
        words: The words with times, for ``cues``.
    """

    kind: str
    text: str = ""
    words: tuple[Word, ...] = ()


def read_transcript(given: str | Path) -> Given:
    """Read what the user says about the transcript.

    Args:
        given: ``auto``, ``none``, or the words themselves, which are never taken for the name of a
            file; a ``Path`` is a file (.txt, .srt, .vtt).

    Raises:
        ConfigError: If the file is not there, is not text, or has no cue.
    """
    if isinstance(given, Path):
        return _read_file(given)
    if given in ("auto", "none"):
        return Given(kind=given)
    if len(given) > _LARGEST:
        raise ConfigError(f"transcript: has {len(given)} characters, must be at most {_LARGEST}")
    if not given.strip():
        raise ConfigError("transcript: is empty; say none to leave the words out")
    return Given(kind="text", text=" ".join(given.split()))


def _read_file(path: Path) -> Given:
    try:
        if path.stat().st_size > 4 * _LARGEST:
            raise ConfigError(f"{path}: is too large for a transcript")
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ConfigError(
            f"{path}: cannot be read ({error.strerror}); wanted is a transcript (.txt, .srt, .vtt)"
        ) from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: is not text in UTF-8; save it as UTF-8") from error
    if path.suffix.lower() == ".txt":
        if not text.strip():
            raise ConfigError(f"{path}: is empty; say none to leave the words out")
        return Given(kind="text", text=" ".join(text.split()))
    words = tuple(word for cue in _read_cues(text) for word in cue)
    if not words:
        raise ConfigError(f"{path}: has no cue such as 00:00:01,000 --> 00:00:03,500 with text")
    return Given(kind="cues", text=" ".join(word.text for word in words), words=words)


def _read_cues(text: str) -> list[list[Word]]:
    """Read the cues of subtitles; the words of one share its time by their lengths."""
    cues = []
    latest = 0.0
    for block in re.split(r"\n\s*\n", text.replace("\r\n", "\n").replace("\r", "\n")):
        lines = block.strip("\n").split("\n")
        for number, line in enumerate(lines):
            found = _CUE.match(line)
            if found is None:
                continue
            start = max(_seconds(found.groups()[:4]), latest)
            end = max(_seconds(found.groups()[4:]), start)
            latest = end
            said = split_words(_TAG.sub("", " ".join(lines[number + 1 :])))
            cues.append(_spread(said, start, end))
            break
    return cues


def _seconds(parts: Sequence[str | None]) -> float:
    hours, minutes, seconds, fraction = (part or "0" for part in parts)
    return 3600 * int(hours) + 60 * int(minutes) + int(seconds) + int(fraction.ljust(3, "0")) / 1000


def _spread(said: Sequence[str], start: float, end: float) -> list[Word]:
    total = sum(len(text) for text in said) or 1
    words, at = [], start
    for text in said:
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


def place_words(
    said: Sequence[str], heard: Sequence[Word], speech: Sequence[tuple[float, float]]
) -> tuple[Word, ...]:
    """Give times to words that are known, by words that were recognised with times.

    Words that both have are put where they were heard; those in between share the time that is
    left there. If nothing was recognised they share the time in which somebody speaks.

    Args:
        said: The words that are said.
        heard: What was recognised.
        speech: Where somebody speaks.
    """
    if not said or not (heard or speech):
        return ()
    matcher = difflib.SequenceMatcher(
        None, [_plain(one) for one in said], [_plain(one.text) for one in heard], autojunk=False
    )
    known: dict[int, Word] = {}
    for first, second, size in matcher.get_matching_blocks():
        for k in range(size):
            if _plain(said[first + k]):
                known[first + k] = heard[second + k]
    begin = heard[0].start if heard else speech[0][0]
    end = heard[-1].end if heard else speech[-1][1]
    words: list[Word] = []
    waiting: list[str] = []
    at = begin
    for place, text in enumerate(said):
        if place not in known:
            waiting.append(text)
            continue
        found = known[place]
        words += _spread(waiting, at, max(at, found.start))
        words.append(Word(text, max(at, found.start), max(at, found.end)))
        at, waiting = max(at, found.end), []
    return (*words, *_spread(waiting, at, max(at, end)))


def _plain(word: str) -> str:
    """Return a word without case, accents and punctuation."""
    spread = unicodedata.normalize("NFKD", word.casefold())
    return "".join(one for one in spread if one.isalnum())
