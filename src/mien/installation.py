"""How this package was installed, and what installs more of it."""

import json
import re
import shlex
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from urllib.parse import unquote, urlsplit

__all__ = ["all_requirements", "extras", "install_command", "requirements"]

_NAME = "mien"
_SOURCE = Path(__file__).parents[2]


def install_command(extra: str, source: Path = _SOURCE) -> str:
    """Return the command that installs an extra, as the package itself was installed.

    The package is on no index of its own accord: from a copy of the repository, the copy is
    installed with the extra; from an address or a file, that; where these are gone, the packages
    of the extra are named.

    Args:
        extra: Name of the extra.
        source: Where the copy of the repository is, if the package runs from one.
    """
    if (source / "pyproject.toml").is_file():
        return _pip("--editable", f"{source}[{extra}]")
    try:
        package = distribution(_NAME)
    except PackageNotFoundError:
        return _pip(f"{_NAME}[{extra}]")
    origin = package.read_text("direct_url.json")
    if origin is None:
        return _pip(f"{_NAME}[{extra}]")  # it came from an index, which has its extras as well
    place = _place(json.loads(origin), extra)
    return _pip(place) if place else _pip(*all_requirements(extra))


def _pip(*words: str) -> str:
    return f"pip install {shlex.join(words)}"


def _place(origin: dict[str, object], extra: str) -> str:
    """Return what pip installs again with an extra; empty if it is not there any more.

    ``origin`` is what PEP 610 says of an installed package.
    """
    url = urlsplit(str(origin["url"]))
    if url.scheme == "file":
        path = Path(unquote(url.path))
        return f"{path}[{extra}]" if path.exists() else ""
    version = origin.get("vcs_info")
    if isinstance(version, dict):
        at = version.get("requested_revision") or version["commit_id"]
        return f"{_NAME}[{extra}] @ {version['vcs']}+{url.geturl()}@{at}"
    return f"{_NAME}[{extra}] @ {url.geturl()}"


def extras() -> tuple[str, ...]:
    """Return the names of the extras that the installed package declares."""
    return tuple(distribution(_NAME).metadata.get_all("Provides-Extra") or ())


def requirements(extra: str = "") -> tuple[list[str], list[str]]:
    """Return what an extra declares: requirements of its own, and extras that it includes.

    Args:
        extra: Name of the extra; empty for what is needed in any case.
    """
    own: list[str] = []
    included: list[str] = []
    for line in distribution(_NAME).requires or ():
        what, _, marker = (part.strip() for part in line.partition(";"))
        named = re.search(r"extra == ['\"]([^'\"]+)['\"]", marker)
        if extra != (named[1] if named else ""):
            continue
        others = re.fullmatch(rf"{_NAME}\[(?P<extras>[^\]]+)\]", what)
        if others is None:
            own.append(what)
        else:
            included += [name.strip() for name in others["extras"].split(",")]
    return own, included


def all_requirements(extra: str = "") -> list[str]:
    """Return the requirements of an extra, those of extras that it includes first."""
    own, included = requirements(extra)
    return [*(what for name in included for what in all_requirements(name)), *own]
