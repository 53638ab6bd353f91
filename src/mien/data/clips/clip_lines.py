"""One clip as a line of JSON, as ``clips.jsonl`` holds it."""

import json
from pathlib import Path
from typing import Any

from mien.errors import StoreError
from mien.files.reading import show
from mien.types import SPLITS, Clip, Modality, Task, Word

__all__ = ["DAMAGE", "clip_from_line", "clip_to_line", "damaged"]

#: What files that are not what they should be make readers raise.
DAMAGE = (
    OSError, ValueError, KeyError, TypeError, AttributeError, EOFError, SyntaxError,
    RecursionError, OverflowError, MemoryError,
)  # fmt: skip


def damaged(path: Path, error: Exception) -> StoreError:
    """Return the sentence for a file of a store that is not what it should be."""
    reason = show(str(error), most=200)[1:-1]
    return StoreError(f"{path}: is damaged ({reason}); import the corpus again")


def clip_to_line(clip: Clip) -> str:
    """Return a clip as a line, with its end."""
    values: dict[str, Any] = {"id": clip.id, "split": clip.split, "transcript": clip.transcript}
    values["labels"] = {str(task): float(label) for task, label in clip.labels.items()}
    if clip.start is not None:
        values["start"] = clip.start
    if clip.end is not None:
        values["end"] = clip.end
    if clip.media is not None:
        values["media"] = str(clip.media)
    if clip.moments:
        values["moments"] = {str(m): list(span) for m, span in clip.moments.items()}
    if clip.words:
        values["words"] = [list(word) for word in clip.words]
    if clip.speaker is not None:
        values["speaker"] = clip.speaker
    if clip.targets:
        values["targets"] = {
            name: {str(task): list(map(float, own)) for task, own in tasks.items()}
            for name, tasks in clip.targets.items()
        }
    return json.dumps(values, ensure_ascii=False) + "\n"


def clip_from_line(line: str) -> Clip:
    """Return the clip of a line.

    Raises:
        Exception: One of ``DAMAGE``, if it is no clip.
    """
    values = json.loads(line)
    if values["split"] not in SPLITS:
        raise ValueError(f"split is {values['split']!r}")
    return Clip(
        id=values["id"],
        split=values["split"],
        transcript=values["transcript"],
        labels={Task(task): float(label) for task, label in values["labels"].items()},
        start=values.get("start"),
        end=values.get("end"),
        media=Path(values["media"]) if "media" in values else None,
        moments={Modality(m): (a, b) for m, (a, b) in values.get("moments", {}).items()},
        words=tuple(
            Word(str(text), float(start), float(end))
            for text, start, end in values.get("words", ())
        ),
        speaker=_speaker_of(values),
        targets={
            str(name): {Task(task): tuple(map(float, own)) for task, own in tasks.items()}
            for name, tasks in values.get("targets", {}).items()
        },
    )


def _speaker_of(values: dict[str, Any]) -> str | None:
    speaker = values.get("speaker")
    if speaker is not None and not isinstance(speaker, str):
        raise TypeError(f"speaker is {speaker!r}")
    return speaker
