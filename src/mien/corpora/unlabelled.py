"""Clips that nobody annotated: they are counted, and kept or left out."""

import logging
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from mien.errors import CorpusError
from mien.types import Clip, Task

__all__ = ["Unlabelled", "choose_clips", "is_annotated"]

logger = logging.getLogger(__name__)

#: What becomes of clips without a multimodal label or target.
Unlabelled = Literal["keep", "drop"]


def is_annotated(clip: Clip) -> bool:
    """Return whether a clip has a multimodal label, or a multimodal value of a target."""
    return Task.FUSION in clip.labels or any(Task.FUSION in each for each in clip.targets.values())


def choose_clips(path: Path, clips: Sequence[Clip], unlabelled: Unlabelled) -> list[bool]:
    """Return which clips stay; if some have no multimodal label, that is logged.

    Args:
        path: The file, for messages.
        clips: Its clips; if none has a label, they are there to be predicted, and all stay.
        unlabelled: Whether clips without a label are kept; training and evaluation leave them out.

    Raises:
        CorpusError: If modalities are annotated, and no clip as a whole.
    """
    labelled = [is_annotated(clip) for clip in clips]
    if not any(labelled):
        _refuse_lone_modalities(path, clips)
    if all(labelled) or not any(labelled):
        return [True] * len(clips)
    counts = Counter(c.split for c, has in zip(clips, labelled, strict=True) if not has)
    logger.warning(
        "%s: %d of %d clips have no multimodal label (%s); %s",
        path,
        len(clips) - sum(labelled),
        len(clips),
        ", ".join(f"{split} {count}" for split, count in counts.items()),
        "they are left out"
        if unlabelled == "drop"
        else "they are kept, and training and evaluation leave them out",
    )
    return labelled if unlabelled == "drop" else [True] * len(clips)


def _refuse_lone_modalities(path: Path, clips: Sequence[Clip]) -> None:
    """Refuse targets of modalities alone: a model predicts what the whole clip shows.

    Raises:
        CorpusError: If there are any.
    """
    for clip in clips:
        for name, own in clip.targets.items():
            tasks = " and ".join(own)
            raise CorpusError(
                f"{path}: {name} is annotated for {tasks} alone, and no clip as a whole; call the "
                f"column {name} if it says what the clip shows"
            )
