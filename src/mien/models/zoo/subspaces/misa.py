"""MISA: private and shared vectors of every modality."""

from itertools import combinations

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from mien.models.encoders import mean_step
from mien.models.multitask import ModelInputs
from mien.models.zoo.moments import moments_apart
from mien.models.zoo.series_model import SeriesModel, lengths_of
from mien.models.zoo.step_alignment import lengthen
from mien.models.zoo.subspaces.subspace_settings import MisaConfig
from mien.models.zoo.two_ways import run_two_ways
from mien.tensors import Batch, Output, PaddedSeries
from mien.types import Modality, Task

__all__ = ["Misa", "MisaConfig", "TwoWayLstm"]

#: The order in which the modalities' vectors are joined.
_ORDER = (Modality.TEXT, Modality.VIDEO, Modality.AUDIO)
#: The highest moment that is compared.
_MOMENTS = 5


class TwoWayLstm(nn.Module):
    """Two bidirectional LSTMs, one on the normalised states of the other; their last states.

    Args:
        size: Size of a feature, and of every state, D.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.first = nn.LSTM(size, size, batch_first=True, bidirectional=True)
        self.norm = nn.LayerNorm(2 * size)
        self.second = nn.LSTM(2 * size, size, batch_first=True, bidirectional=True)

    def forward(self, series: PaddedSeries) -> Float[Tensor, "B _"]:
        """Return the last states of both, forward first, of each clip: four times the size."""
        lengths = lengths_of(series)
        states, first = run_two_ways(self.first, series.values, lengths)
        _, second = run_two_ways(self.second, self.norm(states), lengths)
        return torch.cat([first, second], dim=2).transpose(0, 1).flatten(1)


class Misa(SeriesModel):
    """Split every modality into a private and a shared vector, and let all of these attend.

        u_m = N(ReLU(W [summary of m])),   p_m = sigmoid(P_m u_m),   s_m = sigmoid(S u_m)
        score of [transformer over p_t, p_v, p_a, s_t, s_v, s_a]

    Three losses shape the vectors: *difference*, how much private and shared ones overlap, and
    private ones of two modalities; *similarity*, how far apart the moments of the shared ones of
    two modalities are; *reconstruction*, how far R_m(p_m + s_m) is from u_m. Each is of the clips
    of a batch that have the modalities.

    The published program cuts audio and video to as many steps as the text has tokens, and trains
    on the squared error.

    Source: hazarika2020.

    Args:
        config: Settings.
        inputs: What the model reads.
    """

    def __init__(self, config: MisaConfig, inputs: ModelInputs) -> None:
        super().__init__(config, inputs)
        self.published = config.published
        self.order = tuple(m for m in _ORDER if m in self.modalities)
        size = config.hidden_size
        self.weights = {
            "difference": config.difference_weight,
            "similarity": config.similarity_weight,
            "reconstruction": config.reconstruction_weight,
        }
        for m in self.series:
            self.encoders[m].rnn = TwoWayLstm(inputs.sizes[m])
        widths = {m: inputs.sizes[m] * (1 if m is Modality.TEXT else 4) for m in self.order}
        self.enter = nn.ModuleDict(
            {
                m: nn.Sequential(nn.Linear(n, size), nn.ReLU(), nn.LayerNorm(size))
                for m, n in widths.items()
            }
        )
        self.private = nn.ModuleDict({m: nn.Linear(size, size) for m in self.order})
        self.shared = nn.Linear(size, size)
        self.recover = nn.ModuleDict({m: nn.Linear(size, size) for m in self.order})
        self.transformer = nn.TransformerEncoderLayer(
            size, nhead=2, dropout=config.transformer_dropout, batch_first=True
        )
        num_vectors = 2 * len(self.order)
        self.join = nn.Linear(num_vectors * size, 3 * size)
        self.dropout = nn.Dropout(config.dropout)
        self.leave = nn.Linear(3 * size, 1)
        self.state_sizes = {Task.FUSION: 3 * size}

    def forward(self, batch: Batch) -> Output:
        """Return score and state of every clip, and where gradients are taken, the losses."""
        series, present = self.read(batch)
        if self.published and Modality.TEXT in series:
            text = series[Modality.TEXT].mask
            series |= {m: _cut(series[m].values, text) for m in self.series}
        entered = {}
        for m in self.order:
            if m is Modality.TEXT:
                summary = mean_step(*series[m])
            else:
                summary = self.encoders[m].rnn(series[m])  # type: ignore[operator]
            entered[m] = self.enter[m](summary)
        private = {m: torch.sigmoid(self.private[m](u)) for m, u in entered.items()}
        shared = {m: torch.sigmoid(self.shared(u)) for m, u in entered.items()}
        vectors = torch.stack([*private.values(), *shared.values()], dim=1)
        joined = self.join(self.transformer(vectors).flatten(1))
        state = F.relu(self.dropout(joined))
        score = self.leave(state).squeeze(-1)
        terms = {}
        if torch.is_grad_enabled():
            both = {m: (private[m], shared[m]) for m in self.order}
            terms = self._terms(entered, both, present)
        return self.answer(state, score, present, terms)

    def _terms(
        self,
        entered: dict[Modality, Float[Tensor, "B H"]],
        vectors: dict[Modality, tuple[Float[Tensor, "B H"], Float[Tensor, "B H"]]],
        present: dict[Modality, Bool[Tensor, "B"]],
    ) -> dict[str, Float[Tensor, ""]]:
        none = next(iter(entered.values())).new_zeros(())
        difference, similarity, reconstruction = [none], [none], [none]
        for m, u in entered.items():
            has = present[m]
            if has.any():
                private, shared = (vector[has] for vector in vectors[m])
                difference.append(_overlap(private, shared))
                reconstruction.append(F.mse_loss(self.recover[m](private + shared), u[has]))
        for m, n in combinations(self.order, 2):
            has = present[m] & present[n]
            if has.any():
                (p, s), (q, t) = ([v[has] for v in vectors[k]] for k in (m, n))
                difference.append(_overlap(p, q))
                similarity.append(moments_apart(s, t, highest=_MOMENTS))
        num_pairs = max(len(self.order) * (len(self.order) - 1) // 2, 1)
        losses = {
            "difference": torch.stack(difference).sum(),
            "similarity": torch.stack(similarity).sum() / num_pairs,
            "reconstruction": torch.stack(reconstruction).sum() / len(self.order),
        }
        return {name: self.weights[name] * loss for name, loss in losses.items()}


def _cut(values: Float[Tensor, "B T D"], mask: Bool[Tensor, "B U"]) -> PaddedSeries:
    """Take as many steps as a mask has, padding or not; zeros where there are fewer."""
    num_steps = mask.shape[1]
    return PaddedSeries(lengthen(values, num_steps)[:, :num_steps], mask)


def _overlap(first: Float[Tensor, "B H"], second: Float[Tensor, "B H"]) -> Float[Tensor, ""]:
    """Return the mean square of the products of every two dimensions, over centred clips."""

    def centre(vectors: Tensor) -> Tensor:
        vectors = vectors - vectors.mean(dim=0, keepdim=True)
        lengths = torch.linalg.vector_norm(vectors, dim=1, keepdim=True)
        normed: Tensor = vectors / (lengths.detach() + 1e-6)
        return normed

    products: Tensor = centre(first).T @ centre(second)
    return products.square().mean()
