"""Many recordings predicted one after the other, each answer written as soon as it is made."""

import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from mien.errors import MienError
from mien.prediction.output_files.journal import RecordingFile, identify_input
from mien.prediction.output_files.outputs import AnswerFiles, OutputPaths
from mien.prediction.result import RECORDING_ERRORS, Prediction

__all__ = ["distinct_paths", "open_answers", "predict_recordings"]


def distinct_paths(paths: Sequence[Path]) -> list[Path]:
    """Return paths without those that lead to the same place by name; links are not followed."""
    return list({os.path.abspath(path): path for path in paths}.values())  # noqa: PTH100


def open_answers(
    outputs: OutputPaths,
    model: str,
    transcript: str | Path,
    paths: Sequence[Path],
    *,
    recogniser: str = "auto",
    baseline: str | Path | None = None,
    int8: bool = False,
) -> AnswerFiles:
    """Return what writes the answers about recordings; no file is opened yet.

    Args:
        outputs: Where the answers go; at least one.
        model: sha256 of the model.
        transcript: As in ``TrainedModel.predict``.
        paths: The recordings, in their order.
        recogniser: What recognises speech, as in ``mien.load``; answers by another one are not
            continued.
        baseline: Against whom voice and face are read, as in ``mien.load``; likewise.
        int8: Whether the text encoder multiplies in 8 bits; likewise.
    """
    words = identify_input(transcript)
    if recogniser != "auto":
        words = f"{words} by {recogniser}"
    if baseline is not None:
        words = f"{words} against {identify_input(baseline)}"
    if int8:
        words = f"{words} in 8 bits"
    return AnswerFiles(
        outputs,
        model=model,
        transcript=words,
        recordings=[RecordingFile.at(path) for path in paths],
    )


def predict_recordings(
    predict: Callable[[Path, str], Prediction],
    paths: Sequence[Path],
    files: AnswerFiles | None,
    *,
    on_failure: Callable[[MienError], None],
) -> Iterator[Prediction]:
    """Predict recordings that have no answer yet; one that cannot be predicted ends no other.

    Args:
        predict: Predicts a recording; also gets its place in the order, such as ``2 of 7: ``.
        paths: The recordings, each of them once.
        files: Where answers are written before they are given; None to write none.
        on_failure: Called with the reason where a recording cannot be predicted.

    Raises:
        MienError: If the outputs cannot be written, or a model or a package is missing.
    """
    if files is not None:
        files.begin()
    ambiguous = _find_ambiguous(paths)
    for number, path, recording in _unanswered(paths, files):
        try:
            prediction = predict(path, f"{number} of {len(paths)}: ")
            prediction = _name_source(prediction, path, ambiguous)
            if files is not None:
                files.add(recording, prediction)
        except RECORDING_ERRORS as error:
            on_failure(error)
            if files is not None:
                files.add_failure(recording, str(error))
        else:
            yield prediction
    if files is not None:
        files.finish()


def _find_ambiguous(paths: Sequence[Path]) -> set[str]:
    """Return names of files that do not tell which recording is meant."""
    counts = Counter(path.name for path in paths)
    return {name for name, count in counts.items() if count > 1}


def _name_source(prediction: Prediction, path: Path, ambiguous: set[str]) -> Prediction:
    if path.name not in ambiguous:
        return prediction
    return prediction.model_copy(update={"source": str(path)})


def _unanswered(
    paths: Sequence[Path], files: AnswerFiles | None
) -> Iterator[tuple[int, Path, RecordingFile]]:
    """Give the number of each recording without an answer, and how it is on disk by then."""
    for number, path in enumerate(paths, start=1):
        recording = RecordingFile.at(path)
        if files is None or not files.is_answered(recording):
            yield number, path, recording
