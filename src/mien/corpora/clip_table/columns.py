"""Which column of a table is which: by the field's names for it, in any case and spelling."""

import difflib
import logging
import re
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from mien.corpora.class_names.emotion_names import EMOTIONS, fold_name
from mien.corpora.clip_table.cells import is_number
from mien.errors import CorpusError, list_some
from mien.files.reading import show

__all__ = [
    "NO_MODE",
    "SYNONYMS",
    "Columns",
    "advise_class_columns",
    "find_columns",
    "list_names",
    "normalise",
]

logger = logging.getLogger(__name__)

#: Other names of columns, as ``normalise`` writes them.
SYNONYMS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "video_id": ("vid", "videoname", "dialogueid", "dialogid", "diaid", "conversationid"),
        "clip_id": ("clipname", "cid", "segmentid", "segid", "utteranceid", "uttid", "uttno"),
        "path": (
            *("file", "filename", "filepath", "recording", "media", "mediapath", "videopath"),
            *("videofile", "clippath", "clipfile", "audiopath", "audiofile", "wav", "mp4"),
        ),
        "start": ("starttime", "starts", "starttimes", "startsec", "begin", "begintime"),
        "end": ("endtime", "ends", "endtimes", "endsec", "stop", "stoptime"),
        "text": (
            *("transcript", "transcription", "transcripts", "sentence", "rawtext"),
            *("utterancetext", "subtitle", "asr"),
        ),
        "label": (
            *("labels", "score", "sentiment", "sentimentscore", "annotation", "annotations"),
            *("emotion", "valence", "labelm", "mlabel", "labelmultimodal", "m"),
            *("regressionlabel", "regressionlabels"),
        ),
        "label_T": ("labeltext", "textlabel", "tlabel", "t", "regressionlabelst"),
        "label_A": ("labelaudio", "audiolabel", "alabel", "a", "regressionlabelsa"),
        "label_V": (
            *("labelvideo", "labelvision", "labelvisual", "videolabel", "visionlabel"),
            *("visuallabel", "vlabel", "v", "regressionlabelsv"),
        ),
        "mode": ("split", "set", "partition", "subset", "phase", "datasplit"),
        "speaker": ("speakerid", "speakername", "actor", "actorid", "subject", "subjectid"),
    }
)
#: Names that mean several things: what the cells are tells which.
_BY_CELLS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "utterance": ("text", "clip_id"),
        "segment": ("text", "clip_id"),
        "video": ("path", "video_id"),
        "clip": ("path", "clip_id"),
    }
)
#: Single letters that are labels of one modality only beside ``M``.
_LETTERS = frozenset({"t", "a", "v"})
_UNIT = re.compile(r"[(\[]\s*(?:s|secs?|seconds?)\s*[)\]]\s*$", re.IGNORECASE)
_FILE = re.compile(r"[/\\]|\.[A-Za-z0-9]{2,5}$")
#: Columns of emotions, as ``normalise`` writes them, whose numbers may be classes.
_EMOTION = frozenset({"emotion", "emotions", "emotionlabel", "emotionclass"})
#: How alike two names must be for one to be taken for a slip of the other.
_ALIKE = 0.75
#: What to do where no split is published.
NO_MODE = (
    "it says which clips are train, valid and test: write train everywhere to have them shared out "
    "by mien folds"
)
_MOST_NAMES = 20


class Columns(NamedTuple):
    """Where the columns of a table are.

    Attributes:
        positions: Position of each column that is there, by the name that the field has for it.
        names: What the table calls it.
        classes: A column that would be the label, but holds words; empty if there is none.
    """

    positions: dict[str, int]
    names: dict[str, str]
    classes: str


def normalise(name: str) -> str:
    """Return a name without case, signs, spaces and a unit of seconds.

    >>> normalise("Start Time (s)"), normalise("label_T")
    ('starttime', 'labelt')
    """
    return "".join(sign for sign in _UNIT.sub("", name).casefold() if sign.isalnum())


def find_columns(
    header: Sequence[str],
    cells: Callable[[int], Sequence[str]],
    path: Path,
    *,
    required: Sequence[str],
    known: Sequence[str],
    taken: Collection[int] = (),
) -> Columns:
    """Find the columns of a table.

    The field's own name is taken before another spelling of it, and that before a synonym. What is
    called like a label but holds words is none.

    Args:
        header: The names, without spaces around them.
        cells: Returns the cells of a column, by its place.
        path: The table, for messages.
        required: Columns that must be there.
        known: Columns that are read.
        taken: Places of columns that are something else.

    Raises:
        CorpusError: If one is missing, or two mean the same.
    """
    meanings = _Meanings(
        ["" if at in taken else name for at, name in enumerate(header)], cells, known
    )
    positions = {name: at for name in known if (at := meanings.choose(name, path)) is not None}
    columns = Columns(
        positions, {name: header[at] for name, at in positions.items()}, meanings.classes
    )
    used = {*positions.values(), *taken}
    unused = [name for at, name in enumerate(header) if name and at not in used]
    near = _find_near(unused, [name for name in known if name not in positions])
    for name in required:
        if name not in positions:
            raise CorpusError(_explain_missing(name, header, path, required, columns, near))
    _report(path, columns, unused, near)
    return columns


