"""The command that tries settings on validation."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from mien.cli.options import SetOption, read_seeds, stoppable
from mien.errors import ConfigError, require

if TYPE_CHECKING:
    from mien.training.settings import ExperimentConfig
    from mien.tuning.space import SearchSpace

__all__ = ["tune"]


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
    from mien.tuning.trial_text import format_tuned
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
