"""The settings that come with the package: a TOML file for each model, or model and corpus.

What a file has under ``[corpora.NAME]`` is what is different on that corpus. Settings with that in
it are called as the file is, and the corpus behind it: ``tfn-mosei``.
"""

import re
from itertools import takewhile
from pathlib import Path

__all__ = ["FOLDER", "SPACES", "describe_configs", "find_config", "list_configs"]

#: Where the files lie.
FOLDER = Path(__file__).parent
#: Where the ranges lie in which ``mien tune`` tries settings.
SPACES = FOLDER / "spaces"

_TABLE = re.compile(r"^\[corpora\.(\w+)", re.MULTILINE)


def list_configs() -> tuple[str, ...]:
    """Return the names of the settings that come with the package."""
    return tuple(sorted(describe_configs()))


def find_config(name: str) -> tuple[Path, str | None] | None:
    """Return the file of settings that come with the package, and the corpus they are for.

    Args:
        name: As ``list_configs`` gives it.

    Returns:
        None if there are no such settings. The corpus is None if the file says it, or says none.
    """
    path = FOLDER / f"{name}.toml"
    if path.is_file():
        return path, None
    stem, _, corpus = name.rpartition("-")
    path = FOLDER / f"{stem}.toml"
    if path.is_file() and corpus in _TABLE.findall(path.read_text(encoding="utf-8")):
        return path, corpus
    return None


def describe_configs() -> dict[str, str]:
    """Return, by name, the first sentence of the comment at the top of each shipped file.

    For a corpus in a file of its model it is the comment above its table. Where there is no comment
    it is empty.
    """
    described = {}
    for path in FOLDER.glob("*.toml"):
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
        described[path.stem] = _first_sentence(lines)
        for number, line in enumerate(lines):
            table = _TABLE.match(line)
            if table and f"{path.stem}-{table[1]}" not in described:
                above = list(takewhile(_is_comment, reversed(lines[:number])))
                described[f"{path.stem}-{table[1]}"] = _first_sentence(above[::-1])
    return dict(sorted(described.items()))


def _is_comment(line: str) -> bool:
    return line.startswith("#")


def _first_sentence(lines: list[str]) -> str:
    top = [line.removeprefix("#").strip() for line in takewhile(_is_comment, lines)]
    return " ".join(top).partition(". ")[0].rstrip(".")
