"""From recordings and texts to answers, by the model that ships."""

import itertools
import json
import math
import wave
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import talking
import torch
from helpers import make_config, make_model, write_tiny_store

import mien
from mien.cli import main
from mien.cli.predict import name_transcript
from mien.data.dataset import ClipDataset
from mien.errors import CheckpointError, ConfigError, MediaError
from mien.evaluation.conformal import Calibration, calibrate, coverage, half_width
from mien.evaluation.scoring import predict
from mien.extraction.extractors.speech import SpeechRecogniser, Transcript
from mien.extraction.media import Source
from mien.extraction.media.stills import grab_frames
from mien.prediction.answer import Score, SpeechFacts, find_conflicts, name_sentiment
from mien.prediction.explain import UtteranceInput, explain
from mien.prediction.presentation.text import (
    format_answers,
    format_legend,
    format_prediction,
    to_rows,
)
from mien.prediction.result import Prediction
from mien.prediction.spoken.transcripts import place_words, read_transcript
from mien.prediction.spoken.utterances import LONGEST, SILENT_PIECE, cut
from mien.training.checkpoints.checkpoint import read_header, read_tensors, write_tensors
from mien.training.checkpoints.shipped_models import DEFAULT_MODEL, SHIPPED_MODELS, name_weights
from mien.training.experiment import train
from mien.training.loading import load_model
from mien.types import Modality, Scale, Task, Word

CLIPS = Path(__file__).parents[3] / "shared" / "data" / "clips"
TEXT, AUDIO, VIDEO = Modality

SMALL = SHIPPED_MODELS["small"]


@pytest.fixture(scope="module")
def model(shipped):
    return shipped


@pytest.fixture(scope="module")
def face(tmp_path_factory):
    """Two seconds of a portrait without sound."""
    return talking.write_clip(
        tmp_path_factory.mktemp("clips") / "face.mp4", seconds=2.0, has_audio=False
    )


@pytest.fixture(scope="module")
def seen(model, face):
    return model.predict(face)


# --- words ----------------------------------------------------------------------------------------


def test_praise_and_blame_lie_on_their_sides_of_neutral(model):
    good = model.predict_text("I loved every minute of it, what a wonderful film.").answers[0]
    bad = model.predict_text("It was terrible, a boring and stupid waste of time.").answers[0]
    assert good.score.value > 1 > -1 > bad.score.value
    assert "positive" in good.score.words
    assert "negative" in bad.score.words


def test_a_text_alone_says_which_modalities_are_not_judged(model):
    answer = model.predict_text("Not bad.").answers[0]
    assert answer.present == (TEXT,)
    assert set(answer.absent) == {AUDIO, VIDEO}
    assert answer.start is None
    assert not answer.influence


def test_every_word_has_a_weight_and_they_are_those_of_the_text(model):
    answer = model.predict_text("A slow, but honest film.").answers[0]
    assert [word.text for word in answer.words] == ["A", "slow,", "but", "honest", "film."]
    assert all(math.isfinite(word.weight) for word in answer.words)
    assert any(word.weight > 1 for word in answer.words)


def test_an_interval_holds_its_score_and_is_wide_where_little_is_known(model):
    network = model.network
    calibration = network.calibration
    answer = model.predict_text("I am not sure.").answers[0]
    assert answer.score.low <= answer.score.value <= answer.score.high
    assert calibration.unimodal[AUDIO] > calibration.unimodal[TEXT]
    assert network.scale.low <= answer.score.low
    assert answer.score.high <= network.scale.high


def test_an_empty_text_is_refused(model):
    with pytest.raises(ConfigError, match="the text is empty"):
        model.predict_text("  \n")


# --- several at a time ----------------------------------------------------------------------------


def test_several_texts_get_the_predictions_that_each_gets_alone(model):
    texts = ["Not bad.", f"{AFTERNOON} It was terrible, I hated it.", "I loved it."]
    predictions = model.predict_text(texts)
    assert isinstance(predictions, mien.PredictionList)
    assert [prediction.source for prediction in predictions] == ["text 1", "text 2", "text 3"]
    for together, text in zip(predictions, texts, strict=True):
        alone = model.predict_text(text)
        assert [a.transcript for a in together] == [a.transcript for a in alone]
        for one, other in zip(together, alone, strict=True):
            assert one.score.value == pytest.approx(other.score.value, abs=1e-4)
            effects = [[word.effect for word in answer.words] for answer in (one, other)]
            assert effects[0] == pytest.approx(effects[1], abs=1e-4)
    assert model.predict_text([]) == []


def test_a_text_of_several_that_cannot_be_read_is_named(model):
    with pytest.raises(ConfigError, match=r"^text 2 is empty; give a sentence$"):
        model.predict_text(["Not bad.", " "])
    with pytest.raises(ConfigError, match=r"^text 1: .*; give a text in English$"):
        model.predict_text(["这部电影很好看", "Not bad."])


