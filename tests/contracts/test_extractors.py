"""What every extractor promises; whatever is in EXTRACTORS is tested by being there.

    python tests/contracts/test_extractors.py NAME...

writes the numbers of tests/golden/extractors.json anew. If they have moved, the version at the end
of the extractor's name must move too.
"""

import csv
import json
import re
import sys
import tempfile
import wave
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))  # when run as a program

import talking

from mien.errors import AssetError, ConfigError
from mien.extraction.extractors import EXTRACTORS, Source
from mien.extraction.extractors.openface.csv_files import OPENFACE_709
from mien.types import Modality

GOLDEN = Path(__file__).parents[1] / "golden" / "extractors.json"
SECONDS = 2.0

#: Third-party packages warn about themselves when they are imported or first used.
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:.*pin_memory.*:UserWarning"),
]
#: Those that take seconds for a clip; smaller ones are of the same code.
SLOW = ("whisper-base/1", "whisper-base-short/1")


def each(*modalities):
    return pytest.mark.parametrize(
        "name",
        [
            pytest.param(name, marks=pytest.mark.slow if name in SLOW else ())
            for name, entry in EXTRACTORS.items()
            if entry.modality in modalities
        ],
    )


every_extractor = each(*Modality)
every_hearing_extractor = each(Modality.AUDIO)


def write_tiny_wav2vec2(folder):
    """Write a random wav2vec 2.0 model with the published strides and hardly any weights."""
    import torch
    from transformers import Wav2Vec2Config, Wav2Vec2FeatureExtractor, Wav2Vec2Model

    torch.manual_seed(1)
    config = Wav2Vec2Config(
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        conv_dim=(8,) * 7,
        num_conv_pos_embeddings=16,
        num_conv_pos_embedding_groups=2,
    )
    Wav2Vec2Model(config).save_pretrained(folder)
    Wav2Vec2FeatureExtractor(do_normalize=True).save_pretrained(folder)
    return folder


def write_openface_csv(folder):
    """Write what OpenFace would leave for ``clip``: 50 frames of numbers drawn once for all."""
    rng = np.random.default_rng(1)
    with (folder / "clip.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["frame", "face_id", "timestamp", "confidence", "success", *OPENFACE_709])
        for frame in range(50):
            values = rng.standard_normal(len(OPENFACE_709)).round(3)
            writer.writerow([frame + 1, 0, frame / 25, 0.98, 1, *values])
    return folder


def write_recording(folder):
    path = folder / "clip.wav"
    samples = np.round(32767 * talking.voice(SECONDS, 16000)).astype("<i2")
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 16000, 0, "NONE", ""))
        file.writeframes(samples.tobytes())
    return path


