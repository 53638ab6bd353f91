"""The speakers of a split of a store, and how long their clips are."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float, Int

from mien.data.speakers.speaker_baseline import Units, measure
from mien.data.speakers.speaker_moments import SpeakerMoments
from mien.data.store import Series, Store
from mien.types import Modality

__all__ = ["clip_seconds", "gather_speakers"]

#: What a clip counts as whose length nothing tells: an utterance of CMU-MOSI has 4.2 s on average.
_USUAL_SECONDS = 4.0


def gather_speakers(
    store: Store,
    rows: Int[np.ndarray, " P"],
    used: Int[np.ndarray, " N"],
    series: Mapping[Modality, tuple[str, Series]],
    units: Mapping[Modality, Units],
    half_seconds: float,
) -> SpeakerMoments:
    """Return what there is of each speaker in some clips of a store; no label is read.

    Args:
        store: The store.
        rows: Rows of all clips that may tell of their speakers, annotated or not, ascending.
        used: Rows of those whose baselines are needed.
        series: Name and values of the series of audio and video.
        units: Of train, by the same modalities.
        half_seconds: Seconds of a speaker that count as much as all of train.
    """
    return SpeakerMoments(
        speakers=store.clips.speaker_numbers[rows],
        moments={
            m: measure(
                (values[row] for row in rows.tolist()),
                clip_seconds(store, name, rows, values),
                units[m],
            )
            for m, (name, values) in series.items()
        },
        units=units,
        half_seconds=half_seconds,
        rows=np.searchsorted(rows, used),
    )


def clip_seconds(
    store: Store, name: str, rows: Int[np.ndarray, " N"], series: Series
) -> Float[np.ndarray, " N"]:
    """Return how long clips are, by the first of these that is known of a clip.

    Steps of the series, if its step has a length; else those of the longest series whose step has
    one; start and end of the clip; the usual length of an utterance, 4 s.

    Args:
        store: The store.
        name: Name of the series.
        rows: Rows of the clips.
        series: The series, as far as it is used.
    """
    step = store.meta.series[name].step_seconds
    if step is not None:
        own: Float[np.ndarray, " N"] = series.lengths[rows] * step
        return own
    seconds = np.zeros(len(rows))
    for other, meta in store.meta.series.items():
        if meta.step_seconds is not None:
            lengths = store.series(other).lengths[rows]
            seconds = np.maximum(seconds, lengths * meta.step_seconds)
    for place in np.flatnonzero(seconds == 0).tolist():
        clip = store.clips[int(rows[place])]
        if clip.start is not None and clip.end is not None:
            seconds[place] = clip.end - clip.start
    return np.where(seconds > 0, seconds, _USUAL_SECONDS)
