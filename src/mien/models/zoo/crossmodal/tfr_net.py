"""TFR-Net: crossmodal transformers that learn from incomplete series, and to reconstruct them."""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from mien.models.multitask import ModelInputs
from mien.models.zoo.crossmodal.crossmodal_encoder import CrossmodalModel, StepConvolution
from mien.models.zoo.crossmodal.crossmodal_settings import TfrNetConfig
from mien.models.zoo.moments import moments_apart
from mien.models.zoo.two_ways import run_two_ways
from mien.tensors import Batch, Output, PaddedSeries
from mien.types import Modality, Task

__all__ = ["GatedSummary", "TfrNet", "TfrNetConfig"]

#: Fewest layers of the transformers of a modality over itself.
_FEWEST = 3
#: The highest moment that is compared.
_MOMENTS = 3


class GatedSummary(nn.Module):
    """One vector of a series of states, and of what a GRU remembers of them where a gate opens.

        r = largest over the steps of tanh(W [h; g tanh(GRU h)]),   g = sigmoid(C GRU h)

    C is a convolution over three steps.

    Source: yuan2021, gated convolution.

    Args:
        input_size: Size of a state.
        size: Size of the vector, and of the GRU's state in each direction.
        num_layers: Layers of the GRU.
        dropout: Share dropped between them.
    """

    def __init__(self, input_size: int, size: int, num_layers: int, dropout: float) -> None:
        super().__init__()
        self.rnn = nn.GRU(
            input_size,
            size,
            num_layers,
            batch_first=True,
            bidirectional=True,
            dropout=dropout if num_layers > 1 else 0.0,
        )
        self.conv = nn.Conv1d(2 * size, 1, 3, padding=1)
        self.linear = nn.Linear(input_size + 2 * size, size)

    def forward(self, series: PaddedSeries, lengths: Tensor) -> Float[Tensor, "B H"]:
        """Return one vector per clip.

        Args:
            series: The states; where the mask is True a step can be the largest.
            lengths: Steps that the GRU reads of each clip.
        """
        values, mask = series
        remembered, _ = run_two_ways(self.rnn, values, lengths)
        gate = torch.sigmoid(self.conv(remembered.transpose(1, 2))).transpose(1, 2)
        joined = torch.cat([values, gate * torch.tanh(remembered)], dim=-1)
        states = torch.tanh(self.linear(joined))
        vectors: Tensor = states.masked_fill(~mask.unsqueeze(-1), -1.0).amax(dim=1)
        return vectors


