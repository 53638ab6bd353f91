import warnings
from pathlib import Path

import numpy as np
import pytest
import talking
from filelock import FileLock, Timeout

from mien.errors import AssetError, ConfigError, FeatureError, MediaError
from mien.extraction.extractors import EXTRACTORS, Source, audio_librosa
from mien.extraction.extractors.audio_encoder import TransformersEncoder, WhisperEncoder
from mien.extraction.extractors.audio_librosa import LibrosaSims
from mien.extraction.extractors.audio_opensmile import Egemaps
from mien.extraction.extractors.windows import Analysis, Windowing, WindowStream

SOURCE = Source(path=Path("video/clip.mp4"))

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def extract(extractor, samples, chunk=10**9):
    stream = extractor.begin(SOURCE)
    for place in range(0, samples.size, chunk):
        stream.feed(samples[place : place + chunk])
    return stream.finish()


def make_voice(seconds, rate, pitch=150.0):
    size = round(seconds * rate)
    noise = 0.003 * np.random.default_rng(1).standard_normal(size)
    return (talking.voice(seconds, rate, pitch=pitch) + noise).astype(np.float32)


# --- windows --------------------------------------------------------------------------------------


def echo(windowing, total, chunk):
    """Cut the numbers 0, 1, 2 ... and return the windows."""
    windows = []

    def analyse(window):
        windows.append(window)
        end = window.first + window.samples.size if window.end is None else window.end
        own = window.samples[window.begin - window.first : end - window.first]
        return Analysis(own[:, None].astype(float), own.astype(float))

    stream = WindowStream(windowing, analyse, source=SOURCE, name="echo/1", size=1, rate_hertz=10)
    numbers = np.arange(total, dtype=np.float32)
    for start in range(0, total, chunk):
        stream.feed(numbers[start : start + chunk])
    return stream.finish(), windows


@pytest.mark.parametrize("total", [1, 9, 10, 11, 13, 14, 20, 23, 24, 25, 57, 100])
@pytest.mark.parametrize("chunk", [1, 3, 10, 1000])
def test_windows_follow_on_each_other_and_have_their_surroundings(total, chunk):
    features, windows = echo(Windowing(hop=10, before=4, after=3), total, chunk)
    assert features.values[:, 0].tolist() == list(range(total))
    for number, window in enumerate(windows):
        assert window.begin == 10 * number
        assert window.first == max(window.begin - 4, 0)
        assert window.samples[0] == window.first
        is_last = number == len(windows) - 1
        assert window.end == (None if is_last else window.begin + 10)
        assert window.samples[-1] == (total - 1 if is_last else window.begin + 12)
    assert len(windows) == 1 or windows[-1].samples.size > 3


def test_less_sound_than_one_frame_is_an_error_that_says_so():
    with pytest.raises(MediaError, match=r"clip\.mp4: the clip has 4 samples .* shorter than one"):
        echo(Windowing(hop=10, least=5), 4, 2)
    assert echo(Windowing(hop=10, least=5), 5, 2)[0].values.shape == (5, 1)
    assert echo(Windowing(hop=10, least=5), 0, 2)[0].values.shape == (0, 1)


def test_a_value_that_is_not_finite_is_an_error_with_its_place():
    def analyse(window):
        values = np.zeros((window.samples.size, 2))
        values[3, 1] = np.nan
        return Analysis(values, np.arange(window.samples.size) / 10)

    stream = WindowStream(
        Windowing(hop=10), analyse, source=SOURCE, name="bad/1", size=2, rate_hertz=10
    )
    stream.feed(np.zeros(7, np.float32))
    with pytest.raises(FeatureError, match=r"bad/1 gives nan for feature 1 at 0\.30 s"):
        stream.finish()


# --- librosa --------------------------------------------------------------------------------------


def by_hand(samples):
    """The published values, by librosa alone."""
    librosa = pytest.importorskip("librosa", reason="pip install mien[extract]")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        rate = librosa.feature.zero_crossing_rate(samples)
        mfcc = librosa.feature.mfcc(y=samples, sr=22050, n_mfcc=20, htk=True)
        chroma = librosa.feature.chroma_cqt(y=samples, sr=22050)
    return np.concatenate([rate, mfcc, chroma]).T


