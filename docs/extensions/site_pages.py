"""What the site takes from elsewhere in the repository, so that nothing is kept twice.

A line ``<!-- insert: WHAT -->`` of a page is replaced while the site is built: ``README.md`` and
other files of the repository by their text, ``commands`` by the help of every command,
``public names`` by the documentation of what ``import mien`` gives.
"""

import re
from pathlib import Path
from typing import Any

from commands import describe_commands
from public_names import describe_public_names

__all__ = ["insert", "on_page_markdown"]

ROOT = Path(__file__).parents[2]
_LINE = re.compile(r"^<!-- insert: (?P<what>.+) -->$", re.MULTILINE)
#: Pages of the site that hold other files of the repository.
_PAGES = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "src/mien/weights/MODEL_CARD.md": "model-card.md",
    "src/mien/weights/MODEL_CARD-small.md": "model-card-small.md",
    "src/mien/weights/MODEL_CARD-emotions.md": "model-card-emotions.md",
}


def on_page_markdown(markdown: str, **_: Any) -> str:  # noqa: ANN401  # as mkdocs calls it
    """Replace the lines that ask for text from elsewhere."""
    return _LINE.sub(lambda found: insert(found["what"]), markdown)


def insert(what: str) -> str:
    """Return the text that stands for ``what``.

    Raises:
        FileNotFoundError: If it is neither known nor a file of the repository.
    """
    if what == "commands":
        return describe_commands()
    if what == "public names":
        return describe_public_names()
    return _relink((ROOT / what).read_text(encoding="utf-8"))


def _relink(text: str) -> str:
    """Let the links of a file of the root lead where the site has their targets.

    >>> _relink("[a](docs/howto/predict.md) [b](CONTRIBUTING.md#check) [`c`](src/mien/c.py)")
    '[a](howto/predict.md) [b](contributing.md#check) `c`'
    """

    def relink(found: re.Match[str]) -> str:
        label, target, anchor = found["label"], found["target"], found["anchor"] or ""
        if "://" in target or not target:
            return found[0]
        if target.startswith("docs/"):
            return f"[{label}]({target.removeprefix('docs/')}{anchor})"
        return f"[{label}]({_PAGES[target]}{anchor})" if target in _PAGES else label

    return re.sub(
        r"\[(?P<label>[^\]]+)\]\((?P<target>[^)\s#]*)(?P<anchor>#[^)\s]*)?\)", relink, text
    )
