"""Commands that make a store without recordings, describe one, and write it for other programs."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from mien.cli.options import (
    CorpusOption,
    EncodingOption,
    FoldOption,
    OutOption,
    ReplaceOption,
    ScaleOption,
    SetOption,
    TargetOption,
    UnlabelledOption,
    busy,
    choose_out,
    read_scale,
)
from mien.errors import ConfigError

if TYPE_CHECKING:
    from mien.corpora import Facts

__all__ = ["export", "folds", "import_", "info", "planted", "print_summary"]


def import_(
    file: Annotated[
        Path,
        typer.Argument(
            help="A .pkl as published, a .csv of clips, or the folder of an emotion corpus."
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="STORE", help="Store to make [default: stores/CORPUS]."),
    ] = None,
    corpus: CorpusOption = None,
    features: Annotated[
        list[str] | None,
        typer.Option(
            metavar="MODALITY=FILE.npz[:KEY]", help="Features of a .csv's clips; repeatable."
        ),
    ] = None,
    scale: ScaleOption = None,
    target: TargetOption = None,
    fold: FoldOption = None,
    language: Annotated[
        str | None, typer.Option(help="Language of your own corpus, such as en or zh.")
    ] = None,
    encoding: EncodingOption = None,
    unlabelled: UnlabelledOption = "keep",
    *,
    replace: ReplaceOption = False,
) -> None:
    """Read a feature file, or your own features, into a store."""
    from mien.corpora import KNOWN, complete_facts
    from mien.corpora.emotion_layouts.layout_reader import read_if_layout
    from mien.corpora.published.reader import read_published
    from mien.corpora.recording_table import is_table
    from mien.corpora.table import join_features, read_table
    from mien.data.store_writer import write_store

    read = read_if_layout(
        corpus,
        file,
        targets=target or [],
        fold=fold,
        language=language,
        unlabelled=unlabelled,
        has_others=bool(encoding or scale),
    )
    if read is not None:
        material = join_features(
            read.corpus, _read_features(features or []), path=file, origin=read.origin
        )
    elif is_table(file):
        spoken, bounds = complete_facts(
            corpus, language, None if scale is None else read_scale(scale)
        )
        material = read_table(
            file,
            features=_read_features(features or []),
            name=corpus or file.stem,
            language=spoken,
            scale=bounds,
            encoding=encoding,
            unlabelled=unlabelled,
            targets=target or [],
        )
    else:
        if corpus is None:
            raise ConfigError(
                "--corpus: a feature file needs it: mosi, mosei, sims, sims2, or a name of your own"
            )
        if features or encoding or target:
            option = "--features" if features else "--encoding" if encoding else "--target"
            raise ConfigError(f"{option} goes with a .csv")
        if corpus in KNOWN and (scale or language):
            raise ConfigError(f"--scale and --language are fixed for {corpus}; leave them out")
        own = None if corpus in KNOWN else _state_facts(corpus, scale, language)
        material = read_published(file, corpus, own, unlabelled=unlabelled)
    with busy(f"importing {file.name}"):
        store = out or Path("stores") / Path(corpus or file.stem).name
        write_store(material, store, replace=replace)
    print_summary(store)


def _state_facts(corpus: str, scale: str | None, language: str | None) -> "Facts":
    """Return what the user states of a corpus that is not known."""
    from mien.corpora import KNOWN, Facts, complete_facts

    if scale is None:
        raise ConfigError(
            f"--scale: {corpus!r}, a corpus of your own, needs it, for example --scale -3,3 "
            f"(known are {', '.join(KNOWN)})"
        )
    bounds = read_scale(scale)
    return Facts(
        scale=bounds, language=complete_facts(corpus, language, bounds)[0], metrics="general"
    )


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


def export(
    store: Annotated[Path, typer.Argument(help="Store to export.")],
    out: Annotated[
        Path | None, typer.Argument(help="File to write; for npz and parquet, a folder.")
    ] = None,
    out_option: OutOption = None,
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
    """Write a store as published pickle, npz or parquet."""
    from mien.data.store import open_store

    target = choose_out(out, out_option)
    opened = open_store(store)
    from mien.data.export.layouts import export_store  # takes seconds

    with busy(f"exporting {store}"):
        lost = export_store(
            opened, target, form=form, max_steps=max_steps, encoder=tokenizer, replace=replace
        )
    print(target)
    for name in lost:
        print(f"not in it: {name}")


def folds(
    store: Annotated[Path, typer.Argument(help="Store to share out.")],
    out: Annotated[
        Path | None, typer.Argument(help="Folder of the folds; each is a store, OUT/fold-1 ...")
    ] = None,
    out_option: OutOption = None,
    by: Annotated[
        Literal["speaker", "video", "clip"],
        typer.Option(help="What is not in two folds; speaker keeps videos together as well."),
    ] = "speaker",
    number: Annotated[
        int | None,
        typer.Option("--folds", min=2, help="How many [default: one for each speaker or video]."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Draws the folds.")] = 0,
    *,
    replace: ReplaceOption = False,
) -> None:
    """Write a store for each fold of a store."""
    from mien.data.export.fold_stores import write_folds

    target = choose_out(out, out_option)
    with busy(f"sharing out {store}"):
        written = write_folds(store, target, by=by, num_folds=number, seed=seed, replace=replace)
    for fold in written:
        counts = ", ".join(f"{split} {n}" for split, n in fold.meta.num_clips.items())
        print(f"{fold.path}: {counts}")


def planted(
    out: Annotated[Path, typer.Option("--out", metavar="STORE", help="Store to make.")] = Path(
        "stores/planted"
    ),
    settings: SetOption = None,
    *,
    emotions: Annotated[
        bool,
        typer.Option(
            "--emotions", help="Classes and an arousal as well; --set emotions.NAME=VALUE."
        ),
    ] = False,
    replace: ReplaceOption = False,
) -> None:
    """Make a synthetic corpus with known unimodal labels."""
    from mien.config import apply_overrides, read_settings
    from mien.corpora.planted.corpus import make_planted
    from mien.corpora.planted.planted_config import PlantedConfig
    from mien.data.store_writer import write_store

    given: dict[str, dict[str, object]] = {"emotions": {}} if emotions else {}
    config = read_settings(PlantedConfig, apply_overrides(given, settings or []))
    with busy("making the planted corpus"):
        write_store(make_planted(config), out, replace=replace)
    print_summary(out)


def info(
    what: Annotated[
        str,
        typer.Argument(
            metavar="STORE|RUN|MODEL",
            help="Store, run or evaluation folder, file of a model, or the name of one that comes "
            "with mien.",
        ),
    ],
    *,
    verify: Annotated[
        bool,
        typer.Option("--verify", help="Read all of a store and check the fingerprint."),
    ] = False,
) -> None:
    """Show what is in a store, how far a run is, or what a model is."""
    path = Path(what)
    if (path / "meta.json").is_file() or not _print_others(what, verify=verify):
        print_summary(path)
    if verify:
        from mien.data.store import open_store
        from mien.data.summary import verify as verify_store

        with busy("verifying"):
            verify_store(open_store(path))
        print("fingerprint: checked, nothing is damaged")


def _print_others(what: str, *, verify: bool) -> bool:
    """Print what a run, an evaluation or a model is; return whether it is one of them."""
    from mien.evaluation.metrics_file.evaluation_folder import EvaluationFolder
    from mien.training.checkpoints.shipped_models import find_shipped

    path = find_shipped(what) or Path(what)
    evaluation = EvaluationFolder.find(path)
    is_run = (path / "config.toml").is_file()
    if not (path.is_file() or is_run or evaluation is not None):
        if path.is_dir():
            raise ConfigError(f"{path}: is neither a store nor a run folder, nor an evaluation")
        return False
    if verify:
        raise ConfigError(f"--verify checks a store, and {what} is none")
    if evaluation is not None:
        from mien.evaluation.metrics_file.run_metrics import run_metrics_to_json
        from mien.reports.run_text import format_run

        evaluated = evaluation.model()
        named = f" of {evaluated.name}" if evaluated is not None else ""
        print(f"{path} · an evaluation{named}\n")
        print(format_run(run_metrics_to_json(evaluation.results())))
    else:
        from mien.prediction.presentation.model_summary import describe_model, describe_run

        print(describe_run(path) if is_run else describe_model(path))
    return True


def print_summary(path: Path) -> None:
    """Print what is in a store."""
    from mien.data.store import open_store
    from mien.data.summary import format_summary, summarise

    print(format_summary(summarise(open_store(path))))
