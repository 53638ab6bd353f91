"""The answers about a recording, as one typed value."""

from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import computed_field, model_validator

from mien.config import Settings
from mien.files.json_values import write_json
from mien.prediction.answer import Answer, ModelFacts, Score, name_sentiment
from mien.types import Modality, Scale

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.figure import Figure

__all__ = ["Prediction"]

_NUM_FRAMES, _FRAME_HEIGHT = 6, 180


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

    @model_validator(mode="before")
    @classmethod
    def _leave_out_overall(cls, values: Any) -> Any:  # noqa: ANN401  # whatever was given
        """Read what ``to_dict`` gave: the overall score follows from the answers."""
        if isinstance(values, dict) and "overall" in values:
            return {key: value for key, value in values.items() if key != "overall"}
        return values

    def __iter__(self) -> Iterator[Answer]:  # type: ignore[override]  # fields are of no use here
        """Give the answers one after the other."""
        return iter(self.answers)

    def __len__(self) -> int:
        """Return the number of utterances."""
        return len(self.answers)

    @computed_field  # type: ignore[prop-decorator]  # as pydantic has it
    @property
    def overall(self) -> float:
        """Mean of the multimodal scores, weighted by length: seconds, or words of a text."""
        lengths = [(answer.end or 0.0) - (answer.start or 0.0) for answer in self.answers]
        if not sum(lengths):
            lengths = [float(len(answer.transcript.split()) or 1) for answer in self.answers]
        total = sum(n * answer.score.value for n, answer in zip(lengths, self.answers, strict=True))
        return total / sum(lengths)

    def to_dict(self) -> dict[str, Any]:
        """Return the same as JSON would have it; ``Prediction.model_validate`` reads it back."""
        return self.model_dump(mode="json")

    def plot(
        self, path: str | Path | None = None, *, recording: str | Path | None = None
    ) -> "Figure":
        """Draw the timeline, and write it as PNG if ``path`` is given.

        Args:
            path: File to write.
            recording: Where frames are taken from, at which the face moved the score most.

        Raises:
            MediaError: If ``recording`` cannot be read.
        """
        from mien.prediction.presentation.figure import draw_timeline
        from mien.reports.figures.style import save_figure

        figure = draw_timeline(
            self.answers,
            seconds=self.seconds,
            scale=self.scale,
            title=f"{self.source}: {name_sentiment(self.overall, self.scale)} {self.overall:+.2f}",
            level=self.level,
            frames=[] if recording is None else self._grab(Path(recording)),
        )
        if path is not None:
            save_figure(figure, Path(path))
        return figure

    def _grab(self, recording: Path) -> "list[tuple[float, np.ndarray]]":
        """Return frames at which the face moved the score most: one of each utterance first."""
        from mien.extraction.media import Source
        from mien.extraction.media.stills import grab_frames

        candidates = [_frames_of(answer) for answer in self.answers]
        ranked = sorted(
            (rank, -size, middle)
            for frames in candidates
            for rank, (size, middle) in enumerate(sorted(frames, reverse=True))
        )
        times = sorted(middle for _, _, middle in ranked[:_NUM_FRAMES])
        return grab_frames(Source(path=recording), times, height=_FRAME_HEIGHT)

    def _repr_html_(self) -> str:
        """Return a table for notebooks: self-contained, without scripts."""
        rows = "".join(
            f"<tr><td>{_time_of(answer)}</td><td>{escape(answer.transcript)}</td>"
            f"<td>{escape(answer.score.words)}</td><td>{_format_score(answer.score)}</td>"
            + "".join(f"<td>{_format_score(answer.unimodal.get(m))}</td>" for m in Modality)
            + "</tr>"
            for answer in self.answers
        )
        names = ("seconds", "said", "sentiment", "score", *(str(m) for m in Modality))
        head = "".join(f"<th>{name}</th>" for name in names)
        notes = "".join(f"<li>{escape(warning)}</li>" for warning in self.warnings)
        return (
            f"<table><caption>{escape(self.source)}</caption><thead><tr>{head}</tr></thead>"
            f"<tbody>{rows}</tbody></table>{f'<ul>{notes}</ul>' if notes else ''}"
        )

    def write(self, path: str | Path) -> None:
        """Write the same as a JSON file."""
        write_json(Path(path), self.to_dict(), ensure_ascii=False, indent=1)


def _frames_of(answer: Answer) -> list[tuple[float, float]]:
    """Return what a frame could show of the face: the size of an effect, and its time.

    Files that were written before there were effects have the moments of most attention.
    """
    windows = answer.steps[Modality.VIDEO].windows if Modality.VIDEO in answer.steps else ()
    if windows:
        return [(abs(window.effect), (window.start + window.end) / 2) for window in windows]
    return [
        (abs(m.weight or 0.0), ((m.start or 0.0) + (m.end or 0.0)) / 2)
        for m in answer.moments
        if m.modality is Modality.VIDEO
    ]


def _time_of(answer: Answer) -> str:
    if answer.start is None or answer.end is None:
        return ""
    return f"{answer.start:.1f} to {answer.end:.1f}"


def _format_score(score: Score | None) -> str:
    if score is None:
        return ""
    if score.low is None or score.high is None:
        return f"{score.value:+.2f}"
    return f"{score.value:+.2f} [{score.low:+.2f}, {score.high:+.2f}]"
