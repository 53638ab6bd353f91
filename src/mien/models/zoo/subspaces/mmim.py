"""MMIM: vectors of modalities that say much about each other, and a fused one about all of them."""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.func import functional_call

from mien.models.encoders import summarise_steps
from mien.models.multitask import ModelInputs
from mien.models.zoo.series_model import SeriesModel, lengths_of
from mien.models.zoo.subspaces.subspace_settings import MmimConfig
from mien.models.zoo.two_ways import run_two_ways
from mien.tensors import Batch, Output, PaddedSeries
from mien.types import Modality, Task

__all__ = ["GaussianBound", "LastStates", "Mmim", "MmimConfig"]


class LastStates(nn.Module):
    """The last states of a bidirectional LSTM, forward first, and a linear layer.

    Args:
        size: Size of a feature, D.
        state_size: Size of a state of each direction.
        output_size: Size of the vector, H.
        num_layers: LSTM layers; the states are those of the last.
    """

    def __init__(self, size: int, state_size: int, output_size: int, num_layers: int) -> None:
        super().__init__()
        self.rnn = nn.LSTM(size, state_size, num_layers, batch_first=True, bidirectional=True)
        self.linear = nn.Linear(2 * state_size, output_size)

    def forward(self, series: PaddedSeries) -> Float[Tensor, "B H"]:
        """Return one vector per clip."""
        _, last = run_two_ways(self.rnn, series.values, lengths_of(series))
        vectors: Tensor = self.linear(torch.cat([last[0], last[1]], dim=1))
        return vectors


class GaussianBound(nn.Module):
    """A lower bound of what one vector tells of another: how likely a normal law finds it.

        mean over clips of sum over j of -(m_j(x) - y_j)^2 / (2 exp s_j) - s_j / 2,   s = tanh(S(x))

    m and S are two layers each. The published program leaves the second part out, and the tanh: the
    larger its s, the better, whatever y is.

    Source: han2021, eq. 4; barber2004 for the bound.

    Args:
        size: Size of x.
        output_size: Size of y.
        is_bounded: Whether to compute what is above, not what the published program does.
    """

    def __init__(self, size: int, output_size: int, *, is_bounded: bool) -> None:
        super().__init__()
        self.is_bounded = is_bounded
        self.mean, self.spread = (
            nn.Sequential(
                nn.Linear(size, output_size), nn.ReLU(), nn.Linear(output_size, output_size)
            )
            for _ in range(2)
        )

    def forward(
        self, vectors: Float[Tensor, "B _"], others: Float[Tensor, "B _"]
    ) -> Float[Tensor, ""]:
        """Return the mean log-likelihood of the others, without its constant."""
        log_variance = self.spread(vectors)
        if self.is_bounded:
            log_variance = torch.tanh(log_variance)
        likely = -(self.mean(vectors) - others).square() / (2 * log_variance.exp())
        if self.is_bounded:
            likely = likely - log_variance / 2
        bound: Tensor = likely.sum(dim=1).mean()
        return bound


class Mmim(SeriesModel):
    """Score a fused vector, while modalities are to tell of each other and it of each of them.

        z     = tanh(W2 tanh(W1 [t; a; v])),   score = w·z
        terms = - beta sum of bounds t->v, t->a (v->a),   alpha sum of contrasts of z and m

    The contrast of a modality is how much better than among the clips of the batch its vector is
    found by G_m z (normalised, no temperature). The networks of the bounds are trained to be tight,
    and all else, by beta, to make them high; the published program does the two in passes of their
    own over the data, here they are two losses of one pass. Its entropy of vectors of one sign of
    label is left out: a model sees no labels.

    Source: han2021.

    Args:
        config: Settings.
        inputs: What the model reads.
    """

    def __init__(self, config: MmimConfig, inputs: ModelInputs) -> None:
        super().__init__(config, inputs)
        self.summary = inputs.summary
        self.bound_weight, self.contrast_weight = config.bound_weight, config.contrast_weight
        sizes: dict[Modality, int] = {}
        for m in self.modalities:
            if m is Modality.TEXT:
                sizes[m] = inputs.sizes[m]
                continue
            sizes[m] = getattr(config, f"{m}_output_size")
            state_size = getattr(config, f"{m}_size")
            self.encoders[m].network = LastStates(
                inputs.sizes[m], state_size, sizes[m], config.num_layers
            )
        pairs = [(Modality.TEXT, Modality.VIDEO), (Modality.TEXT, Modality.AUDIO)]
        if config.video_audio_bound:
            pairs.append((Modality.VIDEO, Modality.AUDIO))
        self.pairs = [(m, n) for m, n in pairs if m in sizes and n in sizes]
        self.bounds = nn.ModuleDict(
            {
                f"{m}_{n}": GaussianBound(sizes[m], sizes[n], is_bounded=not config.published)
                for m, n in self.pairs
            }
        )
        self.dropout = nn.Dropout(config.fusion_dropout)
        self.first = nn.Linear(sum(sizes.values()), config.fusion_size)
        self.second = nn.Linear(config.fusion_size, config.fusion_size)
        self.leave = nn.Linear(config.fusion_size, 1)
        self.predict = nn.ModuleDict(
            {m: nn.Linear(config.fusion_size, size) for m, size in sizes.items()}
        )
        self.state_sizes = {Task.FUSION: config.fusion_size}

    def forward(self, batch: Batch) -> Output:
        """Return score and state of every clip, and where gradients are taken, the losses."""
        series, present = self.read(batch)
        vectors: dict[Modality, Tensor] = {}
        for m, own in series.items():
            if m is not Modality.TEXT:
                vectors[m] = self.encoders[m].network(own)  # type: ignore[operator]
            else:
                vectors[m] = summarise_steps(*own, self.summary)
        joined = self.dropout(torch.cat(list(vectors.values()), dim=1))
        state = torch.tanh(self.second(torch.tanh(self.first(joined))))
        score = self.leave(state).squeeze(-1)
        terms = self._terms(vectors, state, present) if torch.is_grad_enabled() else {}
        return self.answer(state, score, present, terms)

    def _terms(
        self,
        vectors: dict[Modality, Float[Tensor, "B _"]],
        state: Float[Tensor, "B H"],
        present: dict[Modality, Bool[Tensor, "B"]],
    ) -> dict[str, Float[Tensor, ""]]:
        none = state.new_zeros(())
        tight, high, contrast = [none], [none], [none]
        for m, n in self.pairs:
            has = present[m] & present[n]
            if has.any():
                bound, x, y = self.bounds[f"{m}_{n}"], vectors[m][has], vectors[n][has]
                tight.append(bound(x.detach(), y.detach()))
                fixed = {name: p.detach() for name, p in bound.named_parameters()}
                high.append(functional_call(bound, fixed, (x, y)))
        for m, own in vectors.items():
            has = present[m]
            if has.any():
                contrast.append(_contrast(own[has], self.predict[m](state[has])))
        return {
            "bound_networks": -torch.stack(tight).sum(),
            "bounds": -self.bound_weight * torch.stack(high).sum(),
            "contrast": self.contrast_weight * torch.stack(contrast).sum(),
        }


def _contrast(vectors: Float[Tensor, "B H"], predicted: Float[Tensor, "B H"]) -> Float[Tensor, ""]:
    """Return how hard it is to tell each vector's prediction from those of other clips."""
    products = F.normalize(vectors, dim=1) @ F.normalize(predicted, dim=1).T
    return (products.logsumexp(dim=1) - products.diagonal()).mean()
