"""A store to padded batches."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple, SupportsIndex

import numpy as np
import torch
from jaxtyping import Float, Int, Num
from torch import Tensor

from mien.corpora.class_names.naming import match_classes
from mien.data.clips.clip_columns import ClipSequence, as_clips
from mien.data.speakers.speaker_baseline import Baseline
from mien.data.speakers.speaker_moments import SpeakerMoments
from mien.data.store import Series
from mien.tensors import Batch, Targets, pad
from mien.types import Clip, Modality, Target, Task

__all__ = ["ClipDataset", "ClipTensors", "SeriesChange", "batches", "measure_costs", "windows"]

#: Turns the series of a clip, ``(T, D)``, into another one.
SeriesChange = Callable[[Num[np.ndarray, "_ D"]], Num[np.ndarray, "_ D"]]


class ClipTensors(NamedTuple):
    """One clip of a dataset.

    Attributes:
        row: Its row in the split.
        series: ``(T, D)`` of each modality; without a step if the clip does not have it.
        labels: Annotated label per task, a tensor without axes; NaN if it is not annotated.
        with_context: The modalities whose steps say if they are context, as ``Series`` has it.
        values: The K values of each target and task; NaN if they are not annotated.
    """

    row: int
    series: dict[Modality, Num[Tensor, "_ _"]]
    labels: dict[Task, Float[Tensor, ""]]
    with_context: tuple[Modality, ...] = ()
    values: Mapping[str, Mapping[Task, Float[Tensor, "_"]]] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipDataset:
    """The clips of a split, their series and their labels.

    Attributes:
        clips: The clips, in the order of the split.
        rows: Row of each clip in the series, ``(N,)``.
        series: One ragged series per modality that the corpus has and the settings use.
        labels: Annotated label per task, ``(N,)``; NaN where a clip is not annotated. ``fusion``
            is always there; it has no NaN if sentiment is all that is annotated, and nothing but
            NaN if it is not annotated at all.
        costs: How much work a clip is, ``(N,)``; clips of like cost are padded together.
        baselines: Of each modality, against whom the features of every clip are read; none where
            all are read as they are.
        speakers: Of whom baselines are made; None where the settings use none.
        values: Annotated values of further targets, by name and task, ``(N, K)``; NaN where a clip
            has none. ``fusion`` is always there, a modality where some clip has values.
    """

    clips: Sequence[Clip]
    rows: Int[np.ndarray, "N"]
    series: Mapping[Modality, Series]
    labels: Mapping[Task, Float[Tensor, "N"]]
    costs: Int[np.ndarray, "N"]
    baselines: Mapping[Modality, Baseline] = field(default_factory=dict)
    speakers: SpeakerMoments | None = None
    values: Mapping[str, Mapping[Task, Float[Tensor, "N _"]]] = field(default_factory=dict)

    def __len__(self) -> int:
        """Return the number of clips."""
        return len(self.clips)

    @property
    def ids(self) -> Sequence[str]:
        """Name of each clip."""
        return as_clips(self.clips).ids

    @property
    def who_speaks(self) -> tuple[str, ...]:
        """Name of each clip's speaker, empty where it is not known; nothing if none is."""
        return as_clips(self.clips).speakers

    @property
    def videos(self) -> tuple[str, ...]:
        """The different videos of the clips, in the order of their names."""
        return as_clips(self.clips).videos

    def part(self, rows: Int[np.ndarray, " _"]) -> "ClipDataset":
        """Return a dataset of some of the clips."""
        chosen = self._of(rows)
        return replace(
            self,
            clips=as_clips(self.clips).take(rows),
            rows=self.rows[rows],
            labels=chosen.labels,
            values=chosen.values,
            costs=self.costs[rows],
            baselines={m: baseline.take(rows) for m, baseline in self.baselines.items()},
            speakers=None if self.speakers is None else self.speakers.take(rows),
        )

    def shuffle(self, rng: np.random.Generator) -> Int[np.ndarray, "N"]:
        """Return the clips in an order of chance; those that are read together are together.

        They follow each other as in the split.
        """
        order = rng.permutation(len(self))
        for series in self.series.values():
            if series.together is not None:
                _, firsts, passage = np.unique(
                    series.together[self.rows][order], return_index=True, return_inverse=True
                )
                places = firsts[passage]  # of each clip, where its passage first occurs in order
                order = order[np.lexsort((order, places))]
        return order

    def draw_baselines(self, rng: np.random.Generator) -> "ClipDataset":
        """Return the clips with nothing, some or all of their speakers as baseline, by chance.

        Without speakers nothing is drawn.
        """
        if self.speakers is None:
            return self
        return replace(self, baselines=self.speakers.draw(rng))

    def read(
        self, modality: Modality, number: int, change: SeriesChange | None = None
    ) -> Num[np.ndarray, "T D"]:
        """Return a copy of the series of a clip, read against its baseline.

        Args:
            modality: Which series.
            number: Row of the clip in the split.
            change: What is done to the values of the store first.
        """
        values = np.array(self.series[modality][int(self.rows[number])])
        if change is not None:
            values = change(values)
        baseline = self.baselines.get(modality)
        return values if baseline is None else baseline.apply(values, number)

    def __repr__(self) -> str:
        """Return the number of clips, and what there is of them."""
        return f"ClipDataset({len(self)} clips: {', '.join(self.series)})"

    def __getitem__(self, row: SupportsIndex) -> ClipTensors:
        """Return the series and labels of one clip, for ``torch.utils.data.DataLoader``.

        Raises:
            IndexError: If there is no such row.
        """
        number = range(len(self))[row]
        return ClipTensors(
            row=number,
            series={
                modality: torch.from_numpy(self.read(modality, number)) for modality in self.series
            },
            labels={task: labels[number] for task, labels in self.labels.items()},
            with_context=tuple(m for m, series in self.series.items() if series.has_context),
            values={n: {t: v[number] for t, v in own.items()} for n, own in self.values.items()},
        )

    @staticmethod
    def collate(clips: Sequence[ClipTensors]) -> tuple[Batch, Targets]:
        """Pad clips into a batch: the ``collate_fn`` of a ``DataLoader`` over such a dataset."""
        sequences = {
            m: pad([clip.series[m] for clip in clips], has_context=m in clips[0].with_context)
            for m in clips[0].series
        }
        first = clips[0]
        targets = Targets(
            labels={t: torch.stack([c.labels[t] for c in clips]) for t in first.labels},
            values={
                name: {t: torch.stack([c.values[name][t] for c in clips]) for t in own}
                for name, own in first.values.items()
            },
        )
        return Batch(index=torch.tensor([clip.row for clip in clips]), sequences=sequences), targets

    def batch(self, index: Int[np.ndarray, "B"]) -> tuple[Batch, Targets]:
        """Read and pad the clips at ``index``."""
        sequences = {}
        for modality, series in self.series.items():
            read = [torch.from_numpy(self.read(modality, row)) for row in index.tolist()]
            sequences[modality] = pad(read, has_context=series.has_context)
            series.release()
        chosen = torch.from_numpy(np.asarray(index, dtype=np.int64))
        return Batch(index=chosen, sequences=sequences), self.targets(index)

    def targets(self, index: Int[np.ndarray, "B"]) -> Targets:
        """Return what is annotated of the clips at ``index``."""
        return self._of(index)

    def _of(self, index: Int[np.ndarray, "B"]) -> Targets:
        chosen = torch.from_numpy(np.asarray(index, dtype=np.int64))
        everything = Targets(
            labels=dict(self.labels), values={n: dict(own) for n, own in self.values.items()}
        )
        return everything.change(lambda values: values[chosen])