def test_half_of_a_character_is_refused_wherever_words_are_given(model):
    """What a terminal in Latin-1 hands on comes as such halves; it ended in a traceback."""
    half = "so caf\udce9"
    with pytest.raises(ConfigError, match=r"the text holds half of a character at place 7 \('.ud"):
        model.predict_text(half)
    with pytest.raises(ConfigError, match=r"^text 2 holds half .*; give it in UTF-8$"):
        model.predict_text(["Not bad.", half])
    with pytest.raises(ConfigError, match="transcript holds half of a character"):
        model.predict_features(transcript=half)
    with pytest.raises(ConfigError, match="transcript holds half of a character"):
        read_transcript(half)


def test_several_recordings_give_a_list(model, face, seen):
    assert model.predict([str(face), face]) == [seen, seen]


def test_a_recording_of_several_that_is_not_there_is_named_before_any_is_read(
    model, face, tmp_path, monkeypatch
):
    monkeypatch.setattr(type(model), "recording_reader", None)
    with pytest.raises(MediaError, match=r"none\.mp4: is not there; check the path"):
        model.predict([face, tmp_path / "none.mp4"])


def test_a_device_that_is_not_here_is_refused_when_a_model_is_loaded():
    missing = "cuda:1" if not torch.cuda.is_available() else "mps"
    with pytest.raises(ConfigError, match=rf"^device is '{missing}', which is not here; there are"):
        mien.load("small", device=missing)
    assert mien.load("small", device="cpu").network.device == torch.device("cpu")


def test_a_model_is_shown_in_a_line(model):
    assert repr(model) == (
        f"TrainedModel({str(SMALL)!r}: trained on {model.header['corpus']}, on cpu)"
    )


# --- texts that are longer than what is read at a time --------------------------------------------

#: 72 words and no opinion.
AFTERNOON = (
    "We went to see it on a rainy afternoon with my sister and her two children, and the cinema "
    "was almost empty when we came in and took our seats near the back. The first half of it went "
    "by in the way that such things do, with people talking in rooms and driving along roads and "
    "looking out of windows at the sea, and it got dark and we went home."
)


def test_a_long_text_is_read_to_its_end(model):
    """Two texts of 78 words with opposite endings had one score, that of their first 64 tokens."""
    endings = ("It was terrible, I hated it.", "It was wonderful, I loved it.")
    bad, good = (model.predict_text(f"{AFTERNOON} {one}") for one in endings)
    assert good.answers[-1].score.value > 1.5 > -1.5 > bad.answers[-1].score.value
    assert good.overall > bad.overall + 0.2
    for prediction in (bad, good):
        words = [word for one in prediction for word in one.words]
        assert len(words) == 78
        assert all(word.weight is not None for word in words)
        assert prediction.warnings == (
            "the text was cut into 3 parts, since the model reads at most 64 tokens at a time",
        )


def test_a_part_of_a_long_text_scores_as_it_does_alone(model):
    last = "It was wonderful, I loved it."
    (alone,) = model.predict_text(last).answers
    part = model.predict_text(f"{AFTERNOON} {last}").answers[-1]
    assert part.transcript == alone.transcript
    assert part.score.value == pytest.approx(alone.score.value, abs=1e-4)


def test_parts_of_a_text_are_told_apart_in_a_terminal_and_a_table(model):
    prediction = model.predict_text(f"{AFTERNOON} It was wonderful, I loved it.")
    text = format_prediction(prediction)
    assert "3 parts, mean" in text
    assert "\n3.\n" in text
    assert "note: the text was cut into 3 parts" in text
    names, *rows = to_rows(prediction)
    assert names[-1] == "warnings"
    assert [row[-1] for row in rows] == list(prediction.warnings) * 3
    assert f"<li>{prediction.warnings[0]}</li>" in prediction._repr_html_()


def test_words_beside_features_that_are_not_read_have_no_weight_and_are_counted(model, tmp_path):
    prediction = model.predict_features(transcript=AFTERNOON.replace(".", ""))
    unread = [word.weight is None for word in prediction.answers[0].words]
    assert 0 < sum(unread) < 20
    assert unread == sorted(unread)
    assert prediction.warnings == (
        f"the last {sum(unread)} of 72 words are not read, since the model reads at most 64 tokens "
        "at a time",
    )
    assert Prediction.model_validate(prediction.to_dict()) == prediction
    prediction.plot(tmp_path / "p.png")
    assert "(0.0x)" not in format_prediction(prediction)


def test_words_of_a_recording_that_have_no_times_are_not_all_read_and_that_is_told(model, face):
    prediction = model.predict(face, transcript=AFTERNOON)
    assert len(prediction) == 1
    (warning,) = prediction.warnings
    assert "of 72 words are not read" in warning


