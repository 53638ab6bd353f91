"""OpenFace, by a stand-in for its program and by CSV files as it leaves them."""

import csv
import gzip
import os
import stat
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import talking
from openface_rows import BOOKKEEPING, make_rows, write_csv

from mien.errors import ConfigError, FeatureError, MediaError
from mien.extraction.extractors import EXTRACTORS, Source
from mien.extraction.extractors.openface.csv_files import OPENFACE_709, read_header, read_table

REAL = Path(__file__).parents[3] / "shared" / "data" / "openface"
needs_real_files = pytest.mark.skipif(
    not REAL.is_dir(), reason="no real OpenFace files at ../shared/data/openface"
)


def extract(settings, source=None, name="openface-709/1"):
    return EXTRACTORS[name].build(str(settings)).extract(source or Source(path=Path("v/clip.mp4")))


def write_program(folder, body):
    """Write a program that is called as FeatureExtraction is."""
    path = folder / "FeatureExtraction"
    path.write_text(
        f"#!{sys.executable}\nimport sys, time, subprocess\nfrom pathlib import Path\n"
        "arguments = dict(zip(sys.argv[1:], sys.argv[2:]))\n"
        "out = Path(arguments['-out_dir'])\n" + body
    )
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


@pytest.fixture
def recording(tmp_path):
    path = tmp_path / "-clip with space.mp4"
    talking.write_clip(path, seconds=0.5)
    return path


# The columns


def test_there_are_709_columns_in_the_published_order():
    assert len(OPENFACE_709) == len(set(OPENFACE_709)) == 709
    assert OPENFACE_709[:3] == ("gaze_0_x", "gaze_0_y", "gaze_0_z")
    assert OPENFACE_709[288] == "pose_Tx"
    assert OPENFACE_709[294] == "x_0"
    assert OPENFACE_709[-18:][:2] == ("AU01_c", "AU02_c")


@needs_real_files
def test_columns_of_the_real_files_are_among_them_in_the_same_order(tmp_path):
    new = tmp_path / "new.csv"
    new.write_bytes(gzip.decompress((REAL / "openface2_538_columns.csv.gz").read_bytes()))
    for path in (new, REAL / "openface_old_layout.csv"):
        header = [name for name in read_header(path) if name not in BOOKKEEPING]
        assert header == [name for name in OPENFACE_709 if name in header]


# Folders of CSV files


def test_three_frames_are_averaged_as_published(tmp_path):
    write_csv(tmp_path / "clip.csv", make_rows(range(1, 9)))
    features = extract(tmp_path)
    assert features.values.shape == (3, 709)
    np.testing.assert_allclose(features.values[:, 0], [2.0, 5.0, 7.5])
    np.testing.assert_allclose(features.values[0, 1:], np.arange(1, 709) / 7 + 2, atol=1e-3)
    np.testing.assert_allclose(features.times, [0.04, 0.16, 0.26])


def test_frames_to_average_can_be_chosen_and_are_part_of_the_name(tmp_path):
    write_csv(tmp_path / "clip.csv", make_rows(range(1, 11)))
    extractor = EXTRACTORS["openface-709/1"].build(f"{tmp_path}?frames=5")
    assert extractor.name == "openface-709/1?frames=5"
    features = extractor.extract(Source(path=Path("v/clip.mp4")))
    np.testing.assert_allclose(features.values[:, 0], [3.0, 8.0])


def test_rows_without_success_are_absent_not_averaged_in(tmp_path):
    rows = make_rows(range(1, 13))
    for row in (rows[1], *rows[3:6]):
        row[4], row[5:] = 0, [0] * 709
    write_csv(tmp_path / "clip.csv", rows)
    features = extract(tmp_path)
    np.testing.assert_allclose(features.values[:, 0], [2.0, 8.0, 11.0])
    np.testing.assert_allclose(features.times, [0.04, 0.28, 0.4])
    assert features.notes["face_share"] == pytest.approx(8 / 12)


def test_a_clip_without_a_successful_row_has_no_step(tmp_path):
    write_csv(tmp_path / "clip.csv", make_rows(success=0))
    features = extract(tmp_path)
    assert features.values.shape == (0, 709)
    assert features.notes["face_share"] == 0.0


