"""What a network reads and a store does not have, or is left out: series without a step."""

from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import numpy as np

from mien.data.store import Series
from mien.data.text import check_encoder
from mien.data.text_reader import TextReader
from mien.errors import ConfigError
from mien.files.reading import show
from mien.training.checkpoints.header import Header
from mien.training.preparation import Prepared
from mien.training.settings import ExperimentConfig
from mien.types import Modality

__all__ = ["add_absent", "leave_out", "open_text", "read_without"]

_Value = TypeVar("_Value")


def read_without(names: Collection[str]) -> tuple[Modality, ...]:
    """Return the modalities of these names, each once, in their order.

    Raises:
        ConfigError: If one has another name.
    """
    if isinstance(names, str):
        names = [names]
    for name in names:
        if name not in set(Modality):
            raise ConfigError(f"--without {show(name)}: must be text, audio or video")
    return tuple(modality for modality in Modality if modality in names)


def leave_out(config: ExperimentConfig, without: Collection[Modality]) -> ExperimentConfig:
    """Return settings by which nothing of some modalities is read."""
    names = {str(m): "none" for m in without if m is not Modality.TEXT}
    text = {"input": "none", "context": 0, "context_after": 0, "context_speakers": "none"}
    return config.model_copy(
        update={
            "features": config.features.model_copy(update=names),
            "text_encoder": config.text_encoder.model_copy(
                update=text if Modality.TEXT in without else {}
            ),
        }
    )


def open_text(checkpoint: Path, header: Header, config: ExperimentConfig) -> TextReader | None:
    """Return what reads texts for a network; None if they come to it as states.

    Raises:
        CheckpointError: If its text encoder is not the one of the training.
        AssetError: If it is not here.
    """
    if config.text_encoder.input == "embeddings":
        return None
    named = config.text_encoder.model_copy(update={"name": header.text_encoder})
    text = TextReader(named, header.language, online=False)
    check_encoder(checkpoint, header.given(), text)
    return text


def add_absent(
    prepared: Prepared, lacking: Mapping[Modality, int], text: TextReader | None
) -> Prepared:
    """Return data in which no clip has some modalities.

    Args:
        prepared: The data.
        lacking: Those modalities, with their sizes in the network.
        text: What would read the text, if that is one of them.
    """
    offsets = np.zeros(len(prepared.store.clips) + 1, np.int64)
    empty = {m: Series(np.empty((0, size), np.float32), offsets) for m, size in lacking.items()}
    if Modality.TEXT in empty and text is not None:
        kind = np.int32 if text.layer is None else np.float32
        values = np.empty((0, text.width), kind)
        empty[Modality.TEXT] = Series(values, offsets, has_context=text.has_context)
    datasets = {
        split: replace(dataset, series=_in_order({**dataset.series, **empty}))
        for split, dataset in prepared.datasets.items()
    }
    return replace(prepared, sizes=_in_order({**prepared.sizes, **lacking}), datasets=datasets)


def _in_order(values: Mapping[Modality, _Value]) -> dict[Modality, _Value]:
    return {modality: values[modality] for modality in Modality if modality in values}
