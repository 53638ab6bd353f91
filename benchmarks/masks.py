"""Measure what masks from bits and the kept memory of gradients win in a packed training step.

    python benchmarks/masks.py                      # BERT-base of random weights, 12 layers
    python benchmarks/masks.py --rounds 5 --clips 128

A step is that of ``benchmarks/step.py``, packed, on synthetic clips of CMU-MOSI's lengths, in
float32 and, where the processor has it, in bf16. Dropout as PyTorch draws it and a gradient of the
word embeddings in new memory take turns with masks from bits (``bit_dropout``) and a gradient in
the memory of the last step (``row_gradients``), one change at a time and both.
CPU time is counted; printed are the ratios of each round.
"""

import argparse
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from step import SHAPES, draw_series, make_stepper, read_options, run, show
from torch import nn

from mien import read_config
from mien.pretrained.direct.bit_dropout import BitDropout
from mien.pretrained.direct.row_gradients import forget_memory
from mien.training.loop import Stepper
from mien.training.optimizer import has_bf16


@contextmanager
def torch_masks(stepper: Stepper) -> Iterator[None]:
    """Let PyTorch draw the masks of dropout."""
    layers = [layer for layer in stepper.model.modules() if type(layer) is BitDropout]
    for layer in layers:
        layer.__class__ = nn.Dropout
    try:
        yield
    finally:
        for layer in layers:
            layer.__class__ = BitDropout


def drop_gradients(stepper: Stepper) -> None:
    """Let gradients of word embeddings begin in new memory."""
    stepper.optimizer.zero_grad()
    forget_memory(stepper.model)


def compare(stepper: Stepper, num_clips: int, rounds: int) -> dict[str, list[float]]:
    """Return how many times as long steps take without each, by turns."""
    ratios: dict[str, list[float]] = {"masks": [], "memory": [], "both": []}
    for turn in range(rounds + 1):
        ours = run(stepper, num_clips)
        with torch_masks(stepper):
            masks = run(stepper, num_clips)
            drop_gradients(stepper)
            both = run(stepper, num_clips)
        drop_gradients(stepper)
        memory = run(stepper, num_clips)
        if turn:  # the first warms up
            for name, seconds in (("masks", masks), ("memory", memory), ("both", both)):
                ratios[name].append(seconds / ours)
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
            print(
                f"{precision}, step of {options.clips} clips, without {name} / with: {show(ratios)}"
            )


if __name__ == "__main__":
    main()
