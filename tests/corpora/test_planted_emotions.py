"""The planted corpus with classes: what each modality says, what raters vote, and what stays."""

import numpy as np
import pytest

from mien.cli import main
from mien.config import read_settings
from mien.corpora.planted.corpus import make_planted
from mien.corpora.planted.emotions import EMOTION_PLACES
from mien.corpora.planted.planted_config import EmotionSettings, PlantedConfig
from mien.corpora.planted.sentences import vocabulary
from mien.corpora.planted.signals import make_rotation
from mien.data.store import open_store
from mien.data.summary import format_summary, summarise
from mien.errors import ConfigError
from mien.types import Modality, Scale, Target, TargetKind, Task

ALL = tuple(TargetKind)
WEIGHTS = {"text": 0.45, "audio": 0.3, "video": 0.25}
FEW = {"num_clips": 30, "missing": 0.1}


def make(num_clips=300, **emotions):
    settings = {"num_clips": num_clips, "missing": 0.1, "emotions": EmotionSettings(**emotions)}
    return make_planted(PlantedConfig(**settings))


@pytest.fixture(scope="module")
def material():
    """A corpus with all that there can be; do not alter."""
    return make(200, kinds=ALL, num_classes=6)


def values_of(material, name, task):
    """Values of a target, NaN where a clip has none."""
    target = next(t for t in material.corpus.targets if t.name == name)
    rows = [clip.targets.get(name, {}).get(task) for clip in material.corpus.clips]
    return np.array([[np.nan] * target.size if row is None else row for row in rows])


def test_every_kind_of_target_can_be_had(material):
    classes = ("happy", "angry", "sad", "neutral", "surprised", "calm")
    assert sorted(material.corpus.targets, key=lambda target: target.name) == [
        Target(name="arousal", kind=TargetKind.SCORE, scale=Scale(-3, 3)),
        Target(name="emotion", kind=TargetKind.CLASS, classes=classes),
        Target(name="feelings", kind=TargetKind.LABELS, classes=classes),
        Target(name="strengths", kind=TargetKind.INTENSITIES, classes=classes, scale=Scale(0, 3)),
    ]
    for name, share in (("emotion", 0), ("arousal", 0.3), ("feelings", 0.3), ("strengths", 0.3)):
        missing = np.isnan(values_of(material, name, Task.FUSION)[:, 0]).mean()
        assert missing == pytest.approx(share, abs=0.1)
    feelings, strengths = (values_of(material, n, Task.AUDIO) for n in ("feelings", "strengths"))
    both = ~np.isnan(feelings[:, 0]) & ~np.isnan(strengths[:, 0])
    assert both.sum() > 40
    assert (feelings[both][strengths[both] > 0] == 1).all()


def test_the_emotion_of_a_modality_is_nearest_to_its_sentiment_and_arousal(material):
    """What is called the truth of a modality is what its series and its words carry."""
    places = np.array(list(EMOTION_PLACES.values()))
    for task in (Task.TEXT, Task.AUDIO, Task.VIDEO):
        arousal = values_of(material, "arousal", task)[:, 0]
        known = ~np.isnan(arousal)
        sentiment = np.array([clip.labels.get(task, np.nan) for clip in material.corpus.clips])
        points = np.stack([sentiment, arousal], axis=1)[known]
        nearest = ((points[:, None] - places) ** 2).sum(axis=2).argmin(axis=1)
        own = values_of(material, "emotion", task)[known]
        assert (own.argmax(axis=1) == nearest).mean() > 0.99  # some are as near to two
        assert (own.sum(axis=1) == 1).all()
        assert np.unique(nearest).size == 6


def test_series_and_words_carry_the_arousal(material):
    for source in material.series:
        modality = Modality(source.name)
        rotation = make_rotation(modality, source.size)
        found, known = [], []
        for clip, series in zip(material.corpus.clips, source.read(), strict=True):
            if modality in clip.moments and "arousal" in clip.targets:
                begin, end = clip.moments[modality]
                found.append((series[begin:end] @ rotation.T)[:, 3].mean())
                known.append(clip.targets["arousal"][Task(modality)][0])
        assert np.corrcoef(found, known)[0, 1] > 0.9
        assert np.polyfit(known, found, 1)[0] == pytest.approx(2, abs=0.3)
    for clip in material.corpus.clips:
        value = clip.targets.get("arousal", {}).get(Task.TEXT, (None,))[0]
        is_awake = any(
            end in clip.transcript for end in ("still.", "racing.", "shaking.", "shout.")
        )
        assert value != -2 or not is_awake
        assert value == 2 or value is None or not is_awake
        assert set(clip.transcript.lower().replace(",", "").rstrip(".").split()) <= vocabulary()


