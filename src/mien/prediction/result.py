"""The answers about a recording, as one typed value."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mien.checkpoint import write_text
from mien.config import Settings
from mien.prediction.answer import Answer, ModelFacts
from mien.types import Scale

__all__ = ["Prediction"]


class Prediction(Settings):
    """What a model says about a recording or a text, utterance by utterance.

    Attributes:
        source: Name of the file; ``text`` if only a text was given.
        seconds: Length of the recording; None if there is none.
        scale: Range of the scores.
        level: Share of clips whose annotation should lie in the intervals; None without intervals.
        answers: One per utterance, in the order of time.
        warnings: What a reader should know: parts that could not be decoded, and the like.
        model: Which model it was.
    """

    source: str
    seconds: float | None = None
    scale: Scale
    level: float | None = None
    answers: tuple[Answer, ...]
    warnings: tuple[str, ...] = ()
    model: ModelFacts

    def __iter__(self) -> Iterator[Answer]:  # type: ignore[override]  # fields are of no use here
        """Give the answers one after the other."""
        return iter(self.answers)

    def __len__(self) -> int:
        """Return the number of utterances."""
        return len(self.answers)

    @property
    def overall(self) -> float:
        """Mean of the multimodal scores, weighted by the length of the utterances."""
        lengths = [(one.end or 0.0) - (one.start or 0.0) for one in self.answers]
        if not sum(lengths):
            lengths = [1.0] * len(self.answers)
        total = sum(n * one.score.value for n, one in zip(lengths, self.answers, strict=True))
        return total / sum(lengths)

    def to_dict(self) -> dict[str, Any]:
        """Return the same as JSON would have it; ``Prediction.model_validate`` reads it back."""
        return self.model_dump(mode="json")

    def write(self, path: str | Path) -> None:
        """Write the same as a JSON file."""
        write_text(Path(path), json.dumps(self.to_dict(), ensure_ascii=False, indent=1))
