"""Packages that only some work needs, and the one sentence when one of them is missing."""

from importlib.util import find_spec

from mien.errors import ConfigError

__all__ = ["require"]


def require(*packages: str, extra: str) -> None:
    """Check that packages of an extra are installed, without importing them.

    Raises:
        ConfigError: If one is not; the sentence has the line that installs it.

    >>> require("json", extra="extract")
    """
    for package in packages:
        if find_spec(package) is None:
            raise ConfigError(
                f"the package {package!r} is not installed; install it with: "
                f"pip install mien[{extra}]"
            )
