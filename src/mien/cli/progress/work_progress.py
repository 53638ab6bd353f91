"""Shows how an extraction, a prediction and a study go on."""

import time

from mien.cli.progress.live_line import LiveLine
from mien.extraction.processes.supervisor import ClipOutcome
from mien.reports.text import clock

__all__ = ["ExtractionProgress", "PredictionProgress", "StudyProgress"]


class ExtractionProgress(LiveLine):
    """Listens to an extraction: a bar where stderr is a terminal, else a line now and then."""

    def __init__(self) -> None:
        super().__init__(" clips")
        self._started = 0.0
        self._total = 0
        self._done = 0
        self._done_before = 0
        self._seconds = 0.0
        self._num_skipped = 0

    def on_begin(self, total: int, done: int) -> None:
        """Show the bar."""
        self._total, self._done, self._done_before = total, done, done
        self._started = time.monotonic()
        before = f", {done:,} of them are done already" if done else ""
        self.print(f"extracting {total:,} clips{before}")
        if done < total:
            self.show("extracting", total=total, completed=done)
        else:
            self.wait("writing the store")

    def on_clip(self, outcome: ClipOutcome) -> None:
        """Count a clip."""
        self._done += 1
        self._num_skipped += outcome.state != "done" or outcome.is_skipped
        if outcome.state == "done":
            self._seconds += outcome.seconds
        passed = max(time.monotonic() - self._started, 1e-9)
        left = (self._total - self._done) * passed / (self._done - self._done_before)
        pace = self._describe_pace(passed)
        self.move(completed=self._done, beside=f"{pace}, about {clock(left)} left")
        if self._done == self._total:
            self.print(f"{self._done:,} of {self._total:,} clips in {clock(passed)}, {pace}")
            self.wait("writing the store")

    def _describe_pace(self, passed: float) -> str:
        """Return clips and seconds of media per second, and how many clips were skipped."""
        new = self._done - self._done_before
        text = f"{new / passed:.2f} clips/s, {self._seconds / passed:.2f} x real time"
        return f"{text}, {self._num_skipped} skipped" if self._num_skipped else text


class PredictionProgress(LiveLine):
    """Listens to a prediction: a bar where stderr is a terminal, else a line now and then.

    Args:
        name: Name of the recording.
    """

    def __init__(self, name: str) -> None:
        super().__init__(" utterances")
        self._name = name
        self._started = time.monotonic()
        self._seconds = 0.0
        self._is_listening = False

    def on_audio(self, seconds: float) -> None:
        """Show how much has been heard."""
        if not self._is_listening:
            self._is_listening = True
            self.show(f"listening to {self._name}", total=None)
        self.move(beside=f"{clock(seconds)} heard")

    def on_cut(self, num_utterances: int, seconds: float) -> None:
        """Begin to count utterances."""
        self._seconds, self._started = seconds, time.monotonic()
        self.show(f"predicting {self._name}", total=num_utterances)

    def on_answer(self, number: int, seconds: float) -> None:
        """Count an utterance."""
        passed = time.monotonic() - self._started
        left = max(0.0, passed * (self._seconds / seconds - 1)) if seconds else 0.0
        text = f"{clock(seconds)} of {clock(self._seconds)}, about {clock(left)} left"
        self.move(completed=number, beside=text)


class StudyProgress(LiveLine):
    """Listens to a study; shows a bar where stderr is a terminal, and a line per run everywhere."""

    def __init__(self) -> None:
        super().__init__()
        self._done, self._total, self._started = 0, 0, 0.0
        self._running: list[str] = []

    def on_stage(self, what: str, total: int) -> None:
        """Begin the bar anew."""
        self._done, self._total, self._started = 0, total, time.monotonic()
        self._running = []
        if total:
            self.print(f"{what}: {total:,}")
            self.show(what, total=total)

    def on_start(self, what: str) -> None:
        """Show that a piece of work begins, beside those that have begun."""
        self._running.append(what)
        self._show_running()

    def on_done(self, what: str) -> None:
        """Move the bar, with the time that is left at the pace so far."""
        self._done += 1
        for started in self._running:
            if what == started or what.startswith(f"{started}: "):
                self._running.remove(started)
                break
        pace = (time.monotonic() - self._started) / self._done
        num_left = self._total - self._done
        left = f"about {clock(pace * num_left)} left" if num_left else ""
        self._show_running(left)
        self.print(f"{self._done}/{self._total}  {what}  {left}".rstrip())

    def _show_running(self, left: str = "") -> None:
        now = f"now: {'; '.join(self._running)}" if self._running else ""
        beside = ", ".join(part for part in (left, now) if part)
        self.move(completed=self._done, beside=beside)