# --- texts that are none of the model's -----------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("这部电影很好看", "the text is Chinese and the model reads English; give a text in Engl"),
        ("😍😍😍", "the text holds no words; give a text in English"),
        ("10/10!", "the text holds no words"),
    ],
)
def test_a_text_that_cannot_be_read_is_declined(model, text, sentence):
    with pytest.raises(ConfigError, match=sentence):
        model.predict_text(text)
    with pytest.raises(ConfigError, match=sentence):
        model.predict_features(transcript=text)


def test_the_command_declines_what_it_cannot_read(model, monkeypatch, capsys):
    monkeypatch.setattr("mien.prediction.predictor.load", lambda *_, **__: model)
    assert main(["predict", "--text", "很好看"]) == 2
    assert "the text is Chinese and the model reads English" in capsys.readouterr().err


def test_a_score_of_another_language_may_lie_anywhere(model):
    prediction = model.predict_text("Esta película es terrible, no la recomiendo a nadie.")
    (answer,) = prediction.answers
    for score in (answer.score, answer.unimodal[TEXT]):
        assert (score.low, score.high) == (-3.0, 3.0)
    assert prediction.warnings == (
        "the text is probably Spanish and the model reads English; do not rely on scores that rest "
        "on it",
    )


def test_other_letters_leave_a_face_to_be_judged_by_itself(model, face, seen):
    prediction = model.predict(face, transcript="这部电影很好看")
    (answer,) = prediction.answers
    assert answer.present == (VIDEO,)
    assert answer.absent[TEXT] == "the text is Chinese and the model reads English"
    assert answer.score.value == pytest.approx(seen.answers[0].score.value, abs=1e-5)
    assert "left out" in prediction.warnings[0]


def test_a_text_in_two_languages_is_doubted_only_where_it_is_the_other(model):
    spanish = "Esta película es terrible, no la recomiendo a nadie."
    prediction = model.predict_text(f"{AFTERNOON} {spanish}")
    is_anything = [(one.score.low, one.score.high) == (-3.0, 3.0) for one in prediction]
    assert is_anything == [False, False, True]
    assert "1 of 3 parts: the text is probably Spanish" in prediction.warnings[1]


# --- recordings -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def noise(tmp_path_factory):
    """Two seconds of white noise, loud."""
    path = tmp_path_factory.mktemp("clips") / "noise.wav"
    samples = 0.3 * np.random.default_rng(0).standard_normal(32000)
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 16000, 0, "NONE", ""))
        file.writeframes((32767 * np.clip(samples, -1, 1)).astype("<i2").tobytes())
    return path


@pytest.mark.parametrize("kind", ["text", "cues"])
def test_noise_has_no_voice_whatever_is_said_to_be_said(model, noise, kind):
    """White noise with subtitles had the most positive voice there is."""
    said: str | Path = "I love this film."
    if kind == "cues":
        path = noise.with_name("noise.srt")
        path.write_text(f"1\n00:00:00,500 --> 00:00:01,500\n{said}\n")
        said = path
    prediction = model.predict(noise, transcript=said)
    (answer,) = prediction.answers
    assert answer.present == (TEXT,)
    assert answer.absent[AUDIO] == "nobody speaks"
    assert prediction.warnings == ("a transcript is given, but nobody speaks in the recording",)


def test_subtitles_with_more_words_than_are_read_at_a_time_cut_a_short_recording(model, noise):
    words = AFTERNOON.split()
    block = "00:00:00,000 --> 00:00:02,000"
    path = noise.with_name("long.srt")
    path.write_text(f"1\n{block}\n{AFTERNOON}\n")
    prediction = model.predict(noise, transcript=path)
    assert len(prediction) >= 2
    assert [word.text for one in prediction for word in one.words] == words
    assert all(word.weight is not None for one in prediction for word in one.words)


def test_cues_outside_a_recording_are_refused_or_counted(model, noise):
    late = "2\n00:10:00,000 --> 00:10:01,000\nI hated it.\n"
    path = noise.with_name("late.srt")
    path.write_text(late)
    with pytest.raises(ConfigError, match="first cue begins at 600 s, after the end of the record"):
        model.predict(noise, transcript=path)
    path.write_text(f"1\n00:00:00,500 --> 00:00:01,500\nI love it.\n\n{late}")
    prediction = model.predict(noise, transcript=path)
    assert prediction.answers[0].transcript == "I love it."
    assert prediction.warnings[0] == (
        "1 of 2 cues begin after the end of the recording and were left out"
    )


def test_a_silent_face_is_judged_by_the_face_alone(seen):
    (answer,) = seen.answers
    assert answer.present == (VIDEO,)
    assert answer.absent == {TEXT: "no sound track", AUDIO: "no sound track"}
    assert (answer.start, answer.end) == (0.0, seen.seconds)
    assert len(answer.steps[VIDEO].times) == len(answer.steps[VIDEO].weights) > 5
    assert np.mean(answer.steps[VIDEO].weights) == pytest.approx(1.0)


