import csv
import json
import os
import signal
import subprocess
import sys
import time
import wave
from pathlib import Path

import fake_extractors
import numpy as np
import pytest
from cases import with_extended
from extracting import HEARD, bytes_of, run, write_folder, write_sound
from helpers import limit_files

from mien.corpora.emotion_layouts.layout_reader import read_layout
from mien.data.store import open_store
from mien.errors import ConfigError, ExtractionError, OutputError, StoreError
from mien.extraction.clip import ExtractionSettings, find_extractor
from mien.extraction.pipeline import extract
from mien.files.temporaries import open_to_lock, try_lock
from mien.types import Modality, Task, Word


@pytest.fixture(autouse=True, scope="module")
def _fakes():
    remove = fake_extractors.register()
    yield
    remove()


def test_features_of_every_clip_are_in_the_store_with_their_times(tmp_path):
    source = write_folder(tmp_path / "raw", "a", "b")
    store = run(source, tmp_path / "store").store
    series = store.series("audio")
    assert [clip.id for clip in store.clips] == ["a$_$1", "b$_$1"]
    assert series.lengths.tolist() == [5, 6]
    np.testing.assert_allclose(series.times[:5], [0.05, 0.15, 0.25, 0.35, 0.45])
    with wave.open(str(source / "a.wav")) as file:
        samples = np.frombuffer(file.readframes(800), "<i2") / 32768
    np.testing.assert_allclose(series[0][0], [samples.std(), np.abs(samples).max()], rtol=1e-3)
    assert store.meta.series["audio"].feature_names == ("rms", "peak")
    assert store.meta.series["audio"].step_seconds == 0.1
    assert not (tmp_path / "store.extracting").exists()


def test_recordings_that_are_cut_already_are_read_in_full_and_keep_their_times(tmp_path):
    """IEMOCAP: a file for each turn, whose start is its place in the dialogue."""
    dialog = tmp_path / "Session1" / "dialog" / "EmoEvaluation"
    dialog.mkdir(parents=True)
    name = "Ses01F_impro01"
    (dialog / f"{name}.txt").write_text(f"[6.29 - 6.39]\t{name}_F000\tneu\t[2.5, 2.5, 2.5]\n")
    write_sound(tmp_path / "Session1/sentences/wav" / name / f"{name}_F000.wav", seconds=0.5)
    options = {"jobs": 1, "worker": fake_extractors.WORKER}
    store = extract(read_layout("iemocap", tmp_path), tmp_path / "store", HEARD, **options).store
    assert store.series("audio").lengths.tolist() == [5]
    assert (store.clips[0].start, store.clips[0].end) == (6.29, 6.39)
    assert store.clips[0].targets["valence"] == {Task.FUSION: (2.5,)}


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("nan", "its audio features are not finite at 0.15 s"),
        ("quiet", "too little sound for one step"),
        ("crash", "the worker was ended by SIGSEGV, twice"),
        ("bug", "the worker failed (1): ZeroDivisionError: a defect, twice"),
    ],
)
def test_a_clip_that_fails_is_listed_with_its_reason_and_ends_no_other(tmp_path, name, reason):
    source = write_folder(tmp_path / "raw", "a", name, "z")
    done = run(source, tmp_path / "store", max_skipped=1)
    assert [clip.id for clip in done.store.clips] == ["a$_$1", "z$_$1"]
    with (tmp_path / "store" / "skipped.csv").open(newline="") as file:
        assert list(csv.DictReader(file)) == [
            {"id": f"{name}$_$1", "path": f"{name}.wav", "reason": reason}
        ]


def test_a_text_file_with_a_recordings_name_is_skipped(tmp_path):
    source = write_folder(tmp_path / "raw", "a")
    (source / "b.mp4").write_text("nothing to see")
    done = run(source, tmp_path / "store", max_skipped=1)
    (skipped,) = done.skipped
    assert skipped.id == "b$_$1"
    assert str(tmp_path) not in skipped.reason


