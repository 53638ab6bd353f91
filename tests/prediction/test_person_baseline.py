import json
from dataclasses import replace

import numpy as np
import pytest
import talking

import mien
from mien.cli import main
from mien.data.store_writer import write_store
from mien.errors import ConfigError, MediaError
from mien.prediction.answering.person_baseline import PersonFinder
from mien.prediction.explain import UtteranceInput
from mien.prediction.presentation.text import format_prediction
from mien.prediction.recording import RecordingReader
from mien.training.checkpoints.checkpoint import read_header, read_tensors, write_tensors
from mien.training.checkpoints.shipped_models import SHIPPED_MODELS
from mien.types import Clip, Corpus, Material, Modality, Scale, SeriesSource, Task

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
    assert [own.level, none.level] == [0.9, 0.5]  # of the widths that are shown
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


def test_clips_of_a_store_are_read_against_their_speakers_if_that_is_chosen(tmp_path):
    header = read_header(SMALL)
    features = {**header["config"]["features"], "standardise": "speaker"}
    config = {**header["config"], "features": features}
    path = tmp_path / "usual.safetensors"
    write_tensors(path, read_tensors(SMALL), {**header, "config": config, "usual_baseline": "none"})
    drawn = np.random.default_rng(1)
    sizes = {m: size for m, size in header["sizes"].items() if m != "text"}
    steps = {m: [drawn.normal(size=(3, size)) for _ in range(4)] for m, size in sizes.items()}
    clips = tuple(
        Clip(id=f"v$_${n}", split="test", transcript="so good", labels={Task.FUSION: 1.0})
        for n in range(4)
    )
    series = tuple(
        SeriesSource(
            name=m, size=size, dtype="float32", extractor="made/1",
            read=lambda m=m: iter(values.astype(np.float32) for values in steps[m]),
        )
        for m, size in sizes.items()
    )  # fmt: skip
    corpus = Corpus(name="made", language="en", scale=Scale(-3, 3), clips=clips)
    store = write_store(Material(corpus=corpus, series=series, origin={}), tmp_path / "s")

    def score(baseline):
        return mien.load(path, baseline=baseline).score_store(store).scores[Task.FUSION].tolist()

    assert score(None) == score("none") != score("recording")


def test_features_are_read_against_another_recording(relative, faces):
    drawn = np.random.default_rng(1)
    none, other = (mien.load(relative, baseline=b, companion="none") for b in ("none", faces[1]))
    face = drawn.random((9, other.network.sizes[Modality.VIDEO]), np.float32)
    read = other.predict_features(transcript="so good", video=face)
    assert read.baseline.source == "1.0.mp4"
    assert none.predict_features(transcript="so good", video=face).answers != read.answers
    network = other.network
    person, _ = PersonFinder(RecordingReader(network), network, faces[1]).find(iter([]), 1)
    expected = none.predict_features(
        transcript="so good", video=person.read({Modality.VIDEO: face}, 0)[Modality.VIDEO]
    )
    assert [a.score.value for a in read] == [a.score.value for a in expected]
    assert other.predict_text("so good").baseline.kind == "none"
    with pytest.raises(ConfigError, match=r"video: has the shape \(9, 2\)"):
        other.predict_features(video=face[:, :2])


def test_a_recording_is_no_baseline_of_itself(relative, faces):
    itself = mien.load(relative, baseline=faces[0]).predict(faces[0])
    assert itself.baseline.kind == "recording"


def test_the_recording_of_a_baseline_is_read_before_all_others(relative, faces, tmp_path, capsys):
    broken = tmp_path / "notes.txt"
    broken.write_text("no recording")
    with pytest.raises(MediaError, match=r"notes\.txt"):
        mien.load(relative, baseline=broken).make_ready()
    given = ["--model", str(relative), "--baseline", str(broken)]
    assert main(["predict", *map(str, faces), *given]) == 2
    assert "could not be predicted" not in capsys.readouterr().err


def test_a_companion_reads_the_face_as_it_is(relative, faces):
    own = mien.load(relative, companion="emotions").predict(faces[0])
    plain = mien.load("small").predict(faces[0])
    assert [a.targets for a in own] == [a.targets for a in plain]
    assert [a.score for a in own] != [a.score for a in plain]


def test_a_single_utterance_has_nobody_to_be_compared_with(relative, faces):
    prediction = mien.load(relative).predict(faces[1])
    assert prediction.baseline.kind == "none"
    assert "of whom no two utterances" in prediction.warnings[0]
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
