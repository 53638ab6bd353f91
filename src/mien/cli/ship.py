"""Commands that write a trained model for others to use."""

from pathlib import Path
from typing import Annotated

import typer

from mien.cli.options import OutOption, ReplaceOption, choose_out, require_trained
from mien.errors import require

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
    replace: ReplaceOption = False,
) -> None:
    """Write what prediction needs of a run as one small file."""
    target = choose_out(out, out_option)
    require_trained(run)
    from mien.prediction.package import pack as pack_run  # takes seconds

    made = pack_run(
        run,
        target,
        half=not full_precision,
        licence=licence,
        name=name,
        replace=replace,
    )
    print(f"{made} ({made.stat().st_size / 1e6:.1f} MB)")


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
