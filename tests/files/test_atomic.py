"""What is written is there in full or not at all, whatever ends the writer."""

import ctypes
import dataclasses
import errno
import os
import pickle
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers import die, killed, limit_files, make_config, make_material
from stand_in_models import StandIn

import mien.cli.root.application
import mien.files.temporaries
from mien.cli import main
from mien.config import dump_toml
from mien.data.export.layouts import export_store
from mien.data.store import open_store
from mien.data.store_writer import STORE, write_store
from mien.data.text import prepare_text
from mien.data.text_settings import TextEncoderConfig
from mien.errors import CheckpointError, OutputError, StoreError
from mien.files.atomic import resumable, write_text, written_beside
from mien.files.folders import FolderKind, staged
from mien.files.npy import write_array
from mien.files.temporaries import temporary
from mien.reports.figures.style import make_figure, save_figure
from mien.reports.page import write_report
from mien.training.experiment import train
from mien.training.record import open_folder
from mien.training.run_folder import open_run

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="limits and locks of POSIX")

TOO_LARGE = r"cannot be written \(File too large\); see how large a file may be there"
ANY = FolderKind("a thing", lambda _: {"file", "in/file"})


def names(folder):
    return sorted(one.name for one in folder.iterdir())


def write_half(path):
    with written_beside(path) as made:
        made.write_text("half", encoding="utf-8")
        die()


def stage_half(path, *, replace=False):
    with staged(path, ANY, replace=replace) as folder:
        (folder / "file").write_text("half", encoding="utf-8")
        die()


def stage(path, text="new", *, replace=False):
    with staged(path, ANY, replace=replace) as folder:
        (folder / "file").write_text(text, encoding="utf-8")


# --- killed writers -------------------------------------------------------------------------------


def test_a_killed_writer_leaves_the_old_file_and_the_next_one_removes_its_temporary(tmp_path):
    path = tmp_path / "file.json"
    path.write_text("old", encoding="utf-8")
    (tmp_path / ".file.json.swp").write_text("an editor's", encoding="utf-8")
    (tmp_path / ".other.json.abcd1234.partial").write_text("of another", encoding="utf-8")
    assert killed(lambda: write_half(path))
    assert len(names(tmp_path)) == 4
    assert path.read_text(encoding="utf-8") == "old"
    write_text(path, "new")
    assert names(tmp_path) == [".file.json.swp", ".other.json.abcd1234.partial", "file.json"]
    assert path.read_text(encoding="utf-8") == "new"


@pytest.mark.parametrize("replace", [False, True])
def test_a_killed_writer_of_a_folder_leaves_what_the_next_one_removes(tmp_path, replace):
    if replace:
        stage(tmp_path / "f", "old")
    assert killed(lambda: stage_half(tmp_path / "f", replace=replace))
    assert len(names(tmp_path)) == 1 + replace
    stage(tmp_path / "f", replace=replace)
    assert names(tmp_path) == ["f"]
    assert (tmp_path / "f" / "file").read_text(encoding="utf-8") == "new"


def test_a_store_after_a_kill_is_that_of_a_writer_that_was_not_killed(tmp_path):
    material = make_material()
    write_store(material, tmp_path / "unbroken")

    def write():
        series = material.series[-1]

        def read():
            yield from (values for values, _ in zip(series.read(), range(5), strict=False))
            die()

        broken = dataclasses.replace(series, read=read)
        write_store(
            dataclasses.replace(material, series=(*material.series[:-1], broken)), tmp_path / "s"
        )

    assert killed(write)
    assert len(names(tmp_path)) == 2
    write_store(material, tmp_path / "s")
    assert names(tmp_path) == ["s", "unbroken"]
    for file in (tmp_path / "unbroken").rglob("*.*"):
        again = tmp_path / "s" / file.relative_to(tmp_path / "unbroken")
        assert again.read_bytes() == file.read_bytes()


