"""Measure the gradient of word embeddings: of the rows that occur, and of all rows.

    python benchmarks/embeddings.py [--tokens 450] [--batches 4]

A step looks the tokens of several batches up in a table as large as that of BERT-base, sends a
gradient back for each, and ends in Adam. Numbers are random. Both ways take turns in one process
and CPU time is counted; printed are the ratios of the rounds, and whether the weights are the same
bit for bit after them.
"""

import argparse
import copy
import statistics
import time

import torch
from torch import nn

from mien.pretrained.direct.row_gradients import add_rows_alone, take_back_gradients

_WORDS, _SIZE = 30522, 768


def main() -> None:
    """Print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--tokens", type=int, default=450, help="tokens of a batch")
    parser.add_argument("--batches", type=int, default=4, help="batches of a step")
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(1)
    usual = nn.Embedding(_WORDS, _SIZE, padding_idx=0)
    rowwise = copy.deepcopy(usual)
    add_rows_alone(rowwise)
    tables = {table: torch.optim.Adam(table.parameters(), fused=True) for table in (usual, rowwise)}
    ratios = []
    for turn in range(options.rounds + 1):
        draws = torch.Generator().manual_seed(turn)
        batches = [
            (
                torch.randint(0, _WORDS, (options.tokens,), generator=draws),
                torch.randn(options.tokens, _SIZE, generator=draws),
            )
            for _ in range(options.batches)
        ]
        taken = [take_step(table, optimizer, batches) for table, optimizer in tables.items()]
        if turn:  # the first warms up
            ratios.append(taken[0] / taken[1])
    print(f"{options.batches} batches of {options.tokens} tokens, torch {torch.__version__}")
    shown = ", ".join(f"{ratio:.2f}" for ratio in ratios)
    print(f"all rows / rows that occur: {shown} (median {statistics.median(ratios):.2f})")
    print(f"weights are the same bit for bit: {torch.equal(usual.weight, rowwise.weight)}")


def take_step(
    table: nn.Embedding,
    optimizer: torch.optim.Optimizer,
    batches: list[tuple[torch.Tensor, torch.Tensor]],
) -> float:
    """Return the CPU seconds of a step."""
    start = time.process_time()
    take_back_gradients(table)  # as a training does; of no use to the usual table
    optimizer.zero_grad()
    for numbers, gradient in batches:
        table(numbers).backward(gradient)
    optimizer.step()
    return time.process_time() - start


if __name__ == "__main__":
    main()
