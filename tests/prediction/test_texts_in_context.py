"""Recordings and texts by a model that reads utterances around each."""

import json
import wave
from dataclasses import replace

import numpy as np
import pytest
from helpers import make_config, make_material

import mien
from mien.data.context.second_segment import NO_CONTEXT, Context
from mien.data.store_writer import write_store
from mien.errors import CheckpointError
from mien.models.eight_bits import Int8Linear
from mien.training.experiment import evaluate, evaluate_rounding, train
from mien.training.model_evaluation import evaluate_models
from mien.types import Clip, Modality, Task

TEXT = Modality.TEXT
SAID = ["The film was very good.", "They hate it.", "I saw a great play and we love the actor."]
AROUND = [Context((), (SAID[1],)), Context((SAID[0],), (SAID[2],)), Context((SAID[1],), ())]


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """Twelve clips of four videos; two are train, and one each valid and test."""
    clips = [
        Clip(
            id=f"{video}$_${number}",
            split=split,
            transcript=SAID[number],
            labels={Task.FUSION: float((number + shift) % 3 - 1)},
        )
        for shift, (video, split) in enumerate(
            [("a", "train"), ("b", "train"), ("c", "valid"), ("d", "test")]
        )
        for number in range(3)
    ]
    material = make_material(num_clips=(12, 0, 0))
    corpus = replace(material.corpus, clips=tuple(clips))
    path = tmp_path_factory.mktemp("store") / "tiny"
    return write_store(replace(material, corpus=corpus, series=()), path)


@pytest.fixture(scope="module")
def run(store, tiny_bert, tmp_path_factory):
    config = make_config(
        text_encoder={
            "input": "transcript", "name": str(tiny_bert), "mode": "last-1",
            "context": 1, "context_after": 1,
        },
        labels={"generator": "copy"},
        train={"epochs": 1},
    )  # fmt: skip
    return train(config, store, tmp_path_factory.mktemp("runs") / "run")


@pytest.fixture(scope="module")
def model(run):
    return mien.load(run)


def score(model, text, context):
    (values,) = model.network.text.read_many([text], context)
    (scored,) = model.network.score_clips([{TEXT: values}])
    return scored.scores[Task.FUSION]


@pytest.fixture(scope="module")
def recorded(model, tmp_path_factory):
    """The answers about twenty silent seconds with subtitles."""
    folder = tmp_path_factory.mktemp("clips")
    with wave.open(str(folder / "a.wav"), "wb") as file:
        file.setparams((1, 2, 16000, 0, "NONE", ""))
        file.writeframes(np.zeros(20 * 16000, "<i2").tobytes())
    blocks = [
        f"{number}\n00:00:{5 * number:02},000 --> 00:00:{5 * number + 3:02},000\n{text}\n"
        for number, text in enumerate(SAID, start=1)
    ]
    (folder / "a.srt").write_text("\n".join(blocks))
    return model.predict(folder / "a.wav", transcript=folder / "a.srt")


def test_every_utterance_of_a_recording_is_read_with_those_around_it(model, recorded):
    assert [answer.transcript for answer in recorded] == SAID
    for answer, context in zip(recorded, AROUND, strict=True):
        expected = score(model, answer.transcript, context)
        assert answer.score.value == pytest.approx(expected, abs=1e-5)
        assert abs(expected - score(model, answer.transcript, NO_CONTEXT)) > 1e-3
    assert [answer.notes[0] for answer in recorded] == [
        f"utterances with which the text was read: {num}, at most 128 tokens of them"
        for num in ("1 after it", "1 before it and 1 after it", "1 before it")
    ]


def test_an_explanation_is_about_the_utterances_own_words(model, recorded):
    for answer, context in zip(recorded, AROUND, strict=True):
        assert [word.text for word in answer.words] == answer.transcript.split()
        assert all(word.weight is not None for word in answer.words)
        for place in (0, len(answer.words) - 1):
            words = answer.transcript.split()
            rest = score(model, " ".join(words[:place] + words[place + 1 :]), context)
            expected = answer.score.value - rest
            assert answer.words[place].effect == pytest.approx(expected, abs=1e-5)


def test_a_text_alone_has_no_context_and_the_answer_says_so(model):
    (answer,) = model.predict_text(SAID[0])
    assert answer.score.value == pytest.approx(score(model, SAID[0], NO_CONTEXT), abs=1e-5)
    assert "utterances with which the text was read: none" in answer.notes


def test_clips_of_a_store_are_evaluated_with_those_around_them(model, run, store, tmp_path):
    expected = [score(model, *pair) for pair in zip(SAID, AROUND, strict=True)]
    scored = model.score_store(store, "test")
    assert scored.scores[Task.FUSION] == pytest.approx(expected, abs=1e-5)
    assert [len(weights) for weights in scored.attention[TEXT]] == [8, 6, 13]
    found = evaluate(run, split="test", store=store, out=tmp_path / "e")
    known = json.loads((run.path / "metrics.json").read_text())
    assert found["splits"]["test"] == known["splits"]["test"]


def test_in_8_bits_a_sentence_is_scored_as_the_evaluation_scores_it(run, store, monkeypatch):
    loaded = []
    load = evaluate_models.load_trained
    monkeypatch.setattr(
        evaluate_models, "load_trained", lambda *a, **k: (loaded.append(1), load(*a, **k))[1]
    )
    exact, rounded = evaluate_rounding(run, split="test", store=store)
    assert len(loaded) == len(run.seeds)
    assert exact == evaluate(run, split="test", store=store)
    assert rounded == evaluate(run, split="test", store=store, int8=True)
    assert rounded["splits"] != exact["splits"]
    for model in (mien.load(run), mien.load(run, int8=True)):
        parts = list(model.network.model.text_encoder.modules())
        assert any(isinstance(part, Int8Linear) for part in parts) == model.int8
    rounded_score, score_of_32 = (
        next(iter(mien.load(run, int8=own).predict_text(SAID[0]))).score.value
        for own in (True, False)
    )
    assert rounded_score != score_of_32
    assert rounded_score == pytest.approx(score_of_32, abs=0.05)


def test_a_network_that_reads_context_is_not_exported(run, tmp_path):
    with pytest.raises(CheckpointError, match="context_after or passage reads"):
        mien.export_onnx(run, tmp_path / "a.onnx")
    assert list(tmp_path.iterdir()) == []