def test_a_run_removes_what_was_left_in_its_folder(tmp_path):
    """A kill in the last epoch left a checkpoint that nothing would have written again."""
    run = tmp_path / "run"
    (run / "seed-1" / "labels").mkdir(parents=True)
    (run / "figures").mkdir()
    left = ["seed-1/.last.safetensors.abcd1234.partial", "figures/.scores.png.abcd_234.partial"]
    left += ["seed-1/labels/.epoch-009.npy.abcd1234.partial", ".config.toml.abcd1234.partial"]
    for name in left:
        (run / name).write_text("half", encoding="utf-8")
    config = make_config(train={"epochs": 1}, labels={"generator": "copy"})
    (run / "config.toml").write_text(dump_toml(make_config()), encoding="utf-8")
    with pytest.raises(CheckpointError, match="differs from the settings"):
        open_folder(run, config, {}, resume=True)
    assert [name for name in left if (run / name).exists()] == left[:3]
    (run / "config.toml").write_text(dump_toml(config), encoding="utf-8")
    open_folder(run, config, {}, resume=True)
    assert not list(run.rglob("*.partial"))


def test_a_folder_in_which_only_a_killed_writer_began_is_no_other_run(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / ".config.toml.abcd1234.partial").write_text("half", encoding="utf-8")
    open_folder(tmp_path / "run", make_config(), {}, resume=False)
    assert names(tmp_path / "run") == ["config.toml", "environment.json"]


def forbid_exchange(monkeypatch):
    """Let the system have no call that exchanges two names, as most have none."""

    def load(*_):
        raise OSError("no such library")

    monkeypatch.setattr(ctypes, "CDLL", load)


def test_a_folder_that_was_moved_away_by_a_killed_writer_is_put_back(tmp_path, monkeypatch, caplog):
    """Where the system cannot exchange two names, there is a moment without the folder."""
    forbid_exchange(monkeypatch)
    stage(tmp_path / "f", "old")
    real = Path.rename

    def rename_and_die(path, to):
        real(path, to)
        die()

    def replace():
        Path.rename = rename_and_die
        stage(tmp_path / "f", replace=True)

    assert killed(replace)
    assert not (tmp_path / "f").exists()
    with caplog.at_level("INFO"), pytest.raises(StoreError, match="f: already exists"):
        stage(tmp_path / "f")
    assert "put" in caplog.text
    assert (tmp_path / "f" / "file").read_text(encoding="utf-8") == "old"
    stage(tmp_path / "f", replace=True)
    assert names(tmp_path) == ["f"]
    assert (tmp_path / "f" / "file").read_text(encoding="utf-8") == "new"


# --- several writers ------------------------------------------------------------------------------


def test_of_two_writers_of_a_file_the_last_one_is_kept_and_neither_disturbs_the_other(tmp_path):
    path = tmp_path / "file"
    with written_beside(path) as first:
        first.write_text("first", encoding="utf-8")
        with written_beside(path) as second:
            second.write_text("second", encoding="utf-8")
        assert path.read_text(encoding="utf-8") == "second"
    assert path.read_text(encoding="utf-8") == "first"
    assert names(tmp_path) == ["file"]


def test_of_two_writers_of_a_new_folder_the_second_to_end_is_told(tmp_path):
    def write_both():
        with staged(tmp_path / "f", ANY, replace=False) as folder:
            (folder / "file").write_text("late", encoding="utf-8")
            stage(tmp_path / "f", "early")

    with pytest.raises(StoreError, match=r"f: already exists; choose another path, or use"):
        write_both()
    assert (tmp_path / "f" / "file").read_text(encoding="utf-8") == "early"
    assert names(tmp_path) == ["f"]


