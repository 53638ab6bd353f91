"""The settings that come with the package: a TOML file for each model and corpus."""

from itertools import takewhile
from pathlib import Path

__all__ = ["FOLDER", "SPACES", "describe_configs", "list_configs"]

#: Where the files lie.
FOLDER = Path(__file__).parent
#: Where the ranges lie in which ``mien tune`` tries settings.
SPACES = FOLDER / "spaces"


def list_configs() -> tuple[str, ...]:
    """Return the names of the settings that come with the package."""
    return tuple(sorted(path.stem for path in FOLDER.glob("*.toml")))


def describe_configs() -> dict[str, str]:
    """Return, by name, the first sentence of the comment at the top of each shipped file.

    Of a file that begins with no comment it is empty.
    """
    described = {}
    for name in list_configs():
        text = (FOLDER / f"{name}.toml").read_text(encoding="utf-8", errors="replace")
        comment = takewhile(lambda line: line.startswith("#"), text.splitlines())
        top = [line.removeprefix("#").strip() for line in comment]
        described[name] = " ".join(top).partition(". ")[0].rstrip(".")
    return described
