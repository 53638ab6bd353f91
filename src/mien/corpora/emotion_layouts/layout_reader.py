"""Which emotion corpus a folder is read as, and what all of them share once they are read."""

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from mien.corpora.clip_table.splits import report_absent
from mien.corpora.clip_table.target_requests import read_target_requests
from mien.corpora.emotion_layouts.cremad import read_cremad
from mien.corpora.emotion_layouts.iemocap import read_iemocap
from mien.corpora.emotion_layouts.layout_parts import LayoutClips, LayoutRequest
from mien.corpora.emotion_layouts.meld import read_meld
from mien.corpora.emotion_layouts.mer import read_mer
from mien.corpora.emotion_layouts.mosei_emotions import read_mosei_emotions
from mien.corpora.emotion_layouts.ravdess import read_ravdess
from mien.corpora.recording_folder import name_as_text
from mien.corpora.recording_table import Recordings
from mien.corpora.unlabelled import Unlabelled, choose_clips, is_annotated
from mien.errors import ConfigError, name_known
from mien.types import Clip, Corpus, Scale

__all__ = ["LAYOUTS", "EmotionLayout", "read_if_layout", "read_layout"]


class EmotionLayout(NamedTuple):
    """How an emotion corpus is read.

    Attributes:
        read: Its reader.
        language: ISO 639-1 code of what is said.
        targets: What may be stated of with ``--target``.
        scale: Range of its sentiment, if it has any.
        has_table: Whether a table ``label.csv`` is part of it.
    """

    read: Callable[[LayoutRequest], LayoutClips]
    language: str
    targets: tuple[str, ...]
    scale: Scale | None = None
    has_table: bool = False


#: By the names that ``--corpus`` has for them.
LAYOUTS: Mapping[str, EmotionLayout] = MappingProxyType(
    {
        "iemocap": EmotionLayout(
            read_iemocap, "en", ("emotion", "valence", "arousal", "dominance")
        ),
        "meld": EmotionLayout(read_meld, "en", ("emotion", "sentiment")),
        "mosei-emotions": EmotionLayout(
            read_mosei_emotions, "en", ("emotion",), scale=Scale(-3, 3), has_table=True
        ),
        "mer": EmotionLayout(read_mer, "zh", ("emotion", "valence")),
        "ravdess": EmotionLayout(read_ravdess, "en", ("emotion",)),
        "cremad": EmotionLayout(read_cremad, "en", ("emotion",)),
    }
)


def _as_utf8(clip: Clip) -> Clip:
    """Write the name of a recording as a store can hold it."""
    name = str(clip.media)
    text = name_as_text(name)
    return clip if text == name else replace(clip, media=Path(text))


def _is_layout(name: str, source: Path) -> bool:
    """Return whether a folder is that of an emotion corpus, and not one with a table of clips."""
    if name not in LAYOUTS or not source.is_dir():
        return False
    return LAYOUTS[name].has_table or not (source / "label.csv").is_file()


def read_if_layout(
    name: str | None,
    source: Path,
    *,
    targets: Sequence[str] = (),
    fold: int | None = None,
    language: str | None = None,
    unlabelled: Unlabelled = "keep",
    has_others: bool = False,
) -> Recordings | None:
    """Read a folder if it is that of an emotion corpus, and not one with a table of clips.

    Args:
        name: What the corpus is called; None if that is not stated.
        source: The folder, or something else.
        targets: As ``read_layout`` has it.
        fold: As ``read_layout`` has it.
        language: As ``read_layout`` has it.
        unlabelled: As ``read_layout`` has it.
        has_others: Whether the encoding or the scale of a table is stated.

    Returns:
        What is read; None if it is no such folder.

    Raises:
        ConfigError: If an option does not go with the source, or as ``read_layout`` does.
        CorpusError: As ``read_layout`` does.
    """
    if name is None or not _is_layout(name, source):
        if fold is not None:
            raise ConfigError("--fold goes with the folder of an emotion corpus, such as iemocap")
        return None
    if has_others:
        raise ConfigError(f"--encoding and --scale do not go with the folder of {name}")
    return read_layout(
        name, source, targets=targets, fold=fold, language=language, unlabelled=unlabelled
    )


def read_layout(
    name: str,
    folder: str | Path,
    *,
    targets: Sequence[str] = (),
    fold: int | None = None,
    language: str | None = None,
    unlabelled: Unlabelled = "keep",
) -> Recordings:
    """Read an emotion corpus from the folder that people download.

    Args:
        name: ``iemocap``, ``meld``, ``mosei-emotions``, ``mer``, ``ravdess`` or ``cremad``.
        folder: The folder.
        targets: Which classes are told apart, such as ``emotion=iemocap6``; each corpus has a
            scheme of its own else.
        fold: Number of the fold that is tested, from 1; each corpus has a split of its own else.
        language: ISO 639-1 code of what is said, if it is not that of the corpus.
        unlabelled: Whether clips without a label or target are kept where others have one;
            training and evaluation leave them out.

    Returns:
        The clips and where their recordings are; nothing says that they are there.

    Raises:
        ConfigError: If there is no such corpus, target or fold.
        CorpusError: If the folder is not of that layout, or a line of it is not as it should be.
    """
    if name not in LAYOUTS:
        raise ConfigError(f"no emotion corpus is called {name!r}; {name_known(name, LAYOUTS)}")
    layout, folder = LAYOUTS[name], Path(folder)
    requests = {request.name: request for request in read_target_requests(targets)}
    unknown = [target for target in requests if target not in layout.targets]
    if unknown:
        raise ConfigError(
            f"--target {unknown[0]}=...: {name} has no such target; "
            f"{name_known(unknown[0], layout.targets)}"
        )
    read = layout.read(LayoutRequest(folder=folder, targets=requests, fold=fold, language=language))
    stays = choose_clips(folder, [each.clip for each in read.clips], unlabelled)
    recorded = list(itertools.compress(read.clips, stays))
    clips = tuple(_as_utf8(each.clip) for each in recorded)
    report_absent(folder, clips, read.targets)
    return Recordings(
        corpus=Corpus(
            name=name,
            language=language or read.language or layout.language,
            scale=layout.scale or Scale(-1, 1),
            clips=clips,
            is_annotated=any(map(is_annotated, clips)),
            targets=read.targets,
        ),
        paths=tuple(each.path for each in recorded),
        origin={
            "source": name_as_text(folder.resolve().name),
            "layout": name,
            **read.origin,
        },
        are_cut=read.are_cut,
    )