@pytest.mark.parametrize("exchanges", [True, False])
def test_of_two_that_replace_a_folder_the_last_one_is_kept(tmp_path, monkeypatch, exchanges):
    if not exchanges:
        forbid_exchange(monkeypatch)
    stage(tmp_path / "f", "old")
    with staged(tmp_path / "f", ANY, replace=True) as folder:
        (folder / "file").write_text("late", encoding="utf-8")
        stage(tmp_path / "f", "early", replace=True)
        assert (tmp_path / "f" / "file").read_text(encoding="utf-8") == "early"
    assert (tmp_path / "f" / "file").read_text(encoding="utf-8") == "late"
    assert names(tmp_path) == ["f"]


def test_without_locks_nothing_that_others_may_write_is_removed(tmp_path, monkeypatch):
    monkeypatch.setattr(mien.files.temporaries, "try_lock", lambda _: None)
    assert killed(lambda: write_half(tmp_path / "file"))
    write_text(tmp_path / "file", "new")
    assert (tmp_path / "file").read_text(encoding="utf-8") == "new"
    assert len(names(tmp_path)) == 2


def test_a_temporary_that_was_taken_for_one_left_is_made_again(tmp_path, monkeypatch):
    """Another process may look between the making of a temporary and its locking."""
    real, tried = mien.files.temporaries.try_lock, []

    def lose_the_first(handle):
        tried.append(handle)
        return False if len(tried) == 1 else real(handle)

    monkeypatch.setattr(mien.files.temporaries, "try_lock", lose_the_first)
    with temporary(tmp_path / "file", "file", sweeps=False) as made:
        assert made.exists()
    assert len(tried) == 2


def test_a_folder_that_was_removed_before_it_was_opened_is_made_again(tmp_path, monkeypatch):
    real, opened = mien.files.temporaries.open_to_lock, []

    def lose_the_first(path):
        opened.append(path)
        if len(opened) == 1:
            path.rmdir()
        return real(path)

    monkeypatch.setattr(mien.files.temporaries, "open_to_lock", lose_the_first)
    with temporary(tmp_path / "folder", "folder", sweeps=False) as made:
        assert made.is_dir()
        assert made != opened[0]


# --- what is replaced -----------------------------------------------------------------------------


@pytest.fixture
def store(tmp_path):
    return write_store(make_material(), tmp_path / "store").path


@pytest.mark.parametrize("name", ["thesis.doc", "audio/notes.txt", "mine/", ".hidden", "a.npy"])
def test_a_store_with_something_of_the_users_is_not_replaced(store, name):
    if name.endswith("/"):
        (store / name).mkdir()
    else:
        (store / name).write_text("precious", encoding="utf-8")
    sentence = (
        f"store: holds {name.strip('/')!r}, which does not belong to a store, so it will not be"
    )
    with pytest.raises(StoreError, match=sentence):
        write_store(make_material(), store, replace=True)
    assert (store / name).exists()
    assert names(store.parent) == ["store"]


@pytest.mark.parametrize("meta", ["{}", "[]", "half", '{"format": 1, "name": "x"}'])
def test_a_folder_with_some_meta_json_is_no_store(tmp_path, meta):
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "meta.json").write_text(meta, encoding="utf-8")
    with pytest.raises(StoreError, match="m: exists and is not a store; it will not be replaced"):
        write_store(make_material(), tmp_path / "m", replace=True)
    assert names(tmp_path / "m") == ["meta.json"]


def test_something_put_into_a_store_while_it_is_replaced_is_kept(store):
    def replace():
        with staged(store, STORE, replace=True):
            (store / "thesis.doc").write_text("precious", encoding="utf-8")

    with pytest.raises(StoreError, match=r"store: holds 'thesis\.doc'"):
        replace()
    assert (store / "thesis.doc").exists()


def test_a_store_of_another_version_with_the_records_of_an_extraction_can_be_replaced(store):
    meta = store / "meta.json"
    text = meta.read_text(encoding="utf-8").replace('"format": 1', '"format": 7, "later": true')
    meta.write_text(text, encoding="utf-8")
    for name in ("notes.jsonl", "skipped.csv"):
        (store / name).write_text("", encoding="utf-8")
    with pytest.raises(StoreError, match="format is 7"):
        open_store(store)
    write_store(make_material(), store, replace=True)
    assert open_store(store).clips


