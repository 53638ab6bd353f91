"""Which texts a model of a language is not trusted with."""

import csv
from pathlib import Path

import pytest

import mien
from mien.errors import ConfigError
from mien.prediction.spoken.language import find_doubt, require_language

DATA = Path(__file__).parents[3] / "shared" / "data"

#: Made-up sentences about films, six to a language.
OTHERS = {
    "Spanish": [
        "Esta película es terrible, no la recomiendo a nadie.",
        "Me encantó el final, lloré mucho.",
        "No me gustó nada.",
        "Los actores son muy buenos pero la historia es aburrida.",
        "Es la mejor película que he visto este año.",
        "¡Qué maravilla!",
    ],
    "French": [
        "Ce film est absolument magnifique.",
        "Je n'ai pas aimé cette histoire du tout.",
        "C'est nul.",
        "Les acteurs jouent très bien mais le scénario est faible.",
        "J'ai adoré chaque minute de ce film.",
        "Quelle perte de temps !",
    ],
    "German": [
        "Dieser Film ist wirklich schrecklich.",
        "Ich habe jede Minute davon geliebt.",
        "Das war leider nichts.",
        "Die Schauspieler sind gut, aber die Geschichte ist langweilig.",
        "Der beste Film, den ich dieses Jahr gesehen habe.",
        "Was für eine Enttäuschung!",
    ],
    "Italian": [
        "Questo film è davvero terribile.",
        "Mi è piaciuto molto il finale.",
        "Non mi è piaciuto per niente.",
        "Gli attori sono bravi ma la storia è noiosa.",
        "Il miglior film che ho visto quest'anno.",
        "Che delusione!",
    ],
    "Portuguese": [
        "Este filme é realmente terrível.",
        "Eu adorei cada minuto.",
        "Não gostei nada disso.",
        "Os atores são bons mas a história é chata.",
        "O melhor filme que vi este ano.",
        "Que decepção!",
    ],
    "Dutch": [
        "Deze film is echt verschrikkelijk.",
        "Ik heb van elke minuut genoten.",
        "Dat was helemaal niets.",
        "De acteurs zijn goed maar het verhaal is saai.",
        "De beste film die ik dit jaar heb gezien.",
        "Wat een teleurstelling!",
    ],
}
ENGLISH = [
    "Not bad.",
    "ok",
    "LOL",
    "Meh, boring.",
    "UM I SAY GO SEE IT COZ I I ENJOYED IT NOW",
    "It stars (uhh) Jessica Alba, Leonardo DiCaprio and Penélope Cruz.",
    "It is a cliché, but a charming one.",
    "My name is José Luis García Hernández.",
    "I love it 😍",
    "aaaaaaargh",
    "blah blah blah",
    "yada yada",
    "kung fu panda",
    "piano concerto",
    "hakuna matata",
    "ｇｏｏｄ ｍｏｖｉｅ",
]


@pytest.mark.parametrize("language", OTHERS)
def test_sentences_of_another_language_are_noticed(language):
    """A model of English was as sure of Spanish as of English."""
    doubts = [find_doubt(text, "en") for text in OTHERS[language]]
    found = [one for one in doubts if one is not None]
    assert len(found) >= 4  # exclamations of two words are not told apart
    assert all(one.is_readable for one in found)
    reason = f"the text is probably {language} and the model reads English"
    assert [one.reason for one in found].count(reason) >= 3


def test_a_text_in_which_every_word_has_a_capital_is_noticed_too():
    """All of its words but the first were taken for names."""
    doubt = find_doubt("Der Film War Sehr Schlecht Und Langweilig", "en")
    assert doubt is not None
    assert "probably German" in doubt.reason


@pytest.mark.parametrize("text", ENGLISH)
def test_english_is_not_doubted(text):
    assert find_doubt(text, "en") is None


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("这部电影真的很好看", "Chinese"),
        ("とても面白い映画でした", "Japanese"),
        ("영화가 정말 재미있었어요", "Korean"),
        ("Очень плохой фильм", "Russian"),
        ("فيلم سيء جدا", "Arabic"),
    ],
)
def test_letters_of_another_language_are_not_read(text, language):
    doubt = find_doubt(text, "en")
    assert doubt.reason == f"the text is {language} and the model reads English"
    assert not doubt.is_readable


@pytest.mark.parametrize("text", ["😍😍", "10/10", "!!!", "👍 5 ⭐"])
@pytest.mark.parametrize("language", ["en", "zh"])
def test_what_holds_no_word_is_not_read(text, language):
    doubt = find_doubt(text, language)
    assert doubt.reason == "the text holds no words"
    assert not doubt.is_readable


def test_a_text_that_is_mostly_in_other_letters_can_be_read_in_part():
    doubt = find_doubt("OK, 这部电影真的很好看", "en")
    assert doubt.reason == "the text is mostly Chinese and the model reads English"
    assert doubt.is_readable
    assert find_doubt("The Chinese title is 很好 and the film is good.", "en") is None


@pytest.mark.parametrize("text", ["很好看", "这个 iPhone 不错", "這部電影很無聊。", "哈哈哈"])
def test_a_chinese_model_takes_chinese(text):
    assert find_doubt(text, "zh") is None


def test_a_chinese_model_does_not_read_english():
    doubt = find_doubt("It was a wonderful film.", "zh")
    assert doubt.reason == "the text is English and the model reads Chinese"
    assert not doubt.is_readable


def test_a_language_that_cannot_be_told_apart_is_never_doubted_in_its_letters():
    assert find_doubt("Ni siku nzuri sana leo", "xx") is None


@pytest.mark.parametrize(("corpus", "language"), [("mosi", "en"), ("sims", "zh")])
def test_hardly_any_transcript_of_a_corpus_is_doubted(corpus, language):
    path = DATA / corpus / "label.csv"
    if not path.exists():
        pytest.skip(f"needs {corpus}/label.csv of ../shared/data")
    with path.open(encoding="utf-8", newline="") as file:
        texts = [row["text"] for row in csv.DictReader(file) if row["text"].strip()]
    doubted = [text for text in texts if find_doubt(text, language) is not None]
    assert len(doubted) <= len(texts) / 1000, doubted[:10]


@pytest.mark.parametrize(
    ("given", "which", "sentence"),
    [
        ("zh", "", "no model that reads Chinese comes with mien; train one on clips in Chinese"),
        ("de", "run: ", "run: reads English; give a model that was trained on German"),
        ("qq", "", "language 'qq' is not known; give a code of two letters"),
    ],
)
def test_another_language_than_the_model_reads_is_refused(given, which, sentence):
    with pytest.raises(ConfigError, match=sentence):
        require_language(given, "en", which)


def test_a_model_that_reads_no_words_takes_every_language_that_there_is():
    assert mien.load("emotions", language="de").language == "de"
    with pytest.raises(ConfigError, match="language 'qq' is not known"):
        mien.load("emotions", language="qq")
    with pytest.raises(ConfigError, match=r"small: reads English; give a model .* on German"):
        mien.load("small", language="de")


def test_the_language_that_the_model_reads_is_taken():
    require_language("en", "en", "")
    require_language(None, "en", "")
