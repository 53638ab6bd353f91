"""Classes that are commonly told apart: which emotions a task knows, and which of them it joins."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from mien.corpora.class_names.emotion_names import (
    EMOTIONS,
    NO_EMOTION,
    NO_SENTIMENT,
    SENTIMENTS,
    fold_name,
)

__all__ = ["SCHEMES", "Scheme", "list_classes"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scheme:
    """The classes of a task.

    Attributes:
        classes: Their names, in the order of the published code.
        joined: Classes that are counted as another one.
        names: The class that each name stands for, before they are joined.
        missing: Names that say that nothing was annotated.
    """

    classes: tuple[str, ...]
    joined: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    names: Mapping[str, str] = field(default_factory=lambda: EMOTIONS)
    missing: frozenset[str] = NO_EMOTION

    def find(self, folded: str) -> str | None:
        """Return the class of a name; None if the scheme leaves it out or nobody knows it."""
        name = self.names.get(folded, folded)
        name = self.joined.get(name, name)
        return name if name in self.classes else None


#: By name. ``iemocap4`` and ``iemocap6`` are what most work tells apart on IEMOCAP (busso2008),
#: ``mer6`` the classes of MER2023 and MER2024, ``ferplus8`` those of FER+.
SCHEMES: Mapping[str, Scheme] = MappingProxyType(
    {
        "iemocap4": Scheme(
            classes=("angry", "happy", "sad", "neutral"),
            joined=MappingProxyType({"excited": "happy"}),
        ),
        "iemocap6": Scheme(
            classes=("happy", "sad", "neutral", "angry", "excited", "frustrated"),
        ),
        "meld7": Scheme(
            classes=(*("neutral", "surprised", "fearful", "sad", "happy", "disgusted", "angry"),),
        ),
        "mosei6": Scheme(
            classes=("happy", "sad", "angry", "surprised", "disgusted", "fearful"),
        ),
        "mer6": Scheme(
            classes=("neutral", "angry", "happy", "sad", "worried", "surprised"),
        ),
        "ravdess8": Scheme(
            classes=(
                *("neutral", "calm", "happy", "sad", "angry", "fearful", "disgusted"),
                "surprised",
            ),
        ),
        "cremad6": Scheme(
            classes=("angry", "disgusted", "fearful", "happy", "neutral", "sad"),
        ),
        "ferplus8": Scheme(
            classes=(
                *("neutral", "happy", "surprised", "sad", "angry", "disgusted", "fearful"),
                "contemptuous",
            ),
        ),
        "sentiment3": Scheme(
            classes=("negative", "neutral", "positive"), names=SENTIMENTS, missing=NO_SENTIMENT
        ),
    }
)


def list_classes(classes: Sequence[str], *, is_emotion: bool) -> Scheme:
    """Return a scheme of classes that a user lists, under the names that are listed.

    >>> list_classes(["Joy", "Zen"], is_emotion=True).find("happy")
    'Joy'
    """
    own = {fold_name(name): name for name in classes}
    if not is_emotion:
        return Scheme(classes=tuple(classes), names=own, missing=frozenset())
    listed = {EMOTIONS[fold]: name for fold, name in own.items() if fold in EMOTIONS}
    names = {name: listed.get(emotion, emotion) for name, emotion in EMOTIONS.items()}
    return Scheme(classes=tuple(classes), names=names | own)