def make_dataset(
    clips: Sequence[Clip],
    rows: Int[np.ndarray, "N"],
    series: Mapping[Modality, Series],
    costs: Mapping[Modality, float],
    targets: Sequence[Target] = (),
    annotated: Sequence[Target] | None = None,
) -> ClipDataset:
    """Join clips, series and labels.

    Args:
        clips: All clips of the store.
        rows: Which of them are in the split.
        series: Series of the store by modality.
        costs: Work of one step of each modality, in any unit.
        targets: What is predicted besides sentiment.
        annotated: What the store has annotated; None if these are the same. Of a target that it
            does not have no clip has values; one may have fewer classes, or another order of them.
    """
    there = {target.name: target for target in (targets if annotated is None else annotated)}
    chosen = as_clips(clips).take(rows)
    labels = {}
    for task in Task:
        values = chosen.labels(task)
        if task is Task.FUSION or not np.isnan(values).all():
            labels[task] = torch.from_numpy(values.astype(np.float32))
    return ClipDataset(
        clips=chosen,
        rows=rows,
        series=series,
        labels=labels,
        costs=measure_costs(series, rows, costs),
        values={t.name: _values_of(chosen, t, there.get(t.name)) for t in targets},
    )


def _values_of(
    clips: ClipSequence, target: Target, annotated: Target | None
) -> dict[Task, Float[Tensor, "N K"]]:
    """Return the values of a target, in the order of its classes, as far as they are annotated."""
    if annotated is None:
        return {Task.FUSION: torch.full((len(clips), target.size), torch.nan)}
    named = match_classes(annotated.classes, target.classes)
    columns = [target.classes.index(own or name) for name, own in named.items()] or [0]
    values = {}
    for task in Task:
        own = clips.target(annotated, task).astype(np.float32)
        if task is not Task.FUSION and np.isnan(own).all():
            continue
        full = np.zeros((len(own), target.size), np.float32)
        full[:, columns] = own
        full[np.isnan(own).any(axis=1)] = np.nan
        values[task] = torch.from_numpy(full)
    return values


