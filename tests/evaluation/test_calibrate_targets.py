"""What simulated validation clips say of each target, for every set of modalities."""

import numpy as np
import pytest
import scipy.special

from mien.evaluation.predictions import Predictions, TargetPredictions
from mien.evaluation.probabilities.calibrate_targets import calibrate_targets
from mien.evaluation.probabilities.covered_targets import cover_targets, set_hits
from mien.evaluation.probabilities.target_calibration import set_coverage
from mien.evaluation.scoring import as_reported
from mien.types import Modality, Scale, Target, TargetKind, Task

TEXT, AUDIO, VIDEO = Modality
CLASSES = ("angry", "happy", "sad", "calm")
EMOTION = Target(name="emotion", kind=TargetKind.CLASS, classes=CLASSES)
VALENCE = Target(name="valence", kind=TargetKind.SCORE, scale=Scale(-1, 1))
#: How far a modality tells the classes apart.
CLEARNESS = {TEXT: 2.0, AUDIO: 0.4}


def draw(generator, num, *, without_calm=False, sharpness=1.0):
    """Clips whose text tells the class and whose voice hardly does; a third of them lack a text."""
    classes = generator.integers(0, 3 if without_calm else 4, num)
    truths, logits = np.eye(4)[classes], {}
    for modality, clearness in CLEARNESS.items():
        seen = clearness * truths + generator.normal(size=(num, 4))
        logits[modality] = sharpness * clearness * seen
    has = {TEXT: generator.random(num) < 2 / 3, AUDIO: np.ones(num, bool)}
    return truths, logits, has


def predict_with(present, truths, logits, has, own_truths=()):
    """Predictions with some modalities alone, as a model without a bias makes them."""
    there = {m: has[m] & (m in present) for m in CLEARNESS}
    fused = sum(logits[m] * there[m][:, None] for m in CLEARNESS)
    raw = {Task.FUSION: fused + 9 * np.eye(4)[0] * (len(present) == 1)}  # never trained on one
    raw |= {Task(m): logits[m] for m in CLEARNESS}
    values = {task: scipy.special.softmax(own, axis=1) for task, own in raw.items()}
    emotion = TargetPredictions(
        target=EMOTION, values=values, truths={Task.FUSION: truths, **dict(own_truths)}
    )
    level = (truths.argmax(axis=1) / 1.5 - 1)[:, None]
    valence = TargetPredictions(
        target=VALENCE, values=dict.fromkeys((Task.FUSION, Task.TEXT, Task.AUDIO), level * 0.5),
        truths={Task.FUSION: level},
    )  # fmt: skip
    ids = tuple(str(row) for row in range(len(truths)))
    return Predictions(
        ids=ids, scores={}, targets={}, present=there,
        values={"emotion": emotion, "valence": valence},
    )  # fmt: skip


def with_each(clips, **options):
    return {
        present: predict_with(present, *clips, **options)
        for present in ((TEXT,), (AUDIO,), (TEXT, AUDIO))
    }


def test_sets_hold_the_truth_with_every_set_of_modalities():
    generator = np.random.default_rng(1)
    calibrated = calibrate_targets(with_each(draw(generator, 1500, sharpness=4.0)))["emotion"]
    assert set(calibrated.by_modalities) == {"text", "audio", "text+audio"}
    clips = draw(generator, 3000, sharpness=4.0)
    sizes = {}
    for present, predictions in with_each(clips).items():
        rows = np.all([clips[2][m] for m in present], axis=0)
        own = calibrated.of(present)
        assert own.temperature > 2  # the model is four times as sure as it should be
        task = Task(present[0]) if len(present) == 1 else Task.FUSION
        values = as_reported(predictions).values["emotion"].values[task][rows]
        result = set_coverage(own, EMOTION, values, clips[0][rows])
        assert result.share == pytest.approx(0.9, abs=0.025)
        assert min(result.by_class.values()) > 0.85
        np.testing.assert_allclose(own.scale(EMOTION, values).sum(axis=1), 1, atol=1e-12)
        sizes[present] = result.size
    assert sizes[TEXT,] < 1.6 < 2.5 < sizes[AUDIO,]