def test_without_leave_to_skip_no_store_is_written_and_nothing_is_lost(tmp_path):
    source = write_folder(tmp_path / "raw", "a", "nan")
    done = run(source, tmp_path / "store")
    assert done.store is None
    assert [one.id for one in done.skipped] == ["nan$_$1"]
    assert not (tmp_path / "store").exists()
    again = run(source, tmp_path / "store", resume=True, max_skipped=1, worker=["/nowhere"])
    assert [clip.id for clip in again.store.clips] == ["a$_$1"]


def test_a_mended_recording_is_all_that_is_worked_on_again(tmp_path):
    source = write_folder(tmp_path / "raw", "a", "b")
    (source / "b.wav").write_bytes(b"RIFF")
    assert run(source, tmp_path / "store").store is None
    results = tmp_path / "store.extracting" / "clips"
    before = {file.name: file.stat().st_mtime_ns for file in results.iterdir()}
    write_sound(source / "b.wav")
    heard = Heard()
    done = run(source, tmp_path / "store", resume=True, listener=heard)
    assert len(done.store.clips) == 2
    assert len(before) == 2
    assert (heard.begun, len(heard.outcomes)) == ((2, 1), 1)


class Heard:
    def __init__(self):
        self.begun = None
        self.outcomes = []

    def on_begin(self, total, done):
        self.begun = (total, done)

    def on_clip(self, outcome):
        self.outcomes.append(outcome)


def test_a_clip_that_hangs_in_native_code_is_cut_by_the_time_limit(tmp_path):
    source = write_folder(tmp_path / "raw", "a", "hang", "z")
    begin = time.monotonic()
    done = run(source, tmp_path / "store", time_limit=3.0, max_skipped=1)
    assert time.monotonic() - begin < 60
    assert [one.reason for one in done.skipped] == ["took longer than 3 seconds"]
    assert len(done.store.clips) == 2


def test_a_clip_that_was_cut_is_tried_again_with_a_longer_limit_only(tmp_path):
    source = write_folder(tmp_path / "raw", "a", "hang")
    assert run(source, tmp_path / "store", time_limit=2.0).store is None
    same, longer = Heard(), Heard()
    run(source, tmp_path / "store", time_limit=2.0, resume=True, listener=same)
    run(source, tmp_path / "store", time_limit=3.0, resume=True, listener=longer)
    assert (same.outcomes, len(longer.outcomes)) == ([], 1)


def test_a_clip_whose_worker_was_killed_gets_through_alone(tmp_path):
    source = write_folder(tmp_path / "raw", "a", "once", "z")
    done = run(source, tmp_path / "store", jobs=2)
    assert len(done.store.clips) == 3
    assert (source / "once.mark").exists()


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("full", "clips: No space left on device; what was done is kept, continue with --resume"),
        ("memory", "a worker ran out of memory; take fewer jobs"),
    ],
)
def test_no_room_on_disk_or_in_memory_ends_it_with_a_sentence_and_keeps_the_work(
    tmp_path, name, sentence
):
    source = write_folder(tmp_path / "raw", "a", name, "z")
    with pytest.raises(ExtractionError, match=sentence):
        run(source, tmp_path / "store")
    assert not (tmp_path / "store").exists()
    (source / f"{name}.wav").rename(source / "mended.wav")
    heard = Heard()
    done = run(source, tmp_path / "store", resume=True, listener=heard)
    assert len(done.store.clips) == 3
    assert heard.begun == (3, 1)


@pytest.mark.parametrize(
    ("limit", "error", "sentence"),
    [
        (100, OutputError, r"plan\.json: cannot be written \(File too large\)"),
        (1000, ExtractionError, r"clips: File too large; what was done is kept, continue with"),
    ],
)
def test_without_room_for_a_file_it_ends_with_a_sentence(tmp_path, limit, error, sentence):
    source = write_folder(tmp_path / "raw", "a")
    with limit_files(limit), pytest.raises(error, match=sentence):
        run(source, tmp_path / "store")
    assert not list(tmp_path.rglob("*.partial"))


def test_a_store_that_cannot_be_written_leaves_the_work(tmp_path):
    source = write_folder(tmp_path / "raw", "a")
    (tmp_path / "store").mkdir()
    with pytest.raises(StoreError, match="store: exists and is not a store"):
        run(source, tmp_path / "store", replace_store=True)
    assert not (tmp_path / "store.extracting").exists()  # it is said before any work is done


