"""How long epochs take, measured on the steps of the run itself."""

__all__ = ["EpochPace"]

#: Steps and seconds after the first step from which the time of an epoch is estimated.
_MIN_STEPS, _MIN_SECONDS = 3, 5.0
#: Epochs whose mean is the time of those that come.
_LAST = 3


class EpochPace:
    """Estimates the time of an epoch: from its first steps, later from the last whole epochs.

    The first step of a training is left out: memory is taken and code compiled in it.
    """

    def __init__(self) -> None:
        self._epochs: list[float] = []
        self._first: tuple[float, int] | None = None
        self._steps = 0
        self._estimate: float | None = None

    @property
    def epoch_seconds(self) -> float | None:
        """Seconds of an epoch; None until enough steps were measured."""
        if self._epochs:
            last = self._epochs[-_LAST:]
            return sum(last) / len(last)
        return self._estimate

    def note_step(self, now: float, done: int, total: int) -> None:
        """Take a step into account.

        Args:
            now: Time of its end in seconds, from any start.
            done: Clips of the epoch that were trained on.
            total: All clips of the epoch.
        """
        if self._epochs:
            return
        if self._first is None:
            self._first = now, done
            return
        self._steps += 1
        seconds, num_clips = now - self._first[0], done - self._first[1]
        if self._steps >= _MIN_STEPS and seconds >= _MIN_SECONDS and num_clips > 0:
            self._estimate = seconds / num_clips * total

    def note_epoch(self, seconds: float) -> None:
        """Take an epoch into account that has ended."""
        self._epochs.append(seconds)
