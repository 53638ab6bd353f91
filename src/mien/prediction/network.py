"""A trained network without its store: a checkpoint, and series made of any recording."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Num

from mien.data.context.second_segment import NO_CONTEXT, Context
from mien.data.text_reader import TextReader
from mien.errors import CheckpointError, ConfigError
from mien.evaluation.conformal import Calibration
from mien.evaluation.probabilities.target_calibration import TargetCalibration
from mien.extraction.clip import ExtractionSettings
from mien.files.hashing import hash_file
from mien.models.eight_bits import round_text_encoder
from mien.models.multitask import MultimodalModel
from mien.prediction.answer import ModelFacts
from mien.prediction.network_parts.feature_makers import (
    name_makers,
    read_extraction,
    read_names,
    read_steps,
)
from mien.prediction.target_answers.answer_targets import describe_limits, describe_targets
from mien.prediction.target_answers.target_answer import TargetFacts
from mien.tensors import (
    Batch,
    Encoded,
    Output,
    PaddedSeries,
    as_shares,
    find_device,
    move_to,
    pad,
    precise,
    reported_scores,
    reported_values,
)
from mien.training.checkpoints.absent_series import open_text
from mien.training.checkpoints.header import open_header
from mien.training.checkpoints.shipped_models import name_weights
from mien.training.checkpoints.trained_model import build_trained
from mien.training.settings import ExperimentConfig
from mien.types import Modality, Scale, Task

__all__ = ["ClipScores", "ClipSeries", "Network", "VariantValues", "load_network"]

_VARIANTS = 16  # of a clip, that go through the network together

#: Series of one clip: values of each modality that it has, ``(T, D)``.
ClipSeries = Mapping[Modality, Num[np.ndarray, "_ _"]]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipScores:
    """Scores and weights of one clip.

    Attributes:
        scores: Of the multimodal task and of every present modality that the model scores by
            itself, cut to the scale. If one modality is present, its score is the multimodal score.
            None of a model that predicts no sentiment.
        present: The modalities that the clip has.
        attention: Weight of each step of the present modalities that have weights.
        without: The multimodal score if a present modality is taken away; empty if only one is
            present.
        encoded: The clip as the model has encoded it.
        targets: What is predicted besides, by name and for the same tasks: probabilities, and
            values cut to the scale of the target, ``(K,)``.
    """

    scores: Mapping[Task, float]
    present: Sequence[Modality]
    attention: Mapping[Modality, Float[np.ndarray, " T"]]
    without: Mapping[Modality, float]
    encoded: Batch | Encoded
    targets: Mapping[str, Mapping[Task, Float[np.ndarray, " K"]]] = field(default_factory=dict)


class VariantValues(NamedTuple):
    """What is predicted of a variant of a clip from all that it has.

    Attributes:
        score: The multimodal score; None of a model that predicts no sentiment.
        targets: The multimodal values of every target, ``(K,)``.
    """

    score: float | None
    targets: Mapping[str, Float[np.ndarray, " K"]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """A trained network with all that it needs of its training.

    Attributes:
        checkpoint: Its file.
        facts: Which model it is, for people.
        config: The settings with which it was trained.
        model: The network, with its weights.
        sizes: Size of an input feature of each modality; for text, of a state.
        feature_names: Name of each value of the modalities where they are known.
        step_seconds: Time from one step to the next of those whose steps are evenly spaced.
        text: Makes token ids or states of a text; None if it reads no text, or states that come
            with the features.
        scale: Range of its scores.
        language: ISO 639-1 code of what it understands.
        calibration: Widths of intervals; None if it was trained before there were any.
        calibration_alone: The same of clips that are read without knowing the person, by a network
            that was trained with baselines.
        extraction: How its features are made of a recording; None if they cannot be.
        made_by: What made the features of each modality, for messages.
        target_calibration: What validation clips say of each further target, by its name; none if
            it was trained before there were sets of classes.
        target_calibration_alone: As ``calibration_alone``.
    """

    checkpoint: Path
    facts: ModelFacts
    config: ExperimentConfig
    model: MultimodalModel
    sizes: Mapping[Modality, int]
    feature_names: Mapping[Modality, tuple[str, ...]]
    step_seconds: Mapping[Modality, float]
    text: TextReader | None
    scale: Scale
    language: str
    calibration: Calibration | None
    calibration_alone: Calibration | None
    extraction: ExtractionSettings | None
    made_by: Mapping[Modality, str]
    target_calibration: Mapping[str, TargetCalibration] = field(default_factory=dict)
    target_calibration_alone: Mapping[str, TargetCalibration] = field(default_factory=dict)

    @property
    def modalities(self) -> tuple[Modality, ...]:
        """The modalities that it knows."""
        return self.model.modalities

    @property
    def limits(self) -> tuple[str, ...]:
        """What a reader of its answers about targets should know, in sentences."""
        return describe_limits(self.model.targets, self.target_calibration)

    @property
    def targets(self) -> tuple[TargetFacts, ...]:
        """What it predicts besides sentiment."""
        return describe_targets(self.model.targets, self.target_calibration)

    @property
    def sentiment_scale(self) -> Scale | None:
        """Range of its scores of sentiment; None if it predicts none."""
        return self.scale if self.model.has_sentiment else None

    @property
    def level(self) -> float | None:
        """Share of clips whose sentiment should lie in its interval; None if there are none."""
        return None if self.calibration is None else self.calibration.level

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return next(self.model.parameters()).device

    def read_text(self, text: str) -> Num[np.ndarray, "_ _"]:
        """Return what it reads of a text; no step for an empty one, or without a text encoder."""
        return self.read_texts([text])[0]

    def read_texts(
        self, texts: Sequence[str], context: Context = NO_CONTEXT
    ) -> list[Num[np.ndarray, "_ _"]]:
        """Return what it reads of each text, as ``read_text``; those of like length together.

        Args:
            texts: The texts, all in the same place.
            context: What is said around it.
        """
        if self.text is None:
            return [np.zeros((0, 1), np.float32) for _ in texts]
        return self.text.read_many(texts, context)

    def surround(self, texts: Sequence[str]) -> list[Context]:
        """Return what it reads around each of some texts, which follow each other."""
        if self.text is None:
            return [NO_CONTEXT] * len(texts)
        return self.text.surround(texts)

    @torch.no_grad()
    def score_clips(self, clips: Sequence[ClipSeries]) -> list[ClipScores]:
        """Score clips; a modality without a step is not present, and every clip has one that is."""
        complete = [self.complete(clip) for clip in clips]
        present = [[m for m, values in clip.items() if len(values)] for clip in complete]
        batch = self._batch(complete)
        num_steps = {m: series.mask.sum(dim=1).tolist() for m, series in batch.sequences.items()}
        encoded = self.model.encode_once(batch)
        output = self.model.finish(encoded)
        scores = reported_scores(output.scores, output.present)
        without: list[dict[Modality, float]] = [{} for _ in clips]
        for modality in self.modalities:
            rows = [row for row, own in enumerate(present) if modality in own and len(own) > 1]
            if rows and self.model.has_sentiment:
                others = encoded.keep([m for m in self.modalities if m is not modality])
                fused = self._fuse(self.model.finish(others))
                for row in rows:
                    without[row][modality] = fused[row]
        values = self._values_of(output)
        scored = []
        for row, modalities in enumerate(present):
            own_tasks = (Task.FUSION, *(Task(m) for m in modalities))
            scored.append(
                ClipScores(
                    present=modalities,
                    scores={t: self.cut(float(scores[t][row])) for t in own_tasks if t in scores},
                    attention={
                        m: weights[row, : num_steps[m][row]].cpu().double().numpy()
                        for m, weights in output.attention.items()
                        if m in modalities
                    },
                    without=without[row],
                    encoded=encoded.row(row),
                    targets={
                        name: {task: own[task][row] for task in own_tasks if task in own}
                        for name, own in values.items()
                    },
                )
            )
        return scored

    def _values_of(self, output: Output) -> dict[str, dict[Task, Float[np.ndarray, "B _"]]]:
        """Return the values of every target as they are reported."""
        result = {}
        for target in self.model.targets:
            raw = reported_values(output.targets[target.name], output.present)
            result[target.name] = {
                task: as_shares(target, precise(own)).cpu().numpy() for task, own in raw.items()
            }
        return result

    @torch.no_grad()
    def predict_variants(
        self,
        clip: ClipSeries,
        modality: Modality,
        variants: Sequence[Num[np.ndarray, "_ _"]],
        encoded: Batch | Encoded | None = None,
    ) -> list[VariantValues]:
        """Return what is predicted of a clip with other series of one modality.

        The other modalities are encoded once, and short and long variants apart.

        Args:
            clip: Its series.
            modality: The one that varies.
            variants: Series of it; one without a step takes the modality away. Something must
                remain in every variant.
            encoded: What ``score_clips`` returned of the clip, if it was scored.
        """
        predicted: dict[int, VariantValues] = {}
        for rows, output in self._vary(clip, modality, variants, encoded):
            fused = self._fuse(output) if self.model.has_sentiment else [None] * len(rows)
            values = self._values_of(output)
            for place, row in enumerate(rows):
                own = {name: tasks[Task.FUSION][place] for name, tasks in values.items()}
                predicted[row] = VariantValues(fused[place], own)
        return [predicted[row] for row in range(len(variants))]

    def _vary(
        self,
        clip: ClipSeries,
        modality: Modality,
        variants: Sequence[Num[np.ndarray, "_ _"]],
        encoded: Batch | Encoded | None,
    ) -> Iterator[tuple[list[int], Output]]:
        """Give what the model returns of some variants at a time, with their places."""
        if encoded is None:
            encoded = self.model.encode_once(self._batch([self.complete(clip)]))
        order = sorted(range(len(variants)), key=lambda row: len(variants[row]))
        for start in range(0, len(order), _VARIANTS):
            rows = order[start : start + _VARIANTS]
            own = [self.complete({modality: variants[row]})[modality] for row in rows]
            series = PaddedSeries(*(part.to(self.device) for part in self._pad(modality, own)))
            yield rows, self.model.finish(self.model.vary(encoded, modality, series))

    def _fuse(self, output: Output) -> list[float]:
        """Return the multimodal scores as they are reported, cut to the scale."""
        reported = reported_scores(output.scores, output.present)[Task.FUSION]
        return [self.cut(score) for score in reported.tolist()]

    def cut(self, score: float) -> float:
        """Return a score cut to the scale."""
        return min(max(score, self.scale.low), self.scale.high)

    def complete(self, clip: ClipSeries) -> dict[Modality, Num[np.ndarray, "_ _"]]:
        """Add the modalities that are missing, and cut those that are too long."""
        most = self.config.features.max_steps or None
        result = {}
        for modality, size in self.sizes.items():
            text = self.text if modality is Modality.TEXT else None
            kind = np.int32 if text is not None and text.layer is None else np.float32
            width = size if text is None else text.width
            values = clip.get(modality)
            if values is None or not len(values):
                values = np.zeros((0, width), kind)
            elif values.ndim != 2 or values.shape[1] != width:
                raise ConfigError(
                    f"{modality}: has the shape {values.shape}, the model wants (steps, {width})"
                )
            cut = values if modality is Modality.TEXT else values[:most]
            result[modality] = _cast(modality, cut, kind)
        return result

    def _batch(self, clips: Sequence[Mapping[Modality, Num[np.ndarray, "_ _"]]]) -> Batch:
        sequences = {m: self._pad(m, [clip[m] for clip in clips]) for m in self.modalities}
        return Batch(index=torch.arange(len(clips)), sequences=sequences).to(self.device)

    def _pad(self, modality: Modality, series: Sequence[Num[np.ndarray, "_ _"]]) -> PaddedSeries:
        text = self.text if modality is Modality.TEXT else None
        return pad(
            [torch.from_numpy(np.ascontiguousarray(values)) for values in series],
            has_context=text is not None and text.has_context,
        )


def _cast(
    modality: Modality, values: Num[np.ndarray, "T D"], kind: type[np.generic]
) -> Num[np.ndarray, "T D"]:
    """Return a series as a network computes with it; refuse what it would make other numbers of."""
    if values.dtype.kind not in "biuf":
        raise ConfigError(f"{modality}: holds values of type {values.dtype}, must be real numbers")
    with np.errstate(over="ignore", invalid="ignore"):
        cast: np.ndarray = values.astype(kind, copy=False)
    if np.issubdtype(kind, np.integer) and not np.array_equal(cast, values):
        raise ConfigError(f"{modality}: holds values that are no token ids")
    if not np.isfinite(cast).all():
        raise ConfigError(f"{modality}: holds values that are not finite, or too large for 32 bits")
    return cast


def load_network(checkpoint: Path, device: str = "cpu", *, int8: bool = False) -> Network:
    """Load a network for clips that come from no store.

    Args:
        checkpoint: Its file.
        device: Where it and its text encoder compute.
        int8: Whether the trained layers of the text encoder multiply in 8 bits.

    Raises:
        ConfigError: If there is no such device, or none that multiplies in 8 bits.
        CheckpointError: If the file is damaged, or was trained with other weights of a text
            encoder, or with extractors that this version does not have.
        AssetError: If its text encoder is not here.
    """
    place = find_device(device, "device")
    header = open_header(checkpoint)
    config, scale = header.read_config(checkpoint), header.read_scale(checkpoint)
    sizes = header.sizes
    extraction = read_extraction(checkpoint, header)
    text = open_text(checkpoint, header, config) if Modality.TEXT in sizes else None
    encoder = text.build() if text is not None else None
    if text is not None:
        text.device = place
    model = build_trained(checkpoint, header, config, encoder)
    move_to(model, place)
    if int8:
        round_text_encoder(model)
    return Network(
        checkpoint=checkpoint,
        facts=ModelFacts(
            name=name_weights(checkpoint, header.name),
            sha256=hash_file(checkpoint, CheckpointError),
            corpus=header.corpus,
            licence=header.licence,
        ),
        config=config,
        model=model,
        sizes=sizes,
        feature_names=read_names(header, config),
        step_seconds=read_steps(header, config),
        text=text,
        scale=scale,
        language=header.language,
        calibration=header.calibration,
        calibration_alone=header.calibration_alone,
        extraction=extraction,
        made_by=name_makers(header, config),
        target_calibration=header.target_calibration,
        target_calibration_alone=header.target_calibration_alone,
    )