def test_work_that_holds_something_else_is_not_begun_again(tmp_path):
    source = write_folder(tmp_path / "raw", "a", "nan")
    run(source, tmp_path / "store")
    mine = tmp_path / "store.extracting" / "clips" / "mine.npz"
    mine.write_text("precious")
    with pytest.raises(
        ExtractionError, match=r"holds 'clips/mine\.npz', which does not belong to the"
    ):
        run(source, tmp_path / "store", replace_store=True)
    assert mine.exists()
    mine.unlink()
    (mine.parent / f".{'a' * 40}.npz.77.partial").write_text("of an earlier version")
    assert run(source, tmp_path / "store", replace_store=True, max_skipped=1).store is not None
    assert sorted(one.name for one in tmp_path.iterdir()) == ["raw", "store"]


def test_work_whose_removal_was_ended_by_a_kill_is_removed_at_the_next_start(tmp_path):
    source = write_folder(tmp_path / "raw", "a")
    run(source, tmp_path / "store")
    (tmp_path / ".store.extracting.done" / "clips").mkdir(parents=True)
    run(source, tmp_path / "store", resume=True, worker=["/no"])
    assert sorted(one.name for one in tmp_path.iterdir()) == ["raw", "store"]


def test_a_worker_that_cannot_start_ends_it_with_what_it_said(tmp_path):
    source = write_folder(tmp_path / "raw", "a")
    worker = [sys.executable, "-c", "raise SystemExit('no models here')"]
    with pytest.raises(ExtractionError, match="a worker cannot start: no models here"):
        run(source, tmp_path / "store", worker=worker)


def test_work_that_was_stopped_is_not_touched_without_a_word(tmp_path):
    source = write_folder(tmp_path / "raw", "a", "nan")
    run(source, tmp_path / "store")
    with pytest.raises(ExtractionError, match="continue with --resume, or use --replace"):
        run(source, tmp_path / "store")
    other = ExtractionSettings(audio="loudness/1", text="none")
    with pytest.raises(ExtractionError, match="started with audio 'loudness/2', now it is"):
        run(source, tmp_path / "store", resume=True, settings=HEARD.model_copy(
            update={"align": "none", "audio": "loudness/2:x"}
        ))  # fmt: skip
    assert other.audio == "loudness/1"
    done = run(source, tmp_path / "store", replace_store=True, max_skipped=1)
    assert len(done.store.clips) == 1


def test_a_store_that_is_there_is_replaced_only_on_demand(tmp_path):
    source = write_folder(tmp_path / "raw", "a")
    run(source, tmp_path / "store")
    with pytest.raises(StoreError, match="already exists"):
        run(source, tmp_path / "store")
    write_sound(source / "b.wav")
    assert len(run(source, tmp_path / "store", replace_store=True).store.clips) == 2


def test_resuming_what_is_done_gives_what_is_there(tmp_path):
    source = write_folder(tmp_path / "raw", "a")
    run(source, tmp_path / "store")
    before = bytes_of(tmp_path / "store")
    assert len(run(source, tmp_path / "store", resume=True, worker=["/no"]).store.clips) == 1
    assert bytes_of(tmp_path / "store") == before


def test_two_extractions_do_not_work_in_one_folder(tmp_path):
    source = write_folder(tmp_path / "raw", "a", "nan")
    run(source, tmp_path / "store")
    handle = open_to_lock(tmp_path / "store.extracting")
    assert try_lock(handle)
    with pytest.raises(ExtractionError, match="another extraction is at work here"):
        run(source, tmp_path / "store", resume=True)
    os.close(handle)


def test_names_that_lead_out_of_the_folder_stay_names(tmp_path):
    source = write_folder(tmp_path / "raw", "new\nline", "ünïcode 表情", "x" * 200)
    (source / "link.wav").symlink_to(write_sound(tmp_path / "elsewhere.wav"))
    table = tmp_path / "clips.csv"
    rows = [("../../../etc", "1", "raw/new\nline.wav"), ("a/../../b", "2", "raw/link.wav")]
    with table.open("w", newline="") as file:
        csv.writer(file).writerows([("video_id", "clip_id", "path"), *rows])
    before = sorted(tmp_path.rglob("*"))
    store = run(table, tmp_path / "out" / "store").store
    assert [clip.id for clip in store.clips] == ["../../../etc$_$1", "a/../../b$_$2"]
    made = {path for path in tmp_path.rglob("*") if path not in before}
    assert all(tmp_path / "out" in (path, *path.parents) for path in made)
    assert len(run(source, tmp_path / "all").store.clips) == 4


