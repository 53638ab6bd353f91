"""Label files of MERTools: dicts that NumPy has pickled into an npz file, read without running any.

An array of Python objects is a header and a pickle. The pickle is unpacked into a file of its own,
within bounds, and read by ``mien.corpora.safe_pickle``, which calls nothing.
"""

import math
import tempfile
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from mien.corpora.safe_pickle.descriptions import describe
from mien.corpora.safe_pickle.feature_file import FeatureFile
from mien.corpora.safe_pickle.lazy_array import PickledArray, text_of
from mien.corpora.safe_pickle.machine import load_closed
from mien.errors import CorpusError
from mien.files.reading import open_regular, show

__all__ = ["read_label_file"]

#: Bytes of the largest pickle of labels; those of the field have a twentieth of it.
_LARGEST = 64 << 20
_DAMAGE = (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error, NotImplementedError,
           RuntimeError, TypeError, SyntaxError)  # fmt: skip

Labels = Mapping[str, str | int | float]


def read_label_file(path: Path) -> dict[str, dict[str, Labels]]:
    """Read the parts of a label file, ``train_corpus`` and so on.

    Returns:
        For every part the clips by name, each with what is annotated: ``emo`` and ``val``.

    Raises:
        CorpusError: If it is none, is damaged, or would run anything.
    """
    parts = {}
    try:
        with open_regular(path, CorpusError) as file, zipfile.ZipFile(file) as archive:
            members = [name for name in archive.namelist() if name.endswith("_corpus.npy")]
            for name in members[:20]:
                part = name.removesuffix(".npy")
                parts[part] = _read_clips(_load(archive, name, path), f"{path}: {part}")
    except CorpusError:
        raise
    except _DAMAGE as error:
        raise CorpusError(f"{path}: is not a label file of MERTools ({error})") from error
    if not parts:
        raise CorpusError(f"{path}: has no array such as train_corpus; expected a label file")
    return parts


def _load(archive: zipfile.ZipFile, name: str, path: Path) -> object:
    """Read the object that an array holds."""
    with archive.open(name) as member:
        version = np.lib.format.read_magic(member)
        read = np.lib.format.read_array_header_1_0
        shape, _, dtype = (
            read(member) if version == (1, 0) else np.lib.format.read_array_header_2_0(member)
        )
        if not dtype.hasobject or math.prod(shape) != 1:
            raise CorpusError(f"{path}: {name} is {dtype}{list(shape)}, must be one dict of labels")
        data = member.read(_LARGEST + 1)
    if len(data) > _LARGEST:
        raise CorpusError(f"{path}: {name} is larger than {_LARGEST >> 20} MB; is it a label file?")
    with tempfile.TemporaryDirectory() as folder:
        pickle = Path(folder, "labels.pkl")
        pickle.write_bytes(data)
        with FeatureFile(pickle) as file:
            file.path = path  # which messages name
            value = load_closed(file)
            if isinstance(value, PickledArray) and len(value.items) == 1:
                (value,) = value.items
            return _as_plain(value, file)


def _as_plain(value: object, file: FeatureFile) -> object:
    """Return dicts, texts and numbers as Python has them; the file is gone after that."""
    if type(value) is dict:
        return {key: _as_plain(item, file) for key, item in value.items()}
    if isinstance(value, PickledArray) and value.dtype.kind in "fiu" and not value.shape:
        return value.load(file).item()
    if isinstance(value, PickledArray) and value.dtype.kind in "US" and not value.shape:
        return next(replace(value, shape=(1,), stored=(1,), axes=(0,)).texts(file))
    if isinstance(value, int | float) or value is None:
        return value
    text = text_of(file, value)
    return value if text is None else text


def _read_clips(value: object, where: str) -> dict[str, Labels]:
    if not isinstance(value, dict):
        raise CorpusError(f"{where}: is {describe(value)}, must be a dict of clips")
    clips: dict[str, Labels] = {}
    for name, labels in value.items():
        if not isinstance(name, str) or type(labels) is not dict:
            raise CorpusError(
                f"{where}: clip {show(name)} has {describe(labels)}, must have a dict with emo"
            )
        for key in ("emo", "val"):
            if not isinstance(labels.get(key, ""), str | int | float):
                raise CorpusError(
                    f"{where}: clip {show(name)}: {key} is {describe(labels[key])}, must be a "
                    "number or a text"
                )
        clips[name] = labels
    return clips
