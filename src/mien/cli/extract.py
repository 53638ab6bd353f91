"""Commands that make a store of recordings, and list what can be extracted."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from mien.cli.data import print_summary
from mien.cli.options import (
    AddressOption,
    CorpusOption,
    EncodingOption,
    FoldOption,
    ReplaceOption,
    ScaleOption,
    TargetOption,
    UnlabelledOption,
    busy,
    read_scale,
    stoppable,
)

if TYPE_CHECKING:
    from mien.corpora.recordings import Recordings
    from mien.types import Word

__all__ = ["extract", "extractors"]


def extract(
    source: Annotated[
        Path,
        typer.Argument(
            help="Folder with label.csv and Raw/VIDEO/CLIP.mp4, a .csv with paths, or recordings."
        ),
    ],
    out: Annotated[
        Path | None, typer.Option("--out", help="Store to make [default: stores/NAME].")
    ] = None,
    corpus: CorpusOption = None,
    scale: ScaleOption = None,
    target: TargetOption = None,
    fold: FoldOption = None,
    language: Annotated[
        str | None, typer.Option(help="Language that is spoken, such as en or zh.")
    ] = None,
    encoding: EncodingOption = None,
    unlabelled: UnlabelledOption = "keep",
    audio: Annotated[
        str, typer.Option(metavar="NAME", help="A name from mien extractors, or none.")
    ] = "librosa-sims",
    video: Annotated[
        str, typer.Option(metavar="NAME", help="A name from mien extractors, or none.")
    ] = "face",
    text: Annotated[
        Literal["auto", "transcript", "speech", "none"],
        typer.Option(help="Where transcripts come from; auto: speech where the .csv has none."),
    ] = "auto",
    recogniser: Annotated[
        str,
        typer.Option(metavar="NAME", help="Speech model: a name from mien assets, or a folder."),
    ] = "auto",
    words: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.json", help="Times of words: {CLIP: [[WORD, START, END], ...]}."
        ),
    ] = None,
    align: Annotated[
        Literal["none", "words"], typer.Option(help="words: one step per word in every series.")
    ] = "none",
    encoder: Annotated[
        str,
        typer.Option(
            metavar="NAME", help="With --align words: text encoder of the words, or none."
        ),
    ] = "auto",
    pool: Annotated[
        list[str] | None,
        typer.Option(metavar="MODALITY=K", help="Mean over every K steps; repeatable."),
    ] = None,
    rate: Annotated[
        list[str] | None,
        typer.Option(metavar="MODALITY=HERTZ", help="Mean at so many steps a second; repeatable."),
    ] = None,
    jobs: Annotated[
        int | None, typer.Option(min=1, help="Clips at a time [default: one per processor].")
    ] = None,
    backend: Annotated[
        Literal["local", "dask", "ray"], typer.Option(help="Where clips are worked on.")
    ] = "local",
    address: AddressOption = None,
    time_limit: Annotated[
        float | None,
        typer.Option(
            min=1.0, help="Seconds for a clip [default: 600 and 20 times the length of the clip]."
        ),
    ] = None,
    max_skipped: Annotated[
        int, typer.Option(min=0, help="How many clips may fail before there is no store.")
    ] = 0,
    inspect: Annotated[
        Path | None,
        typer.Option(metavar="OUT.png", help="Only draw what the video extractor sees in a clip."),
    ] = None,
    *,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with an extraction that was stopped.")
    ] = False,
    replace: ReplaceOption = False,
) -> None:
    """Extract features from recordings into a store.

    mien extract FOLDER --out stores/own takes a folder with label.csv and Raw/, a CSV with a column
    path, or recordings alone; mien extract clip.mp4 --inspect seen.png shows what is seen.
    """
    from mien.cli.progress import ExtractionProgress
    from mien.extraction.pipeline import extract as run_extraction
    from mien.extraction.request import make_settings, read_request
    from mien.files.atomic import resumable

    if inspect is not None:
        _inspect(source, video, inspect, encoding)
        return
    recordings = read_request(
        source,
        corpus=corpus,
        language=language,
        scale=None if scale is None else read_scale(scale),
        encoding=encoding,
        unlabelled=unlabelled,
        targets=target or [],
        fold=fold,
    )
    settings = make_settings(
        audio=audio,
        video=video,
        text=text,
        recogniser=recogniser,
        language=recordings.corpus.language,
        align=align,
        encoder=encoder,
        pool=pool or [],
        rate=rate or [],
    )
    store = out or Path("stores") / recordings.corpus.name
    with (
        stoppable(
            lambda: "the clips that are done are kept; the same command goes on with --resume"
        ),
        resumable(),
        ExtractionProgress() as progress,
    ):
        progress.show("preparing the extraction", total=None)
        done = run_extraction(
            recordings,
            store,
            settings,
            words=None if words is None else _read_words(words, recordings),
            jobs=jobs,
            backend=backend,
            address=address,
            time_limit=time_limit,
            max_skipped=max_skipped,
            resume=resume,
            replace_store=replace,
            listener=progress,
        )
    num_clips = len(recordings.paths)
    if done.store is None:
        print(
            f"mien: {len(done.skipped)} of {num_clips} clips failed, at most {max_skipped} "
            f"may, so no store was written; {done.table} says why. Repair them and use --resume, "
            f"or go without them: --resume --max-skipped {len(done.skipped)}",
            file=sys.stderr,
        )
        raise typer.Exit(1)
    print_summary(store)
    if done.skipped:
        print(f"skipped: {len(done.skipped)} of {num_clips} clips, see {done.table}")


def _read_words(path: Path, recordings: "Recordings") -> "dict[str, tuple[Word, ...]]":
    from mien.corpora.recordings import read_words

    return read_words(path, [clip.id for clip in recordings.corpus.clips])


def _inspect(source: Path, video: str, out: Path, encoding: str | None) -> None:
    """Draw what the video extractor sees in the first clip."""
    from mien.corpora.recordings import read_recordings
    from mien.extraction.clip import find_extractor
    from mien.extraction.inspection import inspect
    from mien.extraction.media.segments import Source
    from mien.types import Modality, Scale

    recordings = read_recordings(
        source, name="one", language="en", scale=Scale(-1e9, 1e9), encoding=encoding
    )
    clip = recordings.corpus.clips[0]
    piece = Source(path=recordings.paths[0], start=clip.start or 0.0, end=clip.end)
    with busy(f"inspecting {clip.id}"):
        inspect(piece, find_extractor(video, Modality.VIDEO), out)
    print(out)


def extractors() -> None:
    """List the features that can be extracted."""
    from mien.extraction.request import list_extractors

    for name, modality, summary, problem in list_extractors():
        print(f"{name:20} {modality:6} {summary}")
        if problem:
            print(f"{'':27} not usable here: {problem}")
