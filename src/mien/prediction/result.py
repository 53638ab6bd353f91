"""The answers about a recording, or about several of them, as typed values."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field, computed_field, model_validator

from mien.config import Settings
from mien.errors import ExtractionError, FeatureError, MediaError, MienError
from mien.files.json_values import write_json
from mien.notebooks import html_table, make_frame
from mien.prediction.answer import (
    Answer,
    ModelFacts,
    PersonFacts,
    SpeechFacts,
    is_uncertain,
    name_sentiment,
)
from mien.prediction.presentation.frame_rows import frame_columns, frame_rows, notebook_rows
from mien.prediction.target_answers.target_answer import TargetFacts, is_missing, mean_values
from mien.prediction.target_answers.target_words import describe_means, summarise_targets
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
#: What of a prediction follows from its answers.
_FOLLOWING = ("overall", "target_means")


class Prediction(Settings):
    """What a model says about a recording or a text, utterance by utterance.

    Attributes:
        source: Name of the file; ``text`` if only a text was given.
        seconds: Length of the recording; None if there is none.
        scale: Range of the scores of sentiment; None, and not in JSON, without sentiment.
        level: Share of clips whose annotation should lie in their intervals; None without any.
        answers: One per utterance, in the order of time.
        warnings: What a reader should know: parts that could not be decoded, and the like.
        model: Which model it was.
        speech: How the words were recognised; None if they were not.
        baseline: Against whom voice and face were read; None if the model knows no baselines.
        targets: What is predicted besides sentiment; not in JSON if there is nothing.
        companion: Which model predicted what the first does not; None, and not in JSON, without.
    """

    source: str
    seconds: float | None = None
    scale: Scale | None = Field(default=None, exclude_if=is_missing)
    level: float | None = None
    answers: tuple[Answer, ...]
    warnings: tuple[str, ...] = ()
    model: ModelFacts
    speech: SpeechFacts | None = None
    baseline: PersonFacts | None = None
    targets: tuple[TargetFacts, ...] = Field(default=(), exclude_if=is_missing)
    companion: ModelFacts | None = Field(default=None, exclude_if=is_missing)

    @model_validator(mode="before")
    @classmethod
    def _leave_out_overall(cls, values: Any) -> Any:  # noqa: ANN401  # whatever was given
        """Read what ``to_dict`` gave: the overall score and means follow from the answers."""
        if isinstance(values, dict):
            return {key: value for key, value in values.items() if key not in _FOLLOWING}
        return values

    def __iter__(self) -> Iterator[Answer]:  # type: ignore[override]  # fields are of no use here
        """Give the answers one after the other."""
        return iter(self.answers)

    def __len__(self) -> int:
        """Return the number of utterances."""
        return len(self.answers)

    @computed_field(exclude_if=is_missing)  # type: ignore[prop-decorator]  # as pydantic has it
    @property
    def overall(self) -> float | None:
        """Mean of the multimodal scores, weighted by length: seconds, or words of a text.

        None, and not in JSON, without sentiment.
        """
        values = [answer.score.value for answer in self.answers if answer.score is not None]
        if len(values) < len(self):
            return None
        lengths = self._lengths
        return sum(n * value for n, value in zip(lengths, values, strict=True)) / sum(lengths)

    @computed_field(exclude_if=is_missing)  # type: ignore[prop-decorator]  # as pydantic has it
    @property
    def target_means(self) -> dict[str, dict[str, float]]:
        """Mean of what is predicted of each target, weighted as ``overall``, by its classes.

        That of a score has the name of the target. Means have no sets and intervals: what clips
        say of single clips does not say how far the mean of a recording may be off. They are over
        the utterances of which the target is predicted.
        """
        pairs = list(zip(self.answers, self._lengths, strict=True))
        result = {}
        for name in (facts.name for facts in self.targets):
            there = [(each.targets[name].overall, n) for each, n in pairs if name in each.targets]
            lengths = [n for _, n in there]
            weights = lengths if sum(lengths) else [1.0] * len(lengths)
            result[name] = mean_values([value for value, _ in there], weights, name)
        return result

    @property
    def _lengths(self) -> list[float]:
        """How much each answer counts."""
        lengths = [(answer.end or 0.0) - (answer.start or 0.0) for answer in self.answers]
        if not sum(lengths):
            lengths = [float(len(answer.transcript.split()) or 1) for answer in self.answers]
        return lengths

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
            targets=self.targets,
            frames=[] if recording is None else self._grab(Path(recording)),
        )
        if path is not None:
            save_figure(figure, Path(path))
        return figure

    @property
    def has_sentiment(self) -> bool:
        """Whether sentiment is predicted."""
        return self.scale is not None

    @property
    def _verdict(self) -> str:
        """What is predicted in words and numbers, and whether the sentiment is uncertain."""
        doubt = ""
        score = self.answers[0].score if len(self) == 1 else None
        if score is not None and self.scale is not None and is_uncertain(score, self.scale):
            doubt = f", but uncertain ({score.low:+.1f} to {score.high:+.1f})"
        return "; ".join(
            [*(f"{text}{doubt}" for text in _name_overall(self)), *_name_targets(self)]
        )

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
        Without sentiment there are none of these but the first five. Targets have columns such as
        ``emotion/fusion``, ``set/emotion/fusion`` and ``emotion/text/angry``.

        Raises:
            ConfigError: If pandas is not installed.
        """
        return make_frame(frame_rows(self), frame_columns([self]))

    def __repr__(self) -> str:
        """Return the source, what is predicted, and the number of utterances."""
        num, words = len(self), "; ".join([*_name_overall(self), *_name_targets(self)])
        return f"Prediction({self.source!r}: {words}, {num} utterance{'s' * (num != 1)})"

    def _repr_html_(self) -> str:
        """Return a table for notebooks: self-contained, without scripts."""
        headings, rows = notebook_rows(self)
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
        rows = (row for prediction in self for row in frame_rows(prediction))
        return make_frame(rows, frame_columns(self))

    def __repr__(self) -> str:
        """Return the first few sources with their scores."""
        shown = [f"{each.source!r} {_number_or_words(each)}" for each in self[:_SHOWN]]
        more = ["..."] if len(self) > _SHOWN else []
        return f"PredictionList({len(self)}: {', '.join([*shown, *more])})"

    def _repr_html_(self) -> str:
        """Return a table with a row for each prediction."""
        has_sentiment = any(each.has_sentiment for each in self) or not self
        has_targets = any(each.targets for each in self)
        headings = ["source", "seconds", "utterances"]
        headings += ["sentiment", "overall"] * has_sentiment + ["predicted"] * has_targets
        rows = []
        for each in self:
            row: list[object] = [each.source]
            row += [None if each.seconds is None else f"{each.seconds:.1f}", len(each)]
            if has_sentiment:
                row += _cells_of_overall(each)
            rows.append([*row, *(["; ".join(_name_targets(each))] * has_targets)])
        return html_table(f"{len(self)} predictions", headings, rows)


def _cells_of_overall(prediction: Prediction) -> list[object]:
    value, scale = prediction.overall, prediction.scale
    if value is None or scale is None:
        return [None, None]
    return [name_sentiment(value, scale), f"{value:+.2f}"]


def _name_overall(prediction: Prediction) -> list[str]:
    """Return the overall score in words and as a number; nothing without sentiment."""
    words = [str(cell) for cell in _cells_of_overall(prediction) if cell is not None]
    return [" ".join(words)] if words else []


def _number_or_words(prediction: Prediction) -> str:
    """Return the overall score; without sentiment, what else is predicted."""
    value = prediction.overall
    return "; ".join(_name_targets(prediction)) if value is None else f"{value:+.2f}"


def _name_targets(prediction: Prediction) -> list[str]:
    """Return what is predicted of each target, in words."""
    if len(prediction) == 1:
        return summarise_targets(prediction.targets, prediction.answers[0].targets)
    return [describe_means(name, means) for name, means in prediction.target_means.items()]


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
