"""Plain fits of one modality's vectors to the multimodal annotation, predicted out of fold.

What a generated unimodal label has to beat: whoever has one vector per clip can fit the annotation
to it and call the result the modality's label. Folds go by video, so that no clip is predicted by a
fit that has seen its video.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final, Literal

import numpy as np
from jaxtyping import Float, Shaped

from mien.data.store import Store
from mien.errors import MetricError, StoreError
from mien.types import Task

__all__ = ["ReferenceName", "fit_reference"]

ReferenceName = Literal["ridge", "trees", "trees_mean"]

_FOLDS: Final = 5
_SEED: Final = 1111


def fit_reference(name: ReferenceName, store: Store, series: str) -> Float[np.ndarray, " N"]:
    """Fit the annotation of the train clips to the vectors of a series, out of fold by video.

    Args:
        name: ``ridge``: ridge regression on standardised features, its penalty chosen inside the
            fold. ``trees``: extremely randomised trees. ``trees_mean``: the mean of what these say
            and of the annotation.
        store: The data.
        series: A series with at most one step a clip.

    Returns:
        A label for each train clip; NaN for a clip without the series.

    Raises:
        StoreError: If a clip has several steps, or there are fewer than two videos.
        MetricError: If scikit-learn is not installed.
    """
    rows = store.rows("train")
    ragged = store.series(series)
    lengths = ragged.lengths[rows]
    if lengths.max(initial=0) > 1:
        raise StoreError(
            f"{store.path}: {series} has up to {lengths.max()} steps a clip, {name} needs one "
            "vector; leave the reference out"
        )
    clips = store.clips.take(rows)
    fusion = clips.labels(Task.FUSION)
    has = (lengths == 1) & ~np.isnan(fusion)
    videos = clips.video_numbers[has]
    if len(np.unique(videos)) < 2:
        raise StoreError(f"{store.path}: train has fewer than 2 videos with {series} to fold by")
    vectors = np.stack([ragged[row][0] for row in rows[has].tolist()]).astype(np.float64)
    annotated = fusion[has]
    labels = np.full(len(rows), np.nan)
    fitted = _out_of_fold(_MAKERS[name], vectors, annotated, videos)
    labels[has] = (fitted + annotated) / 2 if name == "trees_mean" else fitted
    return labels


def _out_of_fold(
    make: Callable[[], Any],
    vectors: Float[np.ndarray, "N D"],
    annotated: Float[np.ndarray, " N"],
    videos: Shaped[np.ndarray, " N"],
) -> Float[np.ndarray, " N"]:
    try:
        from sklearn.model_selection import GroupKFold, cross_val_predict
    except ImportError:
        raise MetricError(
            "references: scikit-learn is not installed; pip install scikit-learn, or leave "
            "references out of the study"
        ) from None
    folds = GroupKFold(n_splits=min(_FOLDS, len(np.unique(videos))))
    labels: Float[np.ndarray, " N"] = cross_val_predict(
        make(), vectors, annotated, groups=videos, cv=folds
    )
    return labels


def _make_ridge() -> Any:  # noqa: ANN401  # scikit-learn has no types
    from sklearn.linear_model import RidgeCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), RidgeCV(alphas=np.logspace(-1, 5, 13)))


def _make_trees() -> Any:  # noqa: ANN401
    from sklearn.ensemble import ExtraTreesRegressor

    return ExtraTreesRegressor(n_estimators=400, min_samples_leaf=3, random_state=_SEED)


_MAKERS: Final[Mapping[ReferenceName, Callable[[], Any]]] = {
    "ridge": _make_ridge,
    "trees": _make_trees,
    "trees_mean": _make_trees,
}
