"""Commands that list settings, train with them, and evaluate what was trained."""

import contextlib
import logging
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, cast

import typer

from mien.cli.options import (
    AddressOption,
    RunArgument,
    SetOption,
    StoreOption,
    busy,
    default_store,
    read_seeds,
    read_split,
    set_quiet,
    stoppable,
)
from mien.cli.root.catalogue import describe_settings
from mien.errors import ConfigError, MienError

if TYPE_CHECKING:
    from mien.training.loading import BaselineUse

__all__ = ["configs", "evaluate", "train"]

#: What the command returns where a seed diverged and others are in the numbers.
_INCOMPLETE = 1
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
        raise typer.Exit(_INCOMPLETE)


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """Print nothing in a process that trains along with the first, which prints the same."""
    set_quiet(quiet=True)
    logging.getLogger("mien").setLevel(logging.CRITICAL)
    try:
        yield
    except MienError as error:
        raise typer.Exit(_MISUSED) from error


def _read_baseline(given: str | None) -> "BaselineUse | None":
    if given not in (None, "none", "speaker"):
        raise ConfigError(
            f"--baseline is {given!r}, must be none or speaker; another recording of the same "
            "person is for mien predict"
        )
    return cast("BaselineUse | None", given)


def evaluate(
    run: RunArgument,
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
    baseline: Annotated[
        str | None,
        typer.Option(
            metavar="none|speaker",
            help="Read clips by themselves, or against the other clips of their speaker.",
        ),
    ] = None,
) -> None:
    """Evaluate a run on a split of its store or of another one."""
    from mien.training.run_folder import open_run

    chosen, use = read_split(split), _read_baseline(baseline)
    open_run(run)
    from mien.reports.run_text import format_rounding, format_run
    from mien.training.experiment import evaluate as run_evaluation
    from mien.training.experiment import evaluate_rounding

    with busy(f"evaluating {run}"):
        if int8:
            exact, metrics = evaluate_rounding(
                run, split=chosen, store=store, out=out, baseline=use
            )
        else:
            metrics = run_evaluation(run, split=chosen, store=store, out=out, baseline=use)
    print(format_run(metrics))
    if int8:
        print(f"\n{format_rounding(exact, metrics)}")
