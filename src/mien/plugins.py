"""Tables that can grow: the package's own entries, those added, those of installed packages."""

import sys
from collections.abc import Callable, Collection, Iterator, Mapping, MutableMapping
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any, Generic, TypeVar

from mien.errors import PluginError

__all__ = ["ConfiguredClass", "Registry", "WithAdded", "with_added"]

T = TypeVar("T")
Item = TypeVar("Item")
Result = TypeVar("Result")

#: Every table, by its group.
_TABLES: dict[str, "Registry[Any]"] = {}


class ConfiguredClass:
    """A class and the settings that it is built from; ``config, built = entry`` takes it apart.

    Args:
        config: Class of the settings.
        built: The class that is built from them; or ``MODULE:NAME``, where importing it takes
            seconds, of one that is imported when it is first needed.
    """

    def __init__(self, config: type[Any], built: type[Any] | str) -> None:
        self.config = config
        self._built = built

    @cached_property
    def built(self) -> type[Any]:
        """The class that is built from the settings."""
        if not isinstance(self._built, str):
            return self._built
        module, _, name = self._built.partition(":")
        built: type[Any] = getattr(import_module(module), name)
        return built

    def __iter__(self) -> Iterator[type[Any]]:
        """Give the settings, then the class."""
        return iter((self.config, self.built))


class Registry(MutableMapping[str, T], Generic[T]):
    """Entries by name: those of the package, those added, and those of installed packages.

    An installed package adds an entry by an entry point of the group, whose name is that of the
    entry. Names are read once, when the table is first looked at; an entry of another package is
    loaded when it is first taken. A name stands for one entry: one that is taken is refused.

    Args:
        what: What an entry is, for messages.
        group: Group of the entry points.
        kind: Class of the entries.
        entries: Those of the package.
        check: Returns what is wrong with an entry of that name; empty if nothing is.
    """

    def __init__(
        self,
        what: str,
        group: str,
        kind: type[T],
        entries: Mapping[str, T],
        check: Callable[[str, T], str] = lambda _name, _entry: "",
    ) -> None:
        self.what = what
        self.group = group
        self._kind = kind
        self._own = dict(entries)
        self._added: dict[str, T] = {}
        self._loaded: dict[str, T] = {}
        self._check = check
        _TABLES[group] = self

    def added(self, names: Collection[str]) -> dict[str, T]:
        """Return the entries of these names that were added in this process."""
        return {name: entry for name, entry in self._added.items() if name in names}

    @cached_property
    def _installed(self) -> dict[str, Any]:
        """Entry points of other packages, not loaded.

        They are those of ``importlib_metadata`` where that backport has put itself in place of the
        standard library's.

        Raises:
            PluginError: If one has a name that is taken.
        """
        installed: dict[str, Any] = {}
        for point in entry_points(group=self.group):
            if point.name in self._own or point.name in installed:
                raise PluginError(
                    f"{self._describe(point)} cannot be used: there is a {self.what} of that name "
                    "already; uninstall it, or have its name changed"
                )
            installed[point.name] = point
        return installed

    def _describe(self, point: Any) -> str:  # noqa: ANN401  # as in _installed
        package = f" of the package {point.dist.name!r}" if point.dist is not None else ""
        return f"the {self.what} {point.name!r}{package} (entry point {point.value!r})"

    def __getitem__(self, name: str) -> T:
        """Return an entry.

        Raises:
            KeyError: If there is none of that name.
            PluginError: If it is that of another package, and is no such entry.
        """
        installed = self._installed
        for table in (self._own, self._added, self._loaded):
            if name in table:
                return table[name]
        point = installed[name]
        try:
            entry = point.load()
        except Exception as error:  # whatever the code of another package does
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            raise PluginError(
                f"{self._describe(point)} cannot be used: {reason}; fix it or uninstall it"
            ) from error
        wrong = self._find_fault(name, entry)
        if wrong:
            raise PluginError(
                f"{self._describe(point)} cannot be used: {wrong}; fix it or uninstall it"
            )
        return self._loaded.setdefault(name, entry)

    def __setitem__(self, name: str, entry: T) -> None:
        """Add an entry.

        Raises:
            PluginError: If the name is taken, or it is no such entry.
        """
        if name in self:
            raise PluginError(f"there is a {self.what} {name!r} already; give it another name")
        wrong = self._find_fault(name, entry)
        if wrong:
            raise PluginError(f"the {self.what} {name!r} cannot be added: {wrong}")
        self._added[name] = entry

    def _find_fault(self, name: str, entry: object) -> str:
        if not isinstance(entry, self._kind):
            return f"it is a {type(entry).__name__}, must be a {self._kind.__name__}"
        return self._check(name, entry)

    def __delitem__(self, name: str) -> None:
        """Take out an entry that was added; those of packages stay.

        Raises:
            KeyError: If none of that name was added.
        """
        del self._added[name]

    def __contains__(self, name: object) -> bool:
        """Return whether there is an entry of that name, without loading it."""
        return any(name in table for table in (self._own, self._added, self._installed))

    def __iter__(self) -> Iterator[str]:
        """Go over the names: those of the package first."""
        yield from (*self._own, *self._added, *self._installed)

    def __len__(self) -> int:
        """Return the number of entries."""
        return len(self._own) + len(self._added) + len(self._installed)


@dataclass(frozen=True, slots=True, kw_only=True)
class WithAdded(Generic[Item, Result]):
    """Work for another process, whose tables first get what was added to those of this one.

    Attributes:
        work: The work.
        added: The entries that were added, by name, for the group of each table.
    """

    work: Callable[[Item], Result]
    added: Mapping[str, Mapping[str, Any]]

    def __call__(self, item: Item) -> Result:
        """Do the work with an item."""
        for group, entries in self.added.items():
            for name, entry in entries.items():
                if name not in _TABLES[group]:
                    _TABLES[group][name] = entry
        return self.work(item)


def with_added(
    work: Callable[[Item], Result],
    *used: tuple[Registry[Any], Collection[str]],
    is_far: bool,
) -> WithAdded[Item, Result]:
    """Return work that can be done in another process with what was added in this one.

    Args:
        work: The work.
        used: Tables, each with the names of the entries that the work takes.
        is_far: Whether the process is on another machine.

    Raises:
        PluginError: If another process cannot import the classes of an entry.
    """
    added = {table.group: table.added(names) for table, names in used}
    for table, names in used:
        for name, entry in table.added(names).items():
            if isinstance(entry, ConfiguredClass):
                _check_importable(f"the {table.what} {name!r}", entry, is_far=is_far)
    return WithAdded(work=work, added=added)


def _check_importable(what: str, entry: ConfiguredClass, *, is_far: bool) -> None:
    for kind in (entry.config, entry.built):
        is_main = kind.__module__ == "__main__"
        is_lost = is_main and (is_far or not hasattr(sys.modules["__main__"], "__file__"))
        if is_lost or "<locals>" in kind.__qualname__:
            raise PluginError(
                f"{what} cannot be used by other processes, which cannot import its class "
                f"{kind.__qualname__}; keep it in a module of its own, or let this process do the "
                "work alone"
            )
