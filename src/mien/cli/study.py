"""Commands that train many times: a study of settings that are given, and a search for the best."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from mien.cli.options import SetOption, read_seeds, stoppable
from mien.errors import ConfigError, require
from mien.processes import num_processors

if TYPE_CHECKING:
    from mien.training.settings import ExperimentConfig
    from mien.tuning.space import SearchSpace

__all__ = ["study", "tune"]


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
        str | None, typer.Option(metavar="1111-1115", help="Seeds, instead of the study's.")
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
    rewrite: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Train nothing: write the page in FOLDER again, from its results.json.",
        ),
    ] = None,
    any_code: Annotated[
        bool,
        typer.Option("--any-code", help="Take cached runs that other code made; the page says so."),
    ] = False,
) -> None:
    """Run a study or an ablation: train, then tables and figures.

    Without a name, list the studies that come with the package.
    """
    from mien.studies.plan import describe_studies, read_study

    if rewrite is not None:
        from mien.studies.study import rewrite_study

        print(rewrite_study(rewrite).page)
        return
    if name is None:
        for known, title in describe_studies().items():
            print(f"{known:28} {title}")
        return
    chosen = read_study(
        name,
        stores=_read_stores(stores or []),
        seeds=() if seeds is None else read_seeds(seeds),
        only=only or [],
        corpora=corpora or [],
        overrides=settings or [],
    )
    from mien.cli.progress import StudyProgress  # takes seconds, and all above may be refused
    from mien.studies.study import run_study

    given = {"--store": [f"{store.partition('=')[0]}=STORE" for store in stores or []]}
    given |= {"--seeds": [seeds] if seeds else [], "--only": only or []}
    given |= {"--corpus": corpora or [], "--set": settings or []}
    words = [f"{option} {value}" for option, values in given.items() for value in values]
    with (
        stoppable(lambda: "the runs that are done are kept; the same command goes on"),
        StudyProgress() as progress,
    ):
        report = run_study(
            chosen,
            out or Path("studies") / chosen.name,
            num_workers=jobs or num_processors(),
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


def tune(
    configs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="CONFIG", help="A name from mien configs, or a TOML file; one for each model."
        ),
    ] = None,
    store: Annotated[
        Path | None,
        typer.Option(metavar="STORE", help="Store to train on [default: stores/CORPUS]."),
    ] = None,
    spaces: Annotated[
        list[Path] | None,
        typer.Option(
            "--space",
            metavar="SPACE.toml",
            help="Ranges of the settings that are tried: one file, or one for each CONFIG "
            "[default: that of the model].",
        ),
    ] = None,
    trials: Annotated[
        int, typer.Option(min=1, help="Trials of each CONFIG, the settings as given included.")
    ] = 20,
    seeds: Annotated[
        str | None,
        typer.Option(
            metavar="1111,1112",
            help="Seeds of every trial, whose mean is its value [default: the first of CONFIG].",
        ),
    ] = None,
    folds: Annotated[
        int,
        typer.Option(
            min=0,
            help="Cut train and valid by video into so many folds, and train on each; 0 takes "
            "valid as it is.",
        ),
    ] = 0,
    settings: SetOption = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FOLDER", help="Folder to write [default: tuning/CONFIG]."),
    ] = None,
    jobs: Annotated[
        int, typer.Option(min=1, help="Trials made at the same time, one thread each.")
    ] = 1,
    sampler: Annotated[
        Literal["tpe", "random"],
        typer.Option(help="Draw settings near those of better trials, or at random."),
    ] = "tpe",
    pruner: Annotated[
        Literal["median", "hyperband", "none"],
        typer.Option(help="When a trial is given up that does worse than others."),
    ] = "median",
    seed: Annotated[int, typer.Option(min=0, help="Seed of the settings that are drawn.")] = 0,
    storage: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="Database of the trials, which several machines may share [default: a file in "
            "FOLDER].",
        ),
    ] = None,
    study: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Name in that database [default: that of the corpus]."),
    ] = None,
    backend: Annotated[
        Literal["local", "dask", "ray"], typer.Option(help="Where trials are made.")
    ] = "local",
    address: Annotated[
        str | None, typer.Option(help="Address of the Dask scheduler or the Ray cluster.")
    ] = None,
    *,
    show_space: Annotated[
        bool,
        typer.Option("--show-space", help="Print what would be tried, as a file for --space."),
    ] = False,
) -> None:
    """Choose settings on validation; test is not read.

    The best are written as a settings file for mien train, with a table of all trials and a page.
    A tuning that was stopped goes on with the same command, and with more --trials it is extended.
    """
    if not configs:
        raise ConfigError("CONFIG is missing; give a name from mien configs, or a TOML file")
    models = _read_models(configs, spaces or [], list(settings or []))
    if show_space:
        for name, (_, space) in models.items():
            print(f"# {name}\n{space.dump_toml()}")
        return
    require("optuna", extra="tune")
    from mien.cli.train import default_store
    from mien.data.store import open_store
    from mien.tuning.tune_settings import Budget

    first = next(iter(models.values()))[0]
    opened = open_store(store or default_store(first.corpus))
    budget = Budget(
        trials=trials,
        seeds=first.train.seeds[:1] if seeds is None else read_seeds(seeds),
        folds=folds,
        sampler=sampler,
        pruner=pruner,
        seed=seed,
    )
    folder = out or Path("tuning") / (next(iter(models)) if len(models) == 1 else "comparison")
    from mien.cli.progress import StudyProgress  # takes seconds, and all above may be refused
    from mien.tuning.outcome.trial_text import format_tuned
    from mien.tuning.tune import tune as run_tuning

    with (
        stoppable(lambda: "the trials that are done are kept; the same command goes on"),
        StudyProgress() as progress,
    ):
        report = run_tuning(
            models,
            opened.path,
            folder,
            budget=budget,
            jobs=jobs,
            storage=storage,
            study=study,
            backend=backend,
            address=address,
            listener=progress,
        )
    print(format_tuned(report.models))
    print(f"\npage: {report.page}")


def _read_models(
    configs: Sequence[str], spaces: Sequence[Path], overrides: Sequence[str]
) -> "dict[str, tuple[ExperimentConfig, SearchSpace]]":
    """Return settings and space of each model by the name of its settings."""
    from mien.training.settings import read_config
    from mien.tuning.space import default_space, read_space

    if len(spaces) not in (0, 1, len(configs)):
        raise ConfigError(
            f"--space: {len(spaces)} files are given for {len(configs)} CONFIGs; give one for all, "
            "or one for each in their order"
        )
    models = {}
    for number, config in enumerate(configs):
        name = Path(config).stem
        if name in models:
            raise ConfigError(f"two CONFIGs are called {name!r}; give files of different names")
        chosen = read_config(config, overrides)
        path = spaces[number if len(spaces) > 1 else 0] if spaces else None
        space = default_space(chosen) if path is None else read_space(path, chosen)
        models[name] = chosen, space
    return models
