"""Texts and transcripts cut so that all of them is read, and transcripts that fit no recording."""

import itertools

import pytest
from cases import examples
from hypothesis import given
from hypothesis import strategies as st

from mien.errors import ConfigError
from mien.prediction.answer import Answer, ModelFacts, Score
from mien.prediction.result import Prediction
from mien.prediction.spoken.text_parts import cut_text
from mien.prediction.spoken.transcripts import place_cues, read_transcript
from mien.prediction.spoken.utterances import cut
from mien.types import Scale, Word


def _fits(text):
    return len(text) <= 24


# --- texts ----------------------------------------------------------------------------------------


def test_a_text_that_fits_is_one_part():
    assert cut_text("Good. Bad. Mixed.", _fits) == ["Good. Bad. Mixed."]


def test_a_longer_text_is_cut_after_sentences():
    text = "We saw it on Monday. Mr. X was not in it. It was good!"
    assert cut_text(text, _fits) == ["We saw it on Monday.", "Mr. X was not in it.", "It was good!"]


def test_a_short_sentence_joins_the_one_before_it():
    text = "We saw it on Sunday. No. It is a good one, I think."
    parts = cut_text(text, lambda text: len(text) <= 26)
    assert parts == ["We saw it on Sunday. No.", "It is a good one, I think."]


def test_a_sentence_that_is_too_long_is_cut_after_a_comma_near_its_middle():
    text = "well it was long and grey, but it was so good"
    assert cut_text(text, lambda text: len(text) <= 26) == [
        "well it was long and grey,",
        "but it was so good",
    ]


def test_a_sentence_without_commas_is_cut_between_words():
    assert cut_text("one two three four five six seven", _fits) == [
        "one two three",
        "four five six seven",
    ]


def test_chinese_is_cut_after_its_sentences():
    parts = cut_text("这部电影很好看。我不喜欢它。", lambda text: len(text) <= 8)
    assert parts == ["这部电影很好看。", "我不喜欢它。"]


@given(text=st.text(alphabet="ab. ,!好。"), most=st.integers(1, 12))
@examples(100)
def test_nothing_of_a_text_is_lost_and_every_part_fits(text, most):
    said = " ".join(text.split())
    parts = cut_text(said, lambda text: len(text) <= most)
    assert "".join(parts).replace(" ", "") == said.replace(" ", "")
    assert all(len(part) <= most for part in parts)


def test_the_mean_over_parts_of_a_text_weighs_them_by_their_words():
    def make(text, value):
        return Answer(transcript=text, score=Score(value=value, words="-"), unimodal={})

    facts = ModelFacts(name="m", sha256="0", corpus="none")
    answers = (make("one two three", 1.0), make("four", -3.0))
    prediction = Prediction(source="text", scale=Scale(-3.0, 3.0), answers=answers, model=facts)
    assert prediction.overall == pytest.approx(0.0)
    timed = tuple(
        one.model_copy(update={"start": 0.0, "end": end})
        for one, end in zip(answers, (1.0, 3.0), strict=True)
    )
    assert prediction.model_copy(update={"answers": timed}).overall == pytest.approx(-2.0)


# --- recordings -----------------------------------------------------------------------------------


def _words(text, each=0.2):
    return [Word(one, i * each, (i + 1) * each) for i, one in enumerate(text.split())]


def test_a_short_recording_in_which_too_much_is_said_is_cut():
    text = "It was good. It was bad, but not for long. And then the end came."
    words = _words(text)
    found = cut(9.0, words, [(0.0, 4.0)], transcript=text, with_silence=False, fits=_fits)
    assert [word for one in found for word in one.words] == words
    assert all(_fits(one.transcript) for one in found)
    assert all(a.end <= b.start + 1e-9 for a, b in itertools.pairwise(found))
    assert len(cut(9.0, words, [(0.0, 4.0)], transcript=text, with_silence=False)) == 1


