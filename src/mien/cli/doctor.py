"""The command that checks the installation: what is here, what is missing, and what to do."""

import ctypes
import json
import os
import platform
import re
import shutil
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Annotated, Literal

import typer

from mien.cli.options import busy
from mien.errors import OutputError
from mien.installation import all_requirements, extras, install_command, requirements

__all__ = ["Check", "check_installation", "doctor"]

State = Literal["ok", "missing", "broken", "optional"]

#: Libraries of the system that wheels of the extra ``extract`` load and do not contain, each with
#: its package in Debian and Ubuntu; ``.ci/system`` of the repository installs the same.
SYSTEM_LIBRARIES = {
    "libEGL.so.1": "libegl1",
    "libGLESv2.so.2": "libgles2",
    "libGL.so.1": "libgl1",
    "libgthread-2.0.so.0": "libglib2.0-0",
    "libSM.so.6": "libsm6",
    "libXext.so.6": "libxext6",
}

_DISTRIBUTION = "mien"
_DEVELOPMENT = ("dev", "docs")


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """What was found about one thing.

    Attributes:
        group: Heading under which it is shown.
        name: What was looked for.
        state: ``ok``; ``missing`` or ``broken`` if the base installation needs it; ``optional`` if
            it is not here and only some commands need it.
        detail: Version, place and size, or what is wrong.
        remedy: What to do about it; empty if nothing need be done.
    """

    group: str
    name: str
    state: State
    detail: str
    remedy: str = ""


def doctor(
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Check the installation and what is missing.

    Packages, devices, pretrained models, system libraries and caches are listed, each with what to
    do where something is missing. Nothing is downloaded. The exit code is 1 if something is missing
    that every command needs.
    """
    with busy("checking"):
        checks = list(check_installation())
    if as_json:
        print(json.dumps([asdict(check) for check in checks], indent=2))
    else:
        print(_format_checks(checks))
    if any(check.state in ("missing", "broken") for check in checks):
        raise typer.Exit(1)


def check_installation() -> Iterator[Check]:
    """Check all that commands rely on; nothing is downloaded and no network is used."""
    where = Path(__file__).parents[1]
    yield Check(
        group="Program", name="mien", state="ok", detail=f"{_version(_DISTRIBUTION)} in {where}"
    )
    yield Check(
        group="Program",
        name="Python",
        state="ok",
        detail=f"{platform.python_version()} ({sys.executable}), {platform.platform(terse=True)}",
    )
    yield from _check_packages()
    yield from _check_devices()
    yield from _check_libraries()
    yield from _check_assets()
    yield from _check_folders()


def _version(name: str) -> str:
    """Return the version of an installed distribution; nothing if it is not installed."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""


def _check_packages() -> Iterator[Check]:
    for extra in ("", *(name for name in extras() if name not in _DEVELOPMENT)):
        own, included = requirements(extra)
        needed = dict.fromkeys(map(_name_of, all_requirements(extra)))
        missing = [name for name in needed if not _version(name)]
        shown = [f"extra {name}" for name in included]
        shown += [f"{name} {_version(name)}" for name in map(_name_of, own)]
        present = ", ".join(dict.fromkeys(shown))
        if not extra:
            yield Check(
                group="Packages",
                name="needed by all",
                state="missing" if missing else "ok",
                detail=f"missing: {', '.join(missing)}" if missing else present,
                remedy="install mien again, with what it depends on" if missing else "",
            )
        else:
            yield Check(
                group="Packages",
                name=f"extra {extra}",
                state="optional" if missing else "ok",
                detail=f"missing: {', '.join(missing)}" if missing else present,
                remedy=f"{install_command(extra)}   (if you need it)" if missing else "",
            )


def _name_of(requirement: str) -> str:
    """Return the distribution of a requirement such as ``dask[distributed]>=2025.1``."""
    return re.split(r"[^A-Za-z0-9._-]", requirement, maxsplit=1)[0]


def _check_devices() -> Iterator[Check]:
    try:
        import torch
    except (ImportError, OSError) as error:  # a library that its wheel expects is not there
        yield Check(
            group="Devices",
            name="torch",
            state="broken",
            detail=f"cannot be imported ({str(error).splitlines()[0]})",
            remedy="install torch again",
        )
        return
    yield Check(
        group="Devices",
        name="CPU",
        state="ok",
        detail=f"{os.cpu_count()} cores, torch uses {torch.get_num_threads()} threads",
    )
    has_cuda, has_mps = torch.cuda.is_available(), torch.backends.mps.is_available()
    cards = ", ".join(torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count()))
    yield Check(
        group="Devices",
        name="CUDA",
        state="ok" if has_cuda else "optional",
        detail=cards if has_cuda else f"no GPU that torch {torch.__version__} can use",
    )
    if sys.platform == "darwin":
        detail = "available" if has_mps else "not available"
        yield Check(
            group="Devices", name="MPS", state="ok" if has_mps else "optional", detail=detail
        )


