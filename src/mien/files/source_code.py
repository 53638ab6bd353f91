"""Which code a result depends on: a fingerprint of a module and of all that it imports from here.

Layout, comments and docstrings do not count, so that only a change of what the program does makes
a new fingerprint. Of a module of another package everything counts: its source is taken as it is.
"""

import ast
import hashlib
import inspect
import re
import sysconfig
import tokenize
from collections.abc import Iterator
from functools import cache
from importlib.util import resolve_name
from pathlib import Path
from types import ModuleType

__all__ = ["code_fingerprint", "modules_of", "source_of"]

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


def source_of(module: ModuleType) -> str:
    """Return the source of a module of another package, with that of what it imports of its own.

    Its own are the modules of the same package, and those that lie beside it, but for a folder of
    installed packages, where others lie beside it as well.

    Raises:
        OSError: If there is no source, as of what was typed at a prompt.
        TypeError: If the module is not Python.
        SyntaxError: If a module that is imported is no Python.
        UnicodeDecodeError: If one is not in its encoding.
    """
    spec = module.__spec__  # None of a script that is run
    own_name = module.__name__ if spec is None else spec.name
    is_package = spec is not None and spec.submodule_search_locations is not None
    path = Path(inspect.getfile(module)).resolve()
    folder, top = path.parents[own_name.count(".") + is_package], own_name.partition(".")[0]
    installed = {Path(place).resolve() for place in sysconfig.get_paths().values()}
    is_shared = folder in installed or any(folder.glob("*.dist-info"))
    sources = {own_name: inspect.getsource(module)}
    waiting = list(_named_in(sources[own_name], module.__package__ or ""))
    while waiting:
        name = waiting.pop()
        first, *rest = name.split(".")
        place = folder.joinpath(first, *rest)
        files = (place.with_suffix(".py"), place / "__init__.py")
        file = next((file for file in files if file.is_file()), None)
        is_own = first == top or not is_shared
        if name in sources or file is None or not is_own or first == _PACKAGE.name:
            continue
        with tokenize.open(file) as lines:  # a module says itself in what it is encoded
            sources[name] = lines.read()
        package = name if file.name == "__init__.py" else name.rpartition(".")[0]
        waiting += _named_in(sources[name], package)
    own = sources.pop(own_name)
    return "".join([own, *(f"\n{name}\n{sources[name]}" for name in sorted(sources))])


def _named_in(source: str, package: str) -> Iterator[str]:
    """Yield what a source imports: modules and whatever may be one, with the packages above."""
    for node in ast.walk(ast.parse(source)):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            try:
                stem = resolve_name("." * node.level + (node.module or ""), package or None)
            except ImportError:  # as when it is run: a module tries another name then
                continue
            names = [stem, *(f"{stem}.{alias.name}" for alias in node.names)]
        for name in names:
            parts = name.split(".")
            yield from (".".join(parts[: end + 1]) for end in range(len(parts)))
