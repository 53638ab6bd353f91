"""A store as the field's feature pickle: padded, with lengths, token ids and labels."""

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Float32, Int

from mien.corpora.published.annotations import LABELS
from mien.data.export.pickle_writer import StreamedArray, Value, write_pickle
from mien.data.store import Series, Store
from mien.errors import StoreError
from mien.files.atomic import written_beside
from mien.pretrained.direct.tokenizer import load_tokenizer
from mien.pretrained.encoder_source import default_text_encoder, find_text_encoder, text_prefix
from mien.pretrained.text_encoder import load_backbone
from mien.types import SPLITS, Split, Task

__all__ = ["export_pickle"]

#: Most tokens of a transcript.
_MOST_TOKENS = 512
_LABELS = {task: key for key, task in LABELS.items()}
_CLASSES = ("Negative", "Neutral", "Positive")


class _Tokens:
    """Token ids of every clip: those of the store, or made from the transcripts."""

    def __init__(self, store: Store, encoder: str) -> None:
        self.ids: list[Int[np.ndarray, " _"]] = []
        self.num_cut = 0
        self._backbone: torch.nn.Module | None = None
        if "tokens" in store.meta.series:
            tokens = store.series("tokens")
            self.ids = [tokens[row][:, 0] for row in range(len(tokens))]
            return
        name = default_text_encoder(store.meta.language) if encoder == "auto" else encoder
        source = find_text_encoder(name)
        tokenizer = load_tokenizer(source)
        self._backbone = load_backbone(source).eval()
        prefix = text_prefix(name)
        most = min(_MOST_TOKENS, tokenizer.max_length)
        for clip in store.clips:
            text = clip.transcript.strip()
            ids = tokenizer.encode([prefix + text])[0] if text else []
            if len(ids) > most:  # keep the end mark
                ids = [*ids[: most - 1], ids[-1]]
                self.num_cut += 1
            self.ids.append(np.array(ids, np.int64))

    @property
    def longest(self) -> int:
        """Tokens of the longest clip, at least one."""
        return max([1, *map(len, self.ids)])

    def matrix(self, row: int) -> Float32[np.ndarray, "3 L"]:
        """Return ids, mask and segments of a clip."""
        result = np.zeros((3, self.longest), np.float32)
        result[0, : len(self.ids[row])] = self.ids[row]
        result[1, : len(self.ids[row])] = 1
        return result

    @property
    def state_size(self) -> int:
        """Values of a state; 0 if the encoder of the token ids is not known."""
        return 0 if self._backbone is None else int(self._backbone.config.hidden_size)  # type: ignore[union-attr, arg-type]

    @torch.no_grad()
    def states(self, row: int) -> Float32[np.ndarray, "L d"]:
        """Return the encoder's states of a clip, padded with zeros."""
        result = np.zeros((self.longest, self.state_size), np.float32)
        if self._backbone is not None and len(self.ids[row]):
            ids = torch.from_numpy(self.ids[row])[None]
            result[: ids.shape[1]] = self._backbone(input_ids=ids).last_hidden_state[0].numpy()
        return result


def export_pickle(
    store: Store, out: Path, max_steps: int | None, encoder: str, *, replace: bool
) -> tuple[str, ...]:
    """Write the pickle; ``export_store`` says what is in it, and what its arguments are."""
    _check_pickle(store)
    if out.is_dir():
        raise StoreError(f"{out}: is a folder; give the name of the file to write, such as x.pkl")
    if out.exists() and not (replace and out.is_file()):
        raise StoreError(f"{out}: already exists; choose another path, or use --replace")
    tokens = None if encoder == "none" else _Tokens(store, encoder)
    text = _find_text(store, tokens)
    out.parent.mkdir(parents=True, exist_ok=True)
    with written_beside(out) as partial, partial.open("wb") as file:
        write_pickle(
            {split: _make_split(store, split, tokens, text, max_steps) for split in SPLITS}, file
        )
    return tuple(_list_lost(store, tokens, text, max_steps))


def _check_pickle(store: Store) -> None:
    if Task.FUSION not in store.meta.labels:
        raise StoreError(
            f"{store.path}: its clips have no labels, which the published layout cannot be "
            "without; use --format npz or parquet"
        )
    missing = [name for name in ("audio", "video") if name not in store.meta.series]
    if missing:
        raise StoreError(
            f"{store.path}: has no {missing[0]}, which the published layout requires; "
            "use --format npz or parquet"
        )


def _find_text(store: Store, tokens: _Tokens | None) -> Series | None:
    """Return the states of the text, if the layout can hold them beside the tokens."""
    if "text" not in store.meta.series:
        return None
    text = store.series("text")
    if tokens is not None and text.lengths.tolist() != [len(ids) for ids in tokens.ids]:
        return None
    return text


