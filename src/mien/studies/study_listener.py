"""What a study reports while it goes on, and to whom."""

from typing import Protocol, runtime_checkable

__all__ = ["StudyListener"]


@runtime_checkable
class StudyListener(Protocol):
    """Follows how a study goes on.

    Where it has a method ``on_start`` as well, that is called with a piece of work that begins;
    what ``on_done`` gets then is the same, or begins with the same and a colon.
    """

    def on_stage(self, what: str, total: int) -> None:
        """Take note that ``total`` pieces of work of one kind begin."""

    def on_done(self, what: str) -> None:
        """Take note that a piece is done, and which."""
