"""Measure what the kept memory of gradients wins in a packed training step, and masks from bits.

    python benchmarks/masks.py                      # BERT-base of random weights, 12 layers
    python benchmarks/masks.py --rounds 4 --clips 128

A step is that of ``benchmarks/step.py``, packed, on synthetic clips of CMU-MOSI's lengths, in
float32 and, where the processor has it, in bf16. A gradient of the word embeddings in the memory of
the last step (``row_gradients``), as a training has it, takes turns with one in new memory, and
PyTorch's dropout with one that draws its masks from bits, which no training does: it wins nothing
in a step. CPU time is counted; printed are the ratios of each round.
"""

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from step import SHAPES, draw_series, make_stepper, read_options, run, show
from torch import Tensor, nn

from mien import read_config
from mien.pretrained.direct.row_gradients import forget_memory
from mien.training.loop import Stepper
from mien.training.optimizer import has_bf16

_LEVELS = 1 << 16  # of the share that is dropped
_PER_INTEGER = 4


class BitDropout(nn.Dropout):
    """Dropout whose masks are drawn from random bits: one integer of 64 for four values.

    The share of what is dropped is the nearest multiple of 2^-16.
    """

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002
        """Return the values, some of them dropped while training."""
        threshold = round(self.p * _LEVELS)
        if not self.training or threshold in (0, _LEVELS):
            return super().forward(input)
        dropped: Tensor = _Dropped.apply(input, threshold)
        return dropped


class _Dropped(torch.autograd.Function):
    """Multiplies with a mask; backwards with the same."""

    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401
        values: Tensor,
        threshold: int,
    ) -> Tensor:
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
        gradient: Tensor,
    ) -> tuple[Tensor, None]:
        (mask,) = ctx.saved_tensors
        return gradient * mask, None


@contextmanager
def masks_from_bits(stepper: Stepper) -> Iterator[None]:
    """Let dropout draw its masks from bits."""
    layers = [layer for layer in stepper.model.modules() if type(layer) is nn.Dropout]
    for layer in layers:
        layer.__class__ = BitDropout
    try:
        yield
    finally:
        for layer in layers:
            layer.__class__ = nn.Dropout


def drop_gradients(stepper: Stepper) -> None:
    """Let gradients of word embeddings begin in new memory."""
    stepper.optimizer.zero_grad()
    forget_memory(stepper.model)


def compare(stepper: Stepper, num_clips: int, rounds: int) -> dict[str, list[float]]:
    """Return ratios of the time of a step in new memory, and of one with masks from bits."""
    ratios: dict[str, list[float]] = {"new memory / kept memory": [], "PyTorch's masks / bits": []}
    for turn in range(rounds + 1):
        ours = run(stepper, num_clips)
        with masks_from_bits(stepper):
            bits = run(stepper, num_clips)
        drop_gradients(stepper)
        fresh = run(stepper, num_clips)
        if turn:  # the first warms up
            for name, ratio in zip(ratios, (fresh / ours, ours / bits), strict=True):
                ratios[name].append(ratio)
    return ratios


def main() -> None:
    """Print the ratios of a step of each precision."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--clips", type=int, default=32, help="clips of a step")
    options = read_options(parser)
    precisions = ["float32"]
    base = read_config("tam_ulag-mosi", ["train.accumulate=1", f"train.batch_size={options.clips}"])
    if has_bf16(base.train):
        precisions.append("bf16")
    print(
        f"torch {torch.__version__}, {options.threads} threads, {options.layers} layers, synthetic"
    )
    series = draw_series(SHAPES["mosi"], options.clips)
    for precision in precisions:
        train = base.train.model_copy(update={"precision": precision})
        config = base.model_copy(update={"train": train})
        stepper = make_stepper(config, series, SHAPES["mosi"], options.layers, is_padded=False)
        for name, ratios in compare(stepper, options.clips, options.rounds).items():
            print(f"{precision}, {name}: {show(ratios)}")


if __name__ == "__main__":
    main()
