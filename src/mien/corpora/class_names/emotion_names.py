"""What corpora call each emotion: three letters, nouns, adjectives, in English and in Chinese."""

import re
import unicodedata
from collections.abc import Mapping
from types import MappingProxyType

__all__ = ["EMOTIONS", "NO_EMOTION", "NO_SENTIMENT", "SENTIMENTS", "fold_name"]

_JOINED = re.compile(r"(?<=\w)[\s_\-]+(?=\w)")
#: A number of a class as programs write it beside empty cells: ``1.0``.
_INTEGER = re.compile(r"([+-]?[0-9]+)\.0+")


def fold_name(text: str) -> str:
    """Return a name without case, spaces around it, and with one space between its words.

    A name with an underscore or a hyphen between its words is the same; a sign before a number
    stays, and a whole number is the same with a point and zeros behind it.

    >>> fold_name(" Angry"), fold_name("very_happy"), fold_name("-1"), fold_name("2.0")
    ('angry', 'very happy', '-1', '2')
    """
    plain = unicodedata.normalize("NFKC", text).strip()
    number = _INTEGER.fullmatch(plain)
    return number[1] if number else _JOINED.sub(" ", plain).casefold()


def _invert(names: Mapping[str, str]) -> Mapping[str, str]:
    """Return the class of every name, as ``fold_name`` writes it."""
    classes = {}
    for name, others in names.items():
        for other in (name, *others.split(",")):
            classes[fold_name(other)] = name
    return MappingProxyType(classes)


#: The emotion that each name stands for; names as ``fold_name`` writes them. Excitement and
#: frustration (IEMOCAP), calm (RAVDESS) and worry (MER) are emotions of their own: a scheme joins
#: them with others.
EMOTIONS = _invert(
    {
        "angry": "ang,anger,angr,mad,anger/angry,wut,愤怒,生气,怒",
        "happy": "hap,happiness,joy,joyful,joyous,happily,hpy,快乐,高兴,开心,喜悦,幸福",
        "excited": "exc,excitement,excite,激动,兴奋",
        "sad": "sadness,sa,sadly,sorrow,悲伤,难过,伤心",
        "neutral": "neu,neutrality,ntr,neutral state,中性,中立,平静中性",
        "frustrated": "fru,frustration,frust,沮丧",
        "surprised": "sur,surprise,surp,surprise/surprised,ps,pleasant surprise,惊讶,惊奇,吃惊",
        "fearful": "fea,fear,afraid,scared,fearful/afraid,恐惧,害怕",
        "disgusted": "dis,disgust,disg,disgusting,厌恶,反感",
        "calm": "cal,calmness,平静",
        "contemptuous": "con,contempt,轻蔑,蔑视",
        "worried": "wor,worry,worrying,anxious,anxiety,担心,担忧,焦虑",
        "bored": "bor,boredom,无聊",
        "other": "oth,others,其他",
    }
)  # fmt: skip

#: What stands where raters did not agree, or nothing was annotated.
NO_EMOTION = frozenset(
    {"xxx", "unknown", "unk", "undefined", "no agreement", "na", "n/a", "nan", "none", "null"}
)

#: The sentiment that each name stands for.
SENTIMENTS = _invert(
    {
        "negative": "neg,消极,负面",
        "neutral": "neu,中性",
        "positive": "pos,积极,正面",
    }
)
NO_SENTIMENT = frozenset({"xxx", "unknown", "na", "n/a", "nan", "none", "null"})