def measure_costs(
    series: Mapping[Modality, Series],
    rows: Int[np.ndarray, "N"],
    costs: Mapping[Modality, float],
) -> Int[np.ndarray, "N"]:
    """Return how much work each clip is.

    Args:
        series: Series of the store by modality.
        rows: Rows of the clips.
        costs: Work of one step of each modality, in any unit.
    """
    work = np.zeros(len(rows))
    for modality, ragged in series.items():
        work += costs.get(modality, 1.0) * ragged.lengths[rows]
    return work.astype(np.int64)


def windows(
    order: Int[np.ndarray, "N"],
    *,
    batch_size: int,
    accumulate: int,
    costs: Int[np.ndarray, "_"] | None = None,
) -> Iterator[list[Int[np.ndarray, "_"]]]:
    """Cut an order of clips into the batches of each optimizer step.

    A window is the ``batch_size * accumulate`` clips of one step. Its gradient is a mean over its
    clips, so that which of them share a batch changes no gradient: with ``costs``, clips of like
    cost share one, and little padding is made.

    Args:
        order: Clips in the order in which they are to be seen.
        batch_size: Clips padded together.
        accumulate: Batches of one step.
        costs: Work of each clip of the split.
    """
    size = batch_size * accumulate
    for start in range(0, len(order), size):
        window = order[start : start + size]
        if costs is not None:
            window = window[np.argsort(costs[window], kind="stable")]
        yield [window[i : i + batch_size] for i in range(0, len(window), batch_size)]


def batches(dataset: ClipDataset, batch_size: int) -> Iterator[tuple[Batch, Targets]]:
    """Give every clip of a split once, clips of like cost together; ``Batch.index`` says which."""
    order = np.argsort(dataset.costs, kind="stable")
    for start in range(0, len(order), batch_size):
        yield dataset.batch(order[start : start + batch_size])
