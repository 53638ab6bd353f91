from pathlib import Path

import numpy as np
import pytest

from mien.evaluation.predictions import Predictions
from mien.evaluation.significance import MetricResults
from mien.reports.target_results.compared_scores import units_of
from mien.studies.distinct_variants import name_picture
from mien.studies.results.alike_variants import find_alike
from mien.studies.tables import count_clips
from mien.types import Modality, Task


def test_a_table_names_on_how_many_videos_it_rests():
    few, single, many = (
        MetricResults(num_clips=clips, num_clusters=videos, metrics={})
        for clips, videos in ((180, 3), (80, 80), (90, 31))
    )
    assert count_clips(few, "test") == (
        "180 clips of test in 3 videos (few: t intervals with 2 degrees of freedom)"
    )
    assert count_clips(single, "test") == "80 clips of test"
    assert count_clips(many, "valid").endswith("videos")
    people = MetricResults(num_clips=40, num_clusters=31, metrics={}, unit="speaker")
    assert count_clips(people, "test") == "40 clips of test in 31 speakers"


def test_units_of_a_study_are_speakers_where_predictions_know_them():
    ids = tuple(f"film{film}$_${clip}" for film in range(4) for clip in range(2))
    present = dict.fromkeys(Modality, np.ones(8, dtype=bool))
    plain = Predictions(ids=ids, scores={}, targets={}, present=present)
    unit, names = units_of(plain, np.array([5, 0, 1]))
    assert (unit, names.tolist()) == ("video", ["film2", "film0", "film0"])
    people = Predictions(
        ids=ids, scores={}, targets={}, present=present, speakers=("Ada", "Bo") * 4
    )
    unit, names = units_of(people, np.array([5, 0, 1, 3]))
    assert (unit, names.tolist()) == (
        "speaker", ["speaker Bo", "speaker Ada", "speaker Bo", "speaker Bo"]
    )  # fmt: skip


def predict(scores, **further):
    ids = tuple(f"film$_${clip}" for clip in range(len(scores)))
    present = dict.fromkeys(Modality, np.ones(len(scores), dtype=bool))
    fusion = {Task.FUSION: np.array(scores, dtype=np.float32)}
    return Predictions(ids=ids, scores=fusion, targets={}, present=present, **further)


def test_variants_whose_settings_had_no_effect_are_found():
    """Rows of their own, with differences and p values, looked like results about settings."""
    first, second = predict([0.1, 0.2]), predict([0.3, 0.4])
    seeds = {
        "base": [first, second],
        "idle": [first, second],
        "other": [first, predict([0.3, 0.5])],
    }
    assert find_alike({"test": seeds}) == (("base", "idle"),)
    valid = {"base": [first], "idle": [second], "other": [first]}
    assert find_alike({"test": seeds, "valid": valid}) == ()
    assert find_alike({"test": {"one seed": [first], **seeds}}) == (("base", "idle"),)


@pytest.mark.parametrize("name", ["a/b", "../a", "my corpus", "..", "a$b"])
def test_a_picture_lies_beside_its_page_whatever_its_corpus_is_called(name):
    """A corpus a/b ended a study after all trainings, and ../b wrote outside of its folder."""
    file = name_picture(name, "scores")
    assert Path(file).name == file
    assert not file.startswith(".")
    assert not set(" /$()") & set(file)