def test_of_several_faces_the_one_most_surely_seen_is_followed(tmp_path):
    sure = make_rows(range(1, 10), face=2, confidence=0.9)
    brief = make_rows(range(1, 4), face=0, confidence=0.95)
    vague = make_rows(range(1, 10), face=1, confidence=0.4)
    rows = sorted([*sure, *brief, *vague], key=lambda row: (row[0], row[1]))
    write_csv(tmp_path / "clip.csv", rows)
    features = extract(tmp_path)
    np.testing.assert_allclose(features.values[:, 0], [202.0, 205.0, 208.0])
    assert features.notes["faces_most"] == 3
    assert features.notes["followed"].startswith("face 2 of 3")


def test_without_face_ids_and_success_the_same_values_are_found_by_name(tmp_path):
    rows = make_rows()
    rows[0][3] = 0.1
    write_csv(tmp_path / "clip.csv", rows, leave_out=("face_id", "success"), gap=", ")
    features = extract(tmp_path)
    np.testing.assert_allclose(features.values[:, 0], [2.5, 5.0, 8.0])


def test_a_clip_in_a_longer_recording_is_cut_out_by_its_times(tmp_path):
    write_csv(tmp_path / "video.csv", make_rows(range(1, 101)))
    source = Source(path=Path("v/video.mp4"), start=2.0, end=2.24)
    features = extract(tmp_path, source)
    np.testing.assert_allclose(features.values[:, 0], [52.0, 55.0])
    np.testing.assert_allclose(features.times, [0.04, 0.16], atol=1e-9)


@pytest.mark.parametrize("name", ["v/clip.csv", "v_clip.csv", "clip.csv"])
def test_the_file_of_a_recording_is_found_by_its_names(tmp_path, name):
    write_csv(tmp_path / name, make_rows())
    assert len(extract(tmp_path).values) == 3


def test_a_recording_without_a_file_is_an_error(tmp_path):
    with pytest.raises(MediaError, match=r"left no file for it in .*; looked for v/clip\.csv, "):
        extract(tmp_path)


@needs_real_files
@pytest.mark.parametrize(
    ("file", "missing", "size"),
    [
        ("openface_old_layout.csv", r"282 of the 709 .*: gaze_angle_x to eye_lmk_Z_55;", 427),
        ("openface2_538_columns.csv.gz", r"176 of the 709 .*: x_0 to y_67, p_scale to p_33;", 533),
    ],
)
def test_real_files_of_other_layouts_are_read_by_the_columns_they_have(
    tmp_path, file, missing, size
):
    content = (REAL / file).read_bytes()
    if file.endswith(".gz"):
        content = gzip.decompress(content)
    (tmp_path / "clip.csv").write_bytes(content)
    with pytest.raises(FeatureError, match=missing):
        extract(tmp_path)
    extractor = EXTRACTORS["openface/1"].build(f"{tmp_path}?frames=1")
    features = extractor.extract(Source(path=Path("v/clip.mp4")))
    lines = list(csv.reader(content.decode().splitlines()))
    header = [cell.strip() for cell in lines[0]]
    places = [header.index(name) for name in extractor.feature_names]
    assert features.values.shape == (len(lines) - 1, size)
    wanted = np.array([[float(line[place]) for place in places] for line in lines[1:]])
    np.testing.assert_allclose(features.values, wanted, rtol=1e-6)


# Broken files


def spoil(rows, line, column, value):
    rows[line - 2][(*BOOKKEEPING, *OPENFACE_709).index(column)] = value
    return rows


@pytest.mark.parametrize(
    ("line", "column", "value", "sentence"),
    [
        (4, "AU45_c", "1e39", r"clip\.csv:4: AU45_c is '1e39', must be a finite number"),
        (5, "x_3", "left", r"clip\.csv:5: x_3 is 'left', must be a finite number"),
        (5, "x_3", "nano", r"clip\.csv:5: x_3 is 'nano', must be a finite number"),
        (3, "timestamp", "", r"clip\.csv:3: timestamp is '', must be a finite number"),
        (3, "timestamp", 0, r"clip\.csv:3: timestamp 0 follows 0, must be a later one"),
        (3, "frame", 1, r"clip\.csv:3: frame 1 at 0\.04 s follows frame 1 at 0 s"),
        (3, "frame", 0, r"clip\.csv:3: frame 0 at 0\.04 s follows frame 1 at 0 s"),
    ],
)
def test_what_is_no_number_is_an_error_with_its_line(tmp_path, line, column, value, sentence):
    write_csv(tmp_path / "clip.csv", spoil(make_rows(), line, column, value))
    with pytest.raises(FeatureError, match=sentence):
        extract(tmp_path)


