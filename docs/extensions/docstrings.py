"""Docstrings as this project writes them, to Markdown: doctests in fences, papers as links."""

import re
from typing import Any

import griffe

__all__ = ["ReadDocstrings"]

_KEY = re.compile(r"\b[a-z]+(?:19|20)\d\d\b")


class ReadDocstrings(griffe.Extension):
    """Rewrite each docstring before it is made into a page; the code is not touched."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:  # noqa: ANN401
        """Take an object that has been read."""
        if obj.docstring is not None:
            obj.docstring.value = link_papers(fence_doctests(obj.docstring.value))


def fence_doctests(text: str) -> str:
    """Put paragraphs that begin with ``>>>`` into fences; Markdown would take them for quotes.

    >>> fence_doctests(">>> 1 + 1").splitlines()
    ['```pycon', '>>> 1 + 1', '```']
    """
    paragraphs = text.split("\n\n")
    return "\n\n".join(f"```pycon\n{p}\n```" if p.startswith(">>> ") else p for p in paragraphs)


def link_papers(text: str) -> str:
    """Make the keys of papers in ``Source:`` paragraphs links to their references.

    >>> link_papers("Source: yu2021, eq. 2.")
    'Source: [yu2021][yu2021], eq. 2.'
    """
    paragraphs = text.split("\n\n")
    return "\n\n".join(
        _KEY.sub(r"[\g<0>][\g<0>]", p) if p.startswith("Source: ") else p for p in paragraphs
    )