def test_a_link_to_a_store_stays_one_and_the_store_is_replaced_where_it_is(tmp_path, store):
    (tmp_path / "here").mkdir()
    link = tmp_path / "here" / "link"
    link.symlink_to(store)
    write_store(make_material(num_clips=(10, 7, 7)), link, replace=True)
    assert link.is_symlink()
    assert len(open_store(store).clips) == 24
    assert (names(tmp_path), names(tmp_path / "here")) == (["here", "store"], ["link"])


def test_a_link_to_nothing_is_not_written_to(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "gone" / "store")
    with pytest.raises(StoreError, match=r"link: is a link to .*store, which is not there"):
        write_store(make_material(), tmp_path / "link", replace=True)
    assert names(tmp_path) == ["link"]


def test_a_link_to_a_file_stays_one(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real" / "file")
    write_text(tmp_path / "link", "text")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real" / "file").read_text(encoding="utf-8") == "text"


@pytest.mark.parametrize("kind", ["folder", "pipe"])
def test_what_is_no_file_is_not_replaced_by_one(tmp_path, kind):
    (os.mkfifo if kind == "pipe" else os.mkdir)(tmp_path / "out")
    with pytest.raises(OutputError, match="out: is not a file, so no file can replace it"):
        write_text(tmp_path / "out", "text")
    assert not (tmp_path / "out").is_file()


@pytest.mark.parametrize("form", ["npz", "parquet"])
def test_an_export_with_something_of_the_users_is_not_replaced(tmp_path, store, form):
    if form == "parquet":
        pytest.importorskip("pyarrow")
    export_store(store, tmp_path / "out", form=form)
    export_store(store, tmp_path / "out", form=form, replace=True)
    (tmp_path / "out" / "mine.npz").write_text("precious", encoding="utf-8")
    with pytest.raises(StoreError, match=r"holds 'mine\.npz', which does not belong to an export"):
        export_store(store, tmp_path / "out", form=form, replace=True)
    assert (tmp_path / "out" / "mine.npz").exists()


def test_a_table_of_clips_with_features_beside_it_is_not_taken_for_an_export(tmp_path, store):
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "clips.csv").write_text("video_id,clip_id,text,label\n", encoding="utf-8")
    (tmp_path / "own" / "audio.npz").write_text("precious", encoding="utf-8")
    with pytest.raises(StoreError, match="own: exists and is not an export"):
        export_store(store, tmp_path / "own", form="npz", replace=True)
    assert names(tmp_path / "own") == ["audio.npz", "clips.csv"]


# --- names ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["n" * 230, "n" * 255, "名" * 85])
def test_names_may_be_as_long_as_the_system_allows(tmp_path, name):
    write_store(make_material(), tmp_path / name)
    write_store(make_material(), tmp_path / name, replace=True)
    assert names(tmp_path) == [name]
    (tmp_path / "files").mkdir()
    file = tmp_path / "files" / name
    assert killed(lambda: write_half(file))
    write_text(file, "text")
    assert names(tmp_path / "files") == [name]


def test_a_name_that_is_too_long_is_a_sentence(tmp_path, capsys):
    assert main(["planted", "--set", "num_clips=20", "--out", str(tmp_path / ("n" * 256))]) == 2
    assert "File name too long" in capsys.readouterr().err


# --- arrays ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "array",
    [
        np.arange(6.0).reshape(2, 3),
        np.arange(6.0).reshape(2, 3).T,
        np.zeros((0, 4), np.float32),
        np.array([1, 2], "<i4")[::-1],
        np.array([True, False]),
    ],
)
def test_arrays_are_written_as_numpy_writes_them(tmp_path, array):
    np.save(tmp_path / "wanted.npy", np.ascontiguousarray(array))
    write_array(tmp_path / "x.npy", array)
    assert (tmp_path / "x.npy").read_bytes() == (tmp_path / "wanted.npy").read_bytes()
    np.testing.assert_array_equal(np.load(tmp_path / "x.npy"), array)


