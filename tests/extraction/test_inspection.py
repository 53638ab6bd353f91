"""Pictures of what a video extractor saw."""

from pathlib import Path

import numpy as np
import pytest
import talking
from openface_rows import make_rows, write_csv
from PIL import Image

from mien.errors import AssetError, ConfigError, MediaError
from mien.extraction.inspection import FrameSampler, inspect
from mien.extraction.media.segments import Source
from mien.pretrained.assets import find_asset

GREEN, RED = (80, 255, 120), (255, 90, 80)


@pytest.fixture(scope="module", autouse=True)
def _landmarker():
    try:
        find_asset("face-landmarker")
    except AssetError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return Source(path=talking.write_clip(tmp_path_factory.mktemp("clips") / "clip.mp4"))


def count(path, colour):
    """Return how many pixels have a colour, a little blurred text aside."""
    with Image.open(path) as picture:
        pixels = np.asarray(picture.convert("RGB")).astype(int)
    return int((np.abs(pixels - colour).max(axis=-1) < 8).sum())


@pytest.mark.parametrize("name", ["face/1", "blendshapes/1", "landmarks/1"])
def test_each_frame_has_the_points_of_the_face_that_is_followed(tmp_path, clip, name):
    out = inspect(clip, name, tmp_path / "seen.png", num_frames=4)
    assert out == tmp_path / "seen.png"
    assert out.read_bytes().startswith(b"\x89PNG")
    assert count(out, GREEN) > 4 * 478
    assert count(out, RED) == 0


def test_a_frame_without_a_face_says_so(tmp_path):
    path = talking.write_clip(tmp_path / "nobody.mp4", seconds=1.0, num_faces=0)
    out = inspect(Source(path=path), "face/1", tmp_path / "seen.png", num_frames=2)
    assert count(out, GREEN) == 0
    assert count(out, RED) > 0


def test_a_face_that_is_not_followed_is_grey(tmp_path):
    path = talking.write_clip(tmp_path / "two.mp4", seconds=1.0, num_faces=2, size=(800, 480))
    out = inspect(Source(path=path), "face/1", tmp_path / "seen.png", num_frames=2)
    assert count(out, GREEN) > 2 * 478
    assert count(out, (150, 150, 150)) > 400


def test_points_of_openface_are_drawn_where_it_saw_them(tmp_path, clip):
    write_csv(tmp_path / "files" / "clip.csv", make_rows(range(1, 51)))
    name = f"openface-709/1:{tmp_path / 'files'}"
    out = inspect(clip, name, tmp_path / "seen.png", num_frames=2)
    assert count(out, GREEN) > 2 * 68


def test_a_recording_without_a_picture_is_an_error_and_leaves_no_file(tmp_path):
    path = talking.write_clip(tmp_path / "voice.wav", has_video=False, audio_codec="pcm_s16le")
    with pytest.raises(MediaError, match=r"voice\.wav: has no picture to inspect; give a"):
        inspect(Source(path=path), "face/1", tmp_path / "seen.png")
    assert list(tmp_path.glob("*.png")) == []


def test_a_name_that_is_no_video_extractor_is_an_error(tmp_path):
    source = Source(path=Path("clip.mp4"))
    with pytest.raises(ConfigError, match=r"no video extractor is called 'librosa-sims/1'; there"):
        inspect(source, "librosa-sims/1", tmp_path / "seen.png")


@pytest.mark.parametrize("length", [1, 3, 7, 24, 25, 100, 1000])
def test_the_frames_are_spread_over_a_clip_of_whatever_length(length):
    looked = []
    sampler = FrameSampler(6, lambda image: looked.append(image) or [])
    for place in range(length):
        sampler.feed(np.zeros((4, 4, 3), dtype=np.uint8), place / 10)
    times = [frame.time for frame in sampler.choose()]
    assert len(times) == min(6, length)
    assert times[0] == 0.0
    assert times[-1] >= 0.75 * (length - 1) / 10
    gaps = np.diff(times)
    assert (gaps > 0).all()
    assert length == 1 or gaps.max() <= 2 * gaps.min() + 1e-9
    assert len(looked) <= 12 + 6 * max(0, np.ceil(np.log2(length / 12)))
