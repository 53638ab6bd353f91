import json
from dataclasses import replace

import numpy as np
import pytest
import talking

import mien
from mien.errors import ConfigError, MediaError
from mien.prediction.answering.person_baseline import PersonFinder
from mien.prediction.explain import UtteranceInput
from mien.prediction.presentation.text import format_prediction
from mien.prediction.recording import RecordingReader
from mien.training.checkpoints.checkpoint import read_header, read_tensors, write_tensors
from mien.training.checkpoints.shipped_models import SHIPPED_MODELS
from mien.types import Modality

_SECONDS = 1e-3  # of a person that count as much as train, so that a little of one shows

SMALL = SHIPPED_MODELS["small"]


@pytest.fixture(scope="module")
def relative(tmp_path_factory):
    """The weights of the shipped model, as if they were trained to know people; do not alter."""
    path = tmp_path_factory.mktemp("models") / "relative.safetensors"
    header = read_header(SMALL)
    features = {"standardise": "speaker", "baseline_seconds": _SECONDS}
    features = {**header["config"]["features"], **features}
    config = {**header["config"], "features": features}
    alone = {**header["calibration"], "level": 0.5}
    header = {**header, "config": config, "calibration_alone": alone}
    write_tensors(path, read_tensors(SMALL), header)
    return path


@pytest.fixture(scope="module")
def faces(tmp_path_factory):
    """Two silent clips of a portrait: of four seconds, cut into two utterances, and of one."""
    folder = tmp_path_factory.mktemp("clips")
    return [
        talking.write_clip(folder / f"{seconds}.mp4", seconds=seconds, has_audio=False)
        for seconds in (4.0, 1.0)
    ]


def test_the_person_comes_from_the_recording_from_another_one_or_from_nowhere(relative, faces):
    long, short = faces
    own = mien.load(relative).predict(long)
    none = mien.load(relative, baseline="none").predict(long)
    other = mien.load(relative, baseline=short).predict(long)
    train = mien.load("small").predict(long)
    assert len(own) == 2
    assert own.baseline.kind == "recording"
    assert own.baseline.seconds == {Modality.VIDEO: pytest.approx(4.0, abs=0.2)}
    assert none.baseline.kind == "none"
    assert other.baseline.kind == "clip"
    assert other.baseline.source == "1.0.mp4"
    assert other.baseline.seconds == {Modality.VIDEO: pytest.approx(1.0, abs=0.2)}
    scores = [[answer.score.value for answer in p] for p in (own, none, other, train)]
    assert scores[1] == scores[3]  # without a person everybody is read as in training
    assert scores[0] != scores[1] != scores[2] != scores[0]
    assert none.level == own.level
    for prediction, words in (
        (own, "the utterances of this recording"),
        (none, "baseline: none"),
        (other, "1.0.mp4 of the same person, 1 s of face"),
    ):
        assert words in format_prediction(prediction).replace("\n      ", " ")
        assert (
            mien.Prediction.model_validate(json.loads(prediction.model_dump_json())) == prediction
        )
    assert train.baseline is None
    assert not any("baseline" in warning for warning in train.warnings)


def test_a_model_may_say_that_a_recording_is_read_against_nobody(relative, faces, tmp_path):
    path = tmp_path / "usual.safetensors"
    header = {**read_header(relative), "usual_baseline": "none"}
    write_tensors(path, read_tensors(relative), header)
    assert mien.load(path).predict(faces[0]).baseline.kind == "none"
    assert mien.load(path, baseline="recording").predict(faces[0]).baseline.kind == "recording"


def test_a_companion_reads_the_face_as_it_is(relative, faces):
    own = mien.load(relative, companion="emotions").predict(faces[0])
    plain = mien.load("small").predict(faces[0])
    assert [a.targets for a in own] == [a.targets for a in plain]
    assert [a.score for a in own] != [a.score for a in plain]


def test_a_single_utterance_has_nobody_to_be_compared_with(relative, faces):
    prediction = mien.load(relative).predict(faces[1])
    assert prediction.baseline.kind == "none"
    assert [a.score.value for a in prediction] == [
        a.score.value for a in mien.load("small").predict(faces[1])
    ]


def read_voices(network, *num_steps):
    """Read a recording of so many utterances, of a second each, with so many steps of voice."""
    drawn = np.random.default_rng(0)
    size = network.sizes[Modality.AUDIO]
    inputs = [
        ({Modality.AUDIO: drawn.normal(size=(n, size)).astype(np.float32)}, UtteranceInput(
            start=float(number), end=number + 1.0
        ))
        for number, n in enumerate(num_steps)
    ]  # fmt: skip
    finder = PersonFinder(RecordingReader(network), network, "recording")
    person, same = finder.find(iter(inputs), len(inputs))
    assert list(same) == inputs
    is_same = all(
        np.array_equal(person.read(series, row)[Modality.AUDIO], series[Modality.AUDIO])
        for row, (series, _) in enumerate(inputs)
    )
    return person, is_same


def test_a_voice_that_one_utterance_alone_has_is_no_baseline(relative):
    network = mien.load(relative).network
    person, is_same = read_voices(network, 50, 0, 0, 0)
    assert person.facts.kind == "none"
    assert is_same
    assert person.calibrate(network).calibration == network.calibration_alone
    person, is_same = read_voices(network, 50, 0, 50)
    assert person.facts.kind == "recording"
    assert not is_same
    assert person.calibrate(network) is network


def test_a_person_counts_as_long_as_what_is_read_as_in_training(relative):
    network = mien.load(relative).network
    settings = network.config.features.model_copy(update={"max_steps": 10})
    network = replace(network, config=network.config.model_copy(update={"features": settings}))
    person, _ = read_voices(network, 50, 50)
    seconds = 20 * network.step_seconds[Modality.AUDIO]
    assert person.facts.seconds == {Modality.AUDIO: pytest.approx(seconds)}


def test_a_text_is_read_without_a_person(relative):
    prediction = mien.load(relative).predict_text("Not bad.")
    assert prediction.baseline.kind == "none"
    alone = mien.load("small", companion="none")
    assert prediction.answers == alone.predict_text("Not bad.").answers


def test_a_model_that_knows_no_people_takes_no_baseline():
    with pytest.raises(ConfigError, match=r"features\.standardise=train.*leave --baseline out"):
        mien.load("small", baseline="none")


def test_clips_of_a_store_are_not_read_against_a_recording(relative, faces, tiny_store):
    with pytest.raises(ConfigError, match=r"1\.0\.mp4 is a recording of one person, and the clips"):
        mien.load(relative, baseline=faces[1]).score_store(tiny_store)


def test_another_recording_must_be_there_and_hold_somebody(relative, faces, tmp_path):
    with pytest.raises(MediaError, match="nowhere"):
        mien.load(relative, baseline=tmp_path / "nowhere.mp4")
    empty = talking.write_clip(tmp_path / "grey.mp4", seconds=1.0, has_audio=False, num_faces=0)
    with pytest.raises(MediaError, match="nothing of a person"):
        mien.load(relative, baseline=empty).predict(faces[1])