def test_the_smiling_portrait_is_positive(seen):
    assert seen.answers[0].score.value > 0


def test_a_given_transcript_moves_words_and_whole_but_not_the_face(model, face, seen):
    said = "I hated it, it was awful and sad."
    answer = model.predict(face, transcript=said).answers[0]
    assert answer.transcript == said
    assert answer.unimodal[TEXT].value < -1
    assert answer.unimodal[VIDEO].value == pytest.approx(
        seen.answers[0].unimodal[VIDEO].value, abs=1e-5
    )
    assert answer.score.value < seen.answers[0].score.value
    assert answer.conflicts == ((TEXT, VIDEO),)
    assert answer.unimodal[TEXT].high < answer.unimodal[VIDEO].low
    assert set(answer.influence) == {TEXT, VIDEO}


def test_only_the_changed_modality_changes_its_score(model):
    generator = np.random.default_rng(1)
    audio = generator.normal(size=(20, 384)).astype(np.float32)
    video = generator.uniform(size=(15, 52)).astype(np.float32)
    first = model.predict_features(transcript="Fine.", audio=audio, video=video).answers[0]
    other = model.predict_features(transcript="Fine.", audio=audio * 2, video=video).answers[0]
    assert first.unimodal[AUDIO].value != other.unimodal[AUDIO].value
    assert first.unimodal[TEXT] == other.unimodal[TEXT]
    assert first.unimodal[VIDEO] == other.unimodal[VIDEO]


def test_features_of_another_size_are_refused(model):
    with pytest.raises(ConfigError, match=r"audio: has the shape \(4, 3\), the model wants"):
        model.predict_features(audio=np.zeros((4, 3), np.float32))


@pytest.mark.parametrize(
    ("value", "times", "message"),
    [
        (1e300, [0.0, 1.0], "values that are not finite, or too large for 32 bits"),
        (1j, [0.0, 1.0], "values of type complex128, must be real numbers"),
        (1.0, [0.0, math.nan], "times that are not finite"),
    ],
)
def test_features_that_would_become_other_numbers_are_refused(model, value, times, message):
    audio = np.full((2, model.network.sizes[AUDIO]), value)
    with pytest.raises(ConfigError, match=f"audio: h[a-z]+ {message}"):
        model.predict_features(audio=audio, times={AUDIO: np.array(times)})


def test_a_recording_with_nothing_to_judge_is_refused_with_a_reason(model, tmp_path):
    path = tmp_path / "quiet.wav"
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 16000, 0, "NONE", ""))
        file.writeframes(bytes(32000))
    with pytest.raises(MediaError, match="nothing to judge: nobody speaks and there is no picture"):
        model.predict(path)


def test_a_text_that_is_called_a_video_is_refused(model, tmp_path):
    path = tmp_path / "clip.mp4"
    path.write_text("no film")
    with pytest.raises(MediaError, match="cannot be read as a recording"):
        model.predict(path)


class ToldRecogniser(SpeechRecogniser):
    """Recognises in any speech what it was told to."""

    name = "whisper-base"

    def __init__(self, text, language, probability):
        self.text, self.language, self.probability = text, language, probability

    def recognise(self, _):
        words = [Word(word, 0.2 * i, 0.2 * i + 0.1) for i, word in enumerate(self.text.split())]
        return Transcript(self.text, tuple(words), (self.probability,) * len(words), self.language)


@pytest.mark.skipif(not CLIPS.exists(), reason="needs the real clips of ../shared/data")
def test_an_answer_tells_which_language_was_spoken_and_how_surely_it_was_recognised(
    model, monkeypatch
):
    reader = model.recording_reader
    clip = CLIPS / "mosi" / "03bSnISJMiM_1.wav"

    def predict(*recogniser):
        monkeypatch.setitem(vars(reader), "recogniser", ToldRecogniser(*recogniser))
        return model.predict(clip)

    english = predict("It was really good.", "en", 0.9)
    answer = english.answers[0]
    assert answer.confidence == pytest.approx(0.9)
    assert english.speech == SpeechFacts(recogniser="whisper-base", language="en")
    assert english.warnings == ()
    assert Prediction.model_validate(english.to_dict()) == english
    lines = format_prediction(english).splitlines()
    assert "spoken in English" in lines[0]
    assert "   recognised with a confidence of 90 %" in lines

    swahili = predict("It was really good.", "sw", 0.5)  # a guess in letters that the model reads
    assert [warning.partition(";")[0] for warning in swahili.warnings] == [
        "the speech is Swahili and the model reads English",
        "the words were recognised with a confidence below 80 %, so some are probably wrong",
    ]
    score = swahili.answers[0].unimodal[TEXT]
    assert (score.low, score.high) == tuple(model.network.scale)

    given = model.predict(clip, transcript="It was really good.")
    assert given.speech is None
    assert given.answers[0].confidence is None


