"""The network of a checkpoint: of one training, or the ensemble of those of several seeds.

A file of an ensemble holds what is equal in all seeds once, as ``model/NAME``, and everything else
for each seed, as ``seed-1111/NAME``; its header lists the seeds.
"""

import copy
from collections.abc import Collection, Mapping
from pathlib import Path

from torch import Tensor, nn

from mien.errors import CheckpointError
from mien.models import build_model
from mien.models.ensemble import Ensemble
from mien.models.multitask import ModelInputs, MultimodalModel
from mien.pretrained.adapters import AdaptedEncoder
from mien.training.checkpoints.checkpoint import build_with, read_tensors, split_states
from mien.training.checkpoints.header import Header
from mien.training.settings import ExperimentConfig

__all__ = ["build_from", "build_trained", "join_members", "network_tensors"]

_SHARED = "model"


def build_trained(
    checkpoint: Path, header: Header, config: ExperimentConfig, encoder: nn.Module | None
) -> MultimodalModel:
    """Build the network of a checkpoint with its weights; of several seeds, their ensemble.

    Members of an ensemble share what is equal in all of them, and the weights of a text encoder
    that are not trained, in memory too.

    Args:
        checkpoint: Its file.
        header: Its header.
        config: The settings of the training.
        encoder: The trained part of its text encoder, with pretrained weights; None without one.

    Raises:
        CheckpointError: If the file is damaged, or its weights do not fit its settings.
    """
    return build_from(read_tensors(checkpoint), checkpoint, header, config, encoder)


def build_from(
    tensors: Mapping[str, Tensor],
    checkpoint: Path,
    header: Header,
    config: ExperimentConfig,
    encoder: nn.Module | None,
) -> MultimodalModel:
    """Build what ``build_trained`` builds, of tensors that were read.

    Args:
        tensors: What the checkpoint holds.
        checkpoint: Where they come from, for messages.
        header: As in ``build_trained``; so are the others.
        config: As in ``build_trained``.
        encoder: As in ``build_trained``.

    Raises:
        CheckpointError: If something is missing, or does not fit the settings.
    """
    shared = split_states(tensors, _SHARED)
    if not header.ensemble:
        return _build(header, config, encoder, shared, str(checkpoint))
    members: list[MultimodalModel] = []
    for seed, own in _split_members(checkpoint, header, tensors).items():
        another = encoder if not members else _copy_encoder(encoder)
        where = f"{checkpoint}: seed {seed}"
        member = _build(header, config, another, {**shared, **own}, where)
        if members:
            _share(members[0], member, shared)
        members.append(member)
    return Ensemble(members).eval()


def _build(
    header: Header,
    config: ExperimentConfig,
    encoder: nn.Module | None,
    state: Mapping[str, Tensor],
    where: str,
) -> MultimodalModel:
    inputs = ModelInputs(
        sizes=header.sizes,
        text_encoder=encoder,
        summary=config.text_encoder.summary,
        targets=header.targets,
        has_sentiment=header.has_sentiment,
    )
    return build_with(lambda: build_model(config.model, inputs), state, where).eval()


def _split_members(
    checkpoint: Path, header: Header, tensors: Mapping[str, Tensor]
) -> dict[int, dict[str, Tensor]]:
    """Return the tensors of each seed of an ensemble that are its own.

    Raises:
        CheckpointError: If a seed has none, or one has what is there for all.
    """
    members = {seed: split_states(tensors, _name_member(seed)) for seed in header.ensemble}
    for seed, own in members.items():
        if not own:
            raise CheckpointError(
                f"{checkpoint}: its header lists seed {seed}, of which it holds nothing; get the "
                "file again"
            )
        twice = sorted(key for key in own if f"{_SHARED}/{key}" in tensors)
        if twice:
            raise CheckpointError(
                f"{checkpoint}: holds {twice[0]!r} of seed {seed} and of all seeds; get the file "
                "again"
            )
    return members


def _name_member(seed: int) -> str:
    return f"seed-{seed}"


def network_tensors(tensors: Mapping[str, Tensor], seeds: Collection[int]) -> dict[str, Tensor]:
    """Return those tensors of a checkpoint that are the network, or the networks of an ensemble.

    Args:
        tensors: All that it holds.
        seeds: The seeds of the ensemble; none of a single network.
    """
    beginnings = {_SHARED, *map(_name_member, seeds)}
    return {key: t for key, t in tensors.items() if key.partition("/")[0] in beginnings}


def join_members(states: Mapping[int, Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Return networks of several seeds as a checkpoint holds their ensemble.

    Args:
        states: The weights of each seed, under the same names.
    """
    first, *others = states.values()
    equal = {key for key, t in first.items() if all(_is_same(t, own[key]) for own in others)}
    shared = {f"{_SHARED}/{key}": first[key] for key in first if key in equal}
    return shared | {
        f"{_name_member(seed)}/{key}": tensor
        for seed, state in states.items()
        for key, tensor in state.items()
        if key not in equal
    }


def _is_same(tensor: Tensor, other: Tensor) -> bool:
    return tensor.dtype == other.dtype and tensor.equal(other)


def _copy_encoder(encoder: nn.Module | None) -> nn.Module | None:
    """Return the text encoder of another member."""
    return encoder.twin() if isinstance(encoder, AdaptedEncoder) else copy.deepcopy(encoder)


def _share(first: nn.Module, other: nn.Module, names: Collection[str]) -> None:
    """Put the tensors of these names of one network in the place of those of another."""
    there = {**dict(first.named_parameters()), **dict(first.named_buffers())}
    for name in names:
        if name in there:
            part, _, last = name.rpartition(".")
            setattr(other.get_submodule(part), last, there[name])
