"""Measure an LSTM over packed series against one over padded series, forward and backward.

    python benchmarks/recurrent.py

The series are as long as the audio of short utterances: 60 to 200 steps of 33 features. Both ways
are timed in turns in one process, after a warm-up, and the medians are compared. The states at the
real steps, and the gradients of the weights, must be the same to rounding: an LSTM is causal, so a
real step never sees the padding behind it.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

_SHORTEST, _LONGEST, _SIZE = 60, 200, 33
_TOLERANCE = 1e-4


def main() -> None:
    """Print one line per batch size."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[32, 128])
    parser.add_argument("--state-size", type=int, default=32)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print(f"torch {torch.__version__}, {options.threads} threads, state {options.state_size}")
    for batch_size in options.batch_sizes:
        compare(batch_size, options.state_size, options.repeats)


def compare(batch_size: int, state_size: int, repeats: int) -> None:
    """Check that both ways agree, time them in turns, and print the medians and their ratio."""
    torch.manual_seed(1)
    lengths = torch.randint(_SHORTEST, _LONGEST + 1, (batch_size,))
    mask = torch.arange(int(lengths.max())) < lengths.unsqueeze(1)  # (B, T)
    values = torch.randn(*mask.shape, _SIZE) * mask.unsqueeze(-1)
    rnn = nn.LSTM(_SIZE, state_size, batch_first=True)
    ways = {
        "packed": lambda: run_packed(rnn, values, lengths),
        "padded": lambda: run_padded(rnn, values, mask),
    }
    difference = check(rnn, ways, mask)
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(repeats):
        for name, run in ways.items():
            start = time.perf_counter()
            step(rnn, run)
            seconds[name].append(time.perf_counter() - start)
    packed, padded = (statistics.median(seconds[name]) for name in ways)
    print(
        f"batch {batch_size:4}: packed {1e3 * packed:7.1f} ms, padded {1e3 * padded:7.1f} ms, "
        f"ratio {packed / padded:.1f}, largest difference {difference:.1e}"
    )


def run_packed(rnn: nn.LSTM, values: Tensor, lengths: Tensor) -> Tensor:
    packed = pack_padded_sequence(values, lengths, batch_first=True, enforce_sorted=False)
    states, _ = pad_packed_sequence(rnn(packed)[0], batch_first=True)
    return states


def run_padded(rnn: nn.LSTM, values: Tensor, mask: Tensor) -> Tensor:
    states, _ = rnn(values)
    return states * mask.unsqueeze(-1)


def step(rnn: nn.LSTM, run: Callable[[], Tensor]) -> Tensor:
    rnn.zero_grad()
    states = run()
    states.square().mean().backward()
    return states.detach()


def check(rnn: nn.LSTM, ways: dict[str, Callable[[], Tensor]], mask: Tensor) -> float:
    """Return the largest difference of states and gradients; both ways are warm afterwards."""
    found = []
    for run in ways.values():
        states = step(rnn, run)
        found.append([states[mask], *(p.grad.clone() for p in rnn.parameters())])
    difference = max(float((a - b).abs().max()) for a, b in zip(*found, strict=True))
    if difference > _TOLERANCE:
        sys.exit(f"packed and padded states or gradients differ by {difference}")
    return difference


if __name__ == "__main__":
    main()