def _check_libraries() -> Iterator[Check]:
    if not sys.platform.startswith("linux"):
        return
    missing = [name for name in SYSTEM_LIBRARIES if not _can_load(name)]
    packages = " ".join(SYSTEM_LIBRARIES[name] for name in missing)
    yield Check(
        group="System libraries",
        name="for faces in videos",
        state="optional" if missing else "ok",
        detail=f"missing: {', '.join(missing)}" if missing else ", ".join(SYSTEM_LIBRARIES),
        remedy=f"apt-get install {packages}   (Debian, Ubuntu)" if missing else "",
    )


def _can_load(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


def _check_assets() -> Iterator[Check]:
    from mien.pretrained.assets import list_assets

    for status in list_assets():
        is_here = status.path is not None
        is_damaged = status.location == "damaged"
        detail = f"{status.need}, {status.size / 1e6:.0f} MB"
        yield Check(
            group="Pretrained models",
            name=status.name,
            state="ok" if is_here else "broken" if is_damaged else "optional",
            detail=f"{detail}, {status.path if is_here else status.location}",
            remedy="" if is_here else f"mien assets get {status.name}",
        )


def _check_folders() -> Iterator[Check]:
    from mien.files.folders import check_writable
    from mien.files.user_folders import cache_folder, data_folder

    for name, folder, variable in (
        ("pretrained models", data_folder(), "MIEN_DATA"),
        ("cache", cache_folder(), "MIEN_CACHE"),
    ):
        try:
            check_writable(folder)
        except OutputError as error:
            yield Check(
                group="Folders",
                name=name,
                state="broken",
                detail=str(error),
                remedy=f"allow writing there, or set {variable} to another folder",
            )
            continue
        existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
        free = shutil.disk_usage(existing).free
        size = _size_of(folder) if folder.is_dir() else 0
        yield Check(
            group="Folders",
            name=name,
            state="ok",
            detail=f"{folder}, {size / 1e6:,.0f} MB, {free / 1e9:,.1f} GB free",
        )


def _size_of(folder: Path) -> int:
    """Return how many bytes the files in a folder take; what vanishes meanwhile is left out."""
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(Path(place) / name).st_size
            except FileNotFoundError:
                continue
    return total


def _format_checks(checks: list[Check]) -> str:
    from mien.files.reading import as_printable
    from mien.reports.text import wrap

    marks = {"ok": "ok", "missing": "MISSING", "broken": "BROKEN", "optional": "-"}
    left = max(len(check.name) for check in checks) + 2
    lines: list[str] = []
    for group in dict.fromkeys(check.group for check in checks):
        lines += ["", group]
        for check in (check for check in checks if check.group == group):
            head = f"  {marks[check.state]:<9}{check.name:<{left}}"
            lines.append(wrap(head + as_printable(check.detail), " " * len(head)))
            if check.remedy:
                lines.append(f"{'':<{len(head)}}-> {check.remedy}")
    problems = [check for check in checks if check.state in ("missing", "broken")]
    lines += [
        "",
        f"{len(problems)} problem(s)" if problems else "everything that is needed is here",
    ]
    return "\n".join(lines).lstrip("\n")
