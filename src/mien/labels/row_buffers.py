"""Buffers of one shape side by side in memory, so that one operation reads or writes all."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

__all__ = ["RowBuffers"]


class RowBuffers(nn.Module):
    """A module with groups of buffers that are the rows of one tensor.

    Each buffer has its own name, is saved and loaded under it, and may be changed in place;
    ``rows`` gives those of a group as one tensor, over the same memory. A step of training that
    touched them one by one would spend its time on starting operations.
    """

    def __init__(self) -> None:
        super().__init__()
        self._groups: dict[str, tuple[str, ...]] = {}
        self._joined: dict[str, Tensor] = {}

    def register_rows(self, group: str, names: Iterable[str], value: Tensor) -> None:
        """Register a buffer ``GROUP_NAME`` for each name, each a copy of ``value``."""
        self._groups[group] = tuple(f"{group}_{name}" for name in names)
        for name in self._groups[group]:
            self.register_buffer(name, value)
        if self._groups[group]:
            self._join(group)
        else:  # so that it goes where the module goes
            empty = value.new_zeros((0, *value.shape))
            self.register_buffer(f"no_{group}", empty, persistent=False)

    def rows(self, group: str) -> Tensor:
        """Return the buffers of a group as one tensor, with a row for each.

        They are laid side by side again where something has put others in their place, as moving
        the module to a device does.
        """
        if not self._groups[group]:
            return self.get_buffer(f"no_{group}")
        joined = self._joined[group]
        step = joined.stride(0) * joined.element_size()
        for number, name in enumerate(self._groups[group]):
            own = getattr(self, name)
            if own.data_ptr() != joined.data_ptr() + number * step or own.dtype != joined.dtype:
                return self._join(group)
        return joined

    def _join(self, group: str) -> Tensor:
        names = self._groups[group]
        joined = torch.stack([self.get_buffer(name) for name in names])
        for name, row in zip(names, joined, strict=True):
            setattr(self, name, row)
        self._joined[group] = joined
        return joined
