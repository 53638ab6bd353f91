"""Graph-MFN: a graph of every set of modalities at every step, remembered."""

from itertools import combinations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from mien.models.multitask import ModelInputs
from mien.models.zoo.recurrent.gated_memory import MemoryModel
from mien.models.zoo.recurrent.packed_steps import PackedSteps, PaddedSteps, run_hidden
from mien.models.zoo.recurrent.recurrent_settings import GraphMfnConfig
from mien.tensors import PaddedSeries
from mien.types import Modality

__all__ = ["DynamicFusionGraph", "GraphMfn", "GraphMfnConfig"]


class DynamicFusionGraph(nn.Module):
    """A node for every set of modalities, made of those of its smaller sets, and one of all nodes.

        node of a set = N [e x_s for every node s inside it]
        output        = N [e x_s for every node s]
        efficacies e  = sigmoid(E [singletons]), one for every edge

    N is two linear layers, E three. With ``linear`` efficacies, as published, there is no sigmoid.

    Source: zadeh2018b, dynamic fusion graph.

    Args:
        sizes: Size of each singleton, by modality.
        node_size: Size of a node.
        hidden_size: Size between the layers.
        is_linear: Whether efficacies have no sigmoid.
    """

    def __init__(
        self,
        sizes: dict[Modality, int],
        node_size: int,
        hidden_size: int,
        *,
        is_linear: bool,
    ) -> None:
        super().__init__()
        self.is_linear = is_linear
        singles = list(sizes)
        self.sets = [
            subset for n in range(2, len(singles) + 1) for subset in combinations(singles, n)
        ]
        widths: dict[tuple[Modality, ...], int] = {(m,): size for m, size in sizes.items()}
        self.inside: dict[tuple[Modality, ...], list[tuple[Modality, ...]]] = {}
        for subset in self.sets:
            self.inside[subset] = [s for s in widths if set(s) < set(subset)]
            widths[subset] = node_size
        self.everything = list(widths)
        edges = sum(map(len, self.inside.values())) + len(self.everything)
        total = sum(sizes.values())

        def node(sources: list[tuple[Modality, ...]]) -> nn.Sequential:
            size = sum(widths[s] for s in sources)
            return nn.Sequential(nn.Linear(size, hidden_size), nn.Linear(hidden_size, node_size))

        self.nodes = nn.ModuleDict({_name(s): node(inside) for s, inside in self.inside.items()})
        self.last = node(self.everything)
        self.efficacy = nn.Sequential(
            nn.Linear(total, hidden_size),
            nn.Linear(hidden_size, node_size),
            nn.Linear(node_size, edges),
        )

    def forward(
        self, singles: dict[Modality, Float[Tensor, "*B _"]]
    ) -> tuple[Float[Tensor, "*B _"], Float[Tensor, "*B _"]]:
        """Return the output of every step, and the efficacy of every edge."""
        efficacies = self.efficacy(torch.cat(list(singles.values()), dim=-1))
        if not self.is_linear:
            efficacies = torch.sigmoid(efficacies)
        edges = iter(efficacies.unsqueeze(-2).unbind(dim=-1))  # (*B, 1) each
        vertices: dict[tuple[Modality, ...], Tensor] = {(m,): s for m, s in singles.items()}
        for subset in self.sets:
            parts = [next(edges) * vertices[s] for s in self.inside[subset]]
            vertices[subset] = self.nodes[_name(subset)](torch.cat(parts, dim=-1))
        parts = [next(edges) * vertices[s] for s in self.everything]
        return self.last(torch.cat(parts, dim=-1)), efficacies


def _name(subset: tuple[Modality, ...]) -> str:
    return "_".join(subset)


class GraphMfn(MemoryModel):
    """MFN whose attention is a graph of every set of modalities.

        s_m,i = ReLU(W_m [h_m at step i - 1; at step i])
        u     = gated memory of graph(s_t,i, s_a,i, s_v,i)
        score = two layers over [h_t; h_a; h_v; u]  at the last real step

    The published program keeps the nodes of two and three modalities outside its modules, so that
    they are never trained nor saved; here they are, unless ``published``. It also has no sigmoid
    over the efficacies.

    Source: zadeh2018b.

    Args:
        config: Settings.
        inputs: What the model reads.
    """

    def __init__(self, config: GraphMfnConfig, inputs: ModelInputs) -> None:
        super().__init__(config, inputs, candidate_size=config.node_size)
        self.rnns = nn.ModuleDict(
            {m: nn.LSTM(inputs.sizes[m], n, batch_first=True) for m, n in self.hidden_sizes.items()}
        )
        self.transforms = nn.ModuleDict(
            {m: nn.Linear(2 * n, n) for m, n in self.hidden_sizes.items()}
        )
        self.graph = DynamicFusionGraph(
            self.hidden_sizes,
            config.node_size,
            config.node_hidden_size,
            is_linear=config.published,
        )
        if config.published:
            self.graph.nodes.requires_grad_(False)  # noqa: FBT003  # torch's

    def run(
        self, series: dict[Modality, PaddedSeries], packed: PackedSteps | PaddedSteps
    ) -> tuple[dict[Modality, Float[Tensor, "N _"]], Float[Tensor, "N _"]]:
        """Return the states of every modality at every step, and the output of the graph."""
        hidden, singles = {}, {}
        for modality, of_modality in series.items():
            values = packed.pack(of_modality.values)
            states = run_hidden(values, self.rnns[modality], packed)
            pairs = torch.cat([packed.before(states), states], dim=-1)
            singles[modality] = torch.relu(self.transforms[modality](pairs))
            hidden[modality] = states
        seen, _ = self.graph(singles)
        return hidden, seen
