"""Phrases that read as translated, and what to write instead, in pages and in what users are told.

The list is short on purpose: it holds only what has no good use here. Blocks of code are not
looked at.
"""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = sorted(
    path
    for pattern in ("*.md", "docs/**/*.md", "docs/*.toml", "src/mien/weights/*.md")
    for path in ROOT.glob(pattern)
)
MODULES = sorted((ROOT / "src" / "mien").rglob("*.py"))

#: Pattern of a phrase, and a plain one for it.
BARRED = {
    r"\b(wanted|expected) is\b": "expected ...",
    r"\bis no \w+ that can be\b": "cannot be ...",
    r"\bnone the worse\b": "unharmed",
    r"\b(contradicts?|opposite of|moves) the whole\b": "the multimodal label, the overall score",
    r"\bsettings of ours\b": "our own settings",
    r"\bmoment that tells\b|\btelling moment": "salient moment",
    r"\bleaves? (0|zero) out\b": "excludes 0",
    r"\bspeaks? of (methods|people)\b": "tells you about ...",
    r"\bin no (mean|number)\b": "left out of ...",
    r"\bmade (corpus|corpora|videos?)\b": "synthetic ...",
    r"\bnothing of (it|the file) (was|is) run\b": "nothing in it is executed",
    r"\bother code than\b": "an earlier version of the code",
    r"\bcould not be had\b|\bcan be had\b": "not available, available",
    r"\b[Ss]ay (--|\w+[.=]\w)": "use ...",
    r"\bbring the (file|same)\b": "restore, use",
    r"\bmend (it|the)\b": "fix, repair",
    r"\b(less|beside) copy\b": "minus copy",
}
_FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)


def find_barred(text):
    """Return what is barred in a text, with what to write; line breaks do not matter."""
    joined = " ".join(text.split())
    return {
        found[0]: instead
        for pattern, instead in BARRED.items()
        if (found := re.search(pattern, joined))
    }


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_pages_are_in_plain_english(page):
    assert find_barred(_FENCE.sub("", page.read_text(encoding="utf-8"))) == {}


def literals_of(module):
    """Yield the strings of a module, docstrings too; of an f-string what is fixed."""
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        if isinstance(node, ast.JoinedStr):
            yield "".join(v.value if isinstance(v, ast.Constant) else "X" for v in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def test_sentences_of_the_package_are_in_plain_english():
    found = {
        str(module.relative_to(ROOT)): hits
        for module in MODULES
        if (hits := find_barred("\n".join(literals_of(module))))
    }
    assert found == {}


@pytest.mark.parametrize(
    "text",
    [
        "x.mp4: is no recording\nthat can be read; wanted is a sound file",
        "clips in which the modality contradicts the\nwhole",
        "it will not be replaced; say --replace",
        "The shipped settings of ours",
    ],
)
def test_a_barred_phrase_is_noticed(text):
    assert find_barred(text)


def test_plain_sentences_pass():
    assert find_barred("cannot be read as a recording; expected a complete audio file") == {}