@pytest.mark.parametrize("column", ["pose_Tx", "AU45_c", "confidence"])
@pytest.mark.parametrize(
    "value", ["nan", "-nan", "inf", "-inf", "-nan(ind)", "nan(snan)", "1.#IND", "-1.#QNAN", "", " "]
)
def test_a_row_with_a_value_that_is_none_is_absent(tmp_path, column, value):
    write_csv(tmp_path / "clip.csv", spoil(make_rows(), 4, column, value), leave_out=("success",))
    np.testing.assert_allclose(extract(tmp_path).values[:, 0], [1.5, 5.0, 8.0])


def test_a_first_file_that_is_empty_is_the_business_of_its_own_clip(tmp_path):
    (tmp_path / "a.csv").write_text("")
    write_csv(tmp_path / "clip.csv", make_rows())
    extractor = EXTRACTORS["openface/1"].build(str(tmp_path))
    assert len(extractor.extract(Source(path=Path("v/clip.mp4"))).values) == 3
    with pytest.raises(FeatureError, match=r"a\.csv:1: column 'frame' is missing"):
        extractor.extract(Source(path=Path("v/a.mp4")))
    (tmp_path / "clip.csv").write_text("frame,timestamp,confidence\n")
    with pytest.raises(FeatureError, match=r"a\.csv:1: column 'frame' is missing"):
        EXTRACTORS["openface/1"].build(str(tmp_path))


def test_what_stands_in_a_row_without_success_does_not_matter(tmp_path):
    rows = spoil(spoil(make_rows(), 4, "success", 0), 4, "pose_Tx", "nan")
    write_csv(tmp_path / "clip.csv", rows)
    np.testing.assert_allclose(extract(tmp_path).values[:, 0], [1.5, 5.0, 8.0])


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", r"clip\.csv:1: column 'frame' is missing, the header begins with ''"),
        (b"a,b\n1,2\n", r"clip\.csv:1: column 'frame' is missing, the header begins with 'a, b'"),
        (b"\xff\xfe\x00\x01" * 9, r"clip\.csv: is not a text file, must be OpenFace's CSV"),
        (b"frame,timestamp,confidence,frame\n", r"clip\.csv:1: column 'frame' occurs 2 times"),
        (b"frame,timestamp,confidence\n", r"clip\.csv:1: 709 of the 709 columns are missing: gaze"),
    ],
)
def test_what_is_no_openface_file_is_an_error(tmp_path, content, sentence):
    (tmp_path / "clip.csv").write_bytes(content)
    with pytest.raises(FeatureError, match=sentence):
        extract(tmp_path)


def test_a_torn_row_is_an_error_with_its_line(tmp_path):
    path = write_csv(tmp_path / "clip.csv", make_rows())
    path.write_text(path.read_text()[:-500])
    with pytest.raises(FeatureError, match=r"clip\.csv:10: has \d+ cells, the header has 714"):
        extract(tmp_path)


@pytest.mark.parametrize("limit", [1 << 17, 1 << 23])
def test_a_cell_without_end_is_an_error(tmp_path, limit):
    path = write_csv(tmp_path / "clip.csv", make_rows())
    path.write_text(path.read_text() + '"' + "1" * 200_000)
    # how large a cell may be is one setting for all readers of a process, and tables raise it
    before = csv.field_size_limit(limit)
    try:
        sentence = r"clip\.csv:\d+: is not CSV \((field larger than|unexpected end of data)"
        with pytest.raises(FeatureError, match=sentence):
            extract(tmp_path)
    finally:
        csv.field_size_limit(before)


def test_a_file_with_a_header_only_has_no_step(tmp_path):
    write_csv(tmp_path / "clip.csv", [])
    assert extract(tmp_path).values.shape == (0, 709)


# The program


def test_the_program_is_run_on_the_recording_and_its_file_is_read(tmp_path, recording):
    ready = write_csv(tmp_path / "ready.csv", make_rows())
    program = write_program(
        tmp_path,
        f"assert arguments['-f'] == {str(recording)!r}\n"
        "assert {'-2Dfp', '-3Dfp', '-pdmparams', '-pose', '-aus', '-gaze'} <= set(sys.argv)\n"
        f"(out / 'clip.csv').write_text(Path({str(ready)!r}).read_text())\n"
        f"Path({str(tmp_path / 'where')!r}).write_text(str(out))\n",
    )
    features = extract(program, Source(path=recording))
    np.testing.assert_allclose(features.values[:, 0], [2.0, 5.0, 8.0])
    assert not Path((tmp_path / "where").read_text()).parent.exists()


