"""Dropout whose masks are drawn from random bits, on a CPU.

PyTorch draws a random number for every value; here one random integer of 64 bits is enough for
four: each is dropped where its 16 bits, as a number, are below a threshold. The mathematics is that
of dropout: values are dropped independently, and what stays is scaled so that the mean stays. Which
values are dropped follows from torch's generator, as before, but is not what PyTorch would drop.
"""

from typing import Any, Final

import torch
from jaxtyping import Float
from torch import Tensor, nn

__all__ = ["MANY_VALUES", "BitDropout", "draw_masks_by_bits"]

#: Values from which on it is worth it.
MANY_VALUES = 1 << 15
_LEVELS: Final = 1 << 16  # of the share that is dropped
_PER_INTEGER: Final = 4


class BitDropout(nn.Dropout):
    """Dropout by bits where there are many values on a CPU, and PyTorch's elsewhere.

    The share of what is dropped is the nearest multiple of 2^-16.
    """

    def forward(self, input: Float[Tensor, "*B"]) -> Float[Tensor, "*B"]:  # noqa: A002  # of torch
        """Return the values, some of them dropped while training."""
        threshold = round(self.p * _LEVELS)
        is_plain = input.device.type != "cpu" or self.inplace or input.numel() < MANY_VALUES
        if not self.training or is_plain or threshold in (0, _LEVELS):
            return super().forward(input)
        dropped: Tensor = _Dropped.apply(input, threshold)  # type: ignore[no-untyped-call]
        return dropped


class _Dropped(torch.autograd.Function):
    """Multiplies with a mask; backwards with the same."""

    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401
        values: Float[Tensor, "*B"],
        threshold: int,
    ) -> Float[Tensor, "*B"]:
        count = values.numel()
        integers = torch.empty(-(-count // _PER_INTEGER), dtype=torch.int64)
        drawn = integers.random_(-(1 << 63), None).view(torch.int16)[:count]
        stays = (drawn >= threshold - _LEVELS // 2).view(values.shape)
        mask = stays.to(values.dtype).mul_(_LEVELS / (_LEVELS - threshold))
        ctx.save_for_backward(mask)
        return values * mask

    @staticmethod
    def backward(
        ctx: Any,  # noqa: ANN401
        gradient: Float[Tensor, "*B"],
    ) -> tuple[Float[Tensor, "*B"], None]:
        (mask,) = ctx.saved_tensors
        return gradient * mask, None


def draw_masks_by_bits(module: nn.Module) -> None:
    """Let the dropout inside a module draw its masks from bits."""
    for part in module.modules():
        if type(part) is nn.Dropout:
            part.__class__ = BitDropout
