"""Texts that a model cannot read, or reads badly: no words, other letters, another language."""

import math
import unicodedata
from dataclasses import dataclass
from typing import Final

from mien.errors import ConfigError
from mien.prediction.spoken.language_identifier import load_identifier
from mien.prediction.spoken.transcripts import split_words

__all__ = ["Doubt", "find_doubt", "name_language", "require_language"]

#: How much likelier, as a difference of log likelihoods, another language must be than that of the
#: model. docs/decisions.md has the counts by which it was chosen.
_MARGIN: Final = 15.0
#: How much likelier a language must be than the next one to be named, where letters are foreign.
_NAMED: Final = 3.0
#: From so many different words on a text is long enough to tell its language.
_FEWEST_WORDS: Final = 4
#: Below this share of words in the letters of the language, a text is taken for another one.
_LEAST_SHARE: Final = 0.5

#: What may stand before the first letter of a word.
_OPENING: Final = "\"'“‘«([¡¿"

#: Languages that are distinguished, by ISO 639-1 code.
_NAMES: Final = {
    "af": "Afrikaans",
    "ar": "Arabic",
    "bg": "Bulgarian",
    "bn": "Bengali",
    "ca": "Catalan",
    "cs": "Czech",
    "da": "Danish",
    "de": "German",
    "el": "Greek",
    "en": "English",
    "es": "Spanish",
    "et": "Estonian",
    "eu": "Basque",
    "fa": "Persian",
    "fi": "Finnish",
    "fr": "French",
    "gl": "Galician",
    "he": "Hebrew",
    "hi": "Hindi",
    "hr": "Croatian",
    "hu": "Hungarian",
    "hy": "Armenian",
    "id": "Indonesian",
    "is": "Icelandic",
    "it": "Italian",
    "ja": "Japanese",
    "ka": "Georgian",
    "ko": "Korean",
    "lt": "Lithuanian",
    "lv": "Latvian",
    "mr": "Marathi",
    "nl": "Dutch",
    "no": "Norwegian",
    "pl": "Polish",
    "pt": "Portuguese",
    "ro": "Romanian",
    "ru": "Russian",
    "sk": "Slovak",
    "sl": "Slovenian",
    "sq": "Albanian",
    "sr": "Serbian",
    "sv": "Swedish",
    "sw": "Swahili",
    "ta": "Tamil",
    "te": "Telugu",
    "th": "Thai",
    "tl": "Tagalog",
    "tr": "Turkish",
    "uk": "Ukrainian",
    "ur": "Urdu",
    "vi": "Vietnamese",
    "zh": "Chinese",
}
#: Languages by the letters in which they are written, as Unicode names them; all others: LATIN.
_LETTERS: Final = {
    code: letters.split()
    for letters, codes in (
        ("CJK", "zh"),
        ("CJK HIRAGANA KATAKANA", "ja"),
        ("HANGUL CJK", "ko"),
        ("CYRILLIC", "be bg kk ky mk mn ru tg uk"),
        ("CYRILLIC LATIN", "sr"),
        ("ARABIC", "ar fa ku ps sd ug ur"),
        ("HEBREW", "he yi"),
        ("DEVANAGARI", "hi mr ne sa"),
        ("GREEK", "el"),
        ("THAI", "th"),
        ("ARMENIAN", "hy"),
        ("GEORGIAN", "ka"),
        ("BENGALI", "as bn"),
        ("TAMIL", "ta"),
        ("TELUGU", "te"),
        ("KANNADA", "kn"),
        ("MALAYALAM", "ml"),
        ("GUJARATI", "gu"),
        ("GURMUKHI", "pa"),
        ("ORIYA", "or"),
        ("SINHALA", "si"),
        ("KHMER", "km"),
        ("LAO", "lo"),
        ("MYANMAR", "my"),
        ("TIBETAN", "bo dz"),
        ("ETHIOPIC", "am ti"),
        ("THAANA", "dv"),
    )
    for code in codes.split()
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Doubt:
    """Why a score that rests on a text means little.

    Attributes:
        reason: What is odd about the text, as the beginning of a sentence.
        is_readable: Whether the model can read any of it.
    """

    reason: str
    is_readable: bool


def find_doubt(text: str, language: str) -> Doubt | None:
    """Return why a text is none that a model of this language can be trusted with.

    A text without a letter, or with none of the letters of the language, cannot be read. One that
    is mostly in other letters, or far likelier in another language by its character sequences,
    can, but what is read means little. Names do not count. One or two
    words are too little to tell languages apart that share their letters, three nearly so.

    Source: lui2012.

    Args:
        text: Any text.
        language: ISO 639-1 code of what the model reads.

    >>> find_doubt("Not bad.", "en"), find_doubt("很好", "zh")
    (None, None)
    >>> find_doubt("10/10 🎉", "en")
    Doubt(reason='the text holds no words', is_readable=False)
    >>> find_doubt("这部电影很好看。", "en")
    Doubt(reason='the text is Chinese and the model reads English', is_readable=False)
    >>> find_doubt("No me gustó nada la película.", "en").reason
    'the text is probably Spanish and the model reads English'
    """
    words = [word for word in split_words(text) if any(char.isalpha() for char in word)]
    if not words:
        return Doubt(reason="the text holds no words", is_readable=False)
    wanted = _LETTERS.get(language, ["LATIN"])
    share = sum(_has_letters(word, wanted) for word in words) / len(words)
    reads = f"and the model reads {name_language(language)}"
    if share < _LEAST_SHARE:
        other = _describe(words, wanted)
        extent = "" if share == 0 else "mostly "
        return Doubt(reason=f"the text is {extent}{other} {reads}", is_readable=share > 0)
    ordinary = _drop_names(words)
    margin = _margin(len({word.casefold() for word in words}))
    other = _likelier_language(" ".join(ordinary), language, margin)
    if other:
        return Doubt(reason=f"the text is probably {other} {reads}", is_readable=True)
    return None


def name_language(code: str) -> str:
    """Return the English name of a language, or its code where that is not known.

    >>> name_language("zh"), name_language("xx")
    ('Chinese', "language 'xx'")
    """
    return _NAMES.get(code, f"language {code!r}")


def require_language(given: str | None, read: str | None, which: str) -> None:
    """Refuse what is said in another language than a model reads.

    Args:
        given: ISO 639-1 code of what is said; None if nobody has told it.
        read: Of what the model reads; None if it reads no words.
        which: Which model that is, for the message; empty for the one that comes with mien.

    Raises:
        ConfigError: If they differ, or there is no such language.
    """
    if given is None or given == read:
        return
    if given not in _NAMES:
        raise ConfigError(
            f"language {given!r} is not known; give a code of two letters, such as en or zh"
        )
    if read is None:
        return
    language = name_language(given)
    if not which:
        raise ConfigError(
            f"no model that reads {language} comes with mien; train one on clips in {language} "
            "(mien train) and give it with --model"
        )
    raise ConfigError(
        f"{which}reads {name_language(read)}; give a model that was trained on {language}"
    )


def _has_letters(word: str, wanted: list[str]) -> bool:
    return any(_letters_of(char) in wanted for char in word if char.isalpha())


def _letters_of(char: str) -> str:
    """Return which letters a character belongs to, as its Unicode name begins.

    >>> _letters_of("é"), _letters_of("电"), _letters_of("Ａ")
    ('LATIN', 'CJK', 'LATIN')
    """
    plain = unicodedata.normalize("NFKC", char)[0]
    return unicodedata.name(plain, "").split(" ")[0]


def _describe(words: list[str], wanted: list[str]) -> str:
    """Return the language of the words in other letters, or which letters those are."""
    text = " ".join(word for word in words if not _has_letters(word, wanted))
    letters = _letters_of(next(char for char in text if char.isalpha()))
    (best, score), (_, next_score) = load_identifier(tuple(_NAMES)).rank(text.lower())[:2]
    if letters in _LETTERS.get(best, ["LATIN"]) and score - next_score >= _NAMED:
        return name_language(best)
    return "in Chinese characters" if letters == "CJK" else f"in {letters.capitalize()} letters"


def _drop_names(words: list[str]) -> list[str]:
    """Return the words without those in the text that have one capital letter, as names have.

    Where all words have one, as in a title, it means nothing.

    >>> _drop_names(["Then", "Penélope", "Cruz", "said", "NO."])
    ['Then', 'said', 'NO.']
    """
    ordinary = [*words[:1], *(word for word in words[1:] if not word.lstrip(_OPENING).istitle())]
    return ordinary if len(ordinary) > 1 else words


def _margin(num_words: int) -> float:
    """Return how much likelier another language must be in a text of so many different words.

    Interjections, titles and loan words look like another language and are none.

    >>> _margin(2), _margin(3), _margin(9)
    (inf, 30.0, 15.0)
    """
    if num_words < _FEWEST_WORDS:
        return math.inf if num_words < _FEWEST_WORDS - 1 else 2 * _MARGIN
    return _MARGIN


def _likelier_language(text: str, language: str, margin: float) -> str:
    """Return the name of a language that is far likelier than the model's; else nothing."""
    if math.isinf(margin):
        return ""
    scores = dict(load_identifier(tuple(_NAMES)).rank(unicodedata.normalize("NFKC", text).lower()))
    if language not in scores:
        return ""
    best = max(scores, key=lambda code: scores[code])
    return name_language(best) if scores[best] - scores[language] >= margin else ""