def test_short_sentences_are_not_joined_beyond_what_is_read_at_a_time():
    words = _words("Yes it was. No it was not. Oh yes it was. Oh no it was not.", each=0.25)
    joined = cut(20.0, words, [(0.0, 5.0)], with_silence=False)
    found = cut(20.0, words, [(0.0, 5.0)], with_silence=False, fits=_fits)
    assert len(joined) < len(found) == 4


def test_words_without_times_stay_together_for_nothing_says_where_to_cut():
    text = "one two three four five six seven"
    (one,) = cut(9.0, [], [], transcript=text, with_silence=False, fits=_fits)
    assert one.transcript == text


def test_given_words_do_not_make_noise_speech():
    """Subtitles over noise gave the noise a voice, strongly positive."""
    words = _words("I love it. And so does she, I think.", each=1.0)
    given = cut(9.0, words, [], transcript="-", with_silence=False, are_given=True)
    heard = cut(9.0, words, [], transcript="-", with_silence=False)
    assert [one.is_spoken for one in given + heard] == [False, True]


def test_in_a_long_recording_given_words_are_spoken_where_speech_is_heard():
    words = [Word("Good.", 1.0, 3.0), Word("Bad.", 18.0, 20.0), Word("End.", 25.0, 27.0)]
    found = cut(30.0, words, [(0.5, 2.0), (26.5, 28.0)], with_silence=False, are_given=True)
    assert [one.is_spoken for one in found] == [True, False, True]
    heard = cut(30.0, words, [(0.5, 2.0), (26.5, 28.0)], with_silence=False)
    assert all(one.is_spoken for one in heard)


# --- subtitles ------------------------------------------------------------------------------------


def _write(path, *cues):
    blocks = [f"{i}\n{times}\n{text}\n" for i, (times, text) in enumerate(cues, start=1)]
    path.write_text("\n".join(blocks))
    return path


def test_a_cue_that_ends_before_it_begins_is_refused_with_its_line(tmp_path):
    path = _write(
        tmp_path / "a.srt",
        ("00:00:01,000 --> 00:00:02,000", "Good"),
        ("00:00:05,000 --> 00:00:04,000", "Bad"),
    )
    with pytest.raises(ConfigError, match=r"a\.srt, line 6: the cue ends \(4 s\) before it begins"):
        read_transcript(path)


def test_cues_beyond_the_end_of_a_recording_are_left_out(tmp_path):
    path = _write(
        tmp_path / "a.srt",
        ("00:00:01,000 --> 00:00:03,000", "Good day"),
        ("00:10:00,000 --> 00:10:01,000", "Bad"),
    )
    words, num_outside = place_cues(read_transcript(path), 2.0)
    assert [word.text for word in words] == ["Good", "day"]
    assert words[-1].end == 2.0
    assert num_outside == 1


def test_subtitles_that_are_all_beyond_the_end_are_refused(tmp_path):
    path = _write(tmp_path / "a.srt", ("00:10:00,000 --> 00:10:01,000", "Bad"))
    with pytest.raises(ConfigError, match=r"first cue begins at 600 s, after the end of the recor"):
        place_cues(read_transcript(path), 2.0)


@pytest.mark.parametrize(
    ("times", "num_early", "said"),
    [
        (((1, 2), (2, 3), (3, 4)), 0, "a b c"),
        (((1, 3), (2, 4), (5, 6)), 1, "a b c"),
        (((5, 6), (1, 2), (3, 4)), 1, "b c a"),
    ],
)
def test_cues_that_overlap_or_are_out_of_order_are_counted(tmp_path, times, num_early, said):
    cues = [
        (f"00:00:0{a},000 --> 00:00:0{b},000", x) for (a, b), x in zip(times, "abc", strict=True)
    ]
    given = read_transcript(_write(tmp_path / "a.vtt", *cues))
    assert given.num_early == num_early
    assert given.text == said
    assert all(a.end <= b.start for a, b in itertools.pairwise(given.words))
