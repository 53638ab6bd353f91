"""Where the padding of a series stands whose length is known: at its end, or in front."""

import logging
from dataclasses import dataclass

import numpy as np
from jaxtyping import Num

__all__ = ["PaddingFinder"]

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class PaddingFinder:
    """Finds the real steps of padded series, and counts what a user should know of them.

    Attributes:
        front: Clips that are padded in front.
        beyond: Clips in which values stand where padding should be, at the end and in front.
    """

    front: int = 0
    beyond: int = 0

    def find(self, values: Num[np.ndarray, "T _"], length: int) -> tuple[int, int]:
        """Return the begin and the end of the real steps.

        They are the first so many, unless all that stands before the last so many is zeros and
        something stands behind the first: then the clip is padded in front. NaN is padding as well.

        Args:
            values: The series with its padding.
            length: How many steps are real.
        """
        if not _holds_values(values[length:]):
            return 0, length
        padding = len(values) - length
        if length and not _holds_values(values[:padding]):
            self.front += 1
            return padding, len(values)
        self.beyond += 1
        return 0, length

    def report(self, where: str, num_clips: int) -> None:
        """Warn of what was counted, if anything."""
        if self.front:
            logger.warning(
                "%s: %d of %d clips are padded in front, not at the end; their last steps are kept",
                where,
                self.front,
                num_clips,
            )
        if self.beyond:
            logger.warning(
                "%s: %d of %d clips have values behind their length, which are left out; check the "
                "lengths",
                where,
                self.beyond,
                num_clips,
            )


def _holds_values(values: Num[np.ndarray, "_ _"]) -> bool:
    return bool(((values != 0) & np.isfinite(values)).any())
