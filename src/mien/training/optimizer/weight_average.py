"""A running average of a model's weights, which often generalises better than the last ones."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

__all__ = ["WeightAverage"]


class WeightAverage:
    """An exponential moving average of the trained parameters of a model.

        average <- d * average + (1 - d) * weights        after step t = 1, 2, ...
        d = min(decay, (1 + t) / (10 + t))

    so that the weights of the beginning are soon forgotten. Buffers are not averaged.

    Source: polyak1992; its first decays are those of TensorFlow's ``ExponentialMovingAverage``.

    Args:
        model: The model, on its device; it is held, not copied.
        decay: What remains of the average after a step, from 0 to below 1.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay, self.num_steps = decay, 0
        self._trained = {n: p for n, p in model.named_parameters() if p.requires_grad}
        self._averages = {name: p.detach().clone() for name, p in self._trained.items()}

    @torch.no_grad()
    def update(self) -> None:
        """Take the weights after a step into the average."""
        self.num_steps += 1
        decay = min(self.decay, (1 + self.num_steps) / (10 + self.num_steps))
        averages = list(self._averages.values())
        weights: list[Tensor] = list(self._trained.values())
        torch._foreach_lerp_(averages, weights, 1 - decay)  # as torch's swa_utils do

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Let the model have the averages as its weights inside the block."""
        self._exchange()
        try:
            yield
        finally:
            self._exchange()

    @torch.no_grad()
    def _exchange(self) -> None:
        for name, parameter in self._trained.items():
            own = parameter.detach().clone()
            parameter.copy_(self._averages[name])
            self._averages[name].copy_(own)

    def state(self) -> dict[str, Tensor]:
        """Return what ``load`` goes on from."""
        return {"num_steps": torch.tensor(self.num_steps), **self._averages}

    @torch.no_grad()
    def load(self, state: dict[str, Tensor]) -> None:
        """Go on from a ``state``.

        Raises:
            KeyError: If it lacks the average of a parameter.
        """
        self.num_steps = int(state["num_steps"])
        for name, average in self._averages.items():
            average.copy_(state[name])