@pytest.mark.parametrize("mixing", ["sum", "strongest"])
def test_without_raters_the_shares_of_a_clip_are_those_of_its_modalities(mixing):
    settings = {"raters": 0, "num_classes": 5}
    config = PlantedConfig(num_clips=30, mixing=mixing, emotions=EmotionSettings(**settings))
    for clip in make_planted(config).corpus.clips:
        own = clip.targets["emotion"]
        weights = {m: WEIGHTS[m] for m in Modality if Task(m) in own}
        if mixing == "strongest":
            first = max(weights, key=lambda m: abs(clip.labels[Task(m)]))
            weights = {first: 1.0}
        total = sum(weights.values())
        shares = sum(w / total * np.array(own[Task(m)]) for m, w in weights.items())
        np.testing.assert_allclose(own[Task.FUSION], shares, atol=2e-6)


def test_raters_vote_by_the_shares_and_one_class_can_be_annotated():
    shares, votes, single = (
        values_of(make(120, **given), "emotion", Task.FUSION)
        for given in ({"raters": 0}, {"raters": 4, "slips": 0}, {"single": True})
    )
    assert set(np.unique(votes)) <= {0, 0.25, 0.5, 0.75, 1}
    assert np.abs(votes.mean(axis=0) - shares.mean(axis=0)).max() < 0.06
    assert (votes[shares < 1e-9] == 0).all()
    assert set(np.unique(single)) == {0, 1}
    assert (shares[single == 1] > 0.2).mean() > 0.95


def test_all_but_the_clauses_and_one_direction_of_the_series_is_as_without_emotions():
    plain, own = make_planted(PlantedConfig(**FEW)), make(30)
    for before, after in zip(plain.corpus.clips, own.corpus.clips, strict=True):
        assert (before.id, before.labels, before.moments) == (after.id, after.labels, after.moments)
        assert after.transcript.startswith(before.transcript.removesuffix("."))
    assert plain.corpus.targets == ()
    assert "emotions" not in plain.origin["settings"]
    for first, second in zip(plain.series, own.series, strict=True):
        rotation = make_rotation(Modality(first.name), first.size)
        apart = next(
            (b - a) @ rotation.T
            for a, b, clip in zip(first.read(), second.read(), own.corpus.clips, strict=True)
            if len(a)
        )
        assert np.abs(np.delete(apart, 3, axis=1)).max() < 0.01
        assert np.abs(apart[:, 3]).max() > 0.1


def test_the_command_makes_a_store_with_emotions(tmp_path):
    out = tmp_path / "store"
    given = ["planted", "--emotions", "--out", out, "--set", "num_clips=20"]
    assert main([*map(str, given), "--set", "emotions.num_classes=3"]) == 0
    store = open_store(out)
    assert [target.name for target in store.meta.targets] == ["emotion", "arousal"]
    assert store.meta.targets[0].classes == ("happy", "angry", "sad")
    assert "happy" in format_summary(summarise(store))
    assert store.meta.origin["settings"] == "num_clips=20, emotions, emotions.num_classes=3"


@pytest.mark.parametrize(
    ("given", "match"),
    [
        ({"emotions": {"single": True, "raters": 0}}, "single needs raters"),
        ({"emotions": {"kinds": ["class", "class"]}}, "kinds has one of them twice"),
        ({"emotions": {}, "audio_size": 3}, "must be at least 4 with emotions"),
        ({"emotions": {"num_clases": 3}}, "did you mean .*num_classes"),
    ],
)
def test_settings_that_make_no_sense_are_refused(given, match):
    with pytest.raises(ConfigError, match=match):
        read_settings(PlantedConfig, given)
