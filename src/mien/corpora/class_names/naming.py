"""Which class each name of a corpus is: by a scheme, by a list of the user, or by what there is."""

import difflib
import logging
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from mien.corpora.class_names.emotion_names import EMOTIONS, NO_EMOTION, fold_name
from mien.corpora.class_names.schemes import Scheme, list_classes
from mien.errors import CorpusError, list_some
from mien.files.reading import show
from mien.types import MOST_CLASSES

__all__ = ["Naming", "are_read_so", "find_naming", "match_classes"]

logger = logging.getLogger(__name__)

_LONGEST_NAME = 100
_SHOWN = 12
_ALIKE = 0.75


class Naming(NamedTuple):
    """The classes of a target, and which of them each name is.

    Attributes:
        classes: The classes, in order.
        names: The class of each name, as the corpus writes it; None where it is left out.
    """

    classes: tuple[str, ...]
    names: Mapping[str, str | None]


def match_classes(names: Sequence[str], classes: Sequence[str]) -> dict[str, str | None]:
    """Return which of some classes each name is, as far as it is one of them.

    A name is the class that is written like it. If there is none, it is the one that stands for
    the same emotion, or differs in case, underscores and hyphens alone, unless another name is.

    Args:
        names: Classes as a store calls them.
        classes: Classes as a model does.

    >>> match_classes(["sad", "disgusted", "shy"], ["disgust", "sad"])
    {'sad': 'sad', 'disgusted': 'disgust', 'shy': None}
    """
    left = [name for name in classes if name not in names]
    meant = {_stand_for(name): name for name in reversed(left)}
    matched: dict[str, str | None] = {}
    for name in names:
        matched[name] = name if name in classes else meant.pop(_stand_for(name), None)
    return matched


def are_read_so(classes: Sequence[str]) -> bool:
    """Return whether emotions are read under these names, in this order, where none are stated.

    >>> are_read_so(("angry", "sad", "zen")), are_read_so(("sad", "Angry"))
    (True, False)
    """
    meant = [_stand_for(name) for name in classes]
    return list(classes) == meant == _order(meant, EMOTIONS) and not NO_EMOTION & set(meant)


def _order(classes: Iterable[str], table: Mapping[str, str]) -> list[str]:
    """Return classes in the order of a table, and then, by name, those that it does not have."""
    places = {name: at for at, name in enumerate(dict.fromkeys(table.values()))}
    return sorted(set(classes), key=lambda name: (places.get(name, len(places)), name))


def _stand_for(name: str) -> str:
    folded = fold_name(name)
    return EMOTIONS.get(folded, folded)


def find_naming(
    target: str,
    counts: Counter[str],
    where: object,
    *,
    classes: Sequence[str] = (),
    scheme: Scheme | None = None,
    is_emotion: bool = False,
    are_votes: bool = False,
) -> Naming:
    """Find the class of every name that a corpus has for a target.

    With a list of classes, a name is the class that reads the same without case and spaces around
    it, or is the same emotion. With a scheme, it is the class that the scheme has for it. Other
    emotions are left out and counted. With neither, every name is a class: emotions by their table,
    in its order, and then what else there is, by name.

    Args:
        target: What the target is called.
        counts: How often each name occurs.
        where: The file, for messages.
        classes: Classes that the user lists.
        scheme: Classes that are commonly told apart.
        is_emotion: Whether names are emotions, where no scheme is given.
        are_votes: Whether ``counts`` are votes, of which a clip has several; for messages.

    Raises:
        CorpusError: If names are unknown to the list or the scheme; the sentence lists them with
            their counts. Also if there are too many names, or one is too long.
    """
    _check_names(target, counts, where)
    folded = {name: fold_name(name) for name in counts}
    if classes:
        scheme = list_classes(classes, is_emotion=is_emotion)
    if scheme is not None:
        naming = Naming(scheme.classes, {name: scheme.find(folded[name]) for name in counts})
        left_out = [name for name, meant in naming.names.items() if meant is None]
        known = scheme.missing | scheme.names.keys()
        unknown = [name for name in left_out if folded[name] not in known]
        _refuse(target, unknown, counts, where, scheme)
    else:
        naming = _name_all(target, counts, folded, where, is_emotion=is_emotion)
        left_out = [name for name, meant in naming.names.items() if meant is None]
    _report_left_out(target, left_out, counts, where, are_votes=are_votes)
    _report_spellings(target, naming, counts, where)
    return naming


def _check_names(target: str, counts: Counter[str], where: object) -> None:
    if len({fold_name(name) for name in counts}) > MOST_CLASSES:
        raise CorpusError(
            f"{where}: {target} has more than {MOST_CLASSES} classes, such as "
            f"{show(next(iter(counts)))}; is it a column of classes?"
        )
    for name in counts:
        if len(name) > _LONGEST_NAME or not name.isprintable():
            raise CorpusError(
                f"{where}: {target} has the class {show(name)}; a class has a name of at most "
                f"{_LONGEST_NAME} printable characters"
            )


def _name_all(
    target: str,
    counts: Counter[str],
    folded: Mapping[str, str],
    where: object,
    *,
    is_emotion: bool,
) -> Naming:
    table = EMOTIONS if is_emotion else {}
    missing = NO_EMOTION if is_emotion else frozenset[str]()
    names = {
        name: None if folded[name] in missing else table.get(folded[name], folded[name])
        for name in counts
    }
    classes = _order((meant for meant in names.values() if meant is not None), table)
    others = set(classes) - set(table.values())
    if others and len(others) < len(classes):
        own = [name for name, meant in names.items() if meant in others]
        logger.warning(
            "%s: %s: names that the table of emotions does not have are classes of their own: %s",
            where, target, _list_counts(own, counts),
        )  # fmt: skip
    return Naming(tuple(classes), names)


def _refuse(
    target: str,
    unknown: Sequence[str],
    counts: Counter[str],
    where: object,
    scheme: Scheme,
) -> None:
    if not unknown:
        return
    known = [*scheme.classes, *scheme.names]
    near = difflib.get_close_matches(fold_name(unknown[0]), known, n=1, cutoff=_ALIKE)
    hint = f"did you mean {near[0]!r}? " if near else ""
    raise CorpusError(
        f"{where}: {target} has names that are none of its classes: "
        f"{_list_counts(unknown, counts)}; {hint}the classes are "
        f"{list_some(scheme.classes, _SHOWN)}"
    )


def _report_left_out(
    target: str, left_out: Sequence[str], counts: Counter[str], where: object, *, are_votes: bool
) -> None:
    left_out = [name for name in left_out if counts[name]]
    if left_out:
        logger.warning(
            "%s: %s: %s: %s",
            where,
            target,
            "votes for these are left out"
            if are_votes
            else "these are left out, and their clips are not annotated for it",
            _list_counts(left_out, counts),
        )


def _report_spellings(target: str, naming: Naming, counts: Counter[str], where: object) -> None:
    """Log which classes the corpus calls otherwise."""
    renamed = [
        f"{show(name)} as {meant} ({counts[name]})"
        for name, meant in sorted(naming.names.items())
        if meant is not None and meant != name
    ]
    if renamed:
        logger.info("%s: %s reads %s", where, target, list_some(renamed, _SHOWN))


def _list_counts(names: Iterable[str], counts: Counter[str]) -> str:
    ordered = sorted(names, key=lambda name: (-counts[name], name))
    return list_some([f"{show(name)} ({counts[name]})" for name in ordered], _SHOWN)
