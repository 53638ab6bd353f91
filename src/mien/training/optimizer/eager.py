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

    def step(self, closure: Any = None) -> Any:  # noqa: ANN401  # as torch has it
        """Change the parameters once by their gradients."""
        step: Callable[..., Any] = inspect.unwrap(super().step.__func__)  # type: ignore[attr-defined]
        with torch.no_grad():
            return step(self, closure)


for _name in ("add_param_group", "load_state_dict", "state_dict", "zero_grad"):
    setattr(_Eager, _name, inspect.unwrap(getattr(torch.optim.Optimizer, _name)))


class EagerAdam(_Eager, torch.optim.Adam):
    """Adam; the same numbers as those of torch's."""


class EagerAdamW(_Eager, torch.optim.AdamW):
    """Adam with decoupled weight decay; the same numbers as those of torch's."""
