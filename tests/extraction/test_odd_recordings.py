"""Odd recordings and names: what the first users of a folder of all sorts run into."""

import logging
import os
from pathlib import Path
from unittest.mock import Mock

import av
import fake_extractors
import numpy as np
import pytest
import talking
from extracting import HEARD, run, write_sound
from PIL import Image

from mien.cli import main
from mien.corpora.recordings import read_recordings
from mien.errors import ConfigError, CorpusError
from mien.extraction.inspection import InspectedFrame, inspect, outline_faces
from mien.extraction.media import decode, probe
from mien.extraction.media.segments import AudioSink, Source


@pytest.fixture(autouse=True, scope="module")
def _fakes():
    remove = fake_extractors.register()
    yield
    remove()


def test_a_recording_and_a_store_whose_names_are_no_text_are_worked_on(tmp_path):
    source = tmp_path / "raw"
    write_sound(source / "a.wav")
    write_sound(source / os.fsdecode(b"b%41\xff.wav"))
    write_sound(source / os.fsdecode(b"d\xfe") / "nan.wav")
    done = run(source, tmp_path / os.fsdecode(b"store\xff"), HEARD, max_skipped=1)
    assert [clip.id for clip in done.store.clips] == ["a$_$1", "b%41\N{REPLACEMENT CHARACTER}$_$1"]
    assert [one.reason for one in done.skipped] == ["its audio features are not finite at 0.15 s"]


def test_a_folder_that_cannot_be_looked_into_is_said(tmp_path, caplog, monkeypatch):
    write_sound(tmp_path / "a.wav")
    write_sound(tmp_path / "closed" / "b.wav")
    real = os.scandir

    def scan(path):
        if Path(path).name == "closed":
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", scan)
    with caplog.at_level(logging.WARNING):
        found = read_recordings(tmp_path, name="own", language="en", scale=None)
    assert [clip.id for clip in found.corpus.clips] == ["a$_$1"]
    assert "closed: cannot be opened (Permission denied); its recordings are left out" in (
        caplog.text
    )


def test_a_pipe_as_the_source_is_not_said_to_be_missing(tmp_path):
    os.mkfifo(tmp_path / "talk.mp4")
    with pytest.raises(CorpusError, match=r"talk\.mp4: is not a file; give a folder"):
        read_recordings(tmp_path / "talk.mp4", name="own", language="en", scale=None)


def test_a_table_with_separators_that_are_not_known_shows_what_was_found(tmp_path):
    table = tmp_path / "clips.csv"
    table.write_text("video_id|clip_id|text\nv|1|hello\n", encoding="utf-8")
    with pytest.raises(
        CorpusError, match=r"there are: video_id\|clip_id\|text; cells are separated"
    ):
        read_recordings(table, name="own", language="en", scale=None)


def test_a_recording_whose_clock_begins_late_is_whole(tmp_path):
    plain = talking.write_clip(tmp_path / "plain.mkv", seconds=1.0)
    late = tmp_path / "late.mkv"
    with av.open(str(plain)) as old, av.open(str(late), "w") as new:
        streams = {one.index: new.add_stream_from_template(one) for one in old.streams}
        for packet in old.demux():
            if packet.dts is not None:
                ticks = int(3600 / packet.time_base)
                packet.pts, packet.dts = packet.pts + ticks, packet.dts + ticks
                packet.stream = streams[packet.stream.index]
                new.mux(packet)
    heard: list[np.ndarray] = []
    decoded = decode(Source(path=late), audio=[AudioSink(8000, heard.append)])
    assert not decoded.is_truncated
    assert probe(late).duration == pytest.approx(probe(plain).duration, abs=0.1)


def test_a_picture_of_what_was_seen_is_png_by_its_name(tmp_path):
    with pytest.raises(ConfigError, match=r"seen\.jpg: the picture is a PNG file; give a name"):
        inspect(Source(path=tmp_path / "a.mp4"), "face/1", tmp_path / "seen.jpg")


def test_points_beyond_the_edge_of_a_frame_do_not_cover_the_words_below():
    points = np.array([[10.0, 10.0], [30.0, 90.0]])
    frame = InspectedFrame(np.zeros((40, 60, 3), np.uint8), 0.0, [points], followed=0)
    picture = outline_faces(frame)
    assert picture.size == (60, 40)
    assert picture.getpixel((10, 20)) == (80, 255, 120)
    assert isinstance(picture, Image.Image)


def test_ctrl_c_in_a_command_says_how_to_go_on(tmp_path, capsys, monkeypatch):
    write_sound(tmp_path / "a.wav")
    command = ["extract", str(tmp_path), "--out", str(tmp_path / "store"), "--video", "none"]
    stop = Mock(side_effect=KeyboardInterrupt)
    monkeypatch.setattr("mien.extraction.pipeline.extract", stop)
    assert main(command) == 130
    assert capsys.readouterr().err.endswith(
        "mien: stopped; the clips that are done are kept; the same command goes on with --resume\n"
    )
    monkeypatch.setattr("mien.extraction.request.read_request", stop)  # nothing has begun
    assert main(command) == 130
    assert capsys.readouterr().err == "mien: stopped\n"
