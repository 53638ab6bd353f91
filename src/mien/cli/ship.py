"""Commands that write a trained model for others to use."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mien.cli.options import OutOption, ReplaceOption, busy, choose_out, require_trained
from mien.errors import require

if TYPE_CHECKING:
    from mien.prediction.package import PackedEnsemble

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
    store: Annotated[
        Path | None,
        typer.Option(
            metavar="STORE",
            help="With --ensemble: store of the training, for intervals of the mean.",
        ),
    ] = None,
    replace: ReplaceOption = False,
) -> None:
    """Write what prediction needs of a run as one small file.

    With --ensemble it predicts the mean of what the seeds predict. What that gives on validation
    clips is printed beside single seeds; test is not read.
    """
    target = choose_out(out, out_option)
    require_trained(run)
    from mien.prediction.package import pack as pack_run  # takes seconds
    from mien.prediction.package import pack_ensemble

    options: dict[str, Any] = {
        "half": not full_precision,
        "licence": licence,
        "name": name,
        "replace": replace,
        "store": store,
    }
    with busy(f"packing {run}"):
        packed = pack_ensemble(run, target, **options) if ensemble else None
        path = pack_run(run, target, **options) if packed is None else packed.path
    if packed is not None:
        print(f"{_describe_ensemble(packed)}\n")
    print(f"{path} ({path.stat().st_size / 1e6:.1f} MB)")


def _describe_ensemble(packed: "PackedEnsemble") -> str:
    """Return what validation clips say of an ensemble, and which seeds are in it."""
    from mien.reports.text import format_table, format_value

    rows = [
        [
            f"{each.name} %" if each.metric.is_share else each.name,
            format_value(each.mean, each.metric),
            format_value(each.ensemble, each.metric),
        ]
        for each in packed.compared
    ]
    table = format_table(["valid, multimodal task", "single seed, mean", "ensemble"], rows)
    return f"{table}\n\nseeds {', '.join(map(str, packed.seeds))}"


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
                f"scores differ from torch by {apart.largest:.1e} of the scale at most, "
                f"{apart.mean:.1e} on average"
            )
    if made.tokenizer is not None:
        print(f"{made.tokenizer} (tokenizer of the text)")
