import sys

import numpy as np
import pytest

from mien.data.store_writer import write_store
from mien.errors import MetricError, StoreError
from mien.studies.baselines import fit_reference
from mien.types import Clip, Corpus, Material, Scale, SeriesSource, Task


def make_store(path, *, num=90, num_videos=9, steps=1, missing=()):
    """Clips whose annotation is the first value of their vector, and noise; all in train but 3."""
    random = np.random.default_rng(1)
    labels = random.uniform(-1, 1, num)
    vectors = random.normal(size=(num, 5)).astype(np.float32)
    vectors[:, 0] = labels + random.normal(scale=0.2, size=num)
    clips = tuple(
        Clip(
            id=f"v{row % num_videos}$_${row}",
            split="train" if row < num - 3 else "valid",
            transcript="",
            labels={Task.FUSION: float(labels[row])},
        )
        for row in range(num)
    )
    series = [
        np.zeros((0, 5), np.float32) if row in missing else np.repeat(vector[None], steps, axis=0)
        for row, vector in enumerate(vectors)
    ]
    source = SeriesSource(
        name="audio", size=5, dtype="float32", extractor="made/1", read=lambda: iter(series)
    )
    corpus = Corpus(name="made", language="en", scale=Scale(-1, 1), clips=clips)
    material = Material(corpus=corpus, series=(source,), origin={"made": "by a test"})
    return write_store(material, path), labels


@pytest.mark.parametrize("name", ["ridge", "trees"])
def test_a_plain_fit_predicts_videos_that_it_has_not_seen(name, tmp_path):
    store, labels = make_store(tmp_path / "store")
    fitted = fit_reference(name, store, "audio")
    assert fitted.shape == (87,)
    assert np.corrcoef(fitted, labels[:87])[0, 1] > 0.8


def test_the_mean_with_trees_is_half_of_the_annotation(tmp_path):
    store, labels = make_store(tmp_path / "store", missing=(4,))
    trees, mean = (fit_reference(name, store, "audio") for name in ("trees", "trees_mean"))
    np.testing.assert_allclose(mean, (trees + labels[:87]) / 2)
    assert np.flatnonzero(np.isnan(mean)).tolist() == [4]


def test_a_clip_is_never_fitted_with_its_video(tmp_path):
    """With a vector that names the video, a fit that has seen it would know its label."""
    random = np.random.default_rng(2)
    level = random.uniform(-1, 1, 6)
    clips = tuple(
        Clip(
            id=f"v{row % 6}$_${row}", split="train", transcript="",
            labels={Task.FUSION: float(level[row % 6])},
        )
        for row in range(60)
    )  # fmt: skip
    vectors = [np.eye(6, dtype=np.float32)[[row % 6]] for row in range(60)]
    source = SeriesSource(
        name="audio", size=6, dtype="float32", extractor="made/1", read=lambda: iter(vectors)
    )
    corpus = Corpus(name="made", language="en", scale=Scale(-1, 1), clips=clips)
    store = write_store(Material(corpus=corpus, series=(source,), origin={}), tmp_path / "store")
    fitted = fit_reference("trees", store, "audio")
    assert np.corrcoef(fitted, [clip.labels[Task.FUSION] for clip in clips])[0, 1] < 0.3


def test_a_clip_without_the_series_has_no_label(tmp_path):
    store, _ = make_store(tmp_path / "store", missing=(4, 7))
    fitted = fit_reference("ridge", store, "audio")
    assert np.flatnonzero(np.isnan(fitted)).tolist() == [4, 7]


def test_a_series_of_several_steps_is_refused(tmp_path):
    store, _ = make_store(tmp_path / "store", steps=3)
    with pytest.raises(StoreError, match=r"audio has up to 3 steps a clip, ridge needs one vector"):
        fit_reference("ridge", store, "audio")


def test_a_single_video_cannot_be_folded(tmp_path):
    store, _ = make_store(tmp_path / "store", num_videos=1)
    with pytest.raises(StoreError, match="fewer than 2 videos"):
        fit_reference("ridge", store, "audio")


def test_without_scikit_learn_there_is_a_sentence(tmp_path, monkeypatch):
    store, _ = make_store(tmp_path / "store")
    monkeypatch.setitem(sys.modules, "sklearn.model_selection", None)
    with pytest.raises(MetricError, match="pip install scikit-learn"):
        fit_reference("ridge", store, "audio")