@pytest.fixture(scope="module")
def librosa_sims():
    pytest.importorskip("librosa", reason="pip install mien[extract]")
    return LibrosaSims()


@pytest.mark.parametrize("size", [2048, 2049, 5000, 22050, 50000, 66150])
def test_the_33_values_equal_librosa_by_hand(librosa_sims, size):
    samples = make_voice(3.0, 22050)[:size]
    found = extract(librosa_sims, samples, 1000)
    np.testing.assert_allclose(found.values, by_hand(samples), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(found.times, np.arange(1 + size // 512) * 512 / 22050)


def test_the_33_values_of_silence_equal_librosa_by_hand(librosa_sims):
    samples = np.zeros(22050, np.float32)
    np.testing.assert_allclose(extract(librosa_sims, samples).values, by_hand(samples))


def test_a_clip_shorter_than_a_frame_of_librosa_is_an_error(librosa_sims):
    with pytest.raises(MediaError, match=r"shorter than one frame of librosa-sims/1 \(2048"):
        extract(librosa_sims, make_voice(0.09, 22050))


def test_a_long_recording_is_analysed_in_pieces_on_the_same_grid(librosa_sims, monkeypatch):
    """Away from what librosa takes from the whole signal, a seam is not to be seen."""
    monkeypatch.setattr("mien.extraction.extractors.audio_librosa.WINDOW_STEPS", 100)
    samples = make_voice(8.0, 22050)
    found = extract(librosa_sims, samples, 3000)
    expected = by_hand(samples)
    assert found.values.shape == expected.shape
    np.testing.assert_allclose(found.times, np.arange(len(expected)) * 512 / 22050)
    np.testing.assert_array_equal(found.values[:, 0], expected[:, 0].astype(np.float32))
    np.testing.assert_allclose(found.values[:, 1:21], expected[:, 1:21], atol=1e-2)
    assert np.abs(found.values[:, 21:] - expected[:, 21:]).mean() < 0.05
    at_once = extract(librosa_sims, samples)
    np.testing.assert_array_equal(found.values, at_once.values)


def test_names_of_the_33_values_are_in_the_published_order(librosa_sims):
    names = librosa_sims.feature_names
    assert len(names) == 33
    assert (names[0], names[1], names[20]) == ("zero_crossing_rate", "mfcc_0", "mfcc_19")
    tone = 0.5 * np.sin(2 * np.pi * 440 * np.arange(22050) / 22050).astype(np.float32)
    strongest = extract(librosa_sims, tone).values[20, 21:].argmax()
    assert names[21 + strongest] == "chroma_A"


# --- openSMILE ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("level", "by_hand_level", "name"),
    [
        ("lld", "LowLevelDescriptors", "egemaps-lld/1"),
        ("functionals", "Functionals", "egemaps/1"),
    ],
)
def test_egemaps_equals_opensmile_by_hand(level, by_hand_level, name):
    opensmile = pytest.importorskip("opensmile", reason="pip install mien[opensmile]")
    smile = opensmile.Smile(
        feature_set=opensmile.FeatureSet.eGeMAPSv02,
        feature_level=opensmile.FeatureLevel[by_hand_level],
    )
    samples = make_voice(2.0, 16000)
    extractor = Egemaps(level)
    found = extract(extractor, samples, 1000)
    assert extractor.name == name
    assert extractor.feature_names == tuple(smile.feature_names)
    np.testing.assert_allclose(found.values, smile.process_signal(samples, 16000).to_numpy())


def test_the_pitch_of_egemaps_follows_the_voice():
    pytest.importorskip("opensmile", reason="pip install mien[opensmile]")
    extractor = Egemaps("lld")
    column = extractor.feature_names.index("F0semitoneFrom27.5Hz_sma3nz")
    low, high = (
        np.median([p for p in extract(extractor, voice).values[:, column] if p > 0])
        for voice in (make_voice(2.0, 16000, pitch=120.0), make_voice(2.0, 16000, pitch=240.0))
    )
    assert high - low == pytest.approx(12.0, abs=0.3)  # an octave


def test_long_functionals_are_one_step_per_piece(monkeypatch):
    pytest.importorskip("opensmile", reason="pip install mien[opensmile]")
    monkeypatch.setattr("mien.extraction.extractors.audio_opensmile.WINDOW_SIZE", 16000)
    found = extract(Egemaps("functionals"), make_voice(3.5, 16000))
    np.testing.assert_allclose(found.times, [0.5 + 0.03, 1.5 + 0.03, 2.5 + 0.03, 3.25])
    descriptors = extract(Egemaps("lld"), make_voice(3.5, 16000))
    np.testing.assert_allclose(np.diff(descriptors.times), 0.01)


def test_the_licence_of_opensmile_is_said_where_it_is_chosen():
    for name in ("egemaps/1", "egemaps-lld/1"):
        assert "research and private use only" in EXTRACTORS[name].summary


# --- encoders -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def whisper():
    pytest.importorskip("faster_whisper", reason="pip install mien[extract]")
    try:
        return WhisperEncoder("whisper-tiny-en")
    except AssetError as error:
        pytest.skip(str(error))


def test_whisper_has_a_state_for_every_50th_of_a_second_of_sound(whisper):
    found = extract(whisper, make_voice(1.25, 16000))
    assert found.values.shape == (63, 384)
    np.testing.assert_allclose(found.times, 0.01 + 0.02 * np.arange(63))


def test_whisper_goes_on_after_its_window_of_30_seconds(whisper):
    samples = np.tile(make_voice(1.0, 16000), 31)
    found = extract(whisper, samples)
    assert found.values.shape == (31 * 50, 384)
    np.testing.assert_array_equal(found.values[:1500], extract(whisper, samples[:480000]).values)
    np.testing.assert_array_equal(found.values[1500:], extract(whisper, samples[480000:]).values)


def test_short_windows_are_filled_up_to_a_multiple_of_5_seconds(whisper, monkeypatch):
    from mien.extraction.extractors.whisper import SoundEncoder

    sizes, encode = [], SoundEncoder.encode_sound

    def count(model, samples, size):
        sizes.append(size)
        return encode(model, samples, size)

    monkeypatch.setattr(SoundEncoder, "encode_sound", count)
    short = WhisperEncoder("whisper-tiny-en", "short")
    for seconds, filled in ((1.25, 5), (4.75, 10), (29.75, 30)):
        samples = np.tile(make_voice(1.0, 16000), 30)[: int(seconds * 16000)]
        found = extract(short, samples)
        assert sizes[-1] == filled * 16000
        assert found.values.shape == (-(-samples.size // 320), 384)
    np.testing.assert_array_equal(found.values, extract(whisper, samples).values)


@pytest.fixture
def tiny_encoder(tmp_path):
    torch = pytest.importorskip("torch")
    from transformers import Wav2Vec2Config, Wav2Vec2FeatureExtractor, Wav2Vec2Model

    torch.manual_seed(1)
    config = Wav2Vec2Config(
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        conv_dim=(8,) * 7,
        num_conv_pos_embeddings=16,
        num_conv_pos_embedding_groups=2,
    )
    Wav2Vec2Model(config).save_pretrained(tmp_path / "tiny")
    Wav2Vec2FeatureExtractor(do_normalize=True).save_pretrained(tmp_path / "tiny")
    return tmp_path / "tiny"


def test_an_encoder_of_transformers_equals_transformers_by_hand(tiny_encoder):
    import torch
    from transformers import AutoFeatureExtractor, AutoModel

    samples = make_voice(1.5, 16000)
    prepared = AutoFeatureExtractor.from_pretrained(tiny_encoder)(
        samples, sampling_rate=16000, return_tensors="pt"
    )
    with torch.no_grad():
        expected = AutoModel.from_pretrained(tiny_encoder)(**prepared).last_hidden_state[0]
    extractor = EXTRACTORS["wav2vec2/1"].build(str(tiny_encoder))
    found = extract(extractor, samples, 999)
    np.testing.assert_allclose(found.values, expected.numpy(), atol=1e-5)
    assert (extractor.rate_hertz, extractor.step_seconds) == (16000, 0.02)
    np.testing.assert_allclose(found.times, 0.0125 + 0.02 * np.arange(len(expected)))


def test_long_sound_is_encoded_in_windows_whose_steps_lie_on_one_grid(tiny_encoder, monkeypatch):
    monkeypatch.setattr("mien.extraction.extractors.audio_encoder.WINDOW_SECONDS", 1)
    samples = make_voice(3.3, 16000)
    found = extract(TransformersEncoder(str(tiny_encoder)), samples, 999)
    num_steps = (samples.size - 400) // 320 + 1
    assert found.values.shape == (num_steps, 16)
    np.testing.assert_allclose(found.times, 0.0125 + 0.02 * np.arange(num_steps))


def test_the_name_of_an_encoder_says_which_weights_it_has(tiny_encoder):
    before = TransformersEncoder(str(tiny_encoder)).name
    assert before == TransformersEncoder(str(tiny_encoder)).name
    assert before.startswith("wav2vec2/1:tiny@")
    weights = bytearray((tiny_encoder / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (tiny_encoder / "model.safetensors").write_bytes(weights)
    assert TransformersEncoder(str(tiny_encoder)).name != before


def test_an_encoder_that_lacks_weights_is_refused(tiny_encoder):
    from safetensors.numpy import load_file, save_file

    weights = load_file(tiny_encoder / "model.safetensors")
    lacking = {key: one for key, one in weights.items() if "attention.k_proj" not in key}
    save_file(lacking, tiny_encoder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(AssetError, match=r"weights are missing: encoder\.layers\.0\.att"):
        TransformersEncoder(str(tiny_encoder))


def test_a_model_that_is_no_speech_encoder_is_refused(tiny_bert, tmp_path):
    with pytest.raises(AssetError, match=r"cannot be loaded .* give a local folder"):
        TransformersEncoder(str(tmp_path))
    with pytest.raises(AssetError, match=r"cannot be loaded|takes the raw wave"):
        TransformersEncoder(str(tiny_bert))


def test_wav2vec2_without_a_model_says_what_to_write():
    with pytest.raises(ConfigError, match="write wav2vec2/1:FOLDER"):
        EXTRACTORS["wav2vec2/1"].build("")


@pytest.mark.parametrize("name", ["librosa-sims/1", "egemaps/1", "egemaps-lld/1"])
def test_an_extractor_without_settings_refuses_settings(name):
    with pytest.raises(ConfigError, match="takes no settings, found 'x'"):
        EXTRACTORS[name].build("x")


def test_a_missing_package_of_an_extra_is_named(monkeypatch):
    monkeypatch.setattr("mien.errors.find_spec", lambda _: None)
    with pytest.raises(ConfigError, match=r"pip install .*\[opensmile\]"):
        EXTRACTORS["egemaps/1"].build("")
    with pytest.raises(ConfigError, match=r"pip install .*\[extract\]"):
        EXTRACTORS["librosa-sims/1"].build("")


def test_librosa_compiles_while_no_other_process_does(librosa_sims, monkeypatch, tmp_path):
    """Two workers that compiled at once left files on which all later ones ended by a signal."""
    monkeypatch.setenv("MIEN_DATA", str(tmp_path / "data"))
    held = []

    def compute(samples, _):
        lock = FileLock(tmp_path / "data" / ".librosa.lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            held.append(True)
        else:
            lock.release()
            held.append(False)
        return np.zeros((1 + len(samples) // 512, 33))

    monkeypatch.setattr(audio_librosa, "compute_values", compute)
    audio_librosa.compile_librosa.cache_clear()
    extract(librosa_sims, np.zeros(22050, np.float32))
    extract(librosa_sims, np.zeros(22050, np.float32))
    assert held == [True, False, False]  # locked for what is compiled first, and then no more
    audio_librosa.compile_librosa.cache_clear()
