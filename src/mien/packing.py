"""A checkpoint for prediction alone: the network and its header, small enough to send to others."""

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path, PurePath
from typing import Any

import torch
from torch import Tensor

from mien.checkpoint import check_finite, read_header, read_tensors, split_states, write_tensors
from mien.corpora.recordings import SUFFIXES
from mien.errors import CheckpointError
from mien.files import refuse_existing
from mien.header import check_header
from mien.trained import find_checkpoint

__all__ = ["join_videos", "knows_all_videos", "pack", "videos_seen"]

_MOST_NAMES = 100_000  # bytes of video names in a header; hashes take their place beyond
_HASH_DIGITS = 12
#: Sizes of the largest value of a matrix between which float16 keeps three digits of it.
_LOWEST, _HIGHEST = 2.0**-10, 2.0**14


def pack(
    path: str | Path,
    out: str | Path,
    *,
    half: bool = True,
    licence: str = "",
    name: str = "",
    replace: bool = False,
) -> Path:
    """Write what prediction needs of a trained model as one file.

    Label banks, class centres and all else that only training needs are left out. The header
    stays, so that the file is loaded, checked and refused as the checkpoint is.

    Args:
        path: A checkpoint, a seed's folder, or a run folder (its first seed).
        out: File to write; its folder is made.
        half: Whether matrices are written in 16 bits. Vectors stay in 32 bits, for they are small
            and hold the units of the features; so does a matrix whose values float16 would cut or
            round to nothing. A loaded network computes in 32 bits in any case.
        licence: Under which licence the weights are; shown with every prediction.
        name: What the model is called; empty stands for the name of the file.
        replace: Whether a file that is already there is replaced.

    Returns:
        The file.

    Raises:
        CheckpointError: If there is no sound checkpoint, it holds no network, or ``out`` exists.
    """
    source, out = find_checkpoint(Path(path)), Path(out)
    refuse_existing(out, replace=replace)
    header = read_header(source)
    state = split_states(read_tensors(source), "model")
    if not state:
        raise CheckpointError(f"{source}: holds no network; give a run that was trained")
    check_header(header, source).read_config(source)
    check_finite(state, str(source))
    packed = {f"model/{key}": _halve(one) if half else one for key, one in state.items()}
    facts: dict[str, Any] = {"packed": {"half": half, "tensors": len(packed)}}
    facts |= {key: text for key, text in (("licence", licence), ("name", name)) if text}
    ready = {**_shorten_videos(header), **facts}
    check_header(ready, out)
    out.parent.mkdir(parents=True, exist_ok=True)
    write_tensors(out, packed, ready)
    return out


def videos_seen(header: Mapping[str, Any], videos: Collection[str]) -> set[str]:
    """Return which of ``videos`` a model was trained on, by the header of its checkpoint.

    The weights that it started from count. Names are compared without regard to upper and lower
    case and to the ending of a media file, so that ``Talk.mp4`` is ``talk``. Where the header has
    hashes in the place of names, as packed models of many videos do, those of earlier versions
    stand for names in their own case.
    """
    names = {_plain_name(name) for name in header.get("videos", ())}
    hashes = set(header.get("video_hashes", ()))
    return {
        one for one in videos if _plain_name(one) in names or not hashes.isdisjoint(_hashes(one))
    }


def join_videos(own: Iterable[str], start: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return what a header says of the videos that a model was trained on.

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


def _halve(tensor: Tensor) -> Tensor:
    """Return a matrix in 16 bits, if that keeps its values."""
    if tensor.dtype != torch.float32 or tensor.ndim < 2 or not tensor.numel():
        return tensor
    largest = float(tensor.abs().max())  # NaN and infinite values are outside too
    return tensor.half() if _LOWEST <= largest <= _HIGHEST else tensor


def _shorten_videos(header: Mapping[str, Any]) -> dict[str, Any]:
    """Put hashes in the place of the names of very many videos, beside those already there."""
    videos = header.get("videos", [])
    if len(json.dumps(videos)) <= _MOST_NAMES:
        return dict(header)
    hashes = {_hash(_plain_name(video)) for video in videos}
    rest = {key: value for key, value in header.items() if key != "videos"}
    return {**rest, "video_hashes": sorted(hashes | set(header.get("video_hashes", ())))}


def _plain_name(video: str) -> str:
    return _without_ending(video).casefold()


def _without_ending(video: str) -> str:
    name = PurePath(video.strip())
    return str(name.with_suffix("")) if name.suffix.lower() in SUFFIXES else str(name)


def _hashes(video: str) -> set[str]:
    """Return the hashes that may stand for a video, those of earlier versions among them."""
    return {_hash(name) for name in (video, _without_ending(video), _plain_name(video))}


def _hash(video: str) -> str:
    return hashlib.sha256(video.encode()).hexdigest()[:_HASH_DIGITS]
