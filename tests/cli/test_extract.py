"""The commands extract, extractors and export, with the extractors that the package has."""

import csv
import importlib.util

import pytest
import talking
from extracting import write_folder, write_sound

from mien.cli import main
from mien.data.store import open_store
from mien.errors import ConfigError
from mien.extraction.clip import ExtractionSettings
from mien.extraction.request import make_settings, read_request
from mien.types import Scale

HEARD = ["--video", "none", "--text", "none", "--jobs", "1"]

needs_extras = pytest.mark.skipif(
    importlib.util.find_spec("librosa") is None, reason="needs pip install mien[extract]"
)


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write_table(folder):
    """Two clips with labels and a third that cannot be read."""
    talking.write_clip(folder / "a.mp4", seconds=1)
    write_sound(folder / "b.wav", seconds=1)
    (folder / "c.mp4").write_text("no recording")
    rows = [
        ("path", "label", "mode", "text"),
        ("a.mp4", "1.5", "train", "so good"),
        ("b.wav", "-1", "test", "so bad"),
        ("c.mp4", "0", "test", "hm"),
    ]
    with (folder / "clips.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)


@needs_extras
@pytest.mark.slow
def test_recordings_become_a_store_and_go_back_to_a_pickle(here, capsys):
    write_table(here)
    command = ["extract", "clips.csv", "--scale", "-3,3", "--out", "stores/own", *HEARD]
    assert main(command) == 1
    said = capsys.readouterr().err
    assert "1 of 3 clips failed, at most 0 may, so no store was written" in said
    assert "--resume --max-skipped 1" in said
    assert not (here / "stores" / "own").exists()
    assert main([*command, "--resume", "--max-skipped", "1"]) == 0
    assert "skipped: 1 of 3 clips" in capsys.readouterr().out
    store = open_store(here / "stores" / "own")
    assert store.meta.series["audio"].extractor == "librosa-sims/1"
    assert [clip.split for clip in store.clips] == ["train", "test"]
    assert main(["export", "stores/own", "npz", "--format", "npz"]) == 0
    assert main(["export", "stores/own", "own.pkl"]) == 2
    assert "has no video, which the published layout requires" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["nowhere"], "nowhere: is not there; give a folder"),
        (["raw", "--audio", "librosa"], "--audio 'librosa': there is no such extractor; there are"),
        (["raw", "--video", "faces"], "face/1"),
        (["raw", *HEARD, "--audio", "none"], "nothing is left to extract"),
        (["raw", *HEARD, "--pool", "video=5"], "--pool 'video=5': must be NUMBER or MODALITY="),
        (["raw", *HEARD, "--pool", "2", "--rate", "audio=5"], "the steps of audio are joined"),
        (["raw", *HEARD, "--pool", "x"], "--pool 'x': must be a whole number"),
        (["raw", *HEARD, "--align", "words", "--pool", "2"], "--align words: joins the steps"),
        (["raw", *HEARD, "--encoder", "minilm"], "--encoder 'minilm': goes with --align words"),
        (["raw", *HEARD, "--words", "none.json"], "none.json: is not there; check the path"),
        (["raw", *HEARD, "--backend", "spark"], "spark"),
        (["raw", *HEARD, "--jobs", "0"], "--jobs: must be"),
    ],
)
def test_what_cannot_be_is_said_in_a_sentence(here, capsys, arguments, sentence):
    write_folder(here / "raw", "a")
    assert main(["extract", *arguments]) == 2
    assert sentence in capsys.readouterr().err
    assert not list(here.glob("stores/*"))


def test_the_list_of_extractors_says_what_is_missing(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("MIEN_DATA", str(tmp_path))
    assert main(["extractors"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith("librosa-sims/1") and "audio" in line for line in lines)
    place = next(n for n, line in enumerate(lines) if line.startswith("openface-709/1"))
    assert "not usable here: " in lines[place + 1]


def ask(**changes):
    options = {
        "audio": "none", "video": "face", "text": "auto", "recogniser": "auto",
        "language": "en", "align": "none", "encoder": "auto", "pool": [], "rate": [],
    }  # fmt: skip
    return make_settings(**(options | changes))


def test_settings_are_completed_before_anything_is_begun():
    settings = ask()
    assert settings == ExtractionSettings(
        video="face/1", text="auto", recogniser="whisper-tiny-en", language="en"
    )
    assert ask(text="transcript").recogniser == ""
    assert ask(align="words").encoder == "minilm"
    assert ask(align="words", language="zh", text="none").encoder == ""
    assert ask(language="zh").recogniser == "whisper-base"
    pooled = ask(audio="librosa-sims", pool=["video=5"], rate=["audio=10"]).pooling
    assert {m: str(one) for m, one in pooled.items()} == {
        "video": "mean over 5 steps",
        "audio": "mean at 10 a second",
    }
    assert set(ask(audio="librosa-sims", rate=["10"]).pooling) == {"audio", "video"}


def test_an_encoder_that_is_not_wanted_is_left_out():
    assert ask(align="words", encoder="none").encoder == ""
    with pytest.raises(ConfigError, match="goes with --align words"):
        ask(encoder="e5-small")


def test_clips_without_a_label_are_kept_or_left_out(here):
    rows = "Filename\tLabel\tSplit\na.wav\t1,5\ttrain\nb.wav\t\t\n"
    (here / "clips.csv").write_text(rows, encoding="utf-16")
    facts = {"corpus": "sims2", "language": None, "scale": Scale(-3, 3)}
    corpus = read_request(here / "clips.csv", **facts).corpus
    assert corpus.language == "zh"
    assert [(clip.id, clip.split, len(clip.labels)) for clip in corpus.clips] == [
        ("a$_$1", "train", 1),
        ("b$_$1", "train", 0),
    ]
    left = read_request(here / "clips.csv", **facts, encoding="utf-16", unlabelled="drop")
    assert [path.name for path in left.paths] == ["a.wav"]


def test_the_options_of_a_table_reach_its_reader(here, capsys):
    (here / "clips.csv").write_text("path,text\na.wav,schön\n", encoding="latin-1")
    assert main(["extract", "clips.csv", *HEARD]) == 2
    assert "is not UTF-8" in capsys.readouterr().err
    assert main(["extract", "clips.csv", *HEARD, "--encoding", "klingon"]) == 2
    assert "--encoding 'klingon': there is no such encoding" in capsys.readouterr().err
    assert main(["extract", "clips.csv", *HEARD, "--unlabelled", "guess"]) == 2
    assert "'guess' is not one of 'keep', 'drop'" in capsys.readouterr().err