def test_a_recording_without_a_picture_has_no_face_and_does_not_trouble_the_program(tmp_path):
    program = write_program(tmp_path, "sys.exit(3)\n")
    talking.write_clip(
        tmp_path / "voice.wav", seconds=0.5, has_video=False, audio_codec="pcm_s16le"
    )
    features = extract(program, Source(path=tmp_path / "voice.wav"))
    assert features.values.shape == (0, 709)


def test_a_recording_is_given_to_the_program_once_for_all_its_clips(tmp_path, recording):
    ready = write_csv(tmp_path / "ready.csv", make_rows(range(1, 101)))
    calls = tmp_path / "calls"
    program = write_program(
        tmp_path,
        f"open({str(calls)!r}, 'a').write('.')\n"
        f"(out / 'clip.csv').write_text(Path({str(ready)!r}).read_text())\n",
    )
    extractor = EXTRACTORS["openface-709/1"].build(str(program))
    for start in (0.0, 1.0, 2.0):
        assert len(extractor.extract(Source(path=recording, start=start, end=start + 1)).values)
    assert calls.read_text() == "."


def test_a_program_that_fails_is_quoted(tmp_path, recording):
    program = write_program(tmp_path, "print('Could not find the models'); sys.exit(3)\n")
    with pytest.raises(
        MediaError, match=r"FeatureExtraction ended with 3 and left no CSV file; it said: Could not"
    ):
        extract(program, Source(path=recording))


def test_a_program_that_leaves_a_broken_file_is_named(tmp_path, recording):
    program = write_program(tmp_path, "(out / 'clip.csv').write_text('a,b')\n")
    with pytest.raises(
        FeatureError, match=r"space\.mp4: FeatureExtraction left clip\.csv:1: column 'frame' is"
    ):
        extract(program, Source(path=recording))


@pytest.mark.skipif(not hasattr(os, "killpg"), reason="no process groups on this platform")
def test_a_program_that_hangs_is_ended_with_its_children(tmp_path, recording):
    child = tmp_path / "child"
    program = write_program(
        tmp_path,
        "process = subprocess.Popen(['sleep', '60'])\n"
        f"Path({str(child)!r}).write_text(str(process.pid))\ntime.sleep(60)\n",
    )
    with pytest.raises(MediaError, match=r"OpenFace took more than 2 s; allow more with"):
        extract(f"{program}?seconds=2", Source(path=recording))
    assert is_gone(int(child.read_text()))


def is_gone(process):
    for _ in range(50):
        try:
            os.kill(process, 0)
        except ProcessLookupError:
            return True
        if Path(f"/proc/{process}/stat").is_file():
            state = Path(f"/proc/{process}/stat").read_text().split(")")[1].split()[0]
            if state == "Z":
                return True
        time.sleep(0.1)
    return False


# Settings


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ("", r"needs OpenFace's program or a folder of its CSV files; write openface-709/1:"),
        ("/nowhere/at/all", r"there is no /nowhere/at/all; give the program or a folder"),
        ("{}?frame=5", r"there is no setting 'frame'; did you mean 'frames'"),
        ("{}?frames=0", r"frames is '0', must be a number above 0"),
        ("{}?frames=2.5", r"frames is 2\.5, must be a whole number"),
        ("{}?seconds=soon", r"seconds is 'soon', must be a number above 0"),
    ],
)
def test_wrong_settings_are_errors(tmp_path, settings, sentence):
    with pytest.raises(ConfigError, match=sentence):
        EXTRACTORS["openface-709/1"].build(settings.format(tmp_path))


def test_a_file_that_cannot_be_run_is_an_error(tmp_path):
    path = tmp_path / "FeatureExtraction"
    path.write_text("")
    with pytest.raises(ConfigError, match=r"FeatureExtraction is a file that cannot be run"):
        EXTRACTORS["openface-709/1"].build(str(path))


def test_whatever_columns_there_are_need_a_folder_with_files(tmp_path):
    with pytest.raises(ConfigError, match=r"openface/1: .* has no CSV files"):
        EXTRACTORS["openface/1"].build(str(tmp_path))
    program = write_program(tmp_path, "")
    with pytest.raises(ConfigError, match=r"must be a folder of CSV files; a program goes with"):
        EXTRACTORS["openface/1"].build(str(program))


def test_columns_are_read_by_name_in_whatever_order(tmp_path):
    path = tmp_path / "clip.csv"
    path.write_text("b,confidence,frame,a,timestamp\n2,0.9,1,1,0\n4,0.9,2,3,0.1\n")
    table = read_table(path, ["a", "b"])
    np.testing.assert_array_equal(table.faces[0].values, [[1, 2], [3, 4]])
    np.testing.assert_array_equal(table.times, [0.0, 0.1])
