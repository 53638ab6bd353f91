"""A second model beside the first: its targets, such as emotion, are answered with the sentiment.

Both read the same features of a recording, which are therefore made once.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Num

from mien.data.context.second_segment import NO_CONTEXT
from mien.errors import ConfigError
from mien.prediction.answer import Answer, ModelFacts
from mien.prediction.answering.target_effects import add_effects
from mien.prediction.explain import UtteranceInput, find_parts, occlude_utterance
from mien.prediction.network import ClipScores, ClipSeries, Network, load_network
from mien.prediction.spoken.text_input import TextRead, read_text
from mien.prediction.target_answers.answer_targets import answer_targets, widen_targets
from mien.prediction.target_answers.target_answer import TargetAnswer, TargetFacts
from mien.training.checkpoints.header import Header, open_header
from mien.training.checkpoints.shipped_models import companion_of
from mien.training.loading import find_checkpoint
from mien.types import Modality

__all__ = ["Companion", "CompanionFacts", "find_companion", "fingerprint"]

_NAMES = {Modality.TEXT: "words", Modality.AUDIO: "voice", Modality.VIDEO: "face"}


class CompanionFacts(NamedTuple):
    """What a prediction says of a companion.

    Attributes:
        targets: What it has answered; nothing if it had nothing to read.
        warnings: What a reader of its answers should know.
        model: Which model it is; None if it has answered nothing.
    """

    targets: tuple[TargetFacts, ...] = ()
    warnings: tuple[str, ...] = ()
    model: ModelFacts | None = None


@dataclass(frozen=True, kw_only=True)
class Companion:
    """A model whose targets are answered beside what another says.

    Its weights are loaded with the first utterance that has something for it to read.

    Attributes:
        checkpoint: Its file.
        header: The header of it.
        device: Where it computes.
    """

    checkpoint: Path
    header: Header
    device: str = "cpu"

    @cached_property
    def network(self) -> Network:
        """The network with its weights."""
        return load_network(self.checkpoint, self.device)

    def answer(
        self, answers: Sequence[Answer], batch: Sequence[tuple[ClipSeries, UtteranceInput]]
    ) -> list[Answer]:
        """Return answers of the other model with what this one says of the same utterances.

        Of an utterance that has nothing for it to read it says nothing, and a note says so.
        """
        reads = [self._read_text(utterance) for _, utterance in batch]
        series = [self._choose(own, read) for (own, _), read in zip(batch, reads, strict=True)]
        rows = [row for row, own in enumerate(series) if any(map(len, own.values()))]
        scored = self.network.score_clips([series[row] for row in rows]) if rows else []
        joined = [_add_notes(answer, [self._abstention]) for answer in answers]
        for row, scores in zip(rows, scored, strict=True):
            is_doubtful = reads[row].is_doubtful or batch[row][1].is_doubtful
            own = self._explain(scores, batch[row][1], series[row], reads[row])
            if is_doubtful and Modality.TEXT in scores.present:
                own = widen_targets(own, self.network.model.targets)
            joined[row] = _join(answers[row], own, reads[row])
        return joined

    def describe(self, answers: Sequence[Answer]) -> CompanionFacts:
        """Return what a prediction of these answers says of it."""
        names = [target.name for target in self.header.targets]
        if not any(name in answer.targets for answer in answers for name in names):
            return CompanionFacts()
        network = self.network
        return CompanionFacts(network.targets, network.limits, network.facts)

    def _read_text(self, utterance: UtteranceInput) -> TextRead:
        """Return what it reads of the words, if it reads any."""
        if Modality.TEXT not in self.header.sizes:
            return TextRead(values=np.zeros((0, 1), np.float32), tokens=None)
        return read_text(self.network, utterance.transcript)

    def _choose(self, series: ClipSeries, read: TextRead) -> dict[Modality, Num[np.ndarray, "_ _"]]:
        """Return what it reads of an utterance."""
        chosen = {m: values for m, values in series.items() if m in self.header.sizes}
        if Modality.TEXT in self.header.sizes:
            chosen[Modality.TEXT] = read.values
        return chosen

    def _explain(
        self, scores: ClipScores, utterance: UtteranceInput, series: ClipSeries, read: TextRead
    ) -> dict[str, TargetAnswer]:
        network = self.network
        calibration = network.target_calibration
        own = answer_targets(network.model.targets, calibration, scores.targets, scores.present)
        given = replace(utterance, tokens=read.tokens, context=NO_CONTEXT)
        parts = find_parts(given) if Modality.TEXT in scores.present else []
        occlusion = occlude_utterance(network, scores, given, series, parts)
        return add_effects(network, own, occlusion, [word for word, _ in parts])

    @property
    def _abstention(self) -> str:
        """Why it says nothing."""
        names = " and ".join(target.name for target in self.header.targets)
        read = [_NAMES[m] for m in Modality if m in self.header.sizes]
        return f"{names}: no answer, which needs {' or '.join(read)}"


def _join(answer: Answer, own: Mapping[str, TargetAnswer], read: TextRead) -> Answer:
    """Return an answer with further targets, and with what there is to say of their text."""
    joined = answer.model_copy(update={"targets": {**answer.targets, **own}})
    names = " and ".join(own)
    return _add_notes(joined, [f"{names}: {note}" for note in read.notes])


def _add_notes(answer: Answer, notes: Sequence[str]) -> Answer:
    added = tuple(note for note in notes if note not in answer.notes)
    return answer.model_copy(update={"notes": (*answer.notes, *added)}) if added else answer


def find_companion(
    given: str | Path, checkpoint: Path, facts: Header, device: str
) -> Companion | None:
    """Return the companion of a model, whose weights are not read yet.

    Args:
        given: ``auto``: what comes with the package for a model that does. ``none``: none. Any
            other: a run or a checkpoint, as of ``mien.load``.
        checkpoint: The other model.
        facts: Its header.
        device: Where the companion computes.

    Raises:
        ConfigError: If it predicts no targets, or those of the other model, or reads other
            features than that.
        CheckpointError: If it is damaged.
    """
    path = companion_of(checkpoint) if given == "auto" else given
    if path is None or given == "none":
        return None
    weights = find_checkpoint(path)
    own = open_header(weights)
    if not own.targets:
        raise ConfigError(
            f"{path}: predicts no targets, such as emotion, that it could answer beside "
            f"{checkpoint}; give a model that was trained on some"
        )
    _compare_targets(checkpoint, facts, path, own)
    _compare_features(checkpoint, facts, path, own)
    return Companion(checkpoint=weights, header=own, device=device)


def _compare_targets(checkpoint: Path, facts: Header, path: str | Path, own: Header) -> None:
    """Refuse a companion that would answer what the other model answers."""
    both = sorted({t.name for t in facts.targets} & {t.name for t in own.targets})
    if both:
        raise ConfigError(f"{path}: predicts {both[0]!r}, as {checkpoint} does; give one of them")


def _compare_features(checkpoint: Path, facts: Header, path: str | Path, own: Header) -> None:
    """Refuse a companion that does not read what is made for the other model."""
    config = own.read_config(Path(path))
    if config.features.standardise == "speaker":
        raise ConfigError(
            f"{path}: reads voice and face against a baseline of the speaker, which is made for "
            f"{checkpoint} alone; give a companion with features.standardise=train"
        )
    if Modality.TEXT in own.sizes and (
        config.text_encoder.input == "embeddings"
        or config.text_encoder.context
        or config.text_encoder.context_after
    ):
        raise ConfigError(
            f"{path}: reads words as states of a store, or with those around them, which a "
            "companion cannot; give one that reads each transcript by itself, or no words"
        )
    for modality in own.sizes:
        if modality is not Modality.TEXT and _makers(own, modality) != _makers(facts, modality):
            raise ConfigError(
                f"{path}: reads {modality} of {_makers(own, modality)[0]}, {checkpoint} reads "
                f"{_makers(facts, modality)[0]}; both must be trained on features that one "
                "extraction makes"
            )


def _makers(header: Header, modality: Modality) -> tuple[object, ...]:
    """Return what makes the features of a modality: first its name, then all that changes it."""
    if modality not in header.sizes:
        return ("none", None)
    series = header.series.get(header.series_names()[modality])
    extraction = header.extraction or {}
    pooling = extraction.get("pooling", {}).get(str(modality))
    made = extraction.get(str(modality)) or (None if series is None else series.extractor)
    names = None if series is None else series.feature_names
    return (made or "unknown features", header.sizes[modality], names, pooling,
            extraction.get("align", "none"))  # fmt: skip


def fingerprint(facts: ModelFacts, companion: Companion | None) -> str:
    """Return the sha256 of the file of a model, and of that of its companion."""
    return facts.sha256 if companion is None else f"{facts.sha256}+{companion.network.facts.sha256}"
