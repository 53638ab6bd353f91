"""What a terminal shows while a study is carried out."""

import time

from mien.live import LiveLine, clock

__all__ = ["StudyProgress"]


class StudyProgress(LiveLine):
    """Listens to a study; shows a bar where stderr is a terminal, and a line per run everywhere."""

    def __init__(self) -> None:
        super().__init__("{task.description}")
        self._done, self._total, self._start = 0, 0, 0.0

    def on_stage(self, what: str, total: int) -> None:
        """Begin the bar anew."""
        self._done, self._total, self._start = 0, total, time.perf_counter()
        self.show(what, total=total)

    def on_done(self, what: str) -> None:
        """Move the bar, with the time that is left at the pace so far."""
        self._done += 1
        pace = (time.perf_counter() - self._start) / self._done
        num_left = self._total - self._done
        left = f"about {clock(pace * num_left)} left" if num_left else ""
        self.move(completed=self._done, beside=left)
        self.console.print(f"{self._done}/{self._total}  {what}  {left}".rstrip())
