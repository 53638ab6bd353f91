"""The output of a model for a batch of which every process has computed a part."""

import torch
from torch import Tensor

from mien.tensors import Output
from mien.training.data_parallel.ranks import Ranks

__all__ = ["join_outputs"]


def join_outputs(output: Output, num_own: int, total: int, ranks: Ranks) -> Output:
    """Return the output for all clips of a batch, in their order; without attention weights.

    Gradients flow through the rows of this process alone: the sum of the gradients over the
    processes is that of the batch. Terms that the model adds to the loss are of the share of this
    process, and count by its size: they are means over smaller batches.

    Args:
        output: For the clips of this process's share of the batch.
        num_own: How many of its rows count; 0 where a share has no clip.
        total: Clips of the batch.
        ranks: The processes.
    """
    columns = [
        *(scores.unsqueeze(-1) for scores in output.scores.values()),
        *output.states.values(),
        *(present.unsqueeze(-1).float() for present in output.present.values()),
        *(values for tasks in output.targets.values() for values in tasks.values()),
    ]
    own = torch.cat(columns, dim=-1)[:num_own]
    joined = ranks.gather(own.detach(), total)
    if num_own:
        rows = torch.from_numpy(ranks.share(total)).to(own.device)
        joined = joined.index_copy(0, rows, own)
    parts = iter(torch.split(joined, [column.shape[-1] for column in columns], dim=-1))
    return Output(  # its fields are read from the columns in their order
        scores={task: next(parts).squeeze(-1) for task in output.scores},
        states={task: next(parts) for task in output.states},
        attention={},
        present={modality: _as_bool(next(parts)) for modality in output.present},
        targets={
            name: {task: next(parts) for task in tasks} for name, tasks in output.targets.items()
        },
        terms={name: term * (num_own / total) for name, term in output.terms.items()},
    )


def _as_bool(column: Tensor) -> Tensor:
    return column.detach().squeeze(-1) > 0.5
