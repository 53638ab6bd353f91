from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import talking

from mien.errors import AssetError, ConfigError
from mien.extraction.extractors.audio_encoder import WhisperEncoder
from mien.extraction.extractors.speech import SpeechRecogniser, SpeechStream, Transcript
from mien.extraction.media import AudioSink, Source, decode
from mien.types import Word

CLIPS = Path(__file__).parents[3] / "shared" / "data" / "clips"
RATE = 16000

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")
needs_clips = pytest.mark.skipif(
    not CLIPS.exists(), reason="the clips are not beside the repository; put them into ../shared"
)


@pytest.fixture(scope="module")
def recogniser():
    pytest.importorskip("faster_whisper", reason="pip install mien[extract]")
    try:
        return SpeechRecogniser()
    except AssetError as error:
        pytest.skip(str(error))


class Counting:
    """Recognises a word for every second, named by how loud it is; keeps what it was given."""

    def __init__(self, word=(0.2, 0.7)):
        self.sizes = []
        self.word = word

    def recognise(self, samples):
        self.sizes.append(samples.size)
        start, end = self.word
        words = tuple(
            Word(f"{samples[second * RATE]:.2f}", second + start, second + end)
            for second in range(samples.size // RATE)
        )
        return Transcript(" ".join(word.text for word in words), words)


def recognise(recogniser, samples, chunk=10**9):
    stream = SpeechStream(recogniser.recognise)
    for place in range(0, samples.size, chunk):
        stream.feed(samples[place : place + chunk])
    return stream.finish()


def hear(path):
    pieces = []
    decode(Source(path=path), audio=[AudioSink(RATE, pieces.append)])
    return np.concatenate(pieces)


def check_times(words, seconds):
    times = [time for word in words for time in (word.start, word.end)]
    assert times == sorted(times)
    assert all(0 <= time <= seconds for time in times)


@pytest.mark.parametrize("chunk", [999, 16000, 10**9])
def test_a_long_recording_is_cut_where_it_is_quiet(chunk):
    samples = np.full(700 * RATE, 0.5, np.float32)
    samples[280 * RATE : 281 * RATE] = 0.0
    samples[565 * RATE : 566 * RATE] = 0.0
    counting = Counting()
    found = recognise(counting, samples, chunk)
    assert len(counting.sizes) == 3
    assert sum(counting.sizes) == samples.size
    assert 280 <= counting.sizes[0] / RATE <= 281
    assert 565 <= sum(counting.sizes[:2]) / RATE <= 566
    check_times(found.words, 700)
    assert found.words[-1].start == pytest.approx(
        sum(counting.sizes[:2]) / RATE + counting.sizes[2] // RATE - 1 + 0.2
    )


def test_five_minutes_are_recognised_at_once():
    counting = Counting()
    recognise(counting, np.zeros(300 * RATE, np.float32), 4410)
    assert counting.sizes == [300 * RATE]


def test_words_that_overlap_or_leave_the_clip_are_put_in_order():
    found = recognise(Counting(word=(-0.5, 1.6)), np.zeros(3 * RATE, np.float32))
    check_times(found.words, 3.0)
    assert [word.start for word in found.words] == [0.0, 1.6, 2.6]


def test_silence_noise_and_nothing_have_no_words(recogniser):
    rng = np.random.default_rng(1)
    noise = (0.01 * rng.standard_normal(3 * RATE)).astype(np.float32)
    for samples in (noise, np.zeros(3 * RATE, np.float32), noise[:1], noise[:0]):
        assert recognise(recogniser, samples) == Transcript("", ())


def test_a_text_that_goes_in_circles_is_not_believed(recogniser):
    found = recognise(recogniser, talking.voice(3.0, RATE))
    assert len(found.words) < 30
    check_times(found.words, 3.0)


def test_what_is_still_a_loop_when_asked_again_is_left_out(recogniser, monkeypatch):
    asked = []

    def transcribe(*_, **options):
        asked.append(options.get("no_repeat_ngram_size"))
        word = SimpleNamespace(word=" hello", start=0.0, end=0.5, probability=0.75)
        good = SimpleNamespace(compression_ratio=1.0, words=[word])
        return [good, SimpleNamespace(compression_ratio=9.0, words=[word] * 40)], None

    monkeypatch.setattr("faster_whisper.WhisperModel.transcribe", transcribe)
    monkeypatch.setattr(
        "faster_whisper.vad.get_speech_timestamps", lambda _: [{"start": 0, "end": RATE}]
    )
    found = recogniser.recognise(np.zeros(RATE, np.float32))
    assert asked == [None, 3]
    assert found.text == "hello"
    assert [word.text for word in found.words] == ["hello"]
    assert found.probabilities == (0.75,)


def test_a_made_sentence_is_recognised(recogniser):
    sound = talking.speech("The weather is very nice today, and I am happy.", RATE)
    if sound is None:
        pytest.skip("espeak-ng is not installed")
    found = recognise(recogniser, sound, 4000)
    assert "weather" in found.text.lower()
    check_times(found.words, sound.size / RATE)


@needs_clips
def test_a_real_clip_is_recognised_word_by_word(recogniser):
    sound = hear(CLIPS / "mosi" / "03bSnISJMiM_1.wav")
    found = recognise(recogniser, sound, 4000)
    assert found.text == "Anyhow, it was really good."
    assert [word.text for word in found.words] == ["Anyhow,", "it", "was", "really", "good."]
    check_times(found.words, sound.size / RATE)
    assert found == recognise(recogniser, sound, 777)


@needs_clips
def test_words_after_minutes_of_silence_have_their_times(recogniser):
    sound = hear(CLIPS / "mosi" / "03bSnISJMiM_1.wav")
    alone = recognise(recogniser, sound)
    silence = np.zeros(310 * RATE, np.float32)
    late = recognise(recogniser, np.concatenate([silence, sound]), RATE)
    assert late.text == alone.text
    for one, other in zip(late.words, alone.words, strict=True):
        assert one.start - 310 == pytest.approx(other.start, abs=0.3)


@needs_clips
def test_words_and_states_of_the_same_sound_come_of_one_pass_of_the_encoder(
    recogniser, monkeypatch
):
    from ctranslate2.models import Whisper

    encoder = WhisperEncoder(recogniser.name)
    sharing = SpeechRecogniser(encoder=encoder)
    samples = hear(CLIPS / "mosi" / "03bSnISJMiM_1.wav")
    passes, encode = [], Whisper.encode

    def count(model, features, **options):
        passes.append(features.shape)
        return encode(model, features, **options)

    monkeypatch.setattr(Whisper, "encode", count)
    found = sharing.recognise(samples)
    stream = encoder.begin(Source(path=Path("clip.wav")))
    stream.feed(samples)
    states = stream.finish().values
    assert len(passes) == 1
    assert found.text == "Anyhow, it was really good."
    assert len(found.probabilities) == len(found.words) == 5
    assert 0.5 < min(found.probabilities) <= max(found.probabilities) <= 1
    stream = encoder.begin(Source(path=Path("clip.wav")))
    stream.feed(samples[: samples.size // 2])
    assert len(stream.finish().values) < len(states)  # another sound is encoded anew
    assert len(passes) == 2
    quiet = np.zeros(3 * RATE, np.float32)
    paused = np.concatenate([samples, quiet, samples])
    assert (
        sharing.recognise(paused).text == recogniser.recognise(paused).text
    )  # pauses are left out


@needs_clips
@pytest.mark.slow
def test_the_multilingual_model_detects_english_where_chinese_is_expected():
    try:
        recogniser = SpeechRecogniser("whisper-base", "zh", language_is="expected")
    except AssetError as error:
        pytest.skip(str(error))
    found = recognise(recogniser, hear(CLIPS / "mosi" / "03bSnISJMiM_1.wav"))
    assert found.language == "en"
    assert "really good" in found.text


def test_a_language_that_the_model_does_not_know_is_an_error(recogniser):
    with pytest.raises(ConfigError, match="'whisper-tiny-en' does not know language 'zh'"):
        SpeechRecogniser(recogniser.name, "zh")


def test_a_recogniser_that_is_none_is_an_error(tmp_path):
    pytest.importorskip("faster_whisper", reason="pip install mien[extract]")
    with pytest.raises(AssetError, match=r"neither an asset nor a folder with a model\.bin"):
        SpeechRecogniser(str(tmp_path))
    with pytest.raises(AssetError, match="is for text encoder, not speech to text"):
        SpeechRecogniser("minilm")
    (tmp_path / "model.bin").write_bytes(b"nothing")
    with pytest.raises(AssetError, match="cannot be loaded"):
        SpeechRecogniser(str(tmp_path))


def test_without_the_package_the_sentence_says_what_to_install(monkeypatch):
    monkeypatch.setattr("mien.errors.find_spec", lambda _: None)
    with pytest.raises(ConfigError, match=r"pip install .*\[extract\]"):
        SpeechRecogniser()
