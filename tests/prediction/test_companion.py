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
    return {
        "sentiment": train(said, store, folder / "said").seed(1).best,
        "emotions": train(shown, store, folder / "shown").seed(1).best,
    }


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
    with pytest.raises(ConfigError, match="which models side by side cannot share"):
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
