"""What moves the parameters.

``groups`` is the optimizer with its groups of parameters, ``eager`` the kinds that there are,
``weight_average`` the running average of
the weights, ``devices`` where and in which precision they are computed.
"""

from mien.training.optimizer.devices import find_ranks, has_bf16, make_accelerator
from mien.training.optimizer.groups import (
    layer_factors,
    make_optimizer,
    norms_of,
    parameter_groups,
)
from mien.training.optimizer.weight_average import WeightAverage

__all__ = [
    "WeightAverage",
    "find_ranks",
    "has_bf16",
    "layer_factors",
    "make_accelerator",
    "make_optimizer",
    "norms_of",
    "parameter_groups",
]
