"""What a terminal shows while a recording is predicted."""

import logging
import time

from mien.live import LiveLine, clock

__all__ = ["PredictionProgress"]

logger = logging.getLogger(__name__)

#: Seconds between two lines where there is no terminal.
_QUIET_SECONDS = 30.0


class PredictionProgress(LiveLine):
    """Listens to a prediction: a bar where stderr is a terminal, else a line now and then.

    Args:
        name: Name of the recording.
    """

    def __init__(self, name: str) -> None:
        super().__init__("{task.description}", " utterances")
        self._name = name
        self._told = self._begun = time.monotonic()
        self._total, self._seconds = 0, 0.0

    def on_heard(self, seconds: float) -> None:
        """Show how much has been heard."""
        if not self.is_shown:
            self.show(f"listening to {self._name}", total=0)
        self.move(beside=f"{clock(seconds)} heard")
        self._tell(f"{self._name}: {clock(seconds)} heard")

    def on_cut(self, num_utterances: int, seconds: float) -> None:
        """Begin to count utterances."""
        self._total, self._seconds = num_utterances, seconds
        self._begun = time.monotonic()
        self.show(f"predicting {self._name}", total=num_utterances)

    def on_answer(self, number: int, seconds: float) -> None:
        """Count an utterance."""
        passed = time.monotonic() - self._begun
        left = max(0.0, passed * (self._seconds / seconds - 1)) if seconds else 0.0
        text = f"{clock(seconds)} of {clock(self._seconds)}, about {clock(left)} left"
        self.move(completed=number, beside=text)
        self._tell(f"{self._name}: {number} of {self._total} utterances, {text}")

    def _tell(self, text: str) -> None:
        """Say it where there is no bar, now and then."""
        now = time.monotonic()
        if not self.is_shown and now - self._told >= _QUIET_SECONDS:
            self._told = now
            logger.info("%s", text)
