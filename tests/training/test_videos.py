import hashlib

import pytest

import mien.training.checkpoints.videos
from mien.training.checkpoints.videos import join_videos, shorten_videos, videos_seen

IDS = ["03bSnISJMiM", "--qXJuDtHPw", "talk.v2", "actor 1/a"]


@pytest.mark.parametrize("hashed", [False, True], ids=["names", "hashes"])
def test_videos_are_known_by_their_plain_names(monkeypatch, hashed):
    """The ids of CMU-MOSI are names of files, which come with endings and in other cases."""
    header = join_videos(IDS, None)
    if hashed:
        monkeypatch.setattr(mien.training.checkpoints.videos, "MOST_NAMES", 10)
        header = shorten_videos(header)
        assert "videos" not in header
    for name in (*IDS, "03bSnISJMiM.mp4", "03BSNISJMIM", " 03bSnISJMiM ", "TALK.V2.WAV"):
        assert videos_seen(header, [name]) == {name}
    assert not videos_seen(header, ["03bSnISJMi", "talk", "talk.v3", "a", "03bSnISJMiM.txt"])


def test_hashes_of_an_earlier_version_are_read():
    hashes = [hashlib.sha256(b"03bSnISJMiM").hexdigest()[:12]]
    header = {"video_hashes": hashes}
    assert videos_seen(header, ["03bSnISJMiM", "x"]) == {"03bSnISJMiM"}
    assert videos_seen(header, ["03bSnISJMiM.mp4"]) == {"03bSnISJMiM.mp4"}
    joined = join_videos(["own"], header)
    assert joined == {"videos": ["own"], "video_hashes": hashes, "videos_of_init": True}
    assert videos_seen(joined, ["own", "03bSnISJMiM"]) == {"own", "03bSnISJMiM"}
