"""The commands for many runs: studies, ablations, tests of robustness."""

from collections.abc import Sequence
from pathlib import Path
from shlex import join, quote
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from mien.cli.options import (
    INCOMPLETE,
    AddressOption,
    BaselineUseOption,
    SetOption,
    WithoutOption,
    default_store,
    read_baseline,
    read_names,
    read_numbers,
    read_seeds,
    read_split,
    require_trained,
    stoppable,
)
from mien.errors import ConfigError

if TYPE_CHECKING:
    from mien.processes.clusters import Backend
    from mien.studies.plan import Study

__all__ = ["ablate", "robustness", "study"]

JobsOption = Annotated[
    int | None,
    typer.Option(
        min=1, help="Trainings side by side [default: one a core; on a cluster, all it has]."
    ),
]
BackendOption = Annotated[
    Literal["local", "dask", "ray"], typer.Option(help="Where its runs are trained.")
]


def study(
    name: Annotated[
        str | None, typer.Argument(help="A study that comes with the package, or a TOML file.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder for the page [default: studies/NAME].")
    ] = None,
    jobs: JobsOption = None,
    backend: BackendOption = "local",
    address: AddressOption = None,
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

    given = {"--store": [f"{store.partition('=')[0]}=STORE" for store in stores or []]}
    given |= {"--seeds": [seeds] if seeds else [], "--only": only or []}
    given |= {"--corpus": corpora or [], "--set": settings or []}
    if rewrite is not None:
        others = {"NAME": name, "--out": out, "--jobs": jobs, "--address": address, **given}
        others |= {"--backend": backend != "local", "--any-code": any_code}
        unused = [option for option, value in others.items() if value]
        if unused:
            raise ConfigError(
                f"--rewrite {rewrite}: writes the page in that folder again, from its results.json "
                f"alone, whatever else is said; leave out {', '.join(unused)}"
            )
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
    words = ["mien", "study", Path(name).name]
    words += [word for option, values in given.items() for v in values for word in (option, v)]
    _carry_out(chosen, out, (jobs, backend, address), join(words), any_code=any_code)


def _default_folder(planned: "Study") -> Path:
    return Path("studies") / planned.name


def _carry_out(
    planned: "Study",
    out: Path | None,
    where: tuple[int | None, "Backend", str | None],
    command: str,
    *,
    any_code: bool,
) -> None:
    """Train what is missing of a study, and write its page.

    Args:
        planned: The study.
        out: Folder for the page.
        where: Trainings side by side, backend and address of the cluster.
        command: The command that repeats it.
        any_code: Whether cached runs that other code made are taken.
    """
    jobs, backend, address = where
    from mien.cli.progress import StudyProgress  # takes seconds, and all before may be refused
    from mien.processes.clusters import default_jobs
    from mien.studies.study import run_study

    with (
        stoppable(lambda: "the runs that are done are kept; the same command goes on"),
        StudyProgress() as progress,
    ):
        report = run_study(
            planned,
            out or _default_folder(planned),
            num_workers=jobs or default_jobs(backend),
            backend=backend,
            address=address,
            code="any" if any_code else "same",
            command=command,
            listener=progress,
        )
    for sentence in report.unfinished:
        print(f"not finished: {sentence}")
    print(report.page)
    if report.unfinished:
        raise typer.Exit(INCOMPLETE)


def _read_stores(values: Sequence[str]) -> dict[str, Path]:
    stores: dict[str, Path] = {}
    for value in values:
        name, equals, path = value.partition("=")
        if not equals or not name or not path:
            raise ConfigError(f"--store {value!r}: must be NAME=PATH, NAME being the study's name")
        stores[name] = Path(path)
    return stores


def ablate(
    config: Annotated[str, typer.Argument(help="A name from mien configs, or a TOML file.")],
    store: Annotated[
        Path | None,
        typer.Option(metavar="STORE", help="Store to train on [default: stores/CORPUS]."),
    ] = None,
    variants: Annotated[
        Path | None,
        typer.Option(metavar="FILE.toml", help="Variants [default: the model's ablation table]."),
    ] = None,
    seeds: Annotated[
        str | None, typer.Option(metavar="1111-1115", help="Seeds, instead of the settings'.")
    ] = None,
    only: Annotated[
        list[str] | None, typer.Option(help="A variant to keep, beside the base; repeatable.")
    ] = None,
    settings: SetOption = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Folder for the page [default: studies/ablation-CONFIG]."),
    ] = None,
    jobs: JobsOption = None,
    backend: BackendOption = "local",
    address: AddressOption = None,
    *,
    any_code: Annotated[
        bool,
        typer.Option("--any-code", help="Take cached runs that other code made; the page says so."),
    ] = False,
) -> None:
    """Train settings and variants of them: an ablation table.

    It is a study: what is trained is kept, and the same command goes on.
    """
    from mien.data.store import open_store
    from mien.studies.ablation import plan_ablation
    from mien.training.settings import read_config

    base = read_config(config, settings or [])
    data = open_store(store or default_store(base.corpus))
    planned = plan_ablation(
        config,
        data,
        variants=variants,
        seeds=() if seeds is None else read_seeds(seeds),
        only=only or [],
        overrides=settings or [],
    )
    out = out or _default_folder(planned)
    words = ["mien", "ablate", Path(config).name, "--store", "STORE"]
    words += [] if variants is None else ["--variants", variants.name]
    words += [] if seeds is None else ["--seeds", seeds]
    words += [word for name in only or [] for word in ("--only", name)]
    words += [word for change in settings or [] for word in ("--set", change)]
    _carry_out(planned, out, (jobs, backend, address), join(words), any_code=any_code)


