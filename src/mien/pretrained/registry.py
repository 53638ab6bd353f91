"""The pretrained models that the project can use: what they are and where they come from.

Each comes inside a package of the usual package index, so it is available wherever pip works.
"""

import shutil
import tomllib
import zipfile
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any, Literal, NamedTuple

__all__ = ["Asset", "AssetFile", "Need", "Package", "known_assets"]

_BLOCK = 1 << 20
_REGISTRY = Path(__file__).with_name("registry.toml")

Need = Literal[
    "text encoder", "speech to text", "voice activity", "face landmarks", "facial expression"
]


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

    @property
    def pin(self) -> str:
        """The requirement that names exactly this version."""
        return f"{self.name}=={self.version}"


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
        build: Makes the folder of files, its second argument, from the folder of parts; the third
            holds the names of the files.
        prefix: What every text must begin with, for a text encoder that was trained so.
        larger: Name of a larger model for the same, if there is one.
        gain: What that one costs and gives beside this one, with the source of each number.
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
    build: Callable[[Path, Path, Collection[str]], object] | None = None
    prefix: str = ""
    larger: str = ""
    gain: str = ""

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


@cache
def known_assets() -> Mapping[str, Asset]:
    """Return every pretrained model that the project can use, by name; read once from a file."""
    with _REGISTRY.open("rb") as file:
        return {name: _read_asset(name, values) for name, values in tomllib.load(file).items()}


def _read_asset(name: str, values: dict[str, Any]) -> Asset:
    build = values.pop("build", None)
    packages = tuple(Package(**package) for package in values.pop("packages"))
    files, parts = _read_files(values.pop("files")), _read_files(values.pop("parts", {}))
    return Asset(
        name=name,
        packages=packages,
        files=files,
        parts=parts,
        build=None if build is None else _BUILDERS[build],
        **values,
    )


def _read_files(values: Mapping[str, Mapping[str, Any]]) -> dict[str, AssetFile]:
    return {name: AssetFile(**file) for name, file in values.items()}


def _convert_e5(parts: Path, out: Path, _names: Collection[str]) -> None:
    from mien.pretrained.conversion.nano_e5 import convert_nano_e5

    convert_nano_e5(parts / "e5-small-q4.bin", out)


def _join_whisper(parts: Path, out: Path, names: Collection[str]) -> None:
    out.mkdir()
    for name in names:
        if name == "model.bin":
            _join(sorted(parts.glob("model.bin.part*")), out / name)
        else:
            shutil.copyfile(parts / name, out / name)


def _unpack_zip(parts: Path, out: Path, names: Collection[str]) -> None:
    """Join an archive that was cut in pieces, and take files out of its topmost folder."""
    out.mkdir()
    joined = out.with_suffix(".zip")
    _join(sorted(parts.iterdir()), joined)
    with zipfile.ZipFile(joined) as archive:
        deepest_first = sorted(archive.namelist(), key=lambda member: -member.count("/"))
        members = {PurePosixPath(member).name: member for member in deepest_first}
        for name in names:
            with archive.open(members[name]) as packed, (out / name).open("wb") as file:
                shutil.copyfileobj(packed, file, _BLOCK)


def _join(pieces: Iterable[Path], out: Path) -> None:
    with out.open("wb") as joined:
        for piece in pieces:
            with piece.open("rb") as file:
                shutil.copyfileobj(file, joined, _BLOCK)


#: What makes the files of a model from its parts, by the name that the registry has for it.
_BUILDERS: Mapping[str, Callable[[Path, Path, Collection[str]], None]] = {
    "convert_e5": _convert_e5,
    "join_whisper": _join_whisper,
    "unpack_zip": _unpack_zip,
}
