"""The command that carries out a study."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from mien.cli.options import read_seeds, stoppable
from mien.errors import ConfigError
from mien.processes import num_processors

__all__ = ["study"]


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
