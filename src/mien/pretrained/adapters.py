"""Low-rank adapters: what is trained of an encoder whose own weights stay as they are.

To each linear layer W of an adapted encoder layer the product of two small matrices is added:
``W x + U D x``, D from the input's size to the rank, U from the rank to the output's. U begins at
zero, so that the encoder computes at first what it computed without adapters.

Source: Hu et al. 2022, LoRA, arXiv:2106.09685, with its factor alpha / r at 1.
"""

import copy
import math
from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from mien.pretrained.encoder_cut import StatesChange, encode_changed
from mien.pretrained.packed.first_states import first_state
from mien.tensors import PaddedSeries

__all__ = ["AdaptedEncoder"]


class _Adapter(nn.Module):
    """What is added to a linear layer: input to output, through a few values in between."""

    def __init__(self, linear: nn.Linear, rank: int) -> None:
        super().__init__()
        self.down = nn.Parameter(torch.empty(rank, linear.in_features))
        self.up = nn.Parameter(torch.zeros(linear.out_features, rank))
        nn.init.kaiming_uniform_(self.down, a=math.sqrt(5))  # as a linear layer begins

    def forward(self, values: Float[Tensor, "*B i"]) -> Float[Tensor, "*B o"]:
        return F.linear(F.linear(values, self.down), self.up)


class _AdaptedLinear(nn.Module):
    """A linear layer and its adapter, which is a part of ``AdaptedEncoder`` and none of this."""

    def __init__(self, linear: nn.Linear, adapter: _Adapter) -> None:
        super().__init__()
        self.linear = linear
        self._adapter = (adapter,)

    def forward(self, values: Float[Tensor, "*B i"]) -> Float[Tensor, "*B o"]:
        (adapter,) = self._adapter
        states: Tensor = self.linear(values) + adapter(values)
        return states

    @torch.no_grad()
    def approximate(self, weight: Float[Tensor, "o i"]) -> tuple[float, float]:
        """Let the adapter be what is nearest to another weight; see ``AdaptedEncoder``.

        Returns:
            Sum of squares of the difference, and of what the adapter holds of it.
        """
        (adapter,) = self._adapter
        change = weight.double() - self.linear.weight.double()
        is_wide = change.shape[0] <= change.shape[1]
        few = change if is_wide else change.T  # rows are as few as the rank can be
        squares, vectors = torch.linalg.eigh(few @ few.T)  # ascending
        rank = len(adapter.down)
        units = squares[-rank:].clamp(min=0).sqrt()
        roots = units.sqrt()
        left = vectors[:, -rank:] * roots
        right = (vectors[:, -rank:].T @ few) / torch.where(roots > 0, roots, 1.0).unsqueeze(1)
        up, down = (left, right) if is_wide else (right.T, left.T)
        adapter.up.copy_(up)
        adapter.down.copy_(down)
        return float(change.square().sum()), float(units.square().sum())

    @torch.no_grad()
    def merge(self) -> nn.Linear:
        """Return one linear layer that computes the same."""
        (adapter,) = self._adapter
        joined = self.linear.weight + adapter.up @ adapter.down  # others may share the weight
        self.linear.weight = nn.Parameter(joined, requires_grad=False)
        return self.linear


class AdaptedEncoder(nn.Module):
    """An encoder whose layers have adapters; they alone are its parameters and its state.

    The weights of the encoder are no part of it: they come from the encoder's own files, and no
    checkpoint repeats them.

    Args:
        encoder: Reads a padded series; it is changed, and computes with the adapters from now on.
        layers: The layers of it that get adapters, at every linear layer in them.
        rank: Number of values in between, r.
    """

    def __init__(self, encoder: nn.Module, layers: nn.ModuleList, rank: int) -> None:
        super().__init__()
        encoder.requires_grad_(requires_grad=False)
        self.adapters = nn.ModuleDict()
        self._adapted: dict[str, _AdaptedLinear] = {}  # no parts of this, as the encoder is none
        stack = next(name for name, module in encoder.named_modules() if module is layers)
        self._by_layer: list[list[nn.Parameter]] = [[] for _ in layers]
        for name, linear in [*layers.named_modules()]:
            if isinstance(linear, nn.Linear):
                adapter = _Adapter(linear, min(rank, linear.in_features, linear.out_features))
                self.adapters[name.replace(".", "-")] = adapter
                self._by_layer[int(name.partition(".")[0])] += adapter.parameters()
                adapted = _AdaptedLinear(linear, adapter)
                self._adapted[f"{stack}.{name}.weight"] = adapted
                layers.set_submodule(name, adapted)
        self._encoder = (encoder,)

    def approximate(self, weights: Mapping[str, Tensor]) -> float:
        """Let the adapters be what is nearest to the linear layers of the encoder after a training.

        The change W' - W of a layer becomes its r largest singular values with their vectors: of
        all products of rank r the one with the smallest sum of squared differences.

        Source: eckart1936.

        Args:
            weights: Every W' of the adapted layers, by its name in the encoder without adapters.

        Returns:
            Share of the squared changes of all layers that the adapters hold; 1 without a change.

        Raises:
            KeyError: If a layer is missing.
        """
        sums = [layer.approximate(weights[name]) for name, layer in self._adapted.items()]
        everything = math.fsum(change for change, _ in sums)
        return math.fsum(held for _, held in sums) / everything if everything > 0 else 1.0

    def forward(self, series: PaddedSeries) -> Float[Tensor, "B T d"]:
        """Return the states; those at padding have no meaning."""
        (encoder,) = self._encoder
        states: Tensor = encoder(series)
        return states

    def first(self, series: PaddedSeries) -> Float[Tensor, "B d"]:
        """Return the first state of each clip; one of a clip without a text has no meaning."""
        (encoder,) = self._encoder
        return first_state(encoder, series)

    def run_changed(
        self, series: PaddedSeries, change: StatesChange, *, after: int
    ) -> Float[Tensor, "B T d"]:
        """Return the states, where those behind some layers are changed."""
        (encoder,) = self._encoder
        return encode_changed(encoder, series, change, after=after)

    def train(self, mode: bool = True) -> "AdaptedEncoder":  # noqa: FBT001, FBT002  # as torch has it
        """Set whether dropout is drawn, in the encoder too."""
        (encoder,) = self._encoder
        encoder.train(mode)
        return super().train(mode)

    def layer_parameters(self) -> list[list[nn.Parameter]]:
        """Return the adapters' parameters: none that is in no layer, then those of each layer."""
        return [[], *self._by_layer]

    def twin(self) -> "AdaptedEncoder":
        """Return one with adapters of its own, and the weights of the same encoder."""
        (encoder,) = self._encoder
        weights = (*encoder.parameters(), *encoder.buffers())
        return copy.deepcopy(self, {id(weight): weight for weight in weights})

    def merge(self) -> nn.Module:
        """Return the encoder with the adapters in its weights; this one is used up by that."""
        (encoder,) = self._encoder
        for name, module in [*encoder.named_modules()]:
            if isinstance(module, _AdaptedLinear):
                encoder.set_submodule(name, module.merge())
        return encoder

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "AdaptedEncoder":  # noqa: FBT001, FBT002
        """Move the encoder's weights with the adapters, to another device or type."""
        (encoder,) = self._encoder
        encoder._apply(fn, recurse)  # type: ignore[no-untyped-call]  # noqa: SLF001  # as torch does
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        return self