def robustness(
    runs: Annotated[
        list[Path],
        typer.Argument(metavar="RUN...", help="Run folders or checkpoints; the first is compared."),
    ],
    store: Annotated[
        Path | None,
        typer.Option(metavar="STORE", help="Store to test on [default: stores/CORPUS]."),
    ] = None,
    split: Annotated[str, typer.Option(help="train, valid or test.")] = "test",
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FOLDER", help="Folder for page [default: robustness/RUN]."),
    ] = None,
    protocol: Annotated[
        str, typer.Option(metavar="NAME", help="full, or as papers test it: lnln, missmac.")
    ] = "full",
    only: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KIND",
            help="sets, clips, steps, blanks, noise, slip, words-deleted, words-replaced or "
            "words-masked; repeatable.",
        ),
    ] = None,
    levels: Annotated[
        str | None,
        typer.Option(metavar="0.1,0.5", help="Levels in the place of those of every kind."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of what is lost or added.")] = 1111,
    baseline: BaselineUseOption = None,
    without: WithoutOption = None,
    figures: Annotated[
        Literal["png", "pdf", "svg"],
        typer.Option(help="Write figures in this format too; png always."),
    ] = "png",
) -> None:
    """Test models on clips with losses, noise, slips, wrong words.

    Writes a page with curves, their areas, and the coverage of prediction intervals and
    sets of classes.
    """
    for run in runs:
        require_trained(run)
    chosen, numbers = read_split(split), read_numbers("--levels", levels)
    use, left_out = read_baseline(baseline), read_names(without)
    from mien.cli.progress import StudyProgress  # takes seconds, and all above may be refused
    from mien.studies.robustness.stress_run import evaluate_robustness
    from mien.studies.robustness.stress_tables import format_overall
    from mien.training.checkpoints.header import open_header
    from mien.training.run_folder import find_checkpoint

    place = store or default_store(open_header(find_checkpoint(runs[0])).corpus)
    given = [("--split", split, "test"), ("--protocol", protocol, "full"), ("--seed", seed, 1111)]
    words = [f"{option} {value}" for option, value, usual in given if value != usual]
    words += [f"--only {kind}" for kind in only or []]
    words += [] if levels is None else [f"--levels {levels}"]
    words += [] if use is None else [f"--baseline {use}"]
    words += [f"--without {','.join(left_out)}"] if left_out else []
    with (
        stoppable(lambda: "what is done is kept; the same command goes on"),
        StudyProgress() as progress,
    ):
        report = evaluate_robustness(
            runs,
            place,
            out or Path("robustness") / runs[0].name,
            split=chosen,
            protocol=protocol,
            kinds=only or [],
            levels=numbers,
            seed=seed,
            baseline=use,
            without=left_out,
            figures=figures,
            command=" ".join(
                ["mien robustness", *(quote(r.name) for r in runs), "--store STORE", *words]
            ),
            listener=progress,
        )
    print(format_overall(report.results))
    print(report.page)
