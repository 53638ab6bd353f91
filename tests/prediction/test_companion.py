"""A second model beside the first: its emotions stand in the same answers, the scores stay."""

import json

import numpy as np
import pytest
from helpers import SIZES, make_config
from targeted import EMOTION, make_targeted

import mien
from mien.cli import main
from mien.data.store_writer import write_store
from mien.errors import ConfigError
from mien.prediction.answering.companion import fingerprint
from mien.prediction.presentation.text import format_prediction, to_rows
from mien.prediction.result import Prediction, PredictionList
from mien.training.checkpoints.checkpoint import read_header, read_tensors, write_tensors
from mien.training.experiment import train
from mien.types import Modality

TEXT, AUDIO, VIDEO = Modality


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A model of sentiment, and one of emotions of voice and face; do not alter."""
    folder = tmp_path_factory.mktemp("runs")
    store = write_store(make_targeted((EMOTION,), num_clips=(8, 8, 2)), folder / "s")
    fixed = {"train": {"epochs": 1}, "labels": {"generator": "copy"}}
    said = make_config(targets={"use": []}, **fixed)
    shown = make_config(targets={"with_sentiment": False}, text_encoder={"input": "none"}, **fixed)
    emotions = train(shown, store, folder / "shown").seed(1).best
    _make_surer(emotions)
    return {
        "sentiment": train(said, store, folder / "said").seed(1).best,
        "emotions": emotions,
    }


def _make_surer(checkpoint):
    """Let a model that has hardly learned tell classes apart, so that moments matter to it."""
    tensors, header = read_tensors(checkpoint), read_header(checkpoint)
    for name in tensors:
        if "target_heads" in name and name.endswith("weight"):
            tensors[name] = 30 * tensors[name]
    for name, known in header["target_calibration"]["emotion"]["by_modalities"].items():
        known["temperature"] = 2.0 if "+" in name else 1.0
    write_tensors(checkpoint, tensors, header)


@pytest.fixture(scope="module")
def both(runs):
    return mien.load(runs["sentiment"], companion=runs["emotions"])


def features(*modalities, seed=1):
    drawn = np.random.default_rng(seed)
    return {str(m): drawn.normal(size=(6, SIZES[m])).astype(np.float32) for m in modalities}


def test_emotions_are_those_of_the_companion_and_scores_those_of_the_model(runs, both):
    given = features(*Modality)
    prediction = both.predict_features(**given)
    alone = mien.load(runs["sentiment"]).predict_features(**given)
    emotions = mien.load(runs["emotions"]).predict_features(
        audio=given["audio"], video=given["video"]
    )
    [answer] = prediction
    assert answer.targets == emotions.answers[0].targets
    assert set(answer.targets["emotion"].unimodal) == {AUDIO, VIDEO}
    assert answer.model_copy(update={"targets": {}}) == alone.answers[0]
    assert prediction.targets == emotions.targets
    assert prediction.model == alone.model
    assert prediction.companion == emotions.model
    assert set(emotions.warnings) <= set(prediction.warnings)


TIMES = dict.fromkeys((AUDIO, VIDEO), np.arange(6) / 2 + 0.25)


def test_a_moment_moved_the_likeliest_class_by_what_its_probability_is_less_without_it(runs, both):
    given = {name: 9 * values for name, values in features(AUDIO, VIDEO).items()}
    prediction = both.predict_features(**given, times=TIMES)
    emotion = prediction.answers[0].targets["emotion"]
    name, moments = emotion.overall.name, emotion.moments
    assert {moment.modality for moment in moments} == {AUDIO, VIDEO}
    for moment in moments:
        own = str(moment.modality)
        is_inside = (TIMES[AUDIO] >= moment.start) & (TIMES[AUDIO] < moment.end)
        assert is_inside.sum() == {AUDIO: 2, VIDEO: 1}[moment.modality]
        rest = both.predict_features(**{**given, own: given[own][~is_inside]}).answers[0]
        without = rest.targets["emotion"].overall.probabilities[name]
        loss = emotion.overall.probabilities[name] - without
        assert moment.effect == pytest.approx(loss, abs=1e-6)
    sizes = [abs(moment.effect) for moment in moments]
    assert sizes == sorted(sizes, reverse=True)
    assert min(sizes) >= 0.01
    alone = mien.load(runs["emotions"]).predict_features(**given, times=TIMES)
    assert alone.answers[0].targets["emotion"] == emotion
    assert Prediction.model_validate(json.loads(json.dumps(prediction.to_dict()))) == prediction
    text = format_prediction(prediction)
    assert f"    moved {name} most: " in text
    assert (
        "moved a class most: its probability minus what it would be without this word or moment"
        in text
    )


def test_a_moment_takes_its_modality_along_and_nothing_is_left_of_a_lone_one(both):
    given = {name: values[:1] for name, values in features(AUDIO, VIDEO).items()}
    times = {m: own[:1] for m, own in TIMES.items()}
    emotion = both.predict_features(**given, times=times).answers[0].targets["emotion"]
    losses = {
        m: emotion.overall.probabilities[emotion.overall.name]
        - emotion.unimodal[other].probabilities[emotion.overall.name]
        for m, other in ((AUDIO, VIDEO), (VIDEO, AUDIO))
    }
    assert {m.modality: m.effect for m in emotion.moments} == pytest.approx(
        {m: loss for m, loss in losses.items() if abs(loss) >= 0.01}, abs=1e-6
    )
    voice = both.predict_features(audio=given["audio"], times={AUDIO: times[AUDIO]})
    assert voice.answers[0].targets["emotion"].moments == ()
    assert "moments" not in voice.to_dict()["answers"][0]["targets"]["emotion"]


def test_words_alone_get_no_emotion_and_its_weights_are_not_read(runs):
    model = mien.load(runs["sentiment"], companion=runs["emotions"])
    prediction = model.predict_features(**features(TEXT))
    assert "network" not in vars(model.companion)
    assert prediction.companion is None
    assert prediction.targets == ()
    assert prediction.answers[0].notes == ("emotion: no answer, which needs voice or face",)
    told = prediction.to_dict()
    assert not {"targets", "target_means", "companion"} & set(told)


@pytest.mark.drawn
def test_utterances_without_voice_and_face_are_left_out_of_means_and_pictures(both, tmp_path):
    parts = [features(*Modality), features(TEXT), features(AUDIO, seed=3)]
    answers = [both.predict_features(**given).answers[0] for given in parts]
    spans = [
        one.model_copy(update={"start": 2.0 * i, "end": 2.0 * i + 1 + i})
        for i, one in enumerate(answers)
    ]
    whole = both.predict_features(**parts[0]).model_copy(
        update={"answers": tuple(spans), "seconds": 8.0}
    )
    first, last = (one.targets["emotion"].overall.probabilities for one in (spans[0], spans[2]))
    for name, mean in whole.target_means["emotion"].items():
        assert mean == pytest.approx((1 * first[name] + 3 * last[name]) / 4)
    assert Prediction.model_validate(json.loads(json.dumps(whole.to_dict()))) == whole
    text = format_prediction(whole)
    assert text.count("  emotion  ") == 2
    assert text.count("no answer, which needs voice or face") == 1
    names, *rows = to_rows(whole)
    column = names.index("emotion/fusion")
    assert [bool(row[column]) for row in rows] == [True, False, True]
    assert PredictionList([whole]).to_pandas()["emotion/fusion"].isna().tolist() == [
        *(False, True, False),
    ]
    assert "emotion" in whole._repr_html_()
    whole.plot(tmp_path / "p.png")
    assert (tmp_path / "p.png").stat().st_size > 10_000


def test_answers_of_another_companion_are_not_continued(runs, both):
    model, beside = (mien.load(runs[name]).network for name in ("sentiment", "emotions"))
    assert (
        fingerprint(both.network.facts, both.companion)
        == f"{model.facts.sha256}+{beside.facts.sha256}"
    )
    assert fingerprint(model.facts, None) == model.facts.sha256


def test_models_that_do_not_go_together_are_refused(runs, tmp_path):
    said, shown = runs["sentiment"], runs["emotions"]
    with pytest.raises(ConfigError, match="predicts no targets, such as emotion, that it could"):
        mien.load(shown, companion=said)
    with pytest.raises(ConfigError, match=r"predicts 'emotion', as \S+ does; give one of them"):
        mien.load(shown, companion=shown)
    header = read_header(shown)
    other = tmp_path / "other.safetensors"
    series = {**header["series"]["audio"], "extractor": "librosa/9"}
    write_tensors(
        other, read_tensors(shown), {**header, "series": {**header["series"], "audio": series}}
    )
    with pytest.raises(ConfigError, match=r"reads audio of librosa/9, \S+ reads .* extraction"):
        mien.load(said, companion=other)
    spoken = {**header["config"], "features": {"standardise": "speaker"}}
    write_tensors(other, read_tensors(shown), {**header, "config": spoken})
    with pytest.raises(ConfigError, match=r"made for \S+ alone; give a companion with"):
        mien.load(said, companion=other)


def test_the_models_that_ship_have_their_companion_and_can_go_without(runs):
    assert mien.load().companion.header.name == "emotions"
    assert mien.load("small").companion.header.name == "emotions"
    assert mien.load("emotions").companion is None
    assert mien.load(companion="none").companion is None
    assert mien.load(runs["sentiment"]).companion is None


def test_the_command_joins_models(runs, capsys):
    given = ["predict", "--text", "good", "--model", str(runs["emotions"])]
    assert main([*given, "--companion", str(runs["emotions"])]) == 2
    assert "predicts 'emotion'" in capsys.readouterr().err
