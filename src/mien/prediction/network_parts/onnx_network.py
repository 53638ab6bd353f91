"""A network as ONNX sees it: values and masks of each modality in; scores, targets, weights out."""

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from mien.models.standardise import Standardise
from mien.prediction.network import Network
from mien.tensors import Batch, PaddedSeries, as_shares, reported_scores, reported_values
from mien.types import Modality

__all__ = ["OnnxNetwork"]


class OnnxNetwork(nn.Module):
    """A network as ONNX sees it: values and mask of each modality, to scores and weights.

    Args:
        network: A trained network. If its text encoder reads states that are computed ahead, the
            layers that compute them are put before it, for good.
    """

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.modalities = network.modalities
        self.scale = network.scale
        self.sizes = dict(network.sizes)
        self.vocabulary = 0 if network.text is None else network.text.vocabulary
        self.max_tokens = None if network.text is None else network.text.max_tokens
        self.model, self.name = network.model, network.config.model.name
        if network.text is not None:
            self.model.text_encoder = network.text.join(self.model.text_encoder)
        self.tasks = self.model.tasks if self.model.has_sentiment else ()
        self.eval()

    @property
    def compared(self) -> dict[str, float]:
        """Names of the outputs that are compared with torch, each with the width of its scale."""
        names = {f"score_{task}": self.scale.high - self.scale.low for task in self.tasks}
        for index, target in enumerate(self.model.targets):
            low, high = target.bounds
            names |= {f"target_{index}_{task}": high - low for task in self.model.tasks}
        return names

    @property
    def reads_ids(self) -> bool:
        """Whether the text comes as token ids, and not as states."""
        return self.vocabulary > 0

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the inputs: ``text``, ``text_mask`` and so on."""
        return tuple(name for m in self.modalities for name in (str(m), f"{m}_mask"))

    def forward(self, *given: Tensor) -> tuple[Tensor, ...]:
        """Return the score of each task, cut to the scale, values of targets, and weights.

        Scores and values are those that ``mien predict`` reports: of a clip with one modality
        alone, the multimodal score is that modality's. Values are probabilities of classes and
        labels, ``(B, K)``, before temperatures, and values on the scale of the target.

        Args:
            given: Values and mask of each modality, in the order of ``inputs``. Token ids are
                ``(B, T)``, everything else is ``(B, T, D)``; masks are ``(B, T)``. A clip lacks a
                modality if no step of its mask is true; there is at least one step in any case.
        """
        output = self.model(self._batch(given))
        low, high = self.scale
        reported = reported_scores(output.scores, output.present)
        scores = [reported[task].clamp(low, high) for task in self.tasks]
        values = []
        for target in self.model.targets:
            own = reported_values(output.targets[target.name], output.present)
            values += [as_shares(target, own[task]) for task in self.model.tasks]
        weights = [output.attention[m] for m in self.modalities if m in output.attention]
        return (*scores, *values, *weights)

    def _batch(self, given: Sequence[Tensor]) -> Batch:
        sequences = {}
        for i, modality in enumerate(self.modalities):
            values, mask = given[2 * i], given[2 * i + 1]
            is_ids = modality is Modality.TEXT and self.reads_ids
            sequences[modality] = PaddedSeries(values.unsqueeze(-1) if is_ids else values, mask)
        return Batch(index=torch.arange(given[0].shape[0]), sequences=sequences)

    @torch.no_grad()
    def outputs(self) -> tuple[str, ...]:
        """Return the names of the outputs: ``score_fusion``, ``weights_audio`` and so on.

        ``target_0_fusion`` is of the first target of the metadata.
        """
        attention = self.model(self._batch(self.draw(1, (2, 2, 2), "", seed=0))).attention
        return tuple(self.compared) + tuple(
            f"weights_{m}" for m in self.modalities if m in attention
        )

    def draw(
        self, num_clips: int, steps: Sequence[int], missing: str, *, seed: int
    ) -> tuple[Tensor, ...]:
        """Draw inputs as training had them: random tokens, and values around the mean of train.

        Args:
            num_clips: Clips.
            steps: Of text, audio and video; the first clip has them all, the others fewer.
            missing: First letters of the modalities that no clip has.
            seed: Of the random numbers.
        """
        drawn = torch.Generator().manual_seed(seed)
        result: list[Tensor] = []
        for modality, length in zip(Modality, steps, strict=True):
            if modality not in self.modalities:
                continue
            if modality is Modality.TEXT and self.max_tokens is not None:
                length = min(length, self.max_tokens)
            lengths = torch.randint(1, length + 1, (num_clips, 1), generator=drawn)
            lengths[0] = length
            if modality[0] in missing:
                lengths[:] = 0
            mask = torch.arange(length) < lengths
            result += [self._values(modality, num_clips, length, drawn), mask]
        return tuple(result)

    def _values(
        self, modality: Modality, num_clips: int, length: int, drawn: torch.Generator
    ) -> Tensor:
        if modality is Modality.TEXT and self.reads_ids:
            return torch.randint(0, self.vocabulary, (num_clips, length), generator=drawn)
        values = torch.randn(num_clips, length, self.sizes[modality], generator=drawn)
        if modality is Modality.TEXT:
            return values
        units = cast("Standardise", self.model.encoders[modality].standardise)
        deviation = torch.where(units.scale > 0, 1 / units.scale, 0.0)
        values = values * deviation + units.mean
        return torch.sigmoid(values) if units.has_log_odds else values
