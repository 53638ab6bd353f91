"""Emotions and other targets in predictions: sets, intervals, and every way in which they show."""

import csv
import io
import json
import math

import numpy as np
import pytest
from helpers import SIZES, make_config
from pages import ROOT, read_blocks
from stand_in_models import StandIn
from targeted import EMOTION, TARGETS, make_targeted

from mien.data.store_writer import write_store
from mien.evaluation.probabilities.target_calibration import TargetCalibration, ValueCalibration
from mien.models import build_model
from mien.models.multitask import ModelInputs
from mien.prediction.explain import UtteranceInput, explain
from mien.prediction.network import load_network
from mien.prediction.onnx import export_onnx
from mien.prediction.predictor import load
from mien.prediction.presentation.text import format_prediction, to_rows
from mien.prediction.result import Prediction, PredictionList
from mien.prediction.spoken.text_input import widen
from mien.prediction.target_answers.answer_targets import answer_targets, describe_limits
from mien.prediction.target_answers.target_answer import (
    TargetAnswer,
    name_labels,
    name_set,
    numbers_of,
)
from mien.prediction.target_answers.target_words import (
    describe_moments,
    name_columns,
    to_columns,
)
from mien.training.checkpoints.checkpoint import read_header, read_tensors, write_tensors
from mien.training.checkpoints.header import open_header
from mien.training.experiment import train
from mien.types import Modality, Scale, Target, TargetKind, Task, Word

