"""torch's optimizers without its compiler, whose import takes as long as that of torch.

An optimizer tells ``torch.compile`` at every turn which of its methods not to go into, and imports
the compiler to do so. Nothing is compiled here: the methods are called as they are under that
mark. Optimizers that others make are left alone.
"""

import inspect
from collections.abc import Callable
from typing import Any

import torch

__all__ = ["EagerAdam", "EagerAdamW"]


class _Eager(torch.optim.Optimizer):
    """The methods of every optimizer, without the mark."""


for _name in ("add_param_group", "load_state_dict", "state_dict", "zero_grad"):
    setattr(_Eager, _name, inspect.unwrap(getattr(torch.optim.Optimizer, _name)))


class EagerAdam(_Eager, torch.optim.Adam):
    """Adam; the same numbers as those of torch's."""

    def step(self, closure: Any = None) -> Any:  # noqa: ANN401  # as torch has it
        """Change the parameters once by their gradients."""
        return _step(torch.optim.Adam, self, closure)


class EagerAdamW(_Eager, torch.optim.AdamW):
    """Adam with decoupled weight decay; the same numbers as those of torch's."""

    def step(self, closure: Any = None) -> Any:  # noqa: ANN401  # as torch has it
        """Change the parameters once by their gradients."""
        return _step(torch.optim.AdamW, self, closure)


def _step(kind: type[torch.optim.Optimizer], own: Any, closure: Any) -> Any:  # noqa: ANN401
    step: Callable[..., Any] = inspect.unwrap(kind.step)
    with torch.no_grad():
        return step(own, closure)
