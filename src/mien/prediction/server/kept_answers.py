"""Answers that can be downloaded for a while, and the names of such files."""

import re
from collections import OrderedDict
from collections.abc import Callable
from pathlib import PurePosixPath
from time import monotonic
from typing import Final, Literal
from urllib.parse import quote

from mien.prediction.result import Prediction
from mien.prediction.server.limits import Refused

__all__ = ["FileKind", "KeptAnswers", "describe_attachment", "name_download"]

FileKind = Literal["json", "csv", "png"]

_MOST: Final = 16
_SECONDS: Final = 1800.0
#: What a file system or a shell may take for something else than a part of a name.
_UNSAFE: Final = re.compile(r'[<>:"/\\|?*\x00-\x1f\x7f]')


class KeptAnswers:
    """The last answers, by the ticket of their request, until they are old.

    Args:
        most: How many; the oldest goes first.
        seconds: For how long.
        clock: Gives the time in seconds.
    """

    def __init__(
        self, most: int = _MOST, seconds: float = _SECONDS, clock: Callable[[], float] = monotonic
    ) -> None:
        self._most, self._seconds, self._clock = most, seconds, clock
        self._answers: OrderedDict[str, tuple[float, Prediction]] = OrderedDict()

    def keep(self, ticket: str, prediction: Prediction) -> None:
        """Keep an answer in the place of one with the same ticket."""
        self._drop_old()
        self._answers.pop(ticket, None)
        self._answers[ticket] = (self._clock(), prediction)
        while len(self._answers) > self._most:
            self._answers.popitem(last=False)

    def find(self, ticket: str) -> Prediction:
        """Return the answer to a request.

        Raises:
            Refused: If it is not here, or no more.
        """
        self._drop_old()
        if ticket not in self._answers:
            raise Refused(
                404,
                f"no answer has this ticket; the last {self._most} are kept for "
                f"{self._seconds / 60:g} minutes, so send the request again",
            )
        return self._answers[ticket][1]

    def _drop_old(self) -> None:
        while self._answers:
            since, _ = next(iter(self._answers.values()))
            if self._clock() - since <= self._seconds:
                return
            self._answers.popitem(last=False)


def name_download(prediction: Prediction, kind: FileKind) -> str:
    """Return the name of a file with an answer: that of the recording, with another ending.

    ``static/downloads.js`` gives the same names.
    """
    is_recording = prediction.seconds is not None
    stem = PurePosixPath(prediction.source).stem if is_recording else "sentence"
    safe = _UNSAFE.sub("_", stem).strip(". ")
    return f"{safe or 'recording'}.mien.{kind}"


def describe_attachment(name: str) -> str:
    r"""Return a Content-Disposition in which no name ends the header or begins another field.

    >>> describe_attachment('caf\u00e9".csv')
    'attachment; filename="caf__.csv"; filename*=UTF-8\'\'caf%C3%A9%22.csv'
    """
    plain = re.sub(r"[^A-Za-z0-9._-]", "_", name)
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"
