"""The settings of the models that go through all steps at once; reading them imports no torch."""

from typing import Literal

from pydantic import Field

from mien.config import Settings
from mien.models.zoo.zoo_settings import SeriesModelConfig, Share, Size, SizesOf

__all__ = ["EfLstmConfig", "GraphMfnConfig", "LayersConfig", "MemoryConfig", "MfnConfig"]


class EfLstmConfig(SeriesModelConfig):
    """Settings of EF-LSTM.

    Attributes:
        name: ``ef_lstm``.
        hidden_size: State of the LSTM, and from which the score is read.
        num_layers: LSTM layers.
        dropout: Share dropped between layers of the LSTM and around the layer behind it.
        padded_steps: Steps to which clips are padded or cut, for ``published`` alone, whose
            normalisation has numbers for each.
    """

    name: Literal["ef_lstm"] = "ef_lstm"
    hidden_size: Size = 64
    num_layers: int = Field(1, ge=1, le=16)
    dropout: Share = 0.0
    padded_steps: int = Field(50, ge=1, le=10_000)


class LayersConfig(Settings):
    """Two layers with a dropout between them.

    Attributes:
        hidden_size: Size between the layers.
        dropout: Share dropped there.
    """

    hidden_size: Size = 64
    dropout: Share = 0.0


class MemoryConfig(SeriesModelConfig):
    """What the models with a memory have in common.

    Attributes:
        hidden_size: State of the LSTM of each modality.
        memory_size: Size of the memory.
        candidate: Layers that propose what is written to the memory.
        keep_gate: Layers that decide what the memory keeps.
        write_gate: Layers that decide what is written to it.
        output: Layers that read the score from the last states and the memory.
    """

    hidden_size: SizesOf = SizesOf()
    memory_size: Size = 64
    candidate: LayersConfig = LayersConfig()
    keep_gate: LayersConfig = LayersConfig()
    write_gate: LayersConfig = LayersConfig()
    output: LayersConfig = LayersConfig()


class MfnConfig(MemoryConfig):
    """Settings of MFN.

    Attributes:
        name: ``mfn``.
        attention: Layers that weigh what changed between two steps.
        repeated_means: Whether audio and video are, at every step, their mean over all padded
            steps, as in the configuration behind the published numbers.
    """

    name: Literal["mfn"] = "mfn"
    attention: LayersConfig = LayersConfig()
    repeated_means: bool = False


class GraphMfnConfig(MemoryConfig):
    """Settings of Graph-MFN.

    Attributes:
        name: ``graph_mfn``.
        node_size: Size of a node of the graph.
        node_hidden_size: Size between the layers of a node.
    """

    name: Literal["graph_mfn"] = "graph_mfn"
    node_size: Size = 64
    node_hidden_size: Size = 100