class _Meanings:
    """What each name of a header may mean.

    Attributes:
        classes: A column that would be the label, but holds words.
    """

    def __init__(
        self, header: Sequence[str], cells: Callable[[int], Sequence[str]], known: Sequence[str]
    ) -> None:
        self.classes = ""
        self._header = header
        self._cells = cells
        known_as = {other: name for name in known for other in (normalise(name), *SYNONYMS[name])}
        names = [normalise(name) for name in header]
        self._others = defaultdict[str, list[int]](list)
        for at, name in enumerate(names):
            meaning = known_as.get(name)
            if name in _BY_CELLS:
                meaning = self._decide_by_cells(name, at)
            elif name in _LETTERS and "m" not in names:
                meaning = None
            if meaning in known:
                self._others[str(meaning)].append(at)

    def _decide_by_cells(self, name: str, at: int) -> str:
        """Return what a name means whose cells tell it."""
        special, usual = _BY_CELLS[name]
        if special == "text":
            return special if any(" " in cell for cell in self._cells(at)) else usual
        return special if any(_FILE.search(cell) for cell in self._cells(at)) else usual

    def choose(self, name: str, path: Path) -> int | None:
        """Return the place of a column; None if it is not there.

        Raises:
            CorpusError: If several columns can be meant.
        """
        exact = [at for at, title in enumerate(self._header) if title == name]
        if len(exact) > 1:
            raise CorpusError(f"{path}:1: column {name!r} occurs {len(exact)} times")
        if exact:
            return exact[0]
        others = self._others[name]
        spelled = [at for at in others if normalise(self._header[at]) == normalise(name)]
        if not spelled and name == "label":
            others = [at for at in others if self._holds_scores(at)]
        chosen = spelled or others
        if len(chosen) > 1:
            first, second = (show(self._header[at]) for at in chosen[:2])
            raise CorpusError(
                f"{path}:1: columns {first} and {second} mean the same, {name}; take one out, or "
                f"call the right one {name}"
            )
        return chosen[0] if chosen else None

    def _holds_scores(self, at: int) -> bool:
        cells = [cell for cell in self._cells(at) if cell]
        if not cells or any(is_number(cell) for cell in cells):
            return True
        self.classes = f"column {show(self._header[at])} holds classes, such as {show(cells[0])}"
        return False


def _find_near(unused: Sequence[str], missing: Sequence[str]) -> dict[str, str]:
    """Return what may be meant by columns that are not used."""
    wanted = {normalise(name): name for name in missing}
    near = {}
    for name in unused:
        alike = difflib.get_close_matches(normalise(name), wanted, n=1, cutoff=_ALIKE)
        if alike:
            near[name] = wanted[alike[0]]
    return near


def _explain_missing(
    name: str,
    header: Sequence[str],
    path: Path,
    required: Sequence[str],
    columns: Columns,
    near: Mapping[str, str],
) -> str:
    if name == "label" and columns.classes:
        return (
            f"{path}:1: {columns.classes}; expected a column label with numbers, or classes in a "
            "column emotion, or under another name that --target NAME=CLASS,CLASS states"
        )
    advice = advise_class_columns(header) if name == "label" else ""
    if advice:
        return f"{path}:1: column {name!r} is missing; {advice}"
    slips = [title for title, meant in near.items() if meant == name]
    hint = f"did you mean {name} by {show(slips[0])}? " if slips else ""
    if name == "mode" and not slips:
        hint = f"{NO_MODE}; "
    return (
        f"{path}:1: column {name!r} is missing; {hint}needed are: {', '.join(required)}; "
        f"there are: {list_names(header)}"
    )


def advise_class_columns(header: Sequence[str]) -> str:
    """Return what to do where several columns are called as emotions; empty where none are."""
    emotions = _name_emotions(header)
    if len(emotions) < 2:
        return ""
    return (
        f"if {list_names(list(emotions))} say for each emotion whether, or how much of it, is "
        f"there, call them emotion:{next(iter(emotions.values()))} and so on"
    )


def _name_emotions(header: Sequence[str]) -> dict[str, str]:
    """Return columns that are called as emotions, with ``emotion`` before it or without.

    >>> _name_emotions(["text", "Anger", "emotion_sad"])
    {'Anger': 'angry', 'emotion_sad': 'sad'}
    """
    names = {title: fold_name(title.replace(".", " ")).removeprefix("emotion ") for title in header}
    return {title: EMOTIONS[name] for title, name in names.items() if name in EMOTIONS}


def list_names(names: Sequence[str]) -> str:
    """Return names of columns for a message."""
    shown = [show(name)[1:-1] if show(name).endswith("'") else show(name) for name in names]
    return list_some(shown, _MOST_NAMES) or "none"


def _report(path: Path, columns: Columns, unused: Sequence[str], near: Mapping[str, str]) -> None:
    """Log which columns are taken by another name, and which are not used."""
    renamed = [f"{show(title)} as {name}" for name, title in columns.names.items() if title != name]
    if renamed:
        logger.info("%s: reads the columns %s", path, ", ".join(renamed))
    if columns.classes and "label" not in columns.positions:
        logger.warning(
            "%s: %s, not scores; it is not used; --target NAME=CLASS,CLASS states classes",
            path, columns.classes,
        )  # fmt: skip
    if unused:
        hints = [f"did you mean {name} by {show(title)}?" for title, name in near.items()]
        hints += [
            f"if the numbers in {show(title)} are classes, state them: --target emotion=0,1,..."
            for title in unused
            if normalise(title) in _EMOTION
        ]
        logger.log(
            logging.WARNING if hints else logging.INFO,
            "%s: columns that are not used: %s%s",
            path,
            list_names(unused),
            f"; {' '.join(hints)}" if hints else "",
        )