@pytest.mark.skipif(not CLIPS.exists(), reason="needs the real clips of ../shared/data")
def test_a_happy_take_is_above_an_angry_one_of_the_same_actor(model):
    angry, happy = (
        model.predict(CLIPS / "cremad" / f"1001_DFA_{mood}_XX.flv").answers[0].score.value
        for mood in ("ANG", "HAP")
    )
    assert happy > angry + 1


# --- as values ------------------------------------------------------------------------------------


def test_a_prediction_is_read_back_from_its_json(seen):
    assert Prediction.model_validate(json.loads(json.dumps(seen.to_dict()))) == seen


@pytest.mark.drawn
def test_a_prediction_is_drawn_with_frames_and_without(seen, face, model, tmp_path):
    seen.plot(tmp_path / "with.png", recording=face)
    seen.plot(tmp_path / "without.png")
    model.predict_text("Only words.").plot(tmp_path / "text.png")
    sizes = {path.name: path.stat().st_size for path in tmp_path.iterdir()}
    assert sizes["with.png"] > sizes["without.png"] > 10_000
    assert sizes["text.png"] > 10_000


def test_a_table_for_notebooks_escapes_what_is_said(seen):
    answer = seen.answers[0].model_copy(update={"transcript": "<script>alert(1)</script>"})
    page = seen.model_copy(update={"answers": (answer,)})._repr_html_()
    assert "<script>" not in page
    assert "&lt;script&gt;" in page


def test_text_for_a_terminal_says_score_interval_and_what_is_missing(seen):
    text = format_prediction(seen)
    assert "absent: no sound track" in text
    assert "[" in text
    assert "model: small" in text
    assert all(len(line) <= 110 for line in text.splitlines())


def test_a_cell_is_never_a_formula(seen):
    answer = seen.answers[0].model_copy(update={"transcript": "=1+1"})
    rows = to_rows(seen.model_copy(update={"answers": (answer,)}))
    assert rows[1][rows[0].index("transcript")] == "'=1+1"


def test_frames_are_those_of_their_times(face):
    frames = grab_frames(Source(path=face), [0.5, 1.5], height=64)
    assert [time for time, _ in frames] == [0.5, 1.5]
    assert all(image.shape[0] == 64 and image.dtype == np.uint8 for _, image in frames)


@pytest.mark.parametrize(
    ("value", "words"),
    [(0.2, "neutral"), (-1.0, "slightly negative"), (2.0, "positive"), (-3.0, "strongly negative")],
)
def test_scores_have_words(value, words):
    assert name_sentiment(value, Scale(-3.0, 3.0)) == words


def make_score(value, low=None, high=None):
    return Score(value=value, low=low, high=high, words="")


def test_modalities_disagree_only_where_their_intervals_do_not_meet():
    scores = {
        TEXT: make_score(2.0, 1.0, 3.0),
        AUDIO: make_score(-1.0, -3.0, 1.0),  # on the other side, but its interval touches
        VIDEO: make_score(-1.0, -2.0, 0.9),
    }
    assert find_conflicts(scores) == ((TEXT, VIDEO),)


def test_without_intervals_no_conflict_is_claimed():
    assert find_conflicts({TEXT: make_score(3.0), VIDEO: make_score(-3.0)}) == ()


def test_a_face_whose_attention_is_on_one_moment_has_a_note(model):
    video = np.zeros((60, 52), np.float32)
    shown = UtteranceInput(times={VIDEO: np.arange(60) / 10 + 4.0})
    [judged] = model.network.score_clips([{VIDEO: video}])
    weights = np.full(60, 0.001)
    weights[57] = 0.95
    for attention, notes in (
        (weights, ("the face score rests mainly on one moment (0:09.7), which has 94 % of the "
                   "attention",)),
        (np.full(60, 1 / 60), ()),
    ):  # fmt: skip
        one = replace(judged, attention={VIDEO: attention})
        found = explain(model.network, one, replace(shown, absent=dict.fromkeys(Modality, "")), {
            VIDEO: video
        })  # fmt: skip
        assert found.notes == notes
    prediction = Prediction(
        source="a.mp4", scale=(-3, 3), answers=(found.model_copy(update={"notes": ("rests",)}),),
        model=model.network.facts,
    )  # fmt: skip
    assert "    note: rests" in format_answers(prediction)


