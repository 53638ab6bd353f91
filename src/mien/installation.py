"""How this package was installed, and what installs more of it."""

import json
import re
import shlex
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

__all__ = ["install_command"]

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
    return _pip(place) if place else _pip(*_packages_of(package, extra))


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


def _packages_of(package: Any, extra: str) -> list[str]:  # noqa: ANN401  # a backport may give it
    """Return the requirements of an extra, and of the extras of this package that it includes."""
    packages: list[str] = []
    for requirement in package.requires or ():
        what, _, marker = requirement.partition(";")
        if not re.search(rf"extra == ['\"]{re.escape(extra)}['\"]", marker):
            continue
        included = re.fullmatch(rf"{_NAME}\[(?P<extras>[^\]]+)\]", what.strip())
        if included is None:
            packages.append(what.strip())
        else:
            for name in included["extras"].split(","):
                packages += _packages_of(package, name.strip())
    return packages
