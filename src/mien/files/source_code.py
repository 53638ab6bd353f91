"""Which code a result depends on: a fingerprint of a module and of all that it imports from here.

Layout, comments and docstrings do not count, so that only a change of what the program does makes
a new fingerprint.
"""

import ast
import hashlib
import re
from functools import cache
from pathlib import Path

__all__ = ["code_fingerprint", "modules_of"]

_PACKAGE = Path(__file__).parents[1]
#: How a table names a class that is imported when it is first needed.
_NAMED = re.compile(r"([\w.]+):\w+")


@cache
def code_fingerprint(module: str) -> str:
    """Return a hash of the code of ``module`` and of every module of this package that it needs."""
    digest = hashlib.sha256()
    for name in modules_of(module):
        digest.update(f"{name}\n{_read(name)}\n".encode())
    return digest.hexdigest()


@cache
def modules_of(module: str) -> tuple[str, ...]:
    """Return ``module`` and every module of this package that it imports, directly or not.

    ``MODULE:NAME`` in a text counts as an import.

    >>> modules_of("mien.installation")
    ('mien.installation',)
    """
    reached, waiting = set(), [module]
    while waiting:
        name = waiting.pop()
        if name not in reached:
            reached.add(name)
            waiting += _imports(_parse(name))
    return tuple(sorted(reached))


def _file(module: str) -> Path | None:
    """Return the file of a module of this package; None if it is none."""
    first, *rest = module.split(".")
    if first != _PACKAGE.name or not rest:
        return None
    path = _PACKAGE.joinpath(*rest)
    files = (path.with_suffix(".py"), path / "__init__.py")
    return next((file for file in files if file.is_file()), None)


def _parse(module: str) -> ast.Module:
    file = _file(module)
    if file is None:
        raise ValueError(f"there is no module {module!r} in this package")
    return ast.parse(file.read_text(encoding="utf-8"))


def _imports(tree: ast.Module) -> list[str]:
    names = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            names += [named[1]] if (named := _NAMED.fullmatch(node.value)) else []
    return [name for name in names if _file(name) is not None]


def _read(module: str) -> str:
    tree = _parse(module)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0] if node.body else None
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
                node.body = node.body[1:]
    return ast.dump(tree)
