"""Measure ways to run an LSTM over series of different lengths, forward and backward.

    python benchmarks/recurrent.py

The series are as long as the audio of short utterances (60 to 200 steps, 33 features, state 32), or
as their words (3 to 50 steps, 14 on average, 384 features, state 256). ``padded`` runs over padding
too, ``packed`` is torch's own way without, ``stepped`` that of MFN and Graph-MFN, which compute
what does not depend on the state for all real steps at once. All take turns in one process, after a
warm-up; printed are medians of the processor's time, and ratios to ``padded``. States at the real
steps and gradients of the weights must be the same to rounding: an LSTM is causal, so a real step
never sees the padding behind it.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from mien.models.zoo.recurrent.packed_steps import PackedSteps, run_lstm

_TOLERANCE = 1e-4


class Shape(NamedTuple):
    """Series that are measured.

    Attributes:
        mean: Mean number of steps; none: all numbers are as likely.
        ends: Smallest and largest number of steps.
        size: Features of a step.
        state_size: Size of the LSTM's state.
    """

    mean: float | None
    ends: tuple[int, int]
    size: int
    state_size: int


SHAPES = {
    "audio": Shape(mean=None, ends=(60, 200), size=33, state_size=32),
    "words": Shape(mean=14.0, ends=(3, 50), size=384, state_size=256),
}


def main() -> None:
    """Print one line per shape and batch size."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[32, 128])
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print(f"torch {torch.__version__}, {options.threads} threads")
    for name, shape in SHAPES.items():
        for batch_size in options.batch_sizes:
            compare(name, shape, batch_size, options.repeats)


def draw_lengths(shape: Shape, batch_size: int) -> Tensor:
    """Draw numbers of steps; the largest is among them."""
    shortest, longest = shape.ends
    if shape.mean is None:
        lengths = torch.randint(shortest, longest + 1, (batch_size,))
    else:
        drawn = torch.distributions.Gamma(3.0, 3.0 / (shape.mean - shortest)).sample((batch_size,))
        lengths = (drawn + shortest).round().long().clamp(shortest, longest)
    lengths[0] = longest
    return lengths


def compare(name: str, shape: Shape, batch_size: int, repeats: int) -> None:
    """Check that all ways agree, time them in turns, and print the medians and their ratios."""
    torch.manual_seed(1)
    lengths = draw_lengths(shape, batch_size)
    mask = torch.arange(int(lengths.max())) < lengths.unsqueeze(1)  # (B, T)
    values = torch.randn(*mask.shape, shape.size) * mask.unsqueeze(-1)
    rnn = nn.LSTM(shape.size, shape.state_size, batch_first=True)
    ways = {
        "padded": lambda: PackedSteps(mask).pack(rnn(values)[0]),
        "packed": lambda: PackedSteps(mask).pack(run_packed(rnn, values, lengths)),
        "stepped": lambda: run_stepped(rnn, values, PackedSteps(mask)),
    }
    difference = check(rnn, ways)
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(repeats):
        for way, run in ways.items():
            start = time.process_time()
            step(rnn, run)
            seconds[way].append(time.process_time() - start)
    medians = {way: statistics.median(times) for way, times in seconds.items()}
    shown = ", ".join(
        f"{way} {1e3 * median:.1f} ms ({median / medians['padded']:.2f})"
        for way, median in medians.items()
    )
    print(f"{name}, batch {batch_size:4}: {shown}, largest difference {difference:.1e}")


def run_packed(rnn: nn.LSTM, values: Tensor, lengths: Tensor) -> Tensor:
    packed = pack_padded_sequence(values, lengths, batch_first=True, enforce_sorted=False)
    states, _ = pad_packed_sequence(rnn(packed)[0], batch_first=True)
    return states


def run_stepped(rnn: nn.LSTM, values: Tensor, packed: PackedSteps) -> Tensor:
    hidden, _ = run_lstm(packed.pack(values), rnn, packed)
    return hidden


def step(rnn: nn.LSTM, run: Callable[[], Tensor]) -> Tensor:
    rnn.zero_grad()
    states = run()
    states.square().mean().backward()
    return states.detach()


def check(rnn: nn.LSTM, ways: dict[str, Callable[[], Tensor]]) -> float:
    """Return the largest difference of states and gradients; all ways are warm afterwards."""
    found = []
    for run in ways.values():
        states = step(rnn, run)
        found.append([states, *(p.grad.clone() for p in rnn.parameters())])
    difference = max(
        float((a - b).abs().max()) for way in found[1:] for a, b in zip(found[0], way, strict=True)
    )
    if difference > _TOLERANCE:
        sys.exit(f"states or gradients differ by {difference}")
    return difference


if __name__ == "__main__":
    main()