def test_a_clip_of_a_longer_recording_is_cut_out_of_it(tmp_path):
    write_sound(tmp_path / "long.wav", seconds=3)
    table = tmp_path / "clips.csv"
    table.write_text("path,start,end\nlong.wav,0,1\nlong.wav,1,2.5\nlong.wav,9,10\n")
    done = run(table, tmp_path / "store", max_skipped=1)
    series = done.store.series("audio")
    assert [clip.id for clip in done.store.clips] == ["long$_$1", "long$_$2"]
    assert series.lengths.tolist() == [10, 15]
    whole = run(tmp_path / "long.wav", tmp_path / "whole").store.series("audio")
    np.testing.assert_allclose(series[1], whole[0][10:25], atol=2e-3)
    assert done.skipped[0].id == "long$_$3"


def test_a_clip_without_a_modality_is_kept_and_lacks_it(tmp_path):
    import talking

    folder = tmp_path / "raw"
    folder.mkdir()
    talking.write_clip(folder / "both.mp4", seconds=1)
    talking.write_clip(folder / "deaf.mp4", seconds=1, has_audio=False)
    write_sound(folder / "blind.wav", seconds=1)
    settings = ExtractionSettings(audio="loudness/2", video="colour/1", text="none")
    store = run(folder, tmp_path / "store", settings).store
    assert [clip.id for clip in store.clips] == ["blind$_$1", "both$_$1", "deaf$_$1"]
    assert (store.series("audio").lengths > 0).tolist() == [True, True, False]
    assert (store.series("video").lengths > 0).tolist() == [False, True, True]
    heard = run(folder, tmp_path / "heard", max_skipped=1)
    assert [(one.id, one.reason) for one in heard.skipped] == [("deaf$_$1", "no audio track")]


def test_one_step_per_word_from_a_file_of_words(tmp_path):
    source = write_folder(tmp_path / "raw", "a", "b")
    words = {"a$_$1": (Word("so", 0.0, 0.2), Word("good", 0.2, 0.5))}
    settings = ExtractionSettings(audio="loudness/2", text="none", align="words")
    done = run(source, tmp_path / "store", settings, words=words, max_skipped=1)
    (clip,) = done.store.clips
    assert clip.words == words["a$_$1"]
    assert [one.reason for one in done.skipped] == ["no words to align to"]
    plain = run(source, tmp_path / "plain").store.series("audio")[0]
    found = done.store.series("audio")
    np.testing.assert_allclose(
        found[0], [plain[:2].mean(axis=0), plain[2:].mean(axis=0)], rtol=1e-5
    )
    np.testing.assert_allclose(found.times, [0.1, 0.35])
    assert done.store.meta.series["audio"].step_seconds is None


def test_an_extractor_that_reads_files_itself_needs_no_decoder(tmp_path):
    source = write_folder(tmp_path / "raw", "abc")
    (source / "abc.wav").write_text("no recording at all")
    settings = ExtractionSettings(video="name-length/1", text="none")
    store = run(source, tmp_path / "store", settings, time_limit=60.0).store
    assert store.series("video").values.tolist() == [[7.0]]


def test_a_name_without_version_takes_the_newest():
    assert find_extractor("loudness", Modality.AUDIO) == "loudness/2"
    assert find_extractor("loudness/1", Modality.AUDIO) == "loudness/1"
    assert find_extractor("colour:a:b", Modality.VIDEO) == "colour/1:a:b"


@pytest.mark.parametrize("name", ["loudnes", "colour/1", "loudness/3", ""])
def test_an_unknown_extractor_lists_what_there_is(name):
    with pytest.raises(
        ConfigError, match=r"no such extractor; (there are: .*loudness/2|did you mean 'loudness/2')"
    ):
        find_extractor(name, Modality.AUDIO)


