"""Blocks of code in the pages of the documentation."""

import re
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
FENCE = re.compile(
    r"(?P<before><!-- not run: .+ -->\n+)?^```(?P<language>\S*)"
    r'(?: title="(?P<title>[^"]*)")?[^\n]*\n(?P<text>.*?)^```$',
    re.MULTILINE | re.DOTALL,
)
#: At the end of a title: the block is added to what the file of that name holds.
AT_END = ", at its end"


class Block(NamedTuple):
    """A fenced block of a page.

    Its title, if it has one, is the file that the reader makes of it, or changes by it.
    """

    page: Path
    line: int
    language: str
    title: str
    text: str
    is_run: bool

    def __str__(self):
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def read_blocks(page):
    text = page.read_text(encoding="utf-8")
    return [
        Block(
            page=page,
            line=text.count("\n", 0, found.start("text")),
            language=found["language"],
            title=found["title"] or "",
            text=found["text"],
            is_run=found["before"] is None,
        )
        for found in FENCE.finditer(text)
    ]


def write_block(block, folder):
    """Make the file of a block as its reader does."""
    name = block.title.removesuffix(AT_END)
    file = folder / name
    before = file.read_text(encoding="utf-8") if block.title != name else ""
    file.write_text(before + block.text, encoding="utf-8")
    return file


def apply_diff(block, folder):
    """Change the file of a block as it says, each line below or in the place of the one above."""
    file = folder / block.title
    text = file.read_text(encoding="utf-8")
    for hunk in block.text.split("\n\n"):
        lines = hunk.splitlines()
        old = "".join(f"{line[1:]}\n" for line in lines if line[0] in " -")
        new = "".join(f"{line[1:]}\n" for line in lines if line[0] in " +")
        assert text.count(old) == 1, f"{block}: {file} does not hold once:\n{old}"
        text = text.replace(old, new)
    file.write_text(text, encoding="utf-8")
