"""Commands that write a trained model for others to use."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mien.cli.options import OutOption, ReplaceOption, busy, choose_out, require_trained
from mien.errors import ConfigError, require

if TYPE_CHECKING:
    from mien.evaluation.metrics import Metric
    from mien.prediction.package import PackedAverage, PackedEnsemble
    from mien.prediction.packages.reduced_encoder import Reduction

__all__ = ["export_onnx", "pack"]

ModelArgument = Annotated[Path, typer.Argument(help="Run folder (its first seed) or checkpoint.")]


def pack(
    run: ModelArgument,
    out: Annotated[
        Path | None, typer.Argument(help="File to write, such as model.safetensors.")
    ] = None,
    out_option: OutOption = None,
    licence: Annotated[str, typer.Option(help="Licence of the weights.")] = "",
    name: Annotated[str, typer.Option(help="What the model is called.")] = "",
    *,
    full_precision: Annotated[
        bool, typer.Option("--full-precision", help="Keep 32 bits; 16 are the default.")
    ] = False,
    ensemble: Annotated[
        bool,
        typer.Option("--ensemble", help="Write all seeds of a run, whose mean is predicted."),
    ] = False,
    average: Annotated[
        bool,
        typer.Option(
            "--average",
            help="Write the mean of the weights of all seeds of a run that was trained with "
            "--init, as one model. Needs --store.",
        ),
    ] = False,
    store: Annotated[
        Path | None,
        typer.Option(
            metavar="STORE",
            help="With --ensemble, --average or --rank: store of the training, for new intervals.",
        ),
    ] = None,
    rank: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Reduce what was learned in a whole text encoder to this rank, such as 16: "
            "megabytes instead of hundreds. Needs --store.",
        ),
    ] = None,
    replace: ReplaceOption = False,
) -> None:
    """Write what prediction needs of a run as one small file.

    With --ensemble it predicts the mean of what the seeds predict, with --average it has the mean
    of their weights. What that gives on validation clips, and what --rank costs there, is printed
    beside what was trained; test is not read.
    """
    target = choose_out(out, out_option)
    require_trained(run)
    from mien.prediction.package import (  # takes seconds
        PackedAverage,
        PackedEnsemble,
        PackedReduced,
        pack_average,
        pack_ensemble,
        pack_reduced,
    )
    from mien.prediction.package import pack as pack_run

    options: dict[str, Any] = {
        "half": not full_precision,
        "licence": licence,
        "name": name,
        "replace": replace,
        "store": store,
    }
    if ensemble and average:
        raise ConfigError("--ensemble and --average exclude each other; choose one")
    packed: PackedEnsemble | PackedAverage | PackedReduced | None = None
    with busy(f"packing {run}"):
        if ensemble:
            packed = pack_ensemble(run, target, rank=rank, **options)
        elif average:
            packed = pack_average(run, target, rank=rank, **options)
        elif rank is not None:
            packed = pack_reduced(run, target, rank=rank, **options)
        path = pack_run(run, target, **options) if packed is None else packed.path
    if packed is not None and packed.reduction is not None:
        print(f"{_describe_reduction(packed.reduction)}\n")
    if isinstance(packed, PackedEnsemble | PackedAverage):
        made = "ensemble" if isinstance(packed, PackedEnsemble) else "mean of weights"
        print(f"{_describe_seeds(packed, made)}\n")
    print(f"{path} ({path.stat().st_size / 1e6:.1f} MB)")


def _describe_reduction(reduction: "Reduction") -> str:
    """Return what validation clips say of reduced text encoders, and how much is left of them."""
    rows = [(each.name, each.metric, each.before, each.after) for each in reduction.metrics]
    table = _format_valid(("as trained", f"rank {reduction.rank}"), rows)
    share = f"{100 * reduction.share:.0f} % of the squared changes of the encoder's linear layers"
    return f"{table}\n\n{share} are left"


def _describe_seeds(packed: "PackedEnsemble | PackedAverage", made: str) -> str:
    """Return what validation clips say of what is made of several seeds, and which they are."""
    rows = [(each.name, each.metric, each.mean, each.made) for each in packed.compared]
    table = _format_valid(("single seed, mean", made), rows)
    return f"{table}\n\nseeds {', '.join(map(str, packed.seeds))}"


def _format_valid(
    heading: tuple[str, str], rows: Iterable[tuple[str, "Metric", float, float]]
) -> str:
    """Return a table of a metric a row, before and after something was made."""
    from mien.reports.text import format_table, format_value

    cells = [
        [f"{name} %" if metric.is_share else name, *(format_value(v, metric) for v in values)]
        for name, metric, *values in rows
    ]
    return format_table(["valid, multimodal task", *heading], cells)


def export_onnx(
    run: ModelArgument,
    out: Annotated[Path | None, typer.Argument(help="File to write, such as model.onnx.")] = None,
    out_option: OutOption = None,
    *,
    int8: Annotated[
        bool, typer.Option("--int8", help="Write it in 8 bits too, for CPUs: OUT.int8.onnx.")
    ] = False,
    replace: ReplaceOption = False,
) -> None:
    """Write a trained network as ONNX, checked against torch.

    For a model that comes with mien, give its name as RUN: default, small or emotions.
    """
    target = choose_out(out, out_option)
    require("onnx", "onnxruntime", extra="onnx")
    require_trained(run)
    from mien.prediction.onnx import export_onnx as export  # takes seconds

    made = export(run, target, int8=int8, replace=replace)
    rows = [(made.path, made.difference), (made.int8, made.int8_difference)]
    for file, apart in rows:
        if file is not None and apart is not None:
            print(
                f"{file} ({file.stat().st_size / 1e6:.1f} MB): on {made.num_clips} random clips, "
                f"outputs differ from torch by {apart.largest:.1e} of their scale at most, "
                f"{apart.mean:.1e} on average"
            )
    if made.tokenizer is not None:
        print(f"{made.tokenizer} (tokenizer of the text)")
