"""Where a pretrained model lies, the user's data folder or an installed package; how it gets there.

Nothing is downloaded unless ``get_asset`` is called.

DATA/assets/
    minilm/           one folder per asset, written beside and renamed when it is complete
    mpnet/
    .mpnet.parts/     what has come of an asset in several packages; removed when it is complete
    .digests.json     sha256 of the files seen, by size and time of change; see ``digests``
DATA/.mpnet.lock      held by the process that downloads an asset
"""

import contextlib
import logging
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

from mien.errors import AssetError, name_known
from mien.files.folders import FolderKind, refuse_foreign
from mien.files.temporaries import sweep_folder, temporary
from mien.files.user_folders import data_folder
from mien.pretrained.digests import find_damage
from mien.pretrained.registry import Asset, Need, Package, known_assets
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
    appears only when it is complete. Packages that have come stay if a later one does not, and are
    not downloaded again. If another process gets the same asset, this one waits for it.

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
        with _alone(asset):
            with contextlib.suppress(AssetError):
                return find_asset(name)  # another process has got it meanwhile
            sweep_folder(target.parent)
            _make(asset, target, progress or logger.info)
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


@contextlib.contextmanager
def _alone(asset: Asset) -> Iterator[None]:
    """Let one process at a time get an asset; where nothing can be locked, each gets it itself."""
    from filelock import FileLock  # as long to import as the rest of this module

    lock = data_folder() / f".{asset.name}.lock"
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(FileLock(lock))
        except OSError as error:
            logger.warning("%s: cannot be locked (%s); get it with one process", lock, error)
        yield


def _make(asset: Asset, target: Path, report: Callable[[str], None]) -> None:
    """Make the folder of an asset beside ``target``, check it, and give it its name."""
    lasting = target.with_name(f".{asset.name}.parts")
    with temporary(target, "folder") as scratch:
        made = parts = lasting if len(asset.packages) > 1 else scratch / "parts"
        parts.mkdir(exist_ok=True)
        for package in asset.packages:
            _collect(asset, package, parts, scratch, report)
        if asset.build is not None:
            report(f"converting {asset.name}")
            made = scratch / "made"
            asset.build(parts, made, asset.files)
        if problem := find_damage(made, asset.files):
            raise AssetError(f"asset {asset.name!r} is not what was expected: {problem}")
        _put(asset, made, target)
    shutil.rmtree(lasting, ignore_errors=True)


def _collect(
    asset: Asset, package: Package, parts: Path, scratch: Path, report: Callable[[str], None]
) -> None:
    """Put what is needed of a package into ``parts``, unless it is there since an earlier call."""
    members = {m: f for m, f in asset.members.items() if m.startswith(f"{package.module}/")}
    names = {PurePosixPath(member).name: file for member, file in members.items()}
    if not find_damage(parts, names):
        report(f"kept from before: {package.name}")
        return
    arrived = scratch / "arrived"
    arrived.mkdir()
    collect(package, members, arrived, report)
    for name in names:
        (arrived / name).replace(parts / name)
    arrived.rmdir()


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
