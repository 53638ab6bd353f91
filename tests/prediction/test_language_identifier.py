"""What tells languages apart is unpacked once, and is the same when it comes from the cache."""

from pathlib import Path

import pytest
from py3langid.langid import LanguageIdentifier

from mien.files import cache_entries
from mien.prediction.spoken.language_identifier import load_identifier

LANGUAGES = ("de", "en", "fr", "zh")
TEXTS = ["I did not like it at all.", "Ein schöner Tag, nicht wahr?", "我喜欢这部电影", "c'est nul"]


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder of the cache, which is empty."""
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "languages"


def load_anew() -> LanguageIdentifier:
    """Return what another process would load."""
    load_identifier.cache_clear()
    return load_identifier(LANGUAGES)


def test_what_is_kept_gives_the_scores_of_the_library(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = LanguageIdentifier.from_model_file("data/model.npz.xz")
    library.set_languages(LANGUAGES)
    expected = [library.rank(text) for text in TEXTS]

    assert [load_anew().rank(text) for text in TEXTS] == expected
    assert len([*cache.glob("*.safetensors")]) == 1
    monkeypatch.delattr(LanguageIdentifier, "from_model_file")  # nothing is unpacked again
    assert [load_anew().rank(text) for text in TEXTS] == expected


def test_a_damaged_file_is_made_again(cache: Path) -> None:
    load_anew()
    (kept,) = cache.glob("*.safetensors")
    whole = kept.read_bytes()
    for content in (b"", whole[:1000], whole[:-1]):
        kept.write_bytes(content)
        assert load_anew().rank(TEXTS[1])[0][0] == "de"
        assert kept.read_bytes() == whole


def test_where_nothing_can_be_written_it_is_unpacked_each_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path / "file" / "cache"))
    assert load_anew().rank(TEXTS[0])[0][0] == "en"


def test_mien_cache_lists_it(cache: Path) -> None:
    load_anew()
    (entry,) = cache_entries.list_cache()
    assert (entry.kind, entry.path.parent) == ("languages", cache)
