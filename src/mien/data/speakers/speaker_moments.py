"""The speakers of a split: what there is of each, and how much of it a clip is given."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Int, Shaped

from mien.data.speakers.speaker_baseline import Baseline, Moments, Units, shrink
from mien.types import Modality

__all__ = ["SpeakerMoments"]

#: Chances that, in an epoch, a clip is given nothing of its speaker, and all that there is.
_NOTHING, _ALL = 1 / 3, 1 / 3


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeakerMoments:
    """Moments of all clips of a split, annotated or not, and whose they are.

    A clip is never part of its own baseline: a speaker of one clip has none.

    Attributes:
        speakers: Number of each clip's speaker.
        moments: Of each modality, every clip's.
        units: Of each modality, those of train.
        half_seconds: Seconds of a speaker that count as much as all of train.
        rows: Which of the clips are used, in their order.
    """

    speakers: Int[np.ndarray, " P"]
    moments: Mapping[Modality, Moments]
    units: Mapping[Modality, Units]
    half_seconds: float
    rows: Int[np.ndarray, " N"]

    def take(self, rows: Int[np.ndarray, " _"]) -> "SpeakerMoments":
        """Return the same for some of the clips that are used; speakers stay whole."""
        return replace(self, rows=self.rows[rows])

    @property
    def num_others(self) -> Int[np.ndarray, " P"]:
        """How many other clips there are of each clip's speaker."""
        _, where, counts = np.unique(self.speakers, return_inverse=True, return_counts=True)
        others: Int[np.ndarray, " P"] = counts[where] - 1
        return others

    def all_others(self) -> dict[Modality, Baseline]:
        """Return the baselines from all other clips of each clip's speaker in the split."""
        return self._baselines(np.arange(len(self.speakers)), self.num_others)

    def draw(self, rng: np.random.Generator) -> dict[Modality, Baseline]:
        """Return baselines from nothing, some or all of the other clips of each clip's speaker.

        A third each; of some clips, few are as likely as many (their number is uniform in its
        logarithm). All modalities of a clip are given the same clips.
        """
        order = rng.permutation(len(self.speakers))
        chance, amount = rng.random((2, len(self.speakers)))
        others = self.num_others
        some = np.floor(np.maximum(others, 1) ** amount).astype(np.int64)
        num = np.where(chance < _NOTHING, 0, np.where(chance < 1 - _ALL, some, others))
        return self._baselines(order, np.minimum(num, others))

    def _baselines(
        self, order: Int[np.ndarray, " P"], num: Int[np.ndarray, " P"]
    ) -> dict[Modality, Baseline]:
        """Give each clip the ``num`` clips of its speaker that follow it, in a ring of this order.

        The work grows with the clips, whatever they are given: sums over a part of a ring are
        differences of running sums.
        """
        order = order[np.argsort(self.speakers[order], kind="stable")]
        cuts = np.flatnonzero(np.diff(self.speakers[order])) + 1
        rings = np.split(order, cuts) if len(order) else []
        baselines = {}
        for modality, own in self.moments.items():
            given = Moments(
                seconds=_sum_rings(own.seconds, rings, num),
                counts=_sum_rings(own.counts, rings, num),
                sums=_sum_rings(own.sums, rings, num),
                squares=_sum_rings(own.squares, rings, num),
            )
            all_clips = shrink(given, self.units[modality], self.half_seconds)
            baselines[modality] = all_clips.take(self.rows)
        return baselines


def _sum_rings(
    values: Shaped[np.ndarray, "P ..."],
    rings: list[Int[np.ndarray, " _"]],
    num: Int[np.ndarray, " P"],
) -> Shaped[np.ndarray, "P ..."]:
    """Return, for each clip, the sum over the ``num`` that follow it in its ring."""
    sums = np.zeros_like(values)
    for ring in rings:
        running = np.cumsum(values[np.concatenate([ring, ring])], axis=0)
        place = np.arange(len(ring))
        sums[ring] = running[place + num[ring]] - running[place]
    return sums
