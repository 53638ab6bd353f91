"""The layout of the package: what has one name has it once, and no room is too full to read."""

import ast
import re
from collections import Counter
from pathlib import Path

import pytest

import mien

SOURCE = Path(mien.__file__).parent
FILES = sorted(SOURCE.rglob("*.py"))
TREES = {file: ast.parse(file.read_text(encoding="utf-8")) for file in FILES}
PACKAGES = sorted({file.parent for file in FILES})

#: Modules that share their last name: what they do is the same at another border.
SHARED = {"__init__", "text", "figure", "figures", "worker"}
#: A module of ``cli`` has the name of its commands, which may be that of what they call.
COMMANDS = SOURCE / "cli"
#: Words that stand for too many things to name one.
VAGUE = re.compile(
    r"_*(judge\w*|\w+_judged|say|says|said|ask|asks|asked|whole|one|found|kept|several\w*|taught"
    r"|teach|told|tell|desk|room|heard)",
    re.IGNORECASE,
)
#: Names of buffers and submodules that stand in checkpoints.
STORED = {"num_judgements", "judge", "heard"}

TESTS = Path(__file__).parent
#: Private names of others that tests use: to leave a process at once, what pickles of old Pythons
#: call, what IPython calls, and PyTorch's and Click's own, which have no public form.
OF_OTHERS = {
    "_exit", "_reconstructor", "_repr_html_", "_python_dispatch", "_pytree", "_schema",
    "_protected_args",
}  # fmt: skip


def twice(names):
    return sorted(name for name, count in Counter(names).items() if count > 1)


def names_of(tree):
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name) | ast.arg(arg=name):
                yield name, node.lineno
            case ast.Name(id=name, ctx=ast.Store()) | ast.Attribute(attr=name, ctx=ast.Store()):
                yield name, node.lineno


def test_a_class_has_a_name_of_its_own():
    classes = [
        n.name for tree in TREES.values() for n in ast.walk(tree) if isinstance(n, ast.ClassDef)
    ]
    assert twice(name for name in classes if not name.startswith("_")) == []


def test_a_module_has_a_last_name_of_its_own():
    names = [file.stem for file in FILES if file.parent != COMMANDS]
    assert set(twice(names)) <= SHARED


def test_no_name_is_a_word_that_stands_for_too_much():
    vague = [
        f"{file.relative_to(SOURCE)}:{line}: {name}"
        for file, tree in TREES.items()
        for name, line in names_of(tree)
        if VAGUE.fullmatch(name) and name not in STORED
    ]
    assert vague == []


@pytest.mark.parametrize("package", PACKAGES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_a_package_can_be_taken_in_at_a_glance(package):
    files = [file for file in FILES if file.parent == package]
    text = ast.get_docstring(TREES[package / "__init__.py"])
    if package.name != "models":
        assert len(files) <= 12
    if package not in (SOURCE, COMMANDS):
        parts = [*(file.stem for file in files), *(p.name for p in PACKAGES if p.parent == package)]
        unnamed = [part for part in parts if part != "__init__" and f"``{part}``" not in text]
        assert unnamed == []
    assert text.partition("\n")[0].endswith((".", ":"))


@pytest.mark.parametrize("file", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_a_file_is_read_in_one_sitting(file):
    assert len(file.read_text(encoding="utf-8").splitlines()) <= 400


def private_names(tree):
    """Yield the names with one underscore that code takes from elsewhere, also by ``setattr``."""
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(value=ast.Name(id="self")):
                names = []
            case ast.Attribute(attr=name):
                names = [name]
            case ast.ImportFrom(module=module):
                names = [*(module or "").split("."), *(each.name for each in node.names)]
            case ast.Import():
                names = [part for each in node.names for part in each.name.split(".")]
            case ast.Call(func=ast.Name(id=f) | ast.Attribute(attr=f)) if f.endswith("attr"):
                texts = [arg.value for arg in node.args if isinstance(arg, ast.Constant)]
                names = [part for text in texts for part in str(text).split(".")]
            case ast.Constant(value=str(text)) if "import mien" in text or "from mien" in text:
                names = [name for name, _ in private_names(as_code(text))]
            case _:
                names = []
        yield from ((n, node.lineno) for n in names if re.fullmatch(r"_[^_]\w*", n))


def as_code(text):
    """Return the syntax tree of what may be a script for another process."""
    try:
        return ast.parse(text)
    except SyntaxError:
        return ast.Module(body=[], type_ignores=[])


@pytest.mark.parametrize(
    "file", sorted(TESTS.rglob("*.py")), ids=lambda p: str(p.relative_to(TESTS))
)
def test_tests_reach_for_public_names_only(file):
    tree = ast.parse(file.read_text(encoding="utf-8"))
    assert [(n, line) for n, line in private_names(tree) if n not in OF_OTHERS] == []


def test_private_names_are_seen_wherever_they_are_taken_from():
    code = """
from PACKAGE.a import _b
from PACKAGE._c import d
import PACKAGE._e
PACKAGE.f._g(self._h, __file__, a.__len__)
patch.setattr("PACKAGE.i._j", 1)
patch.setattr(k, "_l", 1)
run("from PACKAGE import m\\nm._n()")
""".replace("PACKAGE", "mien")  # else this file were seen as one that does so
    assert {name for name, _ in private_names(ast.parse(code))} == {
        "_b", "_c", "_e", "_g", "_j", "_l", "_n",
    }  # fmt: skip