class TfrNet(CrossmodalModel):
    """Take steps of every series away, let the modalities attend to each other, and reconstruct.

        h_m   = [transformer over x_m; attending to n, for every other n]
        score of LeakyReLU(W N([r_t; r_a; r_v])),   r_m = gated summary of h_m
        reconstruction of m = R_m(transformer over h_m), where steps were taken away in training

    Steps are taken away anew in every batch: of text, states. The first and the last state of a
    text stay. The published program takes tokens away, once for a split, and its last transformer
    attends from clip to clip of a batch instead of from step to step; with ``published`` the score
    is that of the program, the reconstruction is not. It also normalises by batch, and reads
    padding.

    Source: yuan2021.

    Args:
        config: Settings.
        inputs: What the model reads.
    """

    def __init__(self, config: TfrNetConfig, inputs: ModelInputs) -> None:
        super().__init__(config, inputs)
        self.missing_share = config.missing_share
        self.weights = {m: getattr(config.reconstruction_weight, m) for m in self.modalities}
        self.moment_weight = config.moment_weight
        size, num_layers = config.model_size, max(config.num_layers, _FEWEST)
        self.text_dropout = nn.Dropout(config.text_dropout)
        self.enter = nn.ModuleDict(
            {
                m: StepConvolution(inputs.sizes[m], size, getattr(config.width, m), published=False)
                for m in self.modalities
            }
        )
        self.own = nn.ModuleDict(
            {
                m: self.make_encoder(config, Modality.TEXT, num_layers, has_places=True)
                for m in self.modalities
            }
        )
        self.crossmodal = nn.ModuleDict(
            {
                f"{m}_{n}": self.make_encoder(config, n, config.num_layers, has_places=True)
                for m in self.modalities
                for n in self.modalities
                if n != m
            }
        )
        num_joined = len(self.modalities)
        self.last = nn.ModuleDict(
            {
                m: self.make_encoder(config, m, 1, num_joined=num_joined, has_places=True)
                for m in self.modalities
            }
        )
        total = size * num_joined
        self.recover = nn.ModuleDict(
            {m: nn.Linear(total, inputs.sizes[m]) for m in self.modalities}
        )
        sizes = {m: getattr(config.gate_size, m) for m in self.modalities}
        self.gates = nn.ModuleDict(
            {
                m: GatedSummary(total, n, config.gate_layers, config.gate_dropout)
                for m, n in sizes.items()
            }
        )
        joined = sum(sizes.values())
        self.norm = nn.BatchNorm1d(joined) if config.published else nn.LayerNorm(joined)
        self.least_batch = 2 if config.published else 1
        self.hidden = nn.Linear(joined, config.fusion_size)
        self.dropout = nn.Dropout(config.fusion_dropout)
        self.leave = nn.Linear(config.fusion_size, 1)
        self.state_sizes = {Task.FUSION: config.fusion_size}

    def forward(self, batch: Batch) -> Output:
        """Return score and state of every clip, and in training, the losses."""
        complete, present = self.read(batch, with_padding=self.published)
        real = {
            m: self.absent[m].keep_step(batch.sequences[m].mask, present[m])  # type: ignore[operator]
            for m in self.modalities
        }
        missing, entered = {}, {}
        for m, series in complete.items():
            missing[m] = self._draw(m, real[m]) & present[m].unsqueeze(1)
            values = series.values.masked_fill(missing[m].unsqueeze(-1), 0.0)
            if m is Modality.TEXT:
                values = self.text_dropout(values)
            entered[m] = self.enter[m](PaddedSeries(values, series.mask))
        states = {m: self._attend(m, entered) for m in self.modalities}
        vectors = [self.gates[m](own, real[m].sum(dim=1)) for m, own in states.items()]
        state = F.leaky_relu(self.hidden(self.norm(torch.cat(vectors, dim=1))))
        score = self.leave(self.dropout(state)).squeeze(-1)
        terms = {}
        if self.training and torch.is_grad_enabled():
            terms = {
                f"reconstruction_{m}": self._reconstruct(m, own, complete[m].values, missing[m])
                for m, own in states.items()
                if missing[m].any()
            }
        return self.answer(state, score, present, terms)

    def _attend(self, modality: Modality, entered: dict[Modality, PaddedSeries]) -> PaddedSeries:
        own = entered[modality]
        parts = [self.own[modality](own).values]
        for other, theirs in entered.items():
            if other != modality:
                parts.append(self.crossmodal[f"{modality}_{other}"](own, theirs).values)
        return PaddedSeries(torch.cat(parts, dim=-1), own.mask)

    def _draw(self, modality: Modality, real: Bool[Tensor, "B T"]) -> Bool[Tensor, "B T"]:
        """Return which real steps are taken away."""
        if not self.training or not self.missing_share:
            return torch.zeros_like(real)
        missing = real & (torch.rand(real.shape, device=real.device) < self.missing_share)
        if modality is Modality.TEXT:
            places = torch.arange(real.shape[1], device=real.device)
            last = real.sum(dim=1, keepdim=True) - 1
            missing = missing & (places > 0) & (places < last)
        return missing

    def _reconstruct(
        self,
        modality: Modality,
        states: PaddedSeries,
        wanted: Float[Tensor, "B T D"],
        missing: Bool[Tensor, "B T"],
    ) -> Float[Tensor, ""]:
        """Return how badly the steps that were taken away are reconstructed."""
        made = self.recover[modality](self.last[modality](states).values)[missing]
        target = wanted[missing].detach()
        apart = F.smooth_l1_loss(made, target, reduction="sum")
        moments = moments_apart(made, target, highest=_MOMENTS)
        loss = (apart + self.moment_weight * moments) / target.numel()
        weighted: Tensor = self.weights[modality] * loss
        return weighted