def test_steps_that_are_words_have_effects_without_a_text_encoder(trained):
    """As of a model that reads a state for each word; the step of the word is left out."""
    _, run = trained
    network = mien.load(run).network
    text = np.random.default_rng(1).normal(size=(3, 6)).astype(np.float32)
    words = tuple(Word(one, place, place + 1.0) for place, one in enumerate(["a", "b", "c"]))
    [judged] = network.score_clips([{TEXT: text}])
    shown = UtteranceInput(transcript="a b c", words=words, absent=dict.fromkeys(Modality, ""))
    found = explain(network, judged, shown, {TEXT: text})
    [less] = network.score_clips([{TEXT: text[[0, 2]]}])
    wanted = judged.scores[Task.FUSION] - less.scores[Task.FUSION]
    assert found.words[1].effect == pytest.approx(wanted, abs=1e-6)
    assert (found.words[1].text, found.words[1].start) == ("b", 1.0)
    [fewer] = network.score_clips([{TEXT: text[:2]}])  # steps that are not the words
    found = explain(network, fewer, shown, {TEXT: text[:2]})
    assert [word.effect for word in found.words] == [None] * 3


def test_a_model_without_unimodal_tasks_scores_all_that_is_present_alone(trained):
    _, run = trained
    network = replace(mien.load(run).network, model=make_model("misa").eval())
    text = np.random.default_rng(1).normal(size=(2, 6)).astype(np.float32)
    audio = np.random.default_rng(2).normal(size=(3, 4)).astype(np.float32)
    [judged] = network.score_clips([{TEXT: text, AUDIO: audio}])
    assert list(judged.scores) == [Task.FUSION]
    assert judged.present == [TEXT, AUDIO]
    shown = UtteranceInput(transcript="a b", absent=dict.fromkeys(Modality, "is not here"))
    found = explain(network, judged, shown, {TEXT: text, AUDIO: audio})
    assert found.unimodal == {}
    assert found.conflicts == ()
    assert set(found.influence) == {TEXT, AUDIO}
    assert found.absent == {VIDEO: "is not here"}


def test_the_terminal_says_what_moved_the_score_and_what_a_contribution_is(model):
    video = np.random.default_rng(3).uniform(size=(15, 52)).astype(np.float32)
    prediction = model.predict_features(transcript="A boring film.", video=video)
    [one] = prediction.answers
    text = format_prediction(prediction)
    assert f"contribution {one.influence[TEXT]:+.2f}" in text
    assert f'moved the score most: "boring" {one.moments[0].effect:+.2f}' in text
    assert "contribution: the overall score minus what it would be without the modality" in text
    assert format_legend(prediction) not in format_answers(prediction)
    row = dict(zip(*to_rows(prediction), strict=True))
    assert row["strongest_words"].startswith(f"boring {one.moments[0].effect:+.2f}")
    assert float(row["text_contribution"]) == pytest.approx(one.influence[TEXT], abs=1e-5)
    assert len(row["heaviest_words"].split()) == 3


@pytest.mark.drawn
def test_a_file_from_before_there_were_effects_is_read_shown_and_drawn(seen, tmp_path):
    old = seen.to_dict()
    [one] = old["answers"]
    one |= {"transcript": "So good.", "words": [{"text": "So", "weight": 0.4},
                                                {"text": "good.", "weight": 1.6}]}  # fmt: skip
    one["moments"] = [{"modality": "video", "start": 0.4, "end": 0.6, "text": "", "weight": 2.0}]
    del one["notes"]
    for steps in one["steps"].values():
        del steps["windows"]
    found = Prediction.model_validate(json.loads(json.dumps(old)))
    assert found.answers[0].words[1].effect is None
    assert "moved the score most" not in format_prediction(found)
    found.plot(tmp_path / "old.png")
    assert (tmp_path / "old.png").stat().st_size > 10_000


# --- utterances and transcripts -------------------------------------------------------------------


def _words(text, start=0.0, each=0.4, pause=0.1):
    at, words = start, []
    for one in text.split():
        words.append(Word(one, at, at + each))
        at += each + pause
    return words


@pytest.mark.parametrize(
    ("seconds", "count"), [(2.0, 1), (3.0, 1), (3.1, 2), (9.8, 4), (15.0, 5), (19.7, 7)]
)
def test_a_silent_face_is_cut_into_equal_pieces_of_at_most_three_seconds(seconds, count):
    found = cut(seconds, [], [], with_silence=True)
    lengths = [(seconds if one.end is None else one.end) - one.start for one in found]
    assert lengths == pytest.approx([seconds / count] * count)
    assert max(lengths) <= SILENT_PIECE + 1e-9
    assert not any(one.is_spoken for one in found)


def test_a_given_transcript_is_kept_where_no_speech_was_heard():
    [one] = cut(8.0, [], [], transcript="So good.", with_silence=True)
    assert one.transcript == "So good."


def test_a_silent_recording_without_a_face_is_one_utterance():
    assert len(cut(9.0, [], [], with_silence=False)) == 1


