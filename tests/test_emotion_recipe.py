"""The recipe of the emotions that ship: composed clips, real takes, calibration and the card."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from helpers import recipe_modules

from mien.evaluation.predictions import Predictions, TargetPredictions
from mien.evaluation.probabilities.target_calibration import ValueCalibration
from mien.types import SPLITS, Modality, Target, TargetKind, Task

RECIPE = Path(__file__).parents[1] / "recipes" / "default_model"
NAMES = ("faces", "items", "compose", "widths", "corpus", "tables", "emotion_card", "emotions")
TEXT, AUDIO, VIDEO = Modality


@pytest.fixture(scope="module")
def recipe():
    """The modules of the recipe, which import each other by bare names."""
    with recipe_modules(RECIPE, NAMES) as modules:
        yield modules


def share(recipe, emotion):
    return tuple(float(name == emotion) for name in recipe.items.EMOTIONS)


def make_voice(recipe, name, group, split, emotion):
    return recipe.items.Voice(
        name=f"{group}-{name}", source="ravdess", group=group, split=split, label=0.0,
        emotion=emotion, shares=share(recipe, emotion), values=np.ones((2, 384), np.float32),
    )  # fmt: skip


def make_look(recipe, name, source, split, emotion, *, group=None, still=True):
    shapes = np.full(52, 0.2, np.float32)
    return recipe.items.Look(
        name=f"{source}-{name}", source=source, group=group or f"{source}-{name}", split=split,
        label=0.0, emotion=emotion, shares=share(recipe, emotion),
        face=recipe.faces.Face(shapes=shapes, rest=None) if still else None,
        values=None if still else np.tile(shapes, (3, 1)),
    )  # fmt: skip


@pytest.fixture(scope="module")
def items(recipe):
    """Voices of three actors and faces of two sources, each emotion in each split."""
    voices, looks = [], []
    for number, split in enumerate(SPLITS):
        for emotion in ("happy", "sad", "angry"):
            voices.append(make_voice(recipe, f"0-{emotion}", f"actor{number}9", split, emotion))
            looks += [
                make_look(recipe, f"{split}-{emotion}", source, split, emotion)
                for source in ("ferplus", "taiwan")
            ]
    return recipe.corpus.Items(texts=(), voices=voices, looks=looks)


def test_most_pairs_agree_and_no_group_is_in_two_splits(recipe, items):
    joined = recipe.emotions.compose_emotions(items)
    assert len({one.name for one in joined}) == len(joined)
    groups = {
        split: recipe.compose.groups_of(
            one for one in joined if recipe.compose.split_of(one) == split
        )
        for split in SPLITS
    }
    assert not groups["train"] & groups["valid"]
    assert not groups["test"] & (groups["train"] | groups["valid"])
    pairs = [one for one in joined if one.kind == "made"]
    assert len(pairs) == sum(recipe.emotions.NUM_PAIRS.values())
    same = np.mean([one.voice.shares == one.look.shares for one in pairs])
    assert same == pytest.approx(0.75 + 0.25 / 3, abs=0.03)
    performers = np.mean([one.look.source == "taiwan" for one in pairs])
    assert performers == pytest.approx(0.3, abs=0.03)
    alone = [one for one in joined if one.name.startswith("train-alone-actor09")]
    assert len(alone) == 3 * recipe.emotions.TIMES["ravdess"]


def test_rare_emotions_of_photographs_are_composed_more_often(recipe):
    looks = [
        make_look(recipe, emotion, source, "train", emotion)
        for source in ("ferplus", "taiwan")
        for emotion in ("happy", "disgust")
    ]
    items = recipe.corpus.Items(texts=(), voices=[], looks=looks)
    counts = Counter(one.look.name for one in recipe.emotions.compose_emotions(items))
    assert counts == {
        "ferplus-happy": 1, "ferplus-disgust": 4, "taiwan-happy": 5, "taiwan-disgust": 5,
    }  # fmt: skip


def test_jitter_of_log_odds_leaves_small_blendshapes_small(recipe):
    faces = recipe.faces
    shapes = np.repeat(np.array([0.0, 1e-5, 0.5], np.float32), (17, 17, 18))
    jitter = faces.Jitter(deviation=np.full(52, 0.01), log_odds=np.full(52, 0.3))
    series = {}
    for way in ("shares", "log_odds"):
        motion = faces.Motion(constant_share=1, still_share=0, longest=100, offset=0, jitter_of=way)
        animator = faces.Animator(motion=motion, jitter=jitter, rests=shapes[None])
        face = faces.Face(shapes=shapes, rest=None)
        series[way] = np.concatenate(
            [animator.animate(face, np.random.default_rng(seed)) for seed in range(40)]
        )
    assert series["shares"][:, 17:34].min() == 0  # cut, and far above what they are
    odds = faces.as_log_odds(series["log_odds"])
    assert odds[:, 17:34].mean() == pytest.approx(np.log(1e-5), abs=0.02)
    assert odds[:, 17:34].std() == pytest.approx(0.3, rel=0.05)
    assert odds[:, :17].max() < np.log(1e-6)
    np.testing.assert_allclose(series["log_odds"][:, 34:], series["shares"][:, 34:], atol=1e-4)


def test_takes_of_one_person_have_his_voice_and_his_face(recipe):
    voices = [
        make_voice(recipe, take, "actor01", "train", "happy")
        for take in ("03-01-01-01", "03-02-01-01")
    ]
    voices.append(make_voice(recipe, "03-01-01-01", "actor02", "train", "sad"))
    looks = [
        make_look(recipe, name, "actor01", "test", "happy", group="actor01", still=False)
        for name in ("01-01-03-01-01-01-01", "01-02-03-02-01-01-01", "01-01-04-01-01-01-01")
    ]
    [take] = recipe.emotions.pair_takes(voices, looks)
    assert take.voice.name == "actor01-03-01-01-01"
    assert take.look is looks[0]
    assert recipe.compose.split_of(take) == "test"


def test_temperatures_and_sets_are_of_clips_with_exactly_the_modalities(recipe, items):
    joined = [
        one
        for one in recipe.emotions.compose_emotions(items)
        if recipe.compose.split_of(one) == "valid"
    ]
    truths = {task: [] for task in (Task.FUSION, Task.AUDIO, Task.VIDEO)}
    for one in joined:
        own = one.shares(recipe.compose.Weights(text=0.5, audio=0.1, video=0.4))
        for task, rows in truths.items():
            rows.append(own.get(task, (np.nan,) * 8))
    truths = {task: np.array(rows) for task, rows in truths.items()}
    values = {task: np.nan_to_num(rows, nan=1 / 8) * 0.92 + 0.01 for task, rows in truths.items()}
    target = Target(name="emotion", kind=TargetKind.CLASS, classes=recipe.items.EMOTIONS)
    found = Predictions(
        ids=tuple(recipe.compose.name_clip(one) for one in joined),
        scores={},
        targets={},
        present={},
        values={"emotion": TargetPredictions(target=target, values=values, truths=truths)},
    )
    known = recipe.emotions.calibrate_emotions(found, joined).by_modalities
    assert {name: own.num_clips for name, own in known.items()} == {
        "audio": 3, "video": 6, "audio+video": 400,
    }  # fmt: skip
    assert known["audio"].margins == {}  # three clips tell nothing
    assert known["audio+video"].margins["happy"] >= 0
    assert "contempt" in known["video"].unseen


def test_a_row_of_the_card_by_hand(recipe):
    emotions = recipe.items.EMOTIONS
    truths = np.array([share(recipe, one) for one in ("happy", "happy", "sad", "sad")])
    values = np.full((4, 8), 0.05)
    for row, name in enumerate(("happy", "sad", "sad", "sad")):
        values[row, emotions.index(name)] = 0.65
    known = ValueCalibration(num_clips=50, margins=dict.fromkeys(emotions, 1.0))
    told = recipe.emotion_card.Told(name="n", source="s", values=values, truths=truths, known=known)
    row = recipe.emotion_card.accuracy_row(told, np.full(8, 1 / 8))
    assert row[:5] == ["n", "4", "0.750", "0.750", "0.500"]
    own = -(3 * np.log(0.65) + np.log(0.05)) / 4
    assert row[5:7] == [f"{own:.3f}", f"{np.log(8):.3f}"]
    assert row[7].startswith(f"{np.log(8) - own:+.3f} [")
    assert row[8] == "0.100"  # 0.65 of the likeliest, of which 3 in 4 are right
    target = Target(name="emotion", kind=TargetKind.CLASS, classes=emotions)
    assert recipe.emotion_card.coverage_row(told, target) == [
        *("n", "4", "75.0", "1.00", "100.0", "75.0"),
    ]
    assert (
        "| happy | 0 | 1 | 0 | 1 | 0 | 0 | 0 | 0 | 0.50 |"
        in recipe.emotion_card.confusion_table(told)
    )
