"""Commands that list settings, choose them, train with them, and evaluate what was trained."""

import contextlib
import logging
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import typer

from mien.cli.options import (
    INCOMPLETE,
    AddressOption,
    BaselineUseOption,
    SetOption,
    StoreOption,
    WithoutOption,
    busy,
    default_store,
    read_baseline,
    read_names,
    read_seeds,
    read_split,
    set_quiet,
    stoppable,
)
from mien.cli.root.catalogue import describe_settings
from mien.errors import ConfigError, MienError, require

__all__ = ["configs", "evaluate", "train", "tune"]

#: What it returns where something is to be mended that the first of several processes prints.
_MISUSED = 2


def configs() -> None:
    """List the settings that come with the package."""
    print(describe_settings())


def train(
    config: Annotated[str, typer.Argument(help="A name from mien configs, or a TOML file.")],
    store: Annotated[
        Path | None,
        typer.Option(metavar="STORE", help="Store to train on [default: stores/CORPUS]."),
    ] = None,
    settings: SetOption = None,
    seeds: Annotated[
        str | None,
        typer.Option(
            metavar="1111,1112", help="Train once with each of these seeds; or 1111-1115."
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="RUN", help="Run folder to make [default: runs/CONFIG]."),
    ] = None,
    init: Annotated[
        Path | None,
        typer.Option(
            "--init", metavar="RUN", help="Run or checkpoint whose weights to start from."
        ),
    ] = None,
    exclude: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="STORE",
            help="Do not train on videos that are in this store, on which you will evaluate; "
            "repeatable.",
        ),
    ] = None,
    jobs: Annotated[
        int,
        typer.Option(
            min=1,
            help="Seeds trained at the same time, one thread each unless train.threads is set.",
        ),
    ] = 1,
    backend: Annotated[
        Literal["local", "dask", "ray"], typer.Option(help="Where seeds are trained.")
    ] = "local",
    address: AddressOption = None,
    log: Annotated[
        list[str] | None,
        typer.Option(metavar="tensorboard|mlflow", help="Log for this program too; repeatable."),
    ] = None,
    *,
    folds: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Train on each of the stores fold-1, fold-2, ... that mien folds wrote there, and "
            "evaluate on all clips, each held out once.",
        ),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with a run that was stopped.")
    ] = False,
) -> None:
    """Train, evaluate, and write a run folder with a report."""
    from mien.data.store import open_store
    from mien.training.settings import read_config, read_recipe

    if folds is not None and store is not None:
        raise ConfigError("--folds: has its own stores; leave --store out")

    overrides = list(settings or [])
    if seeds is not None:
        overrides.append(f"train.seeds={list(read_seeds(seeds))}")
    chosen = read_config(config, overrides)
    opened = folds or open_store(store or default_store(chosen.corpus))
    folder = out or Path("runs") / Path(config).stem
    from mien.cli.progress import TrainingProgress  # takes seconds, and all above may be refused
    from mien.files.atomic import resumable
    from mien.reports.page import write_report
    from mien.reports.run_text import format_run
    from mien.training.cross_validation.fold_training import train_folds
    from mien.training.data_parallel.ranks import launched_number
    from mien.training.experiment import train as run_training
    from mien.training.listening import join_listeners
    from mien.training.run_logs import open_log

    logs = [open_log(name) for name in dict.fromkeys(log or ())]
    is_first = launched_number() == 0
    with (
        stoppable(lambda: "the same command goes on with --resume"),
        contextlib.nullcontext() if is_first else _silent(),
        resumable(),
        contextlib.ExitStack() as open_logs,
        TrainingProgress(Path(config).stem, read_recipe(config)) as progress,
    ):
        for each in logs:
            open_logs.enter_context(each)
        begin = (
            partial(train_folds, chosen, opened)
            if isinstance(opened, Path)
            else partial(run_training, chosen, opened)
        )
        run = begin(
            folder,
            resume=resume,
            init=init,
            exclude=exclude or (),
            jobs=jobs,
            backend=backend,
            address=address,
            listener=join_listeners(progress, *logs),
        )
        if is_first:
            progress.on_stage("writing the report")
            for of_fold in run.folds:
                write_report(of_fold)
            report = write_report(run)
    if is_first:
        print(format_run(run.metrics()))
        print(f"\nreport: {report}")
    if run.failed_seeds:
        raise typer.Exit(INCOMPLETE)


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """Print nothing in a process that trains along with the first, which prints the same."""
    set_quiet(quiet=True)
    logging.getLogger("mien").setLevel(logging.CRITICAL)
    try:
        yield
    except MienError as error:
        raise typer.Exit(_MISUSED) from error


def evaluate(
    run: Annotated[
        Path,
        typer.Argument(
            metavar="MODEL", help="Run folder; or, with --store, a file of a model, default, small."
        ),
    ],
    split: Annotated[str, typer.Option(help="train, valid or test.")] = "test",
    store: StoreOption = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FOLDER", help="Write predictions and metrics here too."),
    ] = None,
    *,
    int8: Annotated[
        bool,
        typer.Option("--int8", help="Compute the text encoder in 8 bits; print what it costs."),
    ] = False,
    baseline: BaselineUseOption = None,
    without: WithoutOption = None,
) -> None:
    """Evaluate a run, or a model of one file, on a split of a store."""
    from mien.training.checkpoints.shipped_models import find_shipped
    from mien.training.run_folder import open_run

    chosen, use = read_split(split), read_baseline(baseline)
    if find_shipped(run) is None and not run.is_file():
        open_run(run)
    from mien.reports.run_text import format_rounding, format_run
    from mien.training.experiment import evaluate as run_evaluation
    from mien.training.experiment import evaluate_rounding

    left_out = read_names(without)
    with busy(f"evaluating {run}"):
        if int8:
            exact, metrics = evaluate_rounding(
                run, split=chosen, store=store, out=out, baseline=use, without=left_out
            )
        else:
            metrics = run_evaluation(
                run, split=chosen, store=store, out=out, baseline=use, without=left_out
            )
    print(format_run(metrics))
    if int8:
        print(f"\n{format_rounding(exact, metrics)}")


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
    address: AddressOption = None,
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
    from mien.tuning.space import read_models

    models = read_models(configs, spaces or [], settings or [])
    if show_space:
        for name, (_, space) in models.items():
            print(f"# {name}\n{space.dump_toml()}")
        return
    require("optuna", extra="tune")
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