def test_a_short_recording_is_one_utterance():
    (one,) = cut(9.0, _words("Yes. No."), [(0.0, 1.0)], transcript="Yes. No.", with_silence=True)
    assert (one.start, one.end, one.transcript) == (0.0, None, "Yes. No.")


def test_a_long_recording_is_cut_at_sentences_without_overlap():
    words = _words("This is the first one. Here comes another one now. " * 8)
    found = cut(60.0, words, [(0.0, 40.0)], with_silence=False)
    assert len(found) == 16
    assert [word for one in found for word in one.words] == words
    assert all(a.end <= b.start + 1e-9 for a, b in itertools.pairwise(found))


def test_a_sentence_without_end_is_cut_at_its_pauses():
    words = _words("and " * 200)
    found = cut(120.0, words, [(0.0, 100.0)], with_silence=False)
    assert [word for one in found for word in one.words] == words
    assert max(one.end - one.start for one in found) <= LONGEST + 0.6


def test_silence_is_cut_into_stretches_only_where_a_face_may_be_seen():
    spoken = _words("Hello there, everybody. ", start=30.0)
    with_face = cut(60.0, spoken, [(30.0, 31.5)], with_silence=True)
    assert [one.is_spoken for one in with_face].count(True) == 1
    assert sum(one.end - one.start for one in with_face) == pytest.approx(60.0, abs=0.01)
    assert len(cut(60.0, spoken, [(30.0, 31.5)], with_silence=False)) == 1


def test_stretches_of_speech_stand_in_for_words_that_are_not_known():
    found = cut(100.0, [], [(1.0, 4.0), (10.0, 50.0)], with_silence=False)
    assert len(found) == 4
    assert all(one.is_spoken and not one.words for one in found)


def test_subtitles_give_words_their_times(tmp_path):
    path = tmp_path / "a.srt"
    path.write_text(
        "1\n00:00:01,000 --> 00:00:02,000\n<i>Good</i> day\n\n2\n00:00:05,5 --> 00:00:06,000\nBye\n"
    )
    given = read_transcript(path)
    assert given.kind == "cues"
    assert given.text == "Good day Bye"
    assert given.words[0].start == 1.0
    assert given.words[1].end == 2.0
    assert given.words[2].start == 5.5


@pytest.mark.parametrize("name", ["gone.srt", "gone.txt"])
def test_a_transcript_that_is_not_there_is_no_transcript(name):
    with pytest.raises(ConfigError, match="is not there; check the path"):
        read_transcript(Path(name))


def test_a_text_is_never_taken_for_the_name_of_a_file(tmp_path):
    path = tmp_path / "secret.txt"
    path.write_text("hidden")
    assert read_transcript(str(path)).text == str(path)
    assert read_transcript(path).text == "hidden"


@pytest.mark.parametrize(
    ("said", "is_file"),
    [
        ("a.txt", True),
        ("my films/a b.SRT", True),
        ("so good", False),
        ("it is in a. txt", False),
        ("first\nsecond.txt", False),
        ("auto", False),
    ],
)
def test_the_command_line_takes_an_ending_for_a_file(said, is_file):
    assert name_transcript(said) == (Path(said) if is_file else said)


def test_known_words_get_times_from_what_was_recognised():
    heard = [Word("the", 1.0, 1.2), Word("cat", 1.3, 1.6), Word("sad.", 3.0, 3.5)]
    placed = place_words(["The", "cat", "was", "sad!"], heard, [])
    assert [word.text for word in placed] == ["The", "cat", "was", "sad!"]
    assert placed[1].start == 1.3
    assert placed[3].start == 3.0
    assert 1.6 <= placed[2].start <= placed[2].end <= 3.0


# --- calibration ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    store = write_tiny_store(tmp_path_factory.mktemp("stores") / "s")
    run = tmp_path_factory.mktemp("runs") / "r"
    train(make_config(), store, run)
    return store, run


def test_new_clips_of_the_same_kind_lie_in_the_interval_as_often_as_promised():
    generator = np.random.default_rng(7)
    inside = []
    for _ in range(300):
        errors, new = generator.standard_t(3, 60), generator.standard_t(3, 60)
        inside.append(np.mean(np.abs(new) <= half_width(errors, 0.9)))
    assert 0.89 <= np.mean(inside) <= 0.92


def test_a_training_leaves_widths_in_its_checkpoint_for_every_set_of_modalities(trained):
    _, run = trained
    found = Calibration.model_validate(
        read_header(run / "seed-1" / "best.safetensors")["calibration"]
    )
    assert set(found.num_clips) >= {"text", "audio+video", "text+audio+video", "only video"}
    for modality in Modality:  # the multimodal score of a modality alone is its own score
        assert found.fusion.get(str(modality)) == found.unimodal.get(modality)