def settings_of(name, folder):
    """Return what must stand after the name for the extractor to work here."""
    if name == "wav2vec2/1":
        return str(write_tiny_wav2vec2(folder))
    if name.startswith("openface"):
        return str(write_openface_csv(folder))
    return ""


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Build extractors once, and skip those whose package or model is not here."""
    extractors = {}

    def build(name):
        if name not in extractors:
            folder = tmp_path_factory.mktemp("settings")
            try:
                extractors[name] = EXTRACTORS[name].build(settings_of(name, folder))
            except AssetError as error:
                extractors[name] = str(error)
            except ConfigError as error:
                if "not installed" not in str(error):
                    raise
                extractors[name] = str(error)
        if isinstance(extractors[name], str):
            pytest.skip(extractors[name])
        return extractors[name]

    return build


@pytest.fixture(scope="module")
def features(built, source):
    """The features of the one clip, made once."""
    made = {}

    def make(name):
        extractor = built(name)
        if name not in made:
            made[name] = extract(extractor, source)
        return made[name]

    return make


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return Source(path=write_recording(tmp_path_factory.mktemp("clips")))


def sound(extractor, seconds=SECONDS, seed=1):
    size = round(seconds * extractor.rate_hertz)
    noise = 0.003 * np.random.default_rng(seed).standard_normal(size)
    return (talking.voice(seconds, extractor.rate_hertz) + noise).astype(np.float32)


def pictures(extractor):
    rate = extractor.frame_rate or 25.0
    for number in range(round(SECONDS * rate)):
        time = number / rate
        yield talking.scene(float(talking.opening(np.asarray(time)))), time


def feed(stream, samples, chunk):
    for place in range(0, samples.size, chunk):
        stream.feed(samples[place : place + chunk])
    return stream.finish()


def extract(extractor, source, chunk=4410):
    if hasattr(extractor, "extract"):
        return extractor.extract(source)
    stream = extractor.begin(source)
    if hasattr(extractor, "rate_hertz"):
        return feed(stream, sound(extractor), chunk)
    for image, time in pictures(extractor):
        stream.feed(image, time)
    return stream.finish()


def summarise(features):
    """Return a few numbers that move when the features do."""
    values = features.values.astype(np.float64)
    return {
        "shape": list(values.shape),
        "mean": values.mean(),
        "spread": values.std(),
        "largest": np.abs(values).max(),
        "first": values[0, :4].tolist(),
        "last": values[-1, -4:].tolist(),
        "times": [features.times[0], features.times[-1]],
    }


@every_extractor
def test_a_name_ends_in_a_version_and_a_summary_is_one_line(name):
    assert re.fullmatch(r"[a-z0-9+-]+/[1-9][0-9]*", name)
    assert "\n" not in EXTRACTORS[name].summary
    assert EXTRACTORS[name].summary


@every_extractor
def test_features_are_finite_and_have_the_names_that_were_promised(built, features, name):
    extractor, found = built(name), features(name)
    assert extractor.name.split(":")[0] == name
    assert len(found.values) > 0
    assert found.values.dtype == np.float32
    assert found.values.shape[1] == len(extractor.feature_names)
    assert len(set(extractor.feature_names)) == len(extractor.feature_names)
    assert np.isfinite(found.values).all()
    json.dumps(found.notes)


@every_extractor
def test_times_increase_lie_in_the_clip_and_keep_the_step(built, features, name):
    times, step = features(name).times, built(name).step_seconds
    assert times[0] >= 0
    assert times[-1] <= SECONDS + (step or 0.0)
    assert (np.diff(times) > 0).all()
    if step is not None:  # a step may be absent, never in another place
        steps = (times - times[0]) / step
        np.testing.assert_allclose(steps, np.round(steps), atol=1e-6)


@every_extractor
def test_the_same_clip_gives_the_same_features_whatever_came_between(built, features, source, name):
    extractor, first = built(name), features(name)
    if hasattr(extractor, "rate_hertz"):
        feed(extractor.begin(source), 0.5 * sound(extractor, 1.3, seed=2), 999)
    second = extract(extractor, source)
    np.testing.assert_array_equal(first.values, second.values)
    np.testing.assert_array_equal(first.times, second.times)
    assert first.notes == second.notes


@every_hearing_extractor
@pytest.mark.parametrize("chunk", [777, 10**9])
def test_sound_gives_the_same_features_however_it_is_cut(built, features, source, name, chunk):
    extractor, expected = built(name), features(name)
    found = extract(extractor, source, chunk)
    np.testing.assert_array_equal(found.values, expected.values)
    np.testing.assert_array_equal(found.times, expected.times)


@every_hearing_extractor
def test_an_extractor_does_not_keep_or_alter_the_sound_it_is_fed(built, features, source, name):
    extractor, expected = built(name), features(name)
    samples = sound(extractor)
    stream = extractor.begin(source)
    buffer = np.empty(1000, np.float32)
    for place in range(0, samples.size, 1000):
        piece = samples[place : place + 1000]
        buffer[: piece.size] = piece
        stream.feed(buffer[: piece.size])
        np.testing.assert_array_equal(buffer[: piece.size], piece)
    np.testing.assert_array_equal(stream.finish().values, expected.values)


@every_hearing_extractor
def test_two_clips_at_a_time_do_not_mix(built, features, source, name):
    extractor = built(name)
    one, two = sound(extractor), sound(extractor, seed=2)[::-1].copy()
    expected = [features(name), feed(extractor.begin(source), two, 10**9)]
    streams = [extractor.begin(source), extractor.begin(source)]
    for place in range(0, one.size, 2000):
        for stream, samples in zip(streams, (one, two), strict=True):
            stream.feed(samples[place : place + 2000])
    for stream, wanted in zip(streams, expected, strict=True):
        np.testing.assert_array_equal(stream.finish().values, wanted.values)


@every_extractor
def test_a_clip_without_the_modality_has_no_step(built, source, name):
    extractor = built(name)
    if hasattr(extractor, "extract"):
        pytest.skip("it reads the recording by itself")
    found = extractor.begin(source).finish()
    assert found.values.shape == (0, len(extractor.feature_names))
    assert found.times.shape == (0,)


@every_hearing_extractor
def test_silence_gives_finite_features(built, source, name):
    extractor = built(name)
    found = feed(extractor.begin(source), np.zeros(extractor.rate_hertz, np.float32), 4000)
    assert len(found.values) > 0
    assert np.isfinite(found.values).all()


@every_extractor
def test_numbers_move_only_with_the_version(features, name):
    golden = json.loads(GOLDEN.read_text(encoding="utf-8"))
    assert name in golden, f"run: python tests/contracts/test_extractors.py {name}"
    found = summarise(features(name))
    assert found["shape"] == golden[name]["shape"]
    for key, wanted in golden[name].items():
        np.testing.assert_allclose(found[key], wanted, rtol=2e-3, atol=2e-3, err_msg=key)


def write_golden(names):
    golden = json.loads(GOLDEN.read_text(encoding="utf-8")) if GOLDEN.exists() else {}
    for name in names:
        with tempfile.TemporaryDirectory() as folder:
            source = Source(path=write_recording(Path(folder)))
            extractor = EXTRACTORS[name].build(settings_of(name, Path(folder)))
            golden[name] = summarise(extract(extractor, source))
    GOLDEN.parent.mkdir(exist_ok=True)
    ordered = {name: golden[name] for name in EXTRACTORS if name in golden}
    GOLDEN.write_text(json.dumps(ordered, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    write_golden(sys.argv[1:] or list(EXTRACTORS))
