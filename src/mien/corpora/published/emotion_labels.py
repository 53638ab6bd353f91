"""Emotions in the place of labels: those of CMU-MOSEI behind sentiment, and MulT's of IEMOCAP."""

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from mien.corpora.class_names.schemes import SCHEMES
from mien.corpora.published.matrices import read_numbers
from mien.corpora.safe_pickle.feature_file import FeatureFile
from mien.corpora.safe_pickle.lazy_array import PickledArray
from mien.errors import CorpusError
from mien.types import Scale, Target, TargetKind

__all__ = ["EMOTIONS_KEY", "EmotionLabels", "read_emotions"]

logger = logging.getLogger(__name__)

#: Under which key the emotions of a split stand among its columns; no file has such a key.
EMOTIONS_KEY = "emotions instead of labels"

_MOSEI = Target(
    name="emotion",
    kind=TargetKind.INTENSITIES,
    classes=SCHEMES["mosei6"].classes,
    scale=Scale(0, 3),
)
_IEMOCAP = Target(
    name="emotion", kind=TargetKind.LABELS, classes=("neutral", "happy", "sad", "angry")
)


@dataclass(frozen=True, slots=True, kw_only=True)
class EmotionLabels:
    """The emotions of the clips of a split.

    Attributes:
        target: What they are.
        values: The values of each clip.
        scores: The sentiment of each clip, if there is any.
    """

    target: Target
    values: tuple[tuple[float, ...], ...]
    scores: list[float] | None


def read_emotions(file: FeatureFile, labels: object, where: str) -> EmotionLabels | None:
    """Read labels of which each is several numbers; None if they are not emotions.

    Seven numbers a clip are sentiment and the intensities of six emotions, in the order of
    CMU-MultimodalSDK; four pairs of 0 and 1 are whether a clip of IEMOCAP is neutral, happy, sad
    and angry, as MulT (tsai2019) has them.

    Raises:
        CorpusError: If a value is not finite, or an intensity below 0.
    """
    values = _load(file, labels, where)
    if values is None:
        return None
    if values.shape[1:] == (4, 2):
        if not _are_one_hot(values):
            return None
        return _make(_IEMOCAP, values[:, :, 1], None)
    if _are_one_hot(values):
        return None  # one of seven classes, whichever these are
    intensities = values[:, 1:]
    wrong = np.flatnonzero(~(intensities >= 0).all(axis=1) | ~np.isfinite(values).all(axis=1))
    if wrong.size:
        row = int(wrong[0])
        raise CorpusError(
            f"{where}: the labels of clip {row} are {values[row].tolist()}, must be sentiment and "
            "six intensities from 0 to 3"
        )
    num_cut = int((intensities > 3).any(axis=1).sum())
    if num_cut:
        logger.warning("%s: %d clips have intensities above 3; they are cut", where, num_cut)
    return _make(_MOSEI, np.minimum(intensities, 3.0), values[:, 0].tolist())


def _make(
    target: Target, values: Float64[np.ndarray, "N K"], scores: list[float] | None
) -> EmotionLabels:
    rows = tuple(tuple(row) for row in values.tolist())
    return EmotionLabels(target=target, values=rows, scores=scores)


def _are_one_hot(values: Float64[np.ndarray, "N ..."]) -> bool:
    return bool(np.isin(values, (0.0, 1.0)).all() and (values.sum(axis=-1) == 1).all())


def _load(file: FeatureFile, labels: object, where: str) -> Float64[np.ndarray, "N ..."] | None:
    """Return labels of seven numbers or of four pairs; None if they are anything else."""
    if isinstance(labels, PickledArray):
        shape = tuple(size for size in labels.shape[1:] if size != 1)
        if not labels.is_built or labels.dtype.kind not in "fiu" or shape not in ((7,), (4, 2)):
            return None
        return labels.load(file).astype(np.float64).reshape(labels.shape[0], *shape)
    if not isinstance(labels, list | tuple) or not labels:
        return None
    rows = [_as_row(file, item, where) for item in labels]
    return None if any(row is None for row in rows) else np.array(rows)


def _as_row(file: FeatureFile, item: object, where: str) -> Float64[np.ndarray, " 7"] | None:
    """Return one label of seven numbers; None if it is anything else."""
    if isinstance(item, PickledArray):
        if not item.is_built or item.dtype.kind not in "fiu" or math.prod(item.shape) != 7:
            return None
        return item.load(file).astype(np.float64).reshape(7)
    if isinstance(item, Sequence) and not isinstance(item, str) and len(item) == 7:
        return read_numbers(file, item, 7, where)
    return None
