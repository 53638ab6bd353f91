"""Many recordings: every answer is on disk as soon as it is made, and a stopped run goes on."""

import csv
import errno
import json
import os
import pickle
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import stand_in_models
from helpers import write_tiny_store

import mien
from mien.cli import main
from mien.errors import ConfigError, MediaError
from mien.prediction.output_files.outputs import OutputPaths
from mien.prediction.output_files.prediction_run import open_answers
from mien.prediction.predictor import TrainedModel
from mien.prediction.result import Prediction

NUM_CLIPS = 50


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """An empty folder, in which the model is a stand-in."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        "mien.prediction.predictor.load", lambda *_, **__: stand_in_models.StandIn()
    )
    return tmp_path


@pytest.fixture
def drawn(monkeypatch):
    """Recordings of which a picture was drawn, in order."""
    made = []

    def draw(self, path=None, *, recording=None):
        made.append(Path(recording).name)
        Path(path).write_text(self.source)

    monkeypatch.setattr(Prediction, "plot", draw)
    return made


def make_clips(count, **contents):
    """Write stand-ins of recordings: clip00.mp4, clip01.mp4, ..."""
    names = [f"clip{number:02d}" for number in range(count)]
    for number, name in enumerate(names):
        Path(f"{name}.mp4").write_text(contents.get(name, f"utterances {1 + number % 3}"))
    return [f"{name}.mp4" for name in names]


def predict(clips, *more, outputs=("--json", "o.jsonl", "--csv", "o.csv")):
    return main(["predict", *map(str, clips), *outputs, *more])


def sources(path="o.jsonl"):
    return [json.loads(line)["source"] for line in Path(path).read_text().splitlines()]


def rows(path="o.csv"):
    with Path(path).open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    """Outputs about many recordings, of a run that nothing has stopped."""
    folder = tmp_path_factory.mktemp("unbroken")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr("mien.prediction.predictor.load", lambda *_, **__: stand_in_models.StandIn())
        assert predict(make_clips(NUM_CLIPS)) == 0
    return {name: (folder / name).read_bytes() for name in ("o.jsonl", "o.csv")}


def check_equal(unbroken):
    assert {name: Path(name).read_bytes() for name in unbroken} == unbroken
    assert not list(Path().glob("*.partial"))


def check_half_way(number):
    assert not Path("o.jsonl").exists()
    assert sources("o.jsonl.partial") == [f"clip{i:02d}.mp4" for i in range(number)]
    assert {row["source"] for row in rows("o.csv.partial")} == set(sources("o.jsonl.partial"))


# --- stopped and resumed --------------------------------------------------------------------------


def test_ctrl_c_half_way_keeps_every_answer_and_resume_gives_the_same_bytes(unbroken, capsys):
    """Ctrl-C after 2 of 4 left an empty folder, and spoke of --resume, which there was not."""
    clips = make_clips(NUM_CLIPS)
    Path("flag").touch()
    stopping = Path("clip25.mp4")
    usual = stopping.read_text()
    stopping.write_text("interrupt flag")
    assert predict(clips) == 130
    assert capsys.readouterr().err.splitlines()[-1] == (
        "mien: stopped; 25 of 50 answered, in o.jsonl.partial and o.csv.partial; "
        "the same command goes on with --resume"
    )
    check_half_way(25)
    stopping.write_text(usual)
    assert predict(clips, "--resume") == 0
    said = capsys.readouterr()
    assert said.err.splitlines()[0] == "26 of 50: clip25.mp4"
    assert "clip24.mp4" not in said.out
    check_equal(unbroken)


@pytest.mark.slow
def test_a_killed_run_is_resumed_to_the_same_bytes(unbroken):
    clips = make_clips(NUM_CLIPS)
    Path("flag").touch()
    stopping = Path("clip25.mp4")
    usual = stopping.read_text()
    stopping.write_text("kill flag")
    code = (
        "import sys, stand_in_models, mien.prediction.predictor as predictor\n"
        "from mien.cli import main\n"
        "predictor.load = lambda *_, **__: stand_in_models.StandIn()\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    paths = [str(Path(__file__).parents[1]), str(Path(mien.__file__).parents[1])]
    command = [sys.executable, "-c", code, "predict", *clips, "--json", "o.jsonl", "--csv", "o.csv"]
    done = subprocess.run(
        command,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)},
        capture_output=True,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL
    check_half_way(25)
    stopping.write_text(usual)
    assert predict(clips, "--resume") == 0
    check_equal(unbroken)


def test_what_a_kill_has_torn_is_mended():
    """The kill comes between the CSV and the progress file, or within a line of each."""
    clips = make_clips(4)
    assert predict(clips) == 0
    whole = {name: Path(name).read_bytes() for name in ("o.jsonl", "o.csv")}
    lines = Path("o.jsonl.progress").read_bytes().splitlines(keepends=True)
    # clip00 and clip01 are in the progress file; clip02 is in the CSV and torn in the others
    Path("o.jsonl.progress").write_bytes(b"".join(lines[:3]) + lines[3][:20])
    json_lines = whole["o.jsonl"].splitlines(keepends=True)
    Path("o.jsonl.partial").write_bytes(b"".join(json_lines[:2]) + json_lines[2][:40])
    Path("o.csv.partial").write_bytes(whole["o.csv"])
    for name in whole:
        Path(name).unlink()
    assert predict(clips, "--resume") == 0
    assert {name: Path(name).read_bytes() for name in whole} == whole


def test_a_stopped_run_is_not_begun_again_by_mistake(capsys):
    clips = make_clips(3, clip01="interrupt flag")
    Path("flag").touch()
    assert predict(clips) == 130
    capsys.readouterr()
    assert predict(clips) == 2
    assert capsys.readouterr().err == (
        "mien: o.jsonl.progress: belongs to a run that was stopped, with answers about 1 of its "
        "recordings; continue with --resume, or use --replace to start again\n"
    )
    assert predict(clips, "--replace") == 0
    assert len(sources()) == 3


def test_an_earlier_output_stays_until_the_new_one_is_complete():
    clips = make_clips(3)
    assert predict(clips) == 0
    before = Path("o.jsonl").read_bytes()
    Path("clip02.mp4").write_text("interrupt flag")
    Path("flag").touch()
    assert predict(clips) == 130
    assert Path("o.jsonl").read_bytes() == before
    assert predict(clips, "--resume") == 0
    assert Path("o.jsonl").read_bytes() != before


def test_a_finished_run_is_not_done_again_by_resume(capsys):
    clips = make_clips(3)
    assert predict(clips) == 0
    before = Path("o.csv").stat().st_mtime_ns
    capsys.readouterr()
    assert predict(clips, "--resume") == 0
    assert capsys.readouterr().out == ""
    assert Path("o.csv").stat().st_mtime_ns == before


def test_more_recordings_are_added_to_a_finished_run():
    clips = make_clips(4)
    assert predict(clips[:2]) == 0
    assert predict(clips[2:], "--resume") == 0
    assert sources() == clips
    assert [row["source"] for row in rows()] == [
        *("clip00.mp4", "clip01.mp4", "clip01.mp4"),
        *("clip02.mp4", "clip02.mp4", "clip02.mp4", "clip03.mp4"),
    ]


def test_a_changed_recording_is_predicted_again_in_its_place():
    clips = make_clips(3)
    assert predict(clips) == 0
    Path("clip01.mp4").write_text("utterances 5")
    assert predict(clips, "--resume") == 0
    assert sources() == clips
    assert sum(row["source"] == "clip01.mp4" for row in rows()) == 5


def test_a_recording_that_failed_is_tried_again(capsys):
    clips = make_clips(3, clip01="not media")
    assert predict(clips) == 2
    assert capsys.readouterr().err.splitlines()[-2:] == [
        "3 of 3: clip02.mp4",
        "mien: 1 of 3 could not be predicted; --resume tries them again",
    ]
    assert sources() == ["clip00.mp4", "clip02.mp4"]
    assert predict(clips, "--resume") == 2
    Path("clip01.mp4").write_text("fine")
    assert predict(clips, "--resume") == 0
    assert sources() == clips


def test_equal_names_in_two_folders_are_told_apart(drawn):
    for folder in ("a", "b"):
        Path(folder).mkdir()
    Path("a/clip.mp4").write_text("utterances 1")
    Path("b/clip.mp4").write_text("interrupt flag")
    Path("flag").touch()
    clips = ["a/clip.mp4", "b/clip.mp4"]
    outputs = ("--json", "o.jsonl", "--csv", "o.csv", "--plot", "pictures")
    assert predict(clips, outputs=outputs) == 130
    assert predict(clips, "--resume", outputs=outputs) == 0
    assert sources() == clips
    assert drawn == ["clip.mp4", "clip.mp4"]
    assert Path("pictures/clip.png").read_text() == "a/clip.mp4"
    assert Path("pictures/clip-2.png").read_text() == "b/clip.mp4"


def test_pictures_that_are_drawn_are_not_drawn_again(drawn):
    Path("flag").touch()
    clips = make_clips(4, clip02="interrupt flag")
    Path("clip00.mp4").rename("clip01.avi")  # the same picture's name as that of clip01.mp4
    clips[0] = "clip01.avi"
    outputs = ("--plot", "pictures")
    assert predict(clips, outputs=outputs) == 130
    assert predict(clips, "--resume", outputs=outputs) == 0
    assert drawn == ["clip01.avi", "clip01.mp4", "clip02.mp4", "clip03.mp4"]
    assert {p.name: p.read_text() for p in Path("pictures").iterdir()} == {
        "clip01.png": "clip01.avi",
        "clip01-2.png": "clip01.mp4",
        "clip02.png": "clip02.mp4",
        "clip03.png": "clip03.mp4",
    }


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        (["--transcript", "none"], "was begun with transcript 'auto', now it is 'none'"),
        (["--plot", "pictures"], "was begun with outputs"),
        (["--replace"], "--resume goes on, --replace begins again"),
    ],
)
def test_a_run_goes_on_with_the_same_settings_only(capsys, more, sentence):
    clips = make_clips(2)
    assert predict(clips) == 0
    capsys.readouterr()
    assert predict(clips, "--resume", *more) == 2
    assert sentence in capsys.readouterr().err


def test_an_output_that_was_edited_is_not_gone_on_with(capsys):
    clips = make_clips(3)
    assert predict(clips[:2]) == 0
    Path("o.csv").write_text("mine")
    capsys.readouterr()
    assert predict(clips, "--resume") == 2
    assert "o.csv: was changed since mien wrote it" in capsys.readouterr().err
    assert Path("o.csv").read_text() == "mine"


def test_resume_without_an_output_says_what_is_missing(capsys):
    assert predict(make_clips(2), "--resume", outputs=()) == 2
    assert "--resume goes on with the files of --json" in capsys.readouterr().err


def test_without_an_output_ctrl_c_promises_nothing(capsys):
    Path("flag").touch()
    assert predict(make_clips(3, clip01="interrupt flag"), outputs=()) == 130
    assert capsys.readouterr().err.endswith("mien: stopped; 1 of 3 answered\n")


def test_ctrl_c_before_the_first_answer_leaves_nothing(capsys):
    Path("flag").touch()
    clips = make_clips(2, clip00="interrupt flag")
    assert predict(clips) == 130
    assert capsys.readouterr().err.endswith("mien: stopped; 0 of 2 answered\n")
    assert predict(clips) == 0


def test_a_second_process_does_not_write_the_same_outputs(monkeypatch, capsys):
    clips = make_clips(3)
    usual = stand_in_models.StandIn.predict

    def predict_meanwhile(self, recording, **settings):
        if recording.name == "clip01.mp4":
            monkeypatch.setattr(stand_in_models.StandIn, "predict", usual)
            assert predict(clips, "--resume") == 2
        return usual(self, recording, **settings)

    monkeypatch.setattr(stand_in_models.StandIn, "predict", predict_meanwhile)
    assert predict(clips) == 0
    assert "o.jsonl.progress: another process is writing it" in capsys.readouterr().err
    assert sources() == clips


def test_where_files_cannot_be_locked_a_warning_says_so(monkeypatch, caplog):
    monkeypatch.setattr("mien.prediction.output_files.appending.try_lock", lambda _: None)
    clips = make_clips(2)
    assert predict(clips) == 0
    assert "o.csv.partial: cannot be locked; let no other process write it" in caplog.text
    assert sources() == clips


def test_a_run_that_another_process_ends_meanwhile_is_not_damaged(monkeypatch, capsys):
    Path("flag").touch()
    clips = make_clips(3, clip01="interrupt flag")
    assert predict(clips) == 130

    begun = []

    def end_meanwhile(self, **_):
        begun.append(self)
        if len(begun) == 1:
            assert predict(clips, "--resume") == 0

    monkeypatch.setattr(stand_in_models.StandIn, "make_ready", end_meanwhile)
    capsys.readouterr()
    assert predict(clips, "--resume") == 2
    assert "another process has written it meanwhile" in capsys.readouterr().err
    assert predict(clips, "--resume") == 0
    assert sources() == clips


def test_a_full_disk_is_said_and_what_is_answered_stays(monkeypatch, capsys):
    clips = make_clips(4)
    usual, left = os.write, [10]  # within the rows of the third clip

    def write(handle, piece):
        left[0] -= 1
        if left[0] < 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        return usual(handle, piece[: max(1, len(piece) // 2)] if left[0] == 0 else piece)

    with monkeypatch.context() as patch:
        patch.setattr("mien.prediction.output_files.appending.os.write", write)
        assert predict(clips) == 2
    assert capsys.readouterr().err.splitlines()[-1] == (
        "mien: o.csv.partial: cannot be written (No space left on device); make room there, "
        "and continue with --resume"
    )
    assert rows("o.csv.partial")[-1]["source"] == "clip01.mp4"
    assert predict(clips, "--resume") == 0
    assert sources() == clips


@pytest.mark.parametrize(
    ("outputs", "sentence"),
    [
        (["--json", "nowhere/o.jsonl"], "nowhere/o.jsonl.progress: cannot be written"),
        (["--json", "o", "--csv", "o"], "o: is given for --json and for --csv"),
        (["--csv", "/dev/null"], "/dev/null: is no regular file"),
    ],
)
def test_an_output_that_cannot_be_written_is_said_before_the_first_prediction(
    outputs, sentence, capsys
):
    assert predict(make_clips(2), outputs=outputs) == 2
    said = capsys.readouterr()
    assert sentence in said.err
    assert said.out == ""


# --- Ctrl-C of other commands, and of Python ------------------------------------------------------


def test_a_command_that_cannot_go_on_does_not_say_so(monkeypatch, capsys):
    def stop(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("mien.prediction.predictor.load", stop)
    assert main(["predict", "--text", "good"]) == 130
    assert capsys.readouterr().err == "mien: stopped\n"


@pytest.mark.parametrize(
    ("command", "place"),
    [
        (["train", "tam_ulag-planted", "--store", "s"], "mien.training.experiment.train"),
        (["extract", "clip00.mp4", "--video", "none"], "mien.extraction.pipeline.extract"),
    ],
)
def test_a_command_that_can_go_on_says_how(command, place, monkeypatch, capsys):
    def stop(*_, **__):
        raise KeyboardInterrupt

    make_clips(1)
    write_tiny_store(Path("s"))
    monkeypatch.setattr(place, stop)
    assert main(command) == 130
    assert capsys.readouterr().err.endswith("the same command goes on with --resume\n")


def test_a_second_ctrl_c_ends_at_once():
    code = (
        "import os, signal, time\n"
        "from mien.cli.options import second_interrupt_ends\n"
        "with second_interrupt_ends():\n"
        "    try:\n"
        "        os.kill(os.getpid(), signal.SIGINT)\n"
        "    finally:\n"
        "        os.kill(os.getpid(), signal.SIGINT)\n"
        "        time.sleep(60)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (-signal.SIGINT, "")


@pytest.fixture
def stand_in():
    """A model that answers at once, and three clips of which the second is not media."""
    stand_in = stand_in_models.StandIn()
    model = TrainedModel(checkpoint=Path("none"), header={})
    object.__setattr__(
        model,
        "predict",
        lambda path, **_: stand_in.predict(path, transcript="auto", listener=_Silent()),
    )
    return model, make_clips(3, clip01="not media")


def test_predict_many_goes_on_after_a_bad_file_and_names_it_in_its_place(stand_in):
    """The first bad file ended it, and with it the answers that a list had taken."""
    model, clips = stand_in
    first, bad, last = model.predict_many(clips)
    assert [first.source, last.source] == ["clip00.mp4", "clip02.mp4"]
    assert isinstance(bad, mien.FailedPrediction)
    assert bad.path == Path("clip01.mp4")
    assert isinstance(bad.error, MediaError)
    assert "holds neither sound nor a moving picture" in str(bad.error)
    with pytest.raises(AttributeError, match=r"^clip01\.mp4 could not be predicted, so there is no "
                       r"'overall': clip01\.mp4: holds neither"):  # fmt: skip
        _ = bad.overall
    assert pickle.loads(pickle.dumps(bad)).path == bad.path


def test_predict_many_tells_a_function_about_a_bad_file_or_raises(stand_in):
    model, clips = stand_in
    failed = []
    found = model.predict_many(clips, on_error=lambda path, error: failed.append((path, error)))
    assert [one.source for one in found] == ["clip00.mp4", "clip02.mp4"]
    assert [(path.name, str(error)) for path, error in failed] == [
        ("clip01.mp4", "clip01.mp4: holds neither sound nor a moving picture")
    ]
    with pytest.raises(MediaError, match=r"clip01\.mp4: holds neither sound"):
        list(model.predict_many(clips, on_error="raise"))


class _Silent:
    def on_audio(self, seconds):
        pass

    def on_cut(self, num_utterances, seconds):
        pass


def test_a_run_goes_on_with_the_same_baseline_and_precision_only(tmp_path):
    clip = tmp_path / "calm.mp4"
    outputs = OutputPaths(json=tmp_path / "o.jsonl")

    def begin(**options):
        return open_answers(outputs, "0", "auto", [], **options)

    clip.write_text("calm")
    with begin(baseline=clip) as files:
        files.begin_again(replace=False)
        files.begin()
    with begin(baseline=clip) as files:
        files.go_on()
    clip.write_text("angry")
    for options in ({"baseline": clip}, {"int8": True}, {}):
        with (
            begin(**options) as files,
            pytest.raises(ConfigError, match="was begun with"),
        ):
            files.go_on()
