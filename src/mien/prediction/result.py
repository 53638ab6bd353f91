"""The answers about a recording, or about several of them, as typed values."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import computed_field, model_validator

from mien.config import Settings
from mien.errors import ExtractionError, FeatureError, MediaError, MienError
from mien.files.json_values import write_json
from mien.notebooks import html_table, make_frame, number_or_nan
from mien.prediction.answer import (
    Answer,
    ModelFacts,
    PersonFacts,
    Score,
    SpeechFacts,
    is_uncertain,
    name_sentiment,
)
from mien.types import Modality, Scale

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from matplotlib.figure import Figure

__all__ = ["RECORDING_ERRORS", "FailedPrediction", "Prediction", "PredictionList", "attempt"]

#: What a recording itself can cause; it ends no prediction of others.
RECORDING_ERRORS = (MediaError, FeatureError, ExtractionError)

_NUM_FRAMES, _FRAME_HEIGHT = 6, 180
#: Predictions that the repr of a list names.
_SHOWN = 3
_COLUMNS = (
    *("source", "utterance", "start", "end", "transcript", "sentiment", "score", "low", "high"),
    *(f"{m}_{what}" for m in Modality for what in ("score", "low", "high", "contribution")),
)


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
        speech: How the words were recognised; None if they were not.
        baseline: Against whom voice and face were read; None if the model knows no baselines.
    """

    source: str
    seconds: float | None = None
    scale: Scale
    level: float | None = None
    answers: tuple[Answer, ...]
    warnings: tuple[str, ...] = ()
    model: ModelFacts
    speech: SpeechFacts | None = None
    baseline: PersonFacts | None = None

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
            title=f"{self.source}: {self._verdict}",
            level=self.level,
            frames=[] if recording is None else self._grab(Path(recording)),
        )
        if path is not None:
            save_figure(figure, Path(path))
        return figure

    @property
    def _verdict(self) -> str:
        """The overall score in words and as a number, and whether it is uncertain."""
        doubt = ""
        if len(self) == 1 and is_uncertain(score := self.answers[0].score, self.scale):
            doubt = f", but uncertain ({score.low:+.1f} to {score.high:+.1f})"
        return f"{name_sentiment(self.overall, self.scale)} {self.overall:+.2f}{doubt}"

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

    def to_pandas(self) -> "pd.DataFrame":
        """Return a data frame with a row for each utterance.

        Columns are ``source``, ``utterance`` (from 1), ``start`` and ``end`` in seconds,
        ``transcript``, ``sentiment``, ``score``, ``low`` and ``high``; then score, low, high and
        contribution of each modality, such as ``text_score``. A number that is not there is NaN.

        Raises:
            ConfigError: If pandas is not installed.
        """
        return make_frame(_rows(self), _COLUMNS)

    def __repr__(self) -> str:
        """Return the source, the overall score and the number of utterances."""
        num = len(self)
        return (
            f"Prediction({self.source!r}: {name_sentiment(self.overall, self.scale)} "
            f"{self.overall:+.2f}, {num} utterance{'s' * (num != 1)})"
        )

    def _repr_html_(self) -> str:
        """Return a table for notebooks: self-contained, without scripts."""
        headings = ("seconds", "said", "sentiment", "score", *(str(m) for m in Modality))
        rows = (
            (
                _time_of(answer), answer.transcript, answer.score.words,
                _format_score(answer.score),
                *(_format_score(answer.unimodal.get(m)) for m in Modality),
            )
            for answer in self.answers
        )  # fmt: skip
        return html_table(self.source, headings, rows, self.warnings)

    def write(self, path: str | Path) -> None:
        """Write the same as a JSON file."""
        write_json(Path(path), self.to_dict(), ensure_ascii=False, indent=1)


class PredictionList(list[Prediction]):
    """Predictions of several recordings or texts, in their order: a list that can be a table."""

    def to_pandas(self) -> "pd.DataFrame":
        """Return the rows of every prediction below each other, as ``Prediction.to_pandas`` does.

        Raises:
            ConfigError: If pandas is not installed.
        """
        return make_frame((row for prediction in self for row in _rows(prediction)), _COLUMNS)

    def __repr__(self) -> str:
        """Return the first few sources with their scores."""
        shown = [f"{prediction.source!r} {prediction.overall:+.2f}" for prediction in self[:_SHOWN]]
        more = ["..."] if len(self) > _SHOWN else []
        return f"PredictionList({len(self)}: {', '.join([*shown, *more])})"

    def _repr_html_(self) -> str:
        """Return a table with a row for each prediction."""
        rows = (
            (
                prediction.source,
                None if prediction.seconds is None else f"{prediction.seconds:.1f}",
                len(prediction),
                name_sentiment(prediction.overall, prediction.scale),
                f"{prediction.overall:+.2f}",
            )
            for prediction in self
        )
        headings = ("source", "seconds", "utterances", "sentiment", "overall")
        return html_table(f"{len(self)} predictions", headings, rows)


@dataclass(frozen=True, slots=True)
class FailedPrediction:
    """A recording that could not be predicted, in the place of its prediction.

    Attributes:
        path: Its file.
        error: Why.
    """

    path: Path
    error: MienError

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:  # noqa: ANN401  # there is none
            """Refuse what only a prediction has, with the reason for which there is none."""
            raise AttributeError(
                f"{self.path} could not be predicted, so there is no {name!r}: {self.error}"
            )


def attempt(path: Path, predict: Callable[[Path], Prediction]) -> Prediction | FailedPrediction:
    """Predict one recording of several; what is wrong with it alone is returned and not raised."""
    try:
        return predict(path)
    except RECORDING_ERRORS as error:
        return FailedPrediction(path, error)


def _rows(prediction: Prediction) -> Iterator[dict[str, object]]:
    for number, answer in enumerate(prediction.answers, start=1):
        row: dict[str, object] = {
            "source": prediction.source,
            "utterance": number,
            "start": number_or_nan(answer.start),
            "end": number_or_nan(answer.end),
            "transcript": answer.transcript,
            "sentiment": answer.score.words,
            "score": answer.score.value,
            "low": number_or_nan(answer.score.low),
            "high": number_or_nan(answer.score.high),
        }
        for modality in Modality:
            score = answer.unimodal.get(modality)
            if score is not None:
                row |= {
                    f"{modality}_score": score.value,
                    f"{modality}_low": number_or_nan(score.low),
                    f"{modality}_high": number_or_nan(score.high),
                }
            row[f"{modality}_contribution"] = number_or_nan(answer.influence.get(modality))
        yield row


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
