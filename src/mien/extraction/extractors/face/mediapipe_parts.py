"""MediaPipe without what draws: its drawing functions are loaded when somebody draws with them.

``import mediapipe`` imports matplotlib and OpenCV for functions that draw landmarks into pictures,
which takes as long as importing torch. They are the only ones that need either.
"""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import LazyLoader
from types import ModuleType
from typing import Any

__all__ = ["import_mediapipe"]

_DRAWING = frozenset(
    f"mediapipe.tasks.python.vision.{name}" for name in ("drawing_styles", "drawing_utils")
)


class _LazyFinder:
    """Finds modules as usual, but has those that draw loaded at the first use of a name in them."""

    @staticmethod
    def find_spec(
        name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return the specification of a module that draws; None for all others."""
        if name not in _DRAWING:
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = LazyLoader(spec.loader)
        return spec


def import_mediapipe() -> Any:  # noqa: ANN401  mediapipe has no types
    """Import MediaPipe; what draws is in it too, and is loaded when it is first used.

    Raises:
        ImportError: If it is not installed.
        OSError: If a library of the system is missing.
    """
    with _lazily():
        import mediapipe
    return mediapipe


@contextmanager
def _lazily() -> Iterator[None]:
    sys.meta_path.insert(0, _LazyFinder)
    try:
        yield
    finally:
        sys.meta_path.remove(_LazyFinder)
