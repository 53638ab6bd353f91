import json
import math
import shutil

import numpy as np
import pytest
from fake_runs import EMOTION, write_run

from mien.errors import CheckpointError
from mien.evaluation.metrics import METRICS
from mien.evaluation.predictions import Predictions, write_predictions
from mien.evaluation.significance import paired_difference
from mien.reports.comparison import compare_runs
from mien.training.run_folder import RunFolder
from mien.types import Task


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    folder = tmp_path_factory.mktemp("compared")
    write_run(folder / "first", clips_per_video=4)
    write_run(folder / "second", clips_per_video=4, error=1.2, seeds=(5, 6, 7))
    write_run(folder / "flat", clips_per_video=1)
    return folder


@pytest.fixture
def pair(folders, tmp_path):
    """Two runs of which a test may change the files."""
    for name in ("first", "second"):
        shutil.copytree(folders / name, tmp_path / name)
    return RunFolder(tmp_path / "first"), RunFolder(tmp_path / "second")


def rewrite(run, change, split="test"):
    for seed in run.seeds:
        write_predictions(change(seed.predictions(split)), seed.path / f"predictions-{split}.csv")


def take(predictions, rows):
    return Predictions(
        ids=tuple(predictions.ids[row] for row in rows),
        scores={t: v[rows] for t, v in predictions.scores.items()},
        targets={t: v[rows] for t, v in predictions.targets.items()},
        present={m: v[rows] for m, v in predictions.present.items()},
    )


def stack(run):
    return np.stack([s.predictions("test").scores[Task.FUSION] for s in run.seeds])


def test_the_difference_is_that_over_videos_and_seeds(pair):
    first, second = pair
    result = compare_runs(pair)
    predictions = first.seeds[0].predictions("test")
    expected = paired_difference(
        stack(second),
        stack(first),
        predictions.targets[Task.FUSION],
        METRICS["mosi"]["mae"],
        clusters=np.array([name.split("$_$")[0] for name in predictions.ids]),
    )
    assert result.metrics["mae"][1].to_first == expected
    assert expected.difference > 0
    assert (result.unit, result.num_units, result.num_clips) == ("video", 10, 40)
    assert result.num_seeds == (2, 3)


def test_the_mean_and_deviation_are_over_the_seeds_of_each_run(pair):
    result = compare_runs(pair)
    for run, compared in zip(pair, result.metrics["corr"], strict=True):
        values = run.metrics()["splits"]["test"]["fusion"]["corr"]
        assert compared.seeds.mean == pytest.approx(values["mean"], abs=1e-12)
        assert compared.seeds.deviation == pytest.approx(values["deviation"], abs=1e-12)
        assert compared.low < compared.seeds.mean < compared.high


def test_clips_are_resampled_where_every_video_has_one(folders):
    result = compare_runs([RunFolder(folders / "flat"), RunFolder(folders / "flat")])
    assert (result.unit, result.num_units) == ("clip", 40)


def test_a_run_does_not_differ_from_itself(folders):
    result = compare_runs([RunFolder(folders / "first")] * 2)
    for first, second in result.metrics.values():
        assert first.to_first is None
        assert math.isnan(first.p_corrected)
        assert second.to_first is not None
        assert second.to_first.difference == 0
        assert second.p_corrected == 1


def test_p_values_are_corrected_across_the_runs_that_are_compared(pair):
    first, second = pair
    one, two = compare_runs([first, second]), compare_runs([first, second, second])
    alone = one.metrics["mae"][1]
    assert alone.to_first is not None
    assert alone.p_corrected == alone.to_first.p_value
    assert two.metrics["mae"][1].p_corrected == pytest.approx(2 * alone.p_corrected)


def test_the_order_of_the_clips_in_the_files_does_not_matter(pair):
    before = compare_runs(pair)
    order = np.random.default_rng(0).permutation(40)
    rewrite(pair[1], lambda predictions: take(predictions, order))
    assert compare_runs(pair).metrics == before.metrics


def test_runs_of_one_folder_name_are_named_by_their_paths(folders, tmp_path):
    other = tmp_path / "x" / "first"
    shutil.copytree(folders / "first", other)
    result = compare_runs([RunFolder(folders / "first"), RunFolder(other)])
    assert result.runs == (str(folders / "first"), str(other))
    assert compare_runs([RunFolder(folders / "first"), RunFolder(folders / "second")]).runs == (
        "first",
        "second",
    )