DRIVER = """
import sys
sys.path.insert(0, {tests!r})
import fake_extractors
fake_extractors.register()
from pathlib import Path
from mien.extraction.clip import ExtractionSettings
from mien.corpora.recordings import read_recordings
from mien.extraction.pipeline import extract
source, out, jobs = sys.argv[1:]
settings = ExtractionSettings(audio="loudness/2", text="none")
found = read_recordings(Path(source), name="own", language="en", scale=None)
extract(found, Path(out), settings, jobs=int(jobs), resume=True, max_skipped=1,
        worker=fake_extractors.WORKER)
"""


def drive(source, out, jobs, **environment):
    code = DRIVER.format(tests=str(Path(__file__).parents[1]))
    return subprocess.Popen(
        [sys.executable, "-c", code, str(source), str(out), str(jobs)],
        env={**os.environ, **environment},
        stderr=subprocess.PIPE,
    )


def children_of(pid):
    """Processes that any thread of a process started."""
    files = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(one) for file in files for one in file.read_text().split()]


@pytest.mark.slow
@pytest.mark.parametrize("jobs", with_extended([2], [1]))
def test_killed_again_and_again_and_resumed_the_store_is_the_same_bytes(tmp_path, jobs):
    source = write_folder(tmp_path / "raw", *(f"clip{n}" for n in range(6)), "nan")
    run(source, tmp_path / "whole", max_skipped=1)
    random = np.random.default_rng(7 + jobs)
    orphans = []
    for num_results in (0, 2, 5, 7, 7):
        process = drive(source, tmp_path / "store", jobs, MIEN_TEST_SLOW="0.1")
        while process.poll() is None and count_results(tmp_path) < num_results:
            time.sleep(0.01)
        time.sleep(float(random.uniform(0.0, 0.4)))
        if process.poll() is None:
            orphans += children_of(process.pid)
            process.send_signal(signal.SIGKILL)
        process.wait()
        said = process.stderr.read().decode()
        process.stderr.close()
        assert process.returncode in (0, -signal.SIGKILL), said
    process = drive(source, tmp_path / "store", jobs)
    said = process.communicate()[1].decode()
    assert process.returncode == 0, said
    assert orphans
    assert bytes_of(tmp_path / "store") == bytes_of(tmp_path / "whole")
    left = [one.name for one in tmp_path.iterdir() if not one.name.endswith(".done")]
    assert sorted(left) == ["raw", "store", "whole"]
    time.sleep(0.5)
    assert not [pid for pid in orphans if is_alive(pid)]


def count_results(folder):
    return len(list((folder / "store.extracting" / "clips").glob("[!.]*.npz")))


def is_alive(pid):
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


@pytest.mark.slow
def test_the_number_of_jobs_changes_no_byte(tmp_path):
    source = write_folder(tmp_path / "raw", "a", "b", "c", "d")
    run(source, tmp_path / "one", jobs=1)
    run(source, tmp_path / "two", jobs=2)
    assert bytes_of(tmp_path / "one") == bytes_of(tmp_path / "two")


def test_nothing_in_a_store_says_how_it_was_made(tmp_path):
    source = write_folder(tmp_path / "raw", "a")
    run(source, tmp_path / "store")
    everything = b"".join(bytes_of(tmp_path / "store").values())
    assert str(tmp_path).encode() not in everything
    assert json.loads((tmp_path / "store" / "notes.jsonl").read_text())["seconds"] == 0.5
    assert open_store(tmp_path / "store").meta.labels == ()


def test_an_end_behind_the_end_of_the_recording_is_noted(tmp_path, caplog):
    write_sound(tmp_path / "a.wav", seconds=1.0)
    table = tmp_path / "clips.csv"
    table.write_text("path,start,end\na.wav,0.2,5\na.wav,0,1.1\na.wav,0.5,\n")
    out = run(table, tmp_path / "store").store.path
    notes = [json.loads(line) for line in (out / "notes.jsonl").read_text().splitlines()]
    assert [one.get("seconds_beyond") for one in notes] == [4.0, None, None]
    assert "1 clips should end after the end of their recordings, such as 'a$_$1'" in caplog.text
