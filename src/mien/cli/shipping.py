"""Commands that write a trained model for others to use."""

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["pack"]

RunArgument = Annotated[Path, typer.Argument(help="Run folder (its first seed) or checkpoint.")]


def pack(
    run: RunArgument,
    out: Annotated[Path, typer.Argument(help="File to write, such as model.safetensors.")],
    licence: Annotated[str, typer.Option(help="Licence of the weights.")] = "",
    name: Annotated[str, typer.Option(help="What the model is called.")] = "",
    *,
    full_precision: Annotated[
        bool, typer.Option("--full-precision", help="Keep 32 bits; 16 are the default.")
    ] = False,
    replace: Annotated[
        bool, typer.Option("--replace", help="Replace a file that is already there.")
    ] = False,
) -> None:
    """Write what prediction needs of a run as one small file."""
    from mien.packing import pack as pack_run

    made = pack_run(run, out, half=not full_precision, licence=licence, name=name, replace=replace)
    print(f"{made} ({made.stat().st_size / 1e6:.1f} MB)")