def test_an_undefined_metric_has_no_p_value_and_leaves_the_others_alone(pair):
    def constant(predictions):
        scores = {**predictions.scores, Task.FUSION: np.ones(len(predictions))}
        return Predictions(
            ids=predictions.ids,
            scores=scores,
            targets=predictions.targets,
            present=predictions.present,
        )

    rewrite(pair[1], constant)
    result = compare_runs(pair)
    assert math.isnan(result.metrics["corr"][1].p_corrected)
    assert result.metrics["mae"][1].p_corrected <= 1


def test_a_clip_that_one_run_lacks_is_named(pair):
    rewrite(pair[1], lambda predictions: take(predictions, np.arange(39)))
    with pytest.raises(
        CheckpointError,
        match=r"test of second lacks clip 'test009\$_\$39', which first has \(1 clips are in one",
    ):
        compare_runs(pair)


def test_another_annotation_of_a_clip_is_named(pair):
    def move(predictions):
        targets = predictions.targets[Task.FUSION].copy()
        targets[3] = -targets[3] + 0.5
        return Predictions(
            ids=predictions.ids,
            scores=predictions.scores,
            targets={**predictions.targets, Task.FUSION: targets},
            present=predictions.present,
        )

    rewrite(pair[1], move)
    with pytest.raises(CheckpointError, match=r"test clip 'test000\$_\$3': annotated .* in second"):
        compare_runs(pair)


def test_seeds_of_one_run_on_different_clips_are_refused(pair):
    seed = pair[1].seeds[-1]
    changed = take(seed.predictions("test"), np.arange(5))
    write_predictions(changed, seed.path / "predictions-test.csv")
    with pytest.raises(CheckpointError, match="test clips are not those of the run's other seeds"):
        compare_runs(pair)


def test_a_split_without_predictions_is_refused(pair):
    with pytest.raises(CheckpointError, match="seed-1111: has no predictions on train; choose"):
        compare_runs(pair, "train")


def test_sentiment_is_compared_where_it_is_annotated(tmp_path):
    first, second = (
        write_run(tmp_path / name, num_epochs=2, target=EMOTION, unlabelled=("test",), error=error)
        for name, error in (("first", 0.2), ("second", 0.9))
    )
    on_test, on_valid = compare_runs([first, second]), compare_runs([first, second], "valid")
    assert not on_test.has_sentiment
    assert on_test.num_clips == on_test.target_clips["emotion"] == 30
    assert "emotion/uar" in on_test.metrics
    assert on_valid.has_sentiment
    assert (on_valid.num_clips, on_valid.target_clips["emotion"]) == (30, 22)
    shares = "Of emotion, accuracy, uar, f1_weighted, f1_macro in percent"
    both, alone = on_valid.to_markdown(), on_test.to_latex()
    assert "; emotion: 22 clips" in both
    assert r"(each target over the clips annotated for it)" in both
    assert "Acc and F1 in percent (" in both
    assert shares.replace("_", r"\_") in both
    assert "Acc and F1" not in alone
    assert shares.replace("_", r"\_") in alone
    plain = [write_run(tmp_path / name, num_epochs=2, unlabelled=("test",)) for name in "ab"]
    with pytest.raises(CheckpointError, match=r"nothing that all of .* predict and that is annot"):
        compare_runs(plain)


def test_one_run_is_too_few(pair):
    with pytest.raises(CheckpointError, match="there is 1 run, must be at least 2"):
        compare_runs(pair[:1])


def test_runs_on_different_corpora_are_refused(pair):
    path = pair[1].path / "metrics.json"
    path.write_text(json.dumps({**pair[1].metrics(), "corpus": "mosi"}))
    with pytest.raises(CheckpointError, match="second: corpus is 'mosi', must be 'planted' as in"):
        compare_runs(pair)


def test_a_run_without_a_finished_seed_is_refused(pair):
    path = pair[0].path / "metrics.json"
    path.write_text(json.dumps({**pair[0].metrics(), "seeds": []}))
    with pytest.raises(CheckpointError, match="first: has no finished seed; train it first"):
        compare_runs(pair)
