"""What a terminal shows while features are extracted."""

import logging
import time

from mien.extraction.guard import Outcome
from mien.live import LiveLine, clock

__all__ = ["ExtractionProgress"]

logger = logging.getLogger(__name__)

#: Seconds between two lines where there is no terminal.
_QUIET_SECONDS = 30.0


class ExtractionProgress(LiveLine):
    """Listens to an extraction: a bar where stderr is a terminal, else a line now and then."""

    def __init__(self) -> None:
        super().__init__("extracting", " clips")
        self._begun = 0.0
        self._told = 0.0
        self._total = 0
        self._done = 0
        self._done_before = 0
        self._seconds = 0.0
        self._num_skipped = 0

    def on_begin(self, total: int, done: int) -> None:
        """Show the bar."""
        self._total, self._done, self._done_before = total, done, done
        self._begun = self._told = time.monotonic()
        if done:
            logger.info("%d of %d clips are done already", done, total)
        if done < total:
            self.show(total=total, completed=done)

    def on_clip(self, outcome: Outcome) -> None:
        """Count a clip."""
        self._done += 1
        self._num_skipped += outcome.state != "done" or outcome.is_skipped
        if outcome.state == "done":
            self._seconds += outcome.seconds
        now = time.monotonic()
        if self.is_shown:
            self.move(completed=self._done, beside=self._describe(now))
        elif now - self._told >= _QUIET_SECONDS or self._done == self._total:
            self._told = now
            logger.info("%d of %d clips, %s", self._done, self._total, self._describe(now))

    def _describe(self, now: float) -> str:
        """Return clips and seconds of media per second, and the time that is left."""
        passed = max(now - self._begun, 1e-9)
        new = self._done - self._done_before
        left = (self._total - self._done) * passed / new
        text = (
            f"{new / passed:.2f} clips/s, {self._seconds / passed:.2f} x real time, "
            f"{clock(left)} left"
        )
        return f"{text}, {self._num_skipped} skipped" if self._num_skipped else text