def test_clips_are_covered_by_what_is_known_of_their_modalities():
    generator = np.random.default_rng(4)
    calibrated = calibrate_targets(with_each(draw(generator, 1500)))
    clips = draw(generator, 2000)
    predictions = with_each(clips)[TEXT, AUDIO]
    covered = cover_targets(calibrated, predictions)
    own = calibrated["emotion"]
    is_both = clips[2][TEXT]  # of the others only the voice is there, and answers alone
    parts = []
    for present, task, rows in (
        ((TEXT, AUDIO), Task.FUSION, is_both),
        ((AUDIO,), Task.AUDIO, ~is_both),
    ):
        values = predictions.values["emotion"].values[task][rows]
        parts.append(set_coverage(own.of(present), EMOTION, values, clips[0][rows]))
    weights = [part.num_clips for part in parts]
    assert sum(weights) == covered["emotion"].num_clips == 2000
    assert covered["emotion"].share == pytest.approx(
        np.average([p.share for p in parts], weights=weights)
    )
    assert covered["emotion"].size == pytest.approx(
        np.average([p.size for p in parts], weights=weights)
    )
    assert covered["emotion"].share == pytest.approx(0.9, abs=0.025)
    assert (covered["valence"].level, covered["valence"].size) == (0.9, None)
    assert covered["valence"].share >= 0.9
    without_audio = {m: n for m, n in own.by_modalities.items() if m != "audio"}
    fewer = own.model_copy(update={"by_modalities": without_audio})
    alone = cover_targets({"emotion": fewer}, predictions)["emotion"]
    assert (alone.num_clips, alone.num_without_set) == (is_both.sum(), (~is_both).sum())
    assert alone.share == parts[0].share


def test_hits_of_single_clips_are_unknown_without_a_clear_class_or_a_set():
    generator = np.random.default_rng(5)
    calibration = calibrate_targets(with_each(draw(generator, 600)))["emotion"]
    truths, logits, has = draw(generator, 400)
    truths[0], truths[1] = np.nan, [0.5, 0.5, 0, 0]
    unseen = predict_with((TEXT, AUDIO), truths, logits, has)
    hits = set_hits(calibration, unseen, "emotion")
    assert np.isnan(hits.inside[:2]).all()
    assert np.isnan(hits.sizes[:2]).all()
    covered = cover_targets({"emotion": calibration}, unseen)["emotion"]
    assert np.nanmean(hits.inside) == pytest.approx(covered.share)
    assert np.nanmean(hits.sizes) == pytest.approx(covered.size)
    assert hits.num_without_set == covered.num_without_set == 0
    known = {name: own for name, own in calibration.by_modalities.items() if name != "audio"}
    without = set_hits(calibration.model_copy(update={"by_modalities": known}), unseen, "emotion")
    np.testing.assert_array_equal(np.isnan(without.inside[2:]), ~has[TEXT][2:])
    assert without.num_without_set == (~has[TEXT][1:]).sum()


def test_a_modality_alone_is_compared_with_its_own_annotation():
    clips = draw(np.random.default_rng(2), 300)
    voices = np.eye(4)[(clips[0].argmax(axis=1) + 1) % 4]
    voices[::2] = np.nan  # not annotated: that of the clip counts
    known = calibrate_targets(with_each(clips, own_truths={Task.AUDIO: voices}))
    plain = calibrate_targets(with_each(clips))
    apart = {
        name
        for name, own in plain["emotion"].by_modalities.items()
        if own != known["emotion"].by_modalities[name]
    }
    assert apart == {"audio"}
    assert known["emotion"].by_modalities["audio"].num_clips == 300
    assert known["valence"] == plain["valence"]
    assert plain["valence"].of([AUDIO]).widths["valence"] == pytest.approx(0.5)
    assert plain["emotion"].of([TEXT]).num_clips == clips[2][TEXT].sum() < 300


def test_few_clips_rule_out_nothing_and_absent_classes_are_named():
    few = calibrate_targets(with_each(draw(np.random.default_rng(3), 6)))
    for own in few["emotion"].by_modalities.values():
        assert own.sets(EMOTION, np.array([[0.97, 0.01, 0.01, 0.01]])).all()
    assert not few["valence"].of([AUDIO]).widths
    clips = draw(np.random.default_rng(4), 400, without_calm=True)
    own = calibrate_targets(with_each(clips))["emotion"].of([AUDIO])
    assert own.unseen == ("calm",)
    assert own.margins["calm"] >= min(own.margins.values())


def test_people_count_as_one_each():
    clips = draw(np.random.default_rng(5), 300)
    own = calibrate_targets(with_each(clips), np.arange(300) % 30)["emotion"].of([AUDIO])
    assert own.num_speakers == 30
