"""A split with something done to it: what a scorer reads in the place of what is there."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial

import numpy as np
from jaxtyping import Bool, Float, Num

from mien.data.dataset import ClipDataset
from mien.evaluation.predictions import Predictions
from mien.evaluation.scoring import SplitScorer
from mien.studies.robustness.conditions import Condition, KindName
from mien.studies.robustness.corruption import (
    add_noise,
    draw_for,
    drop_steps,
    lose_modalities,
    slip,
)
from mien.studies.robustness.word_errors import WordErrors
from mien.training.preparation import Prepared, measure_moments
from mien.training.settings import ExperimentConfig
from mien.types import Modality, Split

__all__ = ["Changes", "StressedSplit", "reads_words", "score_changed"]

#: Changes the series of a clip, by its row.
_Change = Callable[[int, Num[np.ndarray, "T D"]], Num[np.ndarray, "_ D"]]


def reads_words(config: ExperimentConfig) -> bool:
    """Return whether texts can be changed in words: not where states are given in their place."""
    return config.text_encoder.input in ("transcript", "tokens")


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """What a condition does to a split.

    Attributes:
        series: What becomes of a clip's series of the store, for each modality that changes.
        texts: What is read of each text, where texts change.
        lost: Which clips have lost a modality.
    """

    series: Mapping[Modality, _Change] = field(default_factory=dict)
    texts: list[Num[np.ndarray, "_ _"]] | None = None
    lost: Mapping[Modality, Bool[np.ndarray, " N"]] = field(default_factory=dict)


def score_changed(scorer: SplitScorer, changes: Changes) -> Predictions:
    """Score a split to which something was done; what was not touched is not encoded again."""
    dataset = scorer.dataset

    def read(row: int, modality: Modality, change: _Change) -> Num[np.ndarray, "T D"]:
        return dataset.read(modality, row, partial(change, row))

    changed: dict[Modality, Callable[[int], Num[np.ndarray, "T D"]]] = {
        m: partial(read, modality=m, change=change) for m, change in changes.series.items()
    }
    if changes.texts is not None:
        changed[Modality.TEXT] = changes.texts.__getitem__
    return scorer.predict(changed, changes.lost)


class StressedSplit:
    """The clips of a split, and what every condition does to them.

    Args:
        prepared: The data, as a model reads them.
        split: The split.
        config: Settings of the model's training.
        seed: Seed of what is drawn.
    """

    def __init__(
        self, prepared: Prepared, split: Split, config: ExperimentConfig, seed: int
    ) -> None:
        self._prepared, self._config, self._seed = prepared, config, seed
        self.dataset: ClipDataset = prepared.datasets[split]
        self._modalities = tuple(m for m in Modality if m in self.dataset.series)
        self._deviations: dict[Modality, Float[np.ndarray, " D"]] = {}

    @cached_property
    def _present(self) -> Bool[np.ndarray, "M N"]:
        lengths = [self.dataset.series[m].lengths[self.dataset.rows] for m in self._modalities]
        return np.stack(lengths) > 0

    @cached_property
    def _word_errors(self) -> WordErrors:
        return WordErrors(self._prepared.store, self._config.text_encoder, self.dataset, self._seed)

    def apply(self, condition: Condition) -> Changes:
        """Return what a condition does."""
        match condition.kind:
            case "intact":
                return Changes()
            case "sets":
                gone = [m for m in self._modalities if m not in condition.modalities]
                return Changes(lost={m: np.ones(len(self.dataset), dtype=bool) for m in gone})
            case "clips":
                return Changes(lost=self._lose(condition))
        by_words = Modality.TEXT in condition.modalities and reads_words(self._config)
        return Changes(
            series={
                m: self._change(m, condition.kind, condition.level)
                for m in condition.modalities
                if not (m is Modality.TEXT and by_words)
            },
            texts=self._word_errors.read(condition, self._is_text_alone()) if by_words else None,
        )

    def _lose(self, condition: Condition) -> dict[Modality, Bool[np.ndarray, " N"]]:
        chances = np.full(self._present.shape, np.inf)
        for place, modality in enumerate(self._modalities):
            if modality in condition.modalities:
                chances[place] = [
                    draw_for(self._seed, name, modality).random() for name in self.dataset.ids
                ]
        lost = lose_modalities(self._present, chances, condition.level)
        return {
            m: own
            for m, own in zip(self._modalities, lost, strict=True)
            if m in condition.modalities
        }

    def _is_text_alone(self) -> list[bool]:
        others = [place for place, m in enumerate(self._modalities) if m is not Modality.TEXT]
        return [not self._present[others, row].any() for row in range(len(self.dataset))]

    def _change(self, modality: Modality, kind: KindName, level: float) -> _Change:
        """Return what becomes of the features of a clip, or of a text that is given as states."""
        ids = self.dataset.ids

        def change(row: int, values: Num[np.ndarray, "T D"]) -> Num[np.ndarray, "_ D"]:
            rng = draw_for(self._seed, ids[row], modality)
            if kind == "slip":
                return slip(values, level)
            if kind == "noise":
                return add_noise(values, rng, level, self._deviation(modality))
            chances = rng.random(len(values))
            return drop_steps(values, chances, level, "zero" if kind == "blanks" else "cut")

        return change

    def _deviation(self, modality: Modality) -> Float[np.ndarray, " D"]:
        if modality not in self._deviations:
            known = self._prepared.datasets.get("train", self.dataset)
            self._deviations[modality] = measure_moments(known, modality)[1]
        return self._deviations[modality]