def test_coverage_counts_annotations_inside(trained):
    store, run = trained
    model, prepared = load_model(run, store)
    valid: ClipDataset = prepared.datasets["valid"]
    calibration = calibrate(model, valid, level=0.5)
    share = coverage(calibration, predict(model, valid), prepared.scale)[Task.FUSION].share
    assert share >= 0.5


def test_a_model_of_published_features_says_why_it_cannot_judge_a_voice(trained, face):
    """It said that nobody speaks and no face is seen, of whatever recording."""
    _, run = trained
    with pytest.raises(
        CheckpointError,
        match=r"reads text of \S+ and audio of \S+ and video of \S+, which cannot be made of a "
        r"recording; give it a store of such features",
    ):
        mien.load(run).predict(face)


# --- checkpoints ----------------------------------------------------------------------------------


def test_a_checkpoint_of_other_extractors_says_so(tmp_path):
    header = read_header(SMALL)
    header["extraction"]["video"] = "blendshapes/9"
    write_tensors(tmp_path / "m.safetensors", read_tensors(SMALL), header)
    with pytest.raises(
        CheckpointError, match="'blendshapes/9', which this version of mien does not"
    ):
        _ = mien.load(tmp_path / "m.safetensors").network


@pytest.mark.parametrize("name", SHIPPED_MODELS)
def test_the_models_that_ship_are_small_and_say_what_they_may_be_used_for(name):
    assert SHIPPED_MODELS[name].stat().st_size < 12_000_000
    assert "non-commercial" in read_header(SHIPPED_MODELS[name])["licence"]
    assert name_weights(SHIPPED_MODELS[name], "default") == name


def test_the_default_model_is_the_one_of_base_size_and_a_file_of_the_name_of_another_comes_first(
    tmp_path, monkeypatch
):
    assert mien.load().checkpoint == DEFAULT_MODEL
    assert mien.load().header["text_encoder"] == "mpnet"
    assert mien.load("small").header["text_encoder"] == "minilm"
    monkeypatch.chdir(tmp_path)
    Path("small").write_bytes(SMALL.read_bytes())
    assert mien.load("small").checkpoint == Path("small")


# --- the command ----------------------------------------------------------------------------------


@pytest.mark.drawn
def test_the_command_writes_all_that_is_asked_for(face, tmp_path, capsys):
    out = {name: tmp_path / f"o.{name}" for name in ("json", "csv", "png")}
    code = main(
        [
            "predict",
            str(face),
            "--json",
            str(out["json"]),
            "--csv",
            str(out["csv"]),
            "--plot",
            str(out["png"]),
        ]
    )
    assert code == 0
    assert "face.mp4" in capsys.readouterr().out
    assert json.loads(out["json"].read_text())["source"] == "face.mp4"
    assert out["csv"].read_text().count("\n") == 2
    assert out["png"].stat().st_size > 10_000


def test_a_broken_recording_does_not_end_the_others(face, tmp_path, capsys):
    bad = tmp_path / "bad.mp4"
    bad.write_text("no film")
    code = main(["predict", str(bad), str(face), "--json", str(tmp_path / "o.jsonl")])
    captured = capsys.readouterr()
    assert code == 2
    assert "bad.mp4: cannot be read as a recording" in captured.err
    assert "face.mp4" in captured.out
    assert len((tmp_path / "o.jsonl").read_text().splitlines()) == 1


def test_the_command_wants_recordings_or_a_sentence(capsys):
    assert main(["predict"]) == 2
    assert "give recordings, or a sentence" in capsys.readouterr().err


@pytest.mark.parametrize(
    "given",
    [
        ["--transcript", "so good"],
        ["--recogniser", "whisper-base"],
        ["--baseline", "rest.mp4"],
        ["--resume"],
        ["--replace"],
    ],
    ids=lambda given: given[0],
)
def test_what_is_for_recordings_is_refused_with_a_sentence(given, capsys):
    assert main(["predict", "--text", "So good.", *given]) == 2
    assert f"{given[0]}: is for recordings, and --text is none; leave it" in capsys.readouterr().err


def test_a_name_with_signs_of_an_address_is_a_name(model, face, tmp_path):
    odd = tmp_path / "a%20b?#.mp4"
    odd.symlink_to(face)
    assert model.predict(odd, transcript="none").answers[0].unimodal.keys() == {VIDEO}


def test_no_voice_is_computed_where_nobody_speaks(model, face, monkeypatch):
    def refuse(*_):
        raise AssertionError("sound was read")

    monkeypatch.setattr(type(model.recording_reader.tools.extractors[AUDIO]), "begin", refuse)
    assert model.predict(face).answers[0].absent[AUDIO]


def test_json_has_the_overall_score_and_is_read_back(seen, tmp_path):
    seen.write(tmp_path / "a.json")
    values = json.loads((tmp_path / "a.json").read_text(encoding="utf-8"))
    assert values["overall"] == pytest.approx(seen.overall)
    assert Prediction.model_validate(values) == seen
