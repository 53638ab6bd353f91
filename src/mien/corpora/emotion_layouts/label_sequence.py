"""Labels of CMU-MultimodalSDK: a file of HDF5 with features and intervals of every video.

Links that lead out of the file, and data that lie outside of it, are refused: the library would
open whatever they name.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from jaxtyping import Float64

from mien.errors import CorpusError, require
from mien.files.reading import open_regular, show

if TYPE_CHECKING:
    import h5py

__all__ = ["VideoLabels", "read_label_sequence"]

_MOST_VIDEOS, _MOST_ROWS = 100_000, 100_000


class VideoLabels(NamedTuple):
    """The labels of a video.

    Attributes:
        video: What it is called.
        values: Sentiment and intensities of each segment.
        starts: Where each begins, in seconds.
        ends: Where it ends.
    """

    video: str
    values: Float64[np.ndarray, "S 7"]
    starts: Float64[np.ndarray, " S"]
    ends: Float64[np.ndarray, " S"]


def read_label_sequence(path: Path) -> Iterator[VideoLabels]:
    """Read ``CMU_MOSEI_Labels.csd``: seven values a segment, of which sentiment is the first.

    Raises:
        ConfigError: If h5py is not installed.
        CorpusError: If the file is none, or is damaged.
    """
    require("h5py", extra="extract")
    import h5py

    open_regular(path, CorpusError).close()
    try:
        with h5py.File(path, "r") as file:
            names = list(file)
            group = _open_group(_open_group(file, names[0], path), "data", path) if names else file
            videos = list(group) if names else []
            if not 0 < len(videos) <= _MOST_VIDEOS:
                raise CorpusError(f"{path}: has {len(videos)} videos; expected the labels of MOSEI")
            for video in videos:
                yield _read_video(_open_group(group, video, path), video, path)
    except (OSError, KeyError, RuntimeError, ValueError, TypeError) as error:
        raise CorpusError(f"{path}: is not a label file of CMU-MOSEI ({error})") from error


def _open_group(parent: "h5py.Group", name: str, path: Path) -> "h5py.Group":
    import h5py

    if not isinstance(parent.get(name, getlink=True), h5py.HardLink):
        raise CorpusError(f"{path}: {show(name)} is a link, or is not there; get the file again")
    group = parent[name]
    if not isinstance(group, h5py.Group):
        raise CorpusError(f"{path}: {show(name)} is not a group; get the file again")
    return group


def _read_video(group: "h5py.Group", video: str, path: Path) -> VideoLabels:
    values = _read_array(group, "features", path, 7)
    intervals = _read_array(group, "intervals", path, 2)
    if len(values) != len(intervals):
        raise CorpusError(
            f"{path}: video {show(video)} has {len(values)} labels and {len(intervals)} intervals"
        )
    return VideoLabels(video, values, intervals[:, 0], intervals[:, 1])


def _read_array(
    group: "h5py.Group", name: str, path: Path, size: int
) -> Float64[np.ndarray, "S D"]:
    import h5py

    where = f"{path}: {show(group.name)}: {name}"
    if not isinstance(group.get(name, getlink=True), h5py.HardLink):
        raise CorpusError(f"{where} is a link, or is not there; get the file again")
    data = group[name]
    if (
        not isinstance(data, h5py.Dataset)
        or data.external is not None
        or data.is_virtual
        or data.dtype.kind not in "fiu"
        or len(data.shape) != 2
        or data.shape[1] != size
        or data.shape[0] > _MOST_ROWS
    ):
        raise CorpusError(f"{where}: must be numbers of shape (segments, {size})")
    values = np.asarray(data[()], np.float64)
    if not np.isfinite(values).all():
        raise CorpusError(f"{where}: has a value that is not finite")
    return values