# --- no room --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trained(tiny_store, tmp_path_factory):
    """A run of one epoch; do not alter."""
    config = make_config(train={"epochs": 1}, labels={"generator": "copy"})
    run = train(config, tiny_store.path, tmp_path_factory.mktemp("runs") / "run")
    return run.path


@pytest.fixture
def place(tmp_path, monkeypatch, tiny_store, trained):
    """A folder with a store, a run, and what the commands below read."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("mien.prediction.predictor.load", lambda *_, **__: StandIn())
    monkeypatch.setattr("mien.cli.predict.bring_missing", lambda *_, **__: None)
    (tmp_path / "store").symlink_to(tiny_store.path)
    (tmp_path / "run").symlink_to(trained)
    export_store(tiny_store, tmp_path / "x.pkl", encoder="none")
    (tmp_path / "tiny.toml").write_text(STUDY, encoding="utf-8")
    return tmp_path


STUDY = """
title = "Tiny"
question = "Is there room?"
config = "tam_ulag-planted"
baseline = "copy"
seeds = [1]
measures = ["scores"]

[[variant]]
name = "copy"
set = ["labels.generator=copy"]

[[corpus]]
name = "planted-3"
planted = { seed = 3, num_clips = 60 }
"""
TINY_RUN = ("--set", "corpus=tiny", "--set", "text_encoder.input=embeddings")
COMMANDS = {
    "planted --set num_clips=20 --out new": "new",
    "import x.pkl --corpus own --scale -3,3 --out new": "new",
    "export store new.pkl --tokenizer none": "new.pkl",
    "export store new --format npz": "new",
    "export store new --format parquet": "new",
    "evaluate run --store store --out new": "new/predictions-test-1.csv",
    "pack run new.safetensors": "new.safetensors",
    "predict --text fine --json new.json": "new.json",
    "predict --text fine --csv new.csv": "new.csv",
    "predict --text fine --plot new.png": "new.png",
    "study tiny.toml --out new": "cache/stores/planted-",
}


@pytest.mark.drawn
@pytest.mark.parametrize(
    "command",
    [pytest.param(c, marks=[pytest.mark.slow] if "plot" in c else []) for c in COMMANDS],
)
def test_without_room_a_command_ends_with_a_sentence_and_leaves_nothing(place, capsys, command):
    if "parquet" in command:
        pytest.importorskip("pyarrow.parquet")
    with limit_files(100):
        code = main(command.split())
    err = capsys.readouterr().err.splitlines()
    assert code == 2
    assert err[-1].startswith(f"mien: {COMMANDS[command]}") or str(place / "cache") in err[-1]
    assert "cannot be written (File too large); see how large a file may be there" in err[-1]
    assert not [one for one in place.rglob("*") if one.is_file() and one.name.startswith("new")]
    assert not list(place.rglob("*.partial"))


@pytest.mark.usefixtures("undrawn")
def test_without_room_a_training_says_how_it_goes_on(place, capsys):
    command = ["train", "tam_ulag-planted", "--store", "store", "--out", "new", "--seeds", "1"]
    command += [*TINY_RUN, "--set", "labels.generator=copy", "--set", "train.epochs=1"]
    for limit, name in ((100, r"config.toml"), (9000, r"seed-1/best.safetensors")):
        with limit_files(limit):
            assert main([*command, "--resume"]) == 2
        err = capsys.readouterr().err.splitlines()
        assert err[-1].startswith(f"mien: new/{name}: cannot be written (File too large); see how")
        assert err[-1].endswith("and continue with --resume")
    assert not list(place.rglob("*.partial"))


@pytest.mark.drawn
@pytest.mark.slow
def test_without_room_a_report_is_a_sentence(trained):
    with limit_files(100), pytest.raises(OutputError, match=rf"\.png: {TOO_LARGE}"):
        write_report(open_run(trained))


@pytest.mark.drawn
def test_without_room_a_figure_is_a_sentence(tmp_path):
    with limit_files(100), pytest.raises(OutputError, match=rf"f\.png: {TOO_LARGE}"):
        save_figure(make_figure("Figure", 1.0, 1.0), tmp_path / "f.png")
    assert names(tmp_path) == []


def test_states_of_a_text_encoder_without_room_are_a_sentence(
    tiny_store, tiny_bert, tmp_path, monkeypatch
):
    """They were written through a mapped file, and a full disk ended the process by SIGBUS."""
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path))
    config = TextEncoderConfig(input="transcript", name=str(tiny_bert), mode="frozen")
    (tmp_path / "states" / ".another.abcd1234.partial").mkdir(parents=True)
    with limit_files(3000), pytest.raises(OutputError, match=TOO_LARGE):
        prepare_text(tiny_store, config)
    assert [one for one in (tmp_path / "states").iterdir() if one.suffix != ".lock"] == []
    series = prepare_text(tiny_store, config).series
    assert np.isfinite(series.values).all()
    assert np.abs(series.values).min(axis=1).all()


def fail(error, path=None):
    with written_beside(path) as made:
        made.write_text("half", encoding="utf-8")
        raise error


@pytest.mark.parametrize(
    ("number", "sentence"),
    [
        (errno.ENOSPC, r"f: cannot be written \(No space left .*\); make room there, and try"),
        (errno.EDQUOT, r"f: cannot be written \(Disk quota exceeded\); make room there, or have"),
    ],
)
def test_a_disk_without_room_is_a_sentence(tmp_path, number, sentence):
    with pytest.raises(OutputError, match=sentence) as caught:
        fail(OSError(number, "raw"), tmp_path / "f")
    assert caught.value.errno == number
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)
    assert names(tmp_path) == []
    with pytest.raises(OutputError, match=r", and continue with --resume$"), resumable():
        raise caught.value


def test_an_error_about_another_file_is_not_said_to_be_about_this_one(tmp_path):
    with pytest.raises(FileNotFoundError, match="elsewhere"):
        fail(FileNotFoundError(errno.ENOENT, "No such file", "/elsewhere"), tmp_path / "f")
    assert names(tmp_path) == []


def test_a_folder_that_is_not_there_is_a_sentence(tmp_path):
    with pytest.raises(OutputError, match=r"gone/f: cannot be written \(No such file .*\); check"):
        write_text(tmp_path / "gone" / "f", "text")


def test_an_error_of_a_library_that_names_no_file_is_a_sentence(monkeypatch, capsys):
    def fail(**_):
        raise OSError("1200 requested and 80 written")

    monkeypatch.setattr(mien.cli.root.application, "app", fail)
    assert main(["planted"]) == 2
    sentence = "mien: a file cannot be read or written (1200 requested and 80 written)\n"
    assert capsys.readouterr().err == sentence


def test_a_defect_is_not_made_a_sentence(monkeypatch):
    def fail(**_):
        raise ValueError("a defect")

    monkeypatch.setattr(mien.cli.root.application, "app", fail)
    with pytest.raises(ValueError, match="a defect"):
        main(["planted"])


def test_the_working_directory_is_not_replaced(tiny_store, tmp_path, monkeypatch):
    """The command wrote a store and then did not find it: it stood in the one of before."""
    shutil.copytree(tiny_store.path, tmp_path / "store")
    monkeypatch.chdir(tmp_path / "store")
    with pytest.raises(StoreError, match=r"\.: is the working directory, which stays"):
        write_store(make_material(), Path(), replace=True)
    assert open_store(tmp_path / "store").meta.fingerprint == tiny_store.meta.fingerprint