def _make_split(
    store: Store,
    split: Split,
    tokens: _Tokens | None,
    text: Series | None,
    max_steps: int | None,
) -> Mapping[str, Value]:
    rows = store.rows(split).tolist()
    clips = [store.clips[row] for row in rows]
    values: dict[str, Value] = {
        "id": [clip.id for clip in clips],
        "raw_text": [clip.transcript for clip in clips],
    }
    for name, key in (("audio", "audio"), ("video", "vision")):
        series = store.series(name)
        values[key] = _pad(series, rows, max_steps)
        values[f"{key}_lengths"] = _cut_lengths(series, max_steps)[rows].tolist()
    if tokens is not None:
        shape = (len(rows), 3, tokens.longest)
        values["text_bert"] = StreamedArray(shape, "<f4", (tokens.matrix(row) for row in rows))
    if text is None and tokens is not None and tokens.state_size:
        shape = (len(rows), tokens.longest, tokens.state_size)
        values["text"] = StreamedArray(shape, "<f4", (tokens.states(row) for row in rows))
    if text is not None:
        width = None if tokens is None else tokens.longest
        values["text"] = _pad(text, rows, None, width)
        if tokens is None:
            values["text_lengths"] = text.lengths[rows].tolist()
    fusion = [clip.labels.get(Task.FUSION, math.nan) for clip in clips]
    signs = [float(np.sign(label)) + 1 for label in fusion]
    values["annotations"] = ["" if math.isnan(sign) else _CLASSES[int(sign)] for sign in signs]
    values["classification_labels"] = StreamedArray((len(rows),), "<f8", _scalars(signs))
    for task in {Task.FUSION: None, **dict.fromkeys(_full_tasks(store))}:
        labels = [clip.labels.get(task, math.nan) for clip in clips]
        values[_LABELS[task]] = StreamedArray((len(rows),), "<f8", _scalars(labels))
    return values


def _scalars(values: Sequence[float | int]) -> Iterator[Float[np.ndarray, ""]]:
    return (np.array(value, np.float64) for value in values)


def _full_tasks(store: Store) -> list[Task]:
    """Return the tasks for which every clip has a label; others lose theirs, but for fusion."""
    return [task for task in Task if all(task in clip.labels for clip in store.clips)]


def _cut_lengths(series: Series, max_steps: int | None) -> Int[np.ndarray, " N"]:
    return series.lengths if max_steps is None else np.minimum(series.lengths, max_steps)


def _pad(
    series: Series, rows: Sequence[int], max_steps: int | None, width: int | None = None
) -> StreamedArray:
    """Return the clips padded to the longest of all splits, so that these can be joined."""
    lengths = _cut_lengths(series, max_steps)
    longest = width or max(1, int(lengths.max(initial=0)))
    size = series.values.shape[1]

    def padded() -> Iterator[Float32[np.ndarray, "T D"]]:
        for row in rows:
            result = np.zeros((longest, size), np.float32)
            result[: lengths[row]] = series[row][: lengths[row]]
            yield result

    return StreamedArray((len(rows), longest, size), "<f4", padded())


def _list_lost(
    store: Store, tokens: _Tokens | None, text: Series | None, max_steps: int | None
) -> Iterator[str]:
    """Name what the pickle does not hold."""
    meta, clips = store.meta.series, store.clips
    facts = {
        "times of steps": any(series.has_times for series in meta.values()),
        "words with their times": any(clip.words for clip in clips),
        "known moments": any(clip.moments for clip in clips),
        "where each clip comes from": any(clip.media or clip.start is not None for clip in clips),
        "the series text: its steps are not those of text_bert (--tokenizer none keeps it)": (
            "text" in meta and text is None
        ),
        "token ids": "tokens" in meta and tokens is None,
    }
    yield "names of features and of extractors"
    yield from (what for what, is_there in facts.items() if is_there)
    yield from (f"the target {target.name}" for target in store.meta.targets)
    yield from _list_cut(store, tokens, max_steps)
    full = {Task.FUSION, *_full_tasks(store)}
    if partial := [task for task in store.meta.labels if task not in full]:
        yield f"labels that not every clip has: {', '.join(partial)}"


def _list_cut(store: Store, tokens: _Tokens | None, max_steps: int | None) -> Iterator[str]:
    if tokens is not None and tokens.num_cut:
        yield f"the ends of {tokens.num_cut} transcripts in text_bert; raw_text has them"
    for name in ("audio", "video"):
        num_cut = int((store.series(name).lengths > (max_steps or np.inf)).sum())
        if num_cut:
            yield f"the ends of {num_cut} series of {name}"
        num_empty = int((store.series(name).lengths == 0).sum())
        if num_empty:
            yield (
                f"{name} of {num_empty} clips that lack it: their length is 0, which programs that "
                "pack sequences by length refuse; leave these clips out there"
            )