TEXT, AUDIO, VIDEO = Modality
OLD_FIELDS = (
    *("source", "seconds", "scale", "level", "answers", "warnings", "model", "speech", "baseline"),
)
NAMES = [target.name for target in TARGETS]
SUBSETS = ("text", "audio", "video", "text+audio", "text+video", "audio+video", "text+audio+video")
#: What validation clips say where they are many, in the place of what eight of them do.
SHARP = {
    "emotion": ValueCalibration(
        num_clips=90, temperature=2.0, margins={"neg": 0.0, "neu": 99.0, "pos": 0.0},
        unseen=("pos",),
    ),
    "tags": ValueCalibration(
        num_clips=90,
        label_margins={
            "up": {"absent": 0.0, "present": 99.0},
            "strong": {"absent": 99.0, "present": 99.0},
        },
    ),
    "valence": ValueCalibration(num_clips=90, widths={"valence": 0.25}),
    "moods.of it": ValueCalibration(num_clips=90, widths={"joy": 0.5}),
}  # fmt: skip


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Checkpoints with sentiment, and with targets alone; do not alter."""
    folder = tmp_path_factory.mktemp("runs")
    store = write_store(make_targeted(num_clips=(8, 8, 2)), folder / "s")
    config = make_config(train={"epochs": 1}, labels={"generator": "copy"})
    both = train(config, store, folder / "both").seed(1).best
    header = open_header(both)
    inputs = ModelInputs(sizes=header.sizes, targets=header.targets, has_sentiment=False)
    names = {f"model/{name}" for name in build_model(config.model, inputs).state_dict()}
    tensors = {name: tensor for name, tensor in read_tensors(both).items() if name in names}
    without = {**read_header(both), "has_sentiment": False}
    del without["calibration"]
    write_tensors(folder / "alone.safetensors", tensors, without)
    return {"both": both, "alone": folder / "alone.safetensors"}


def change_header(checkpoint, out, **facts):
    header = {**read_header(checkpoint), **facts}
    write_tensors(out, read_tensors(checkpoint), {k: v for k, v in header.items() if v is not None})
    return out


@pytest.fixture(scope="module")
def sharp(runs, tmp_path_factory):
    """The same with a calibration as from many clips."""
    told = {
        name: TargetCalibration(level=0.9, by_modalities=dict.fromkeys(SUBSETS, own)).model_dump(
            mode="json"
        )
        for name, own in SHARP.items()
    }
    folder = tmp_path_factory.mktemp("sharp")
    return {
        name: load(change_header(path, folder / f"{name}.safetensors", target_calibration=told))
        for name, path in runs.items()
    }


def features(seed=1, modalities=tuple(Modality)):
    drawn = np.random.default_rng(seed)
    series = {m: drawn.normal(size=(6, SIZES[m])).astype(np.float32) for m in modalities}
    times = {m: np.arange(6) / 2 for m in modalities if m is not TEXT}
    return {str(m): values for m, values in series.items()} | {"times": times}


def lengthen(prediction, *others):
    """As if several utterances of a recording had been predicted."""
    answers = [answer for each in (prediction, *others) for answer in each.answers]
    spans = [
        a.model_copy(update={"start": 3.0 * i, "end": 3.0 * i + 3}) for i, a in enumerate(answers)
    ]
    return prediction.model_copy(update={"answers": tuple(spans), "seconds": 3.0 * len(answers)})


def test_every_target_is_answered_by_every_modality(runs, sharp):
    raw = load_network(runs["both"])
    prediction = sharp["both"].predict_features(**features())
    answer = prediction.answers[0]
    assert list(answer.targets) == NAMES == [facts.name for facts in prediction.targets]
    emotion = answer.targets["emotion"]
    assert set(emotion.unimodal) == set(Modality)
    given = {m: features()[m] for m in map(str, Modality)}
    scored = raw.score_clips([{Modality(m): v for m, v in given.items()}])[0]
    for task, value in {
        Task.FUSION: emotion.overall,
        **{Task(m): v for m, v in emotion.unimodal.items()},
    }.items():
        probabilities = np.array(list(value.probabilities.values()))
        assert probabilities.sum() == pytest.approx(1, abs=1e-12)
        flat = np.sqrt(scored.targets["emotion"][task])
        np.testing.assert_allclose(probabilities, flat / flat.sum(), atol=1e-6)
        assert value.name == EMOTION.classes[probabilities.argmax()]
        assert set(value.possible) == {value.name, "neu"}
        assert value.words == (value.name if value.name == "neu" else f"{value.name} or neu")
    tags = answer.targets["tags"].overall
    assert tags.probabilities["up"] == pytest.approx(scored.targets["tags"][Task.FUSION][0])
    assert "strong" in tags.possible
    assert ("up" in tags.certain) == (tags.probabilities["up"] > 0.5)
    valence = answer.targets["valence"].overall
    assert valence.value == pytest.approx(scored.targets["valence"][Task.FUSION][0])
    assert (valence.low, valence.high) == pytest.approx(
        (valence.value - 0.25, valence.value + 0.25)
    )
    moods = answer.targets["moods.of it"].overall.levels
    assert list(moods) == ["joy", "woe"]
    assert (moods["woe"].low, moods["woe"].high) == (0, 3)
    assert "emotion: no validation clip was pos, so that sets without it were not tested" in (
        prediction.warnings
    )


def test_of_many_classes_that_no_clip_was_a_note_names_some():
    classes = tuple(f"c{number:03d}" for number in range(200))
    stance = Target(name="stance", kind=TargetKind.CLASS, classes=classes)
    known = ValueCalibration(num_clips=30, unseen=classes[20:])
    calibration = TargetCalibration(level=0.9, by_modalities={"text": known})
    (note,) = describe_limits([stance], {"stance": calibration})
    assert "no validation clip was c020, c021, c022, c023, c024, c025 or 174 others, so" in note


def test_a_modality_alone_and_missing_ones(sharp):
    answer = sharp["both"].predict_features(**features(modalities=[AUDIO])).answers[0]
    emotion = answer.targets["emotion"]
    assert set(emotion.unimodal) == {AUDIO} == set(answer.present)
    assert emotion.overall == emotion.unimodal[AUDIO]
    assert answer.absent == {TEXT: "not given", VIDEO: "not given"}


def test_few_validation_clips_tell_nothing_and_this_is_shown(runs):
    prediction = load(runs["both"]).predict_features(**features())
    emotion = prediction.answers[0].targets["emotion"].overall
    assert set(emotion.possible) == set(EMOTION.classes)
    assert emotion.words == "cannot tell: any of 3"
    text = format_prediction(prediction)
    assert "cannot tell: any of 3, 90 %" in text
    assert "(cannot tell: the scale is as wide)" in text


def test_an_old_checkpoint_answers_without_sets(runs, tmp_path):
    old = change_header(runs["both"], tmp_path / "old.safetensors", target_calibration=None)
    prediction = load(old).predict_features(**features())
    emotion = prediction.answers[0].targets["emotion"].overall
    assert emotion.possible is None
    assert emotion.words == emotion.name
    assert prediction.targets[0].level is None
    assert prediction.warnings == (
        f"{', '.join(NAMES)}: without sets or intervals, which the model was not calibrated for "
        "when it was trained",
    )
    assert "%" not in format_prediction(prediction).partition("model:")[0].replace(
        " 90 % prediction", ""
    )


@pytest.mark.drawn
def test_without_sentiment_nothing_is_said_of_it(sharp, tmp_path):
    model = sharp["alone"]
    prediction = model.predict_features(**features())
    answer = prediction.answers[0]
    assert answer.score is None
    assert prediction.overall is None
    assert not answer.unimodal
    assert not prediction.has_sentiment
    assert answer.present == tuple(Modality)
    assert all(word.effect is None for word in answer.words)
    several = lengthen(prediction, model.predict_features(**features(2)))
    listed = PredictionList([prediction, several])
    shown = [
        *(json.dumps(each.to_dict()) for each in listed),
        *(format_prediction(each) for each in listed),
        *(str(to_rows(each)[0]) for each in listed),
        *(repr(each) + each._repr_html_() for each in (prediction, several, listed)),
        str(list(listed.to_pandas().columns)),
    ]
    for text in shown:
        assert "sentiment" not in text
        assert '"score":' not in text
        assert '"scale": [-3' not in text
        assert "emotion" in text
        assert "neutral" not in text
    for each in listed:
        assert Prediction.model_validate(each.to_dict()) == each
        each.plot(tmp_path / "p.png")
        assert (tmp_path / "p.png").stat().st_size > 10_000


def test_json_csv_and_frames_hold_the_same(sharp):
    model = sharp["both"]
    prediction = lengthen(
        model.predict_features(**features()), model.predict_features(**features(3))
    )
    again = Prediction.model_validate(json.loads(json.dumps(prediction.to_dict())))
    assert again == prediction
    names, *rows = to_rows(prediction)
    assert len(set(names)) == len(names)
    text = io.StringIO()
    csv.writer(text).writerows([names, *rows])
    frame = prediction.to_pandas()
    for row, answer in zip(csv.DictReader(io.StringIO(text.getvalue())), prediction, strict=True):
        emotion = answer.targets["emotion"]
        assert row["emotion/fusion"] == emotion.overall.name
        assert row["set/emotion/fusion"] == "|".join(emotion.overall.possible)
        for name, share in emotion.unimodal[TEXT].probabilities.items():
            assert float(row[f"emotion/text/{name}"]) == pytest.approx(share, rel=1e-5)
        assert float(row["low/valence/fusion"]) == pytest.approx(
            answer.targets["valence"].overall.low, rel=1e-5
        )
        assert row["possible/tags/fusion"] == "|".join(answer.targets["tags"].overall.possible)
    assert frame["emotion/fusion"].tolist() == [
        a.targets["emotion"].overall.name for a in prediction
    ]
    means = prediction.target_means
    expected = np.mean(
        [list(a.targets["emotion"].overall.probabilities.values()) for a in prediction], axis=0
    )
    np.testing.assert_allclose(list(means["emotion"].values()), expected)
    assert list(means["valence"]) == ["valence"]
    assert "emotion, mean: " in format_prediction(prediction)


@pytest.mark.parametrize("name", ["both", "alone"])
def test_onnx_has_the_numbers_of_torch_and_what_sets_need(sharp, name, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")
    model = sharp[name]
    made = export_onnx(model.checkpoint, tmp_path / "m.onnx")
    session = onnxruntime.InferenceSession(str(made.path), providers=["CPUExecutionProvider"])
    about = json.loads(session.get_modelmeta().custom_metadata_map["mien"])
    outputs = {output.name for output in session.get_outputs()}
    assert ("score_fusion" in outputs) == ("scale" in about) == (name == "both")
    assert [target["name"] for target in about["targets"]] == NAMES
    [block] = [b for b in read_blocks(ROOT / "docs/howto/onnx.md") if b.title == "sets.py"]
    shown = {}
    exec(compile(block.text, "sets.py", "exec"), shown)  # noqa: S102  # our own page
    for modalities in (tuple(Modality), (AUDIO,)):
        given = features(modalities=modalities)
        answer = model.predict_features(**given).answers[0]
        feeds = {}
        for m in Modality:
            values = given.get(str(m), np.zeros((1, SIZES[m]), np.float32))
            feeds |= {str(m): values[None], f"{m}_mask": np.full((1, len(values)), m in modalities)}
        for target in about["targets"]:
            for task in (Task.FUSION, *(Task(m) for m in modalities)):
                [raw] = session.run([target["outputs"][task]], feeds)[0]
                own = answer.targets[target["name"]]
                value = own.overall if task is Task.FUSION else own.unimodal[Modality(task)]
                if target["name"] != "emotion":
                    numbers = list(numbers_of(value, "valence").values())
                    np.testing.assert_allclose(raw, numbers, atol=1e-5)
                    continue
                there = "+".join(modalities if task is Task.FUSION else [task])
                scaled, possible = shown["read_classes"](target, raw, there)
                assert scaled == pytest.approx(value.probabilities, abs=1e-5)
                assert set(possible) == set(value.possible)


def test_a_word_moves_the_likeliest_class_by_what_its_probability_is_less_without_it(sharp):
    given = features()
    series = {m: (40 if m is TEXT else 5) * given[m] for m in Modality}
    words = tuple(Word(f"w{step}", step / 2, step / 2 + 0.4) for step in range(6))
    shown = UtteranceInput(
        start=0.0, end=3.0, transcript=" ".join(w.text for w in words), words=words,
        times=given["times"],
    )  # fmt: skip
    answers = {}
    for name, model in sharp.items():
        network = model.network
        scores = network.score_clips([series])[0]
        encoded = []

        def count(_module, given, _states, rows=encoded):
            rows.append(len(given[0].mask))

        parts = [network.model.encoders[m].standardise for m in (AUDIO, VIDEO)]
        parts.append(network.model.text_encoder)
        hooks = [part.register_forward_hook(count) for part in parts]
        answer = answers[name] = explain(network, scores, shown, series)
        for hook in hooks:
            hook.remove()
        assert sum(encoded) == 6 + 3 + 6  # each variant once: 6 words, 3 s of voice, 6 half seconds
        emotion = answer.targets["emotion"]
        own = emotion.overall.probabilities
        assert [(word.text, word.start) for word in emotion.words] == [w[:2] for w in words]
        for step, word in enumerate(emotion.words):
            rest = {**series, TEXT: np.delete(series[TEXT], step, axis=0)}
            raw = network.score_clips([rest])[0].targets["emotion"][Task.FUSION]
            flat = dict(zip(EMOTION.classes, np.sqrt(raw) / np.sqrt(raw).sum(), strict=True))
            loss = own[emotion.overall.name] - flat[emotion.overall.name]
            assert word.effect == pytest.approx(loss, abs=1e-6)
        said = [moment for moment in emotion.moments if moment.modality is TEXT]
        large = [word for word in emotion.words if abs(word.effect) >= 0.01]
        largest = sorted(large, key=lambda word: -abs(word.effect))[:3]
        assert [(m.text, m.effect) for m in said] == [(w.text, w.effect) for w in largest]
        assert f'"{said[0].text}" {said[0].effect:+.2f}' in describe_moments(emotion)
        cells = to_columns(network.targets, answer.targets)
        assert cells["strongest_words/emotion/fusion"] == "; ".join(
            f"{word.text} {word.effect:+.2f}" for word in largest
        )
        assert set(cells) <= set(name_columns(network.targets))
        assert TargetAnswer.model_validate(json.loads(emotion.model_dump_json())) == emotion
        assert "words" not in answer.targets["tags"].model_dump()
    both, alone = answers["both"], answers["alone"]
    assert all(word.effect is not None for word in both.words)
    assert all(word.effect is None for word in alone.words)
    assert both.targets["emotion"].words == alone.targets["emotion"].words


def test_text_in_another_language_rules_nothing_out(sharp):
    model = sharp["both"]
    answer = model.predict_features(**features()).answers[0]
    wide = widen(answer, Scale(-3, 3), TARGETS)
    for name, value in wide.targets.items():
        assert value.unimodal[AUDIO] == answer.targets[name].unimodal[AUDIO]
    assert wide.targets["emotion"].overall.words == "cannot tell: any of 3"
    assert wide.targets["tags"].unimodal[TEXT].certain == ()
    assert (wide.targets["valence"].overall.low, wide.targets["valence"].overall.high) == (1, 5)
    joy = wide.targets["moods.of it"].unimodal[TEXT].levels["joy"]
    assert (joy.low, joy.high) == (0, 3)


@pytest.mark.parametrize("num_classes", [1, 200])
def test_one_class_and_two_hundred(num_classes):
    classes = tuple(f"class {k}" for k in range(num_classes))
    target = Target(name="kind", kind=TargetKind.CLASS, classes=classes)
    values = np.arange(1.0, num_classes + 1)
    known = ValueCalibration(num_clips=500, margins=dict.fromkeys(classes, math.log(2.001)))
    calibration = {"kind": TargetCalibration(level=0.9, by_modalities={"text": known})}
    answers = answer_targets(
        [target], calibration, {"kind": {Task.FUSION: values / values.sum()}}, [TEXT]
    )
    value = answers["kind"].overall
    assert sum(value.probabilities.values()) == pytest.approx(1)
    if num_classes == 1:
        assert value.words == "class 0"
    else:
        assert len(value.possible) == 101
        assert value.words == "class 199, class 198, class 197 or 98 others of 200"
    assert describe_limits([target], calibration) == ()


def test_sets_in_words():
    assert name_set(["a", "b", "c", "d"], 9) == "a, b, c or d"
    assert name_labels(["a", "b"], ["c"], 4) == "a and b; perhaps c"
    assert name_labels([], list("abcdef"), 9) == "perhaps a, b, c or 3 others"


def test_models_of_sentiment_alone_say_nothing_of_targets():
    prediction = StandIn().predict_text("I like it")
    told = prediction.to_dict()
    assert list(told) == [*OLD_FIELDS, "overall"]
    assert "targets" not in told["answers"][0]
    assert not any("/" in name for name in to_rows(prediction)[0])
