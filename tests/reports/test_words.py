import pytest
from hypothesis import given
from hypothesis import strategies as st

from mien.reports.figures.words import find_font, keep_printable, merge_tokens


def texts(tokens):
    return [word.text for word in merge_tokens(tokens, [1.0] * len(tokens))]


@pytest.mark.parametrize(
    ("tokens", "words"),
    [
        (["[CLS]", "un", "##hap", "##py", ".", "[SEP]"], ["[CLS]", "unhappy", ".", "[SEP]"]),
        (["<s>", "\u2581un", "happy", "\u2581now", "</s>"], ["<s>", "unhappy", "now", "</s>"]),
        (["Hello", "\u0120wor", "ld"], ["Hello", "world"]),
        (["[CLS]", "我", "很", "好", "[SEP]"], ["[CLS]", "我", "很", "好", "[SEP]"]),
        (["\u2581", "我", "今天", "ok", "ay"], ["我", "今天", "okay"]),
        (["[CLS]", "##ing", "##", "x"], ["[CLS]", "ing", "##", "x"]),
        ([], []),
    ],
)
def test_pieces_are_joined_to_words_and_chinese_stays_apart(tokens, words):
    assert texts(tokens) == words


@given(st.lists(st.sampled_from(["[CLS]", "a", "##b", "\u2581c", "d", "我", "</s>"]), max_size=12))
def test_no_token_and_no_weight_is_lost(tokens):
    weights = [float(2**place) for place in range(len(tokens))]
    words = merge_tokens(tokens, weights)
    assert [place for word in words for place in range(word.start, word.end)] == list(
        range(len(tokens))
    )
    for word in words:
        assert word.weight == sum(weights[word.start : word.end])


def test_marks_of_the_encoder_are_special_and_unknown_words_are_not():
    words = merge_tokens(["[CLS]", "[UNK]", "<pad>", "s"], [1.0] * 4)
    assert [word.is_special for word in words] == [True, False, True, False]


def test_tokens_without_their_weights_are_refused():
    with pytest.raises(ValueError, match="2 tokens have 1 weights"):
        merge_tokens(["a", "b"], [0.5])


def test_a_font_is_found_for_what_matplotlib_s_own_has_and_for_what_only_another_has():
    assert "DejaVuSans.ttf" in str(find_font(frozenset("plain text, Ελληνικά")))
    other = find_font(frozenset("\U0001d49c"))  # a mathematical script letter
    assert other is not None
    assert "DejaVuSans.ttf" not in other


def test_no_font_is_better_than_one_that_draws_boxes():
    assert find_font(frozenset("\U0010fffd")) is None


def test_what_cannot_be_drawn_is_shown_as_a_square():
    assert keep_printable("clip $_$ \U0010fffd\n7") == "clip $_$ \u25a1 7"
