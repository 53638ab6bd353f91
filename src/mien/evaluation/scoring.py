"""A model and a split to predictions."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Bool, Int, Num
from torch import Tensor

from mien.data.dataset import ClipDataset, batches
from mien.evaluation.predictions import Predictions, TargetPredictions
from mien.models.multitask import MultimodalModel
from mien.tensors import (
    Batch,
    Encoded,
    Output,
    PaddedSeries,
    as_shares,
    inferring,
    pad,
    precise,
    reported_values,
)
from mien.types import Modality, Task

__all__ = ["BATCH_SIZE", "SplitScorer", "as_reported", "predict", "predict_subsets"]

#: Clips that are scored at once.
BATCH_SIZE = 64


def predict(model: MultimodalModel, dataset: ClipDataset) -> Predictions:
    """Score every clip of a split, on the device of the model."""
    return predict_subsets(model, dataset, [model.modalities])[model.modalities]


def predict_subsets(
    model: MultimodalModel, dataset: ClipDataset, subsets: Sequence[tuple[Modality, ...]]
) -> dict[tuple[Modality, ...], Predictions]:
    """Score every clip of a split with each set of modalities alone, on the device of the model.

    The split is encoded once, clips of like length together; only the fusion is done for each set.
    """
    device = next(model.parameters()).device
    scored = {subset: _Scored(model, len(dataset)) for subset in subsets}
    with inferring(model):
        for batch, _ in batches(dataset, BATCH_SIZE):
            clips = model.encode_once(batch.to(device))
            for subset, collected in scored.items():
                collected.add(batch, model.finish(clips.keep(subset)))
    return {subset: collected.predictions(dataset) for subset, collected in scored.items()}


class SplitScorer:
    """Scores a split again and again, each time with something else that is not as it was.

    Of a model that encodes each modality by itself, what was not changed is encoded once.

    Args:
        model: The model.
        dataset: The split.
    """

    def __init__(self, model: MultimodalModel, dataset: ClipDataset) -> None:
        self.model, self.dataset = model, dataset
        self._device = next(model.parameters()).device
        self._clips: list[tuple[Int[np.ndarray, " B"], Encoded]] = []

    def predict(
        self,
        changed: Mapping[Modality, Callable[[int], Num[np.ndarray, "T D"]]] | None = None,
        lost: Mapping[Modality, Bool[np.ndarray, " N"]] | None = None,
    ) -> Predictions:
        """Score every clip; attention is left out.

        Args:
            changed: Gives another series of a clip by its row, for each modality that is changed.
            lost: Which clips are scored without a modality.
        """
        collected = _Scored(self.model, len(self.dataset))
        with inferring(self.model):
            for rows, clips in self._encoded():
                sequences = {m: self._pad(m, rows, read) for m, read in (changed or {}).items()}
                given = self.model.change(clips, sequences) if sequences else clips
                gone = {m: torch.from_numpy(own[rows]) for m, own in (lost or {}).items()}
                gone = {m: own.to(self._device) for m, own in gone.items()}
                output = self.model.finish(_take_away(given, gone))
                collected.add_rows(rows, output)
        return collected.predictions(self.dataset)

    def _encoded(self) -> Iterator[tuple[Int[np.ndarray, " B"], Batch | Encoded]]:
        if self._clips:
            yield from self._clips
            return
        encoded = []
        for batch, _ in batches(self.dataset, BATCH_SIZE):
            rows, clips = batch.index.numpy(), self.model.encode_once(batch.to(self._device))
            if isinstance(clips, Encoded):
                encoded.append((rows, clips))
            yield rows, clips
        self._clips = encoded

    def _pad(
        self,
        modality: Modality,
        rows: Int[np.ndarray, " B"],
        read: Callable[[int], Num[np.ndarray, "T D"]],
    ) -> PaddedSeries:
        series = [torch.from_numpy(np.array(read(row))) for row in rows.tolist()]
        padded = pad(series, has_context=self.dataset.series[modality].has_context)
        return PaddedSeries(*(part.to(self._device) for part in padded))


def _take_away(
    clips: Batch | Encoded, lost: Mapping[Modality, Bool[Tensor, "B"]]
) -> Batch | Encoded:
    """Return clips of which some have lost modalities."""
    if not lost:
        return clips
    if isinstance(clips, Encoded):
        present = {m: has & ~lost[m] if m in lost else has for m, has in clips.present.items()}
        return replace(clips, present=present)
    sequences = {
        m: s
        if m not in lost
        else PaddedSeries(
            s.values.masked_fill(lost[m][:, None, None], 0), s.mask & ~lost[m].unsqueeze(1)
        )
        for m, s in clips.sequences.items()
    }
    return replace(clips, sequences=sequences)


def as_reported(predictions: Predictions) -> Predictions:
    """Return what is reported about clips: with one modality, what is predicted from it alone.

    See ``mien.tensors.reported_scores``.
    """
    present = {m: torch.from_numpy(has) for m, has in predictions.present.items()}

    def report(values: Mapping[Task, np.ndarray]) -> dict[Task, np.ndarray]:
        tensors = {task: torch.from_numpy(own) for task, own in values.items()}
        return {task: v.numpy() for task, v in reported_values(tensors, present).items()}

    columns = {task: own[:, None] for task, own in predictions.scores.items()}
    return replace(
        predictions,
        scores={task: own[:, 0] for task, own in report(columns).items()},
        values={
            n: replace(own, values=report(own.values)) for n, own in predictions.values.items()
        },
    )


def _as_numpy(tensors: Mapping[Task, Tensor]) -> dict[Task, np.ndarray]:
    return {task: tensor.numpy().astype(np.float64) for task, tensor in tensors.items()}


class _Scored:
    """What a model returned of the clips of a split, as far as it was computed.

    Args:
        model: The model.
        num_clips: Clips of the split.
    """

    def __init__(self, model: MultimodalModel, num_clips: int) -> None:
        tasks = model.tasks if model.has_sentiment else ()
        self.scores = {task: np.full(num_clips, np.nan) for task in tasks}
        self.targets, self._has_sentiment = model.targets, model.has_sentiment
        self.values: dict[str, dict[Task, np.ndarray]] = {t.name: {} for t in model.targets}
        self.present = {m: np.zeros(num_clips, dtype=bool) for m in model.modalities}
        self.attention: dict[Modality, list[np.ndarray]] = {}
        self._num_clips = num_clips

    def add(self, batch: Batch, output: Output) -> None:
        """Put the clips of a batch in their rows."""
        rows = batch.index.numpy()
        self.add_rows(rows, output)
        for modality, weights in output.attention.items():
            weights_of = self.attention.setdefault(modality, [np.zeros(0)] * self._num_clips)
            lengths = batch.sequences[modality].mask.sum(dim=1) * output.present[modality].cpu()
            steps = weights.float().cpu().numpy()
            for row, length, of_clip in zip(rows, lengths.tolist(), steps, strict=True):
                weights_of[row] = of_clip[:length].astype(np.float64)

    def add_rows(self, rows: Int[np.ndarray, " B"], output: Output) -> None:
        """Put the scores of clips in their rows, without attention."""
        for task, values in output.scores.items():
            self.scores[task][rows] = values.float().cpu().numpy()
        for target in self.targets:
            own = self.values[target.name]
            for task, raw in output.targets[target.name].items():
                full = own.setdefault(task, np.full((self._num_clips, target.size), np.nan))
                full[rows] = as_shares(target, precise(raw)).cpu().numpy()
        for modality, values in output.present.items():
            self.present[modality][rows] = values.cpu().numpy()

    def predictions(self, dataset: ClipDataset) -> Predictions:
        """Return what was predicted beside what is annotated."""
        return Predictions(
            ids=tuple(dataset.ids),
            scores=self.scores,
            targets=_as_numpy(dataset.labels) if self._has_sentiment else {},
            present=self.present,
            speakers=dataset.who_speaks,
            attention={m: tuple(weights) for m, weights in self.attention.items()},
            values={
                target.name: TargetPredictions(
                    target=target,
                    values=self.values[target.name],
                    truths=_as_numpy(dataset.values.get(target.name, {})),
                )
                for target in self.targets
            },
        )
