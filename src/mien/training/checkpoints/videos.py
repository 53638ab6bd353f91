"""Which videos a model has learned from, as the header of its checkpoint holds them."""

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping
from pathlib import PurePath
from typing import Any

from mien.corpora.recordings import SUFFIXES

__all__ = [
    "MOST_NAMES",
    "join_videos",
    "knows_all_videos",
    "plain_name",
    "shorten_videos",
    "videos_seen",
]

#: Bytes of video names that a packed header holds; beyond, hashes take their place.
MOST_NAMES = 100_000
_HASH_DIGITS = 12


def plain_name(video: str) -> str:
    """Return the name by which videos are compared: small letters, without a media ending.

    >>> plain_name("Talk.MP4"), plain_name(" v1.2 ")
    ('talk', 'v1.2')
    """
    return _without_ending(video).casefold()


def videos_seen(header: Mapping[str, Any], videos: Collection[str]) -> set[str]:
    """Return which of ``videos`` a model was trained on, by the header of its checkpoint.

    The weights that it started from count. Names are compared without regard to upper and lower
    case and to the ending of a media file, so that ``Talk.mp4`` is ``talk``. Where the header has
    hashes in the place of names, as packed models of many videos do, those of earlier versions
    stand for names in their own case.
    """
    names = {plain_name(name) for name in header.get("videos", ())}
    hashes = set(header.get("video_hashes", ()))
    return {
        video
        for video in videos
        if plain_name(video) in names or not hashes.isdisjoint(_hashes(video))
    }


def join_videos(own: Iterable[str], start: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return what a header holds of the videos that a model was trained on.

    Args:
        own: The videos of its own training.
        start: Header of the checkpoint whose weights it started from, if there is one.

    Returns:
        ``videos``, names; and with a start, ``video_hashes``, if it has hashes in the place of
        names, and ``videos_of_init``, whether those of all weights before are among them.
    """
    if start is None:
        return {"videos": sorted(set(own))}
    joined: dict[str, Any] = {"videos": sorted({*own, *start.get("videos", ())})}
    if start.get("video_hashes"):
        joined["video_hashes"] = sorted(start["video_hashes"])
    return {**joined, "videos_of_init": knows_all_videos(start)}


def knows_all_videos(header: Mapping[str, Any]) -> bool:
    """Return whether a header lists the videos of the weights that the training started from.

    Earlier versions forgot them.
    """
    return not header.get("init") or bool(header.get("videos_of_init"))


def shorten_videos(header: Mapping[str, Any]) -> dict[str, Any]:
    """Put hashes in the place of the names of very many videos, beside those already there."""
    videos = header.get("videos", [])
    if len(json.dumps(videos)) <= MOST_NAMES:
        return dict(header)
    hashes = {_hash(plain_name(video)) for video in videos}
    rest = {key: value for key, value in header.items() if key != "videos"}
    return {**rest, "video_hashes": sorted(hashes | set(header.get("video_hashes", ())))}


def _without_ending(video: str) -> str:
    name = PurePath(video.strip())
    return str(name.with_suffix("")) if name.suffix.lower() in SUFFIXES else str(name)


def _hashes(video: str) -> set[str]:
    """Return the hashes that may stand for a video, those of earlier versions among them."""
    return {_hash(name) for name in (video, _without_ending(video), plain_name(video))}


def _hash(video: str) -> str:
    return hashlib.sha256(video.encode()).hexdigest()[:_HASH_DIGITS]
