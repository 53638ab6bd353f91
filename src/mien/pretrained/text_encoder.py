"""Pretrained text encoders: loaded in full, and as parts of a model."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import torch
from jaxtyping import Bool, Float, Int
from safetensors import SafetensorError
from torch import Tensor, nn

from mien.errors import ConfigError
from mien.pretrained.adapters import AdaptedEncoder
from mien.pretrained.direct.encoder_files import load_encoder, read_sizes
from mien.pretrained.direct.row_gradients import add_rows_alone
from mien.pretrained.encoder_cut import (
    CutEncoder,
    StatesChange,
    changing,
    cut_encoder,
    encode_changed,
    find_layers,
    split_parameters,
)
from mien.pretrained.packed.first_states import can_end_in_first, first_state, run_to_first
from mien.pretrained.packed.packing import (
    make_packable,
    name_types,
    pack,
    run_in_chunks,
    run_packed,
    unpack,
)
from mien.pretrained.packed.shared_passages import are_passages, share_passages
from mien.pretrained.transformers_models import cannot_load, load_model, load_part
from mien.tensors import PaddedSeries, is_traced

__all__ = [
    "GivenStates",
    "StackedEncoder",
    "TokenEncoder",
    "TopLayers",
    "load_adapted",
    "load_backbone",
    "load_bottom",
    "load_settings",
    "load_top",
    "mark_context",
]


class TokenEncoder(nn.Module):
    """A pretrained encoder with all its layers: token ids to states.

    A context behind the tokens is a second segment, of the type that the encoder's tokenizer gives
    it, or the rest of the passage in which clips are read together, which is computed once for all
    clips of a batch that are in it.
    Nothing is computed at padding where the encoder can be packed; where not, texts of like length
    are padded together.

    Args:
        backbone: A model of transformers whose output has ``last_hidden_state``.
    """

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone
        self.is_packable = make_packable(backbone)
        add_rows_alone(backbone)

    def forward(self, series: PaddedSeries) -> Float[Tensor, "B T d"]:
        """Return the states; those at padding have no meaning."""
        if are_passages(series):
            passages = share_passages(series)
            return passages.pick(self(passages.series))
        series = _see_context(series, 1)
        ids = series.values.long()
        if not _is_worth_packing(series):
            return self._run_padded(ids, series.mask)
        if not self.is_packable:
            return run_in_chunks(self._run_padded, ids, series.mask)
        packing = pack(series.mask)
        packed, types = _split_types(ids.flatten(0, 1)[packing.places])
        return unpack(run_packed(self.backbone, packed, packing, types), packing)

    def first(self, series: PaddedSeries) -> Float[Tensor, "B d"]:
        """Return the first state of each clip; one of a clip without a text has no meaning.

        Where it can, the last layer computes nothing else.
        """
        if are_passages(series) or not _has_text(series) or not self._can_end_in_first:
            states: Tensor = self(series)
            return states[:, 0]
        series = _see_context(series, 1)
        packing = pack(series.mask)
        packed, types = _split_types(series.values.long().flatten(0, 1)[packing.places])
        return run_to_first(self.backbone, packed, packing, types)

    def run_changed(
        self, series: PaddedSeries, change: StatesChange, *, after: int
    ) -> Float[Tensor, "B T d"]:
        """Return the states, where those behind some layers are changed; see ``encode_changed``.

        Raises:
            ConfigError: If clips are read in passages, whose states are not those of one clip.
        """
        if are_passages(series):
            raise ConfigError(
                "setting text_encoder.passage reads clips together, and states of a single clip "
                "are to be changed inside of the text encoder; set text_encoder.passage=0"
            )
        series = _see_context(series, 1)
        stack = self.backbone.get_submodule(find_layers(self.backbone))
        with changing(cast("nn.ModuleList", stack), change, after):
            return self._run_padded(series.values.long(), series.mask)

    def layer_parameters(self) -> list[list[nn.Parameter]]:
        """Return the parameters that are in no layer, then those of each, from the lowest.

        Raises:
            ConfigError: If the layers cannot be told apart.
        """
        stack = self.backbone.get_submodule(find_layers(self.backbone))
        return split_parameters(self, cast("nn.ModuleList", stack))

    @cached_property
    def _can_end_in_first(self) -> bool:
        return self.is_packable and can_end_in_first(self.backbone)

    def _run_padded(
        self, values: Int[Tensor, "B T _"], mask: Bool[Tensor, "B T"]
    ) -> Float[Tensor, "B T d"]:
        ids, types = _split_types(values)
        output = self.backbone(
            input_ids=ids, attention_mask=_never_empty(mask), **name_types(self.backbone, types)
        )
        states: Tensor = output.last_hidden_state
        return states


class TopLayers(nn.Module):
    """The last layers of a pretrained encoder: states below them to states.

    Args:
        encoder: The encoder, in two parts.
        is_packable: Whether ``make_packable`` has prepared the encoder.
    """

    def __init__(self, encoder: CutEncoder, *, is_packable: bool = False) -> None:
        super().__init__()
        _, upper, place = encoder
        self.layers = cast("nn.ModuleList", upper.get_submodule(place))
        #: What all layers use, such as a position bias.
        self.shared = nn.ModuleList(
            part
            for name, part in upper.named_modules()
            if not f"{name}.".startswith(f"{place}.") and _holds_tensors(part)
        )
        self.is_packable = is_packable
        self._upper: tuple[Any] = (upper,)  # no part of this: its layers are, by names that last

    def forward(self, series: PaddedSeries) -> Float[Tensor, "B T d"]:
        """Return the states; those at padding have no meaning."""
        series = self._see(series)
        states, mask = series
        if not _is_worth_packing(series):
            return self._run_padded(states, mask)
        if not self.is_packable:
            return run_in_chunks(self._run_padded, states, mask)
        (upper,) = self._upper
        packing = pack(mask)
        packed = run_packed(upper, states.flatten(0, 1)[packing.places], packing)
        return unpack(packed, packing)

    def first(self, series: PaddedSeries) -> Float[Tensor, "B d"]:
        """Return the first state of each clip; one of a clip without a text has no meaning."""
        if not _has_text(series) or not self._can_end_in_first:
            states: Tensor = self(series)
            return states[:, 0]
        (upper,) = self._upper
        states, mask = self._see(series)
        packing = pack(mask)
        return run_to_first(upper, states.flatten(0, 1)[packing.places], packing)

    def run_changed(
        self, series: PaddedSeries, change: StatesChange, *, after: int
    ) -> Float[Tensor, "B T d"]:
        """Return the states, where those behind some layers are changed; see ``encode_changed``."""
        with changing(self.layers, change, after):
            return self._run_padded(*self._see(series))

    def layer_parameters(self) -> list[list[nn.Parameter]]:
        """Return the parameters that all layers use, then those of each, from the lowest."""
        return split_parameters(self, self.layers)

    def _see(self, series: PaddedSeries) -> PaddedSeries:
        """Return the states without what marks a context, and a mask that is True there too."""
        (upper,) = self._upper
        size = upper.config.hidden_size
        values, mask = _see_context(series, size)
        return PaddedSeries(values[:, :, :size], mask)

    @cached_property
    def _can_end_in_first(self) -> bool:
        return self.is_packable and can_end_in_first(self._upper[0], is_cut=True)

    def _run_padded(
        self, states: Float[Tensor, "B T d"], mask: Bool[Tensor, "B T"]
    ) -> Float[Tensor, "B T d"]:
        (upper,) = self._upper
        output = upper(inputs_embeds=states, attention_mask=_never_empty(mask))
        made: Tensor = output.last_hidden_state
        return made


def _holds_tensors(module: nn.Module) -> bool:
    return any(True for _ in (*module.parameters(recurse=False), *module.buffers(recurse=False)))


class GivenStates(nn.Module):
    """No encoder: the sequence holds states already."""

    def forward(self, series: PaddedSeries) -> Float[Tensor, "B T d"]:
        """Return the states as they are."""
        return series.values


class StackedEncoder(nn.Module):
    """An encoder in two parts, pretrained layers and trained ones: token ids to states.

    What a model with ``last-k`` or ``frozen`` layers reads are states that were computed ahead;
    with this in place of its encoder it reads token ids.

    Args:
        bottom: The pretrained part, token ids to states.
        top: The trained part, states to states.
    """

    def __init__(self, bottom: nn.Module, top: nn.Module) -> None:
        super().__init__()
        self.bottom = bottom
        self.top = top

    def forward(self, series: PaddedSeries) -> Float[Tensor, "B T d"]:
        """Return the states; those at padding have no meaning."""
        states: Tensor = self.top(self._below(series))
        return states

    def first(self, series: PaddedSeries) -> Float[Tensor, "B d"]:
        """Return the first state of each clip; one of a clip without a text has no meaning."""
        first: Tensor = first_state(self.top, self._below(series))
        return first

    def run_changed(
        self, series: PaddedSeries, change: StatesChange, *, after: int
    ) -> Float[Tensor, "B T d"]:
        """Return the states, where those behind some trained layers are changed."""
        return encode_changed(self.top, self._below(series), change, after=after)

    def _below(self, series: PaddedSeries) -> PaddedSeries:
        return PaddedSeries(mark_context(self.bottom(series), series), series.mask)


def mark_context(states: Float[Tensor, "B T d"], series: PaddedSeries) -> Float[Tensor, "B T _"]:
    """Return states of token ids; if these say which steps are context, the states do so too."""
    if series.values.shape[2] == 1:
        return states
    return torch.cat([states, series.values[:, :, 1:].to(states.dtype)], dim=2)


def _see_context(series: PaddedSeries, size: int) -> PaddedSeries:
    """Let the mask of a series with a context be True there too.

    Args:
        series: The series.
        size: Values of a step, without the one that says if it is context.
    """
    values, mask = series
    if values.shape[2] == size:
        return series
    return PaddedSeries(values, mask | (values[:, :, -1] > 0))


def _split_types(
    values: Int[Tensor, "*B _"],
) -> tuple[Int[Tensor, "*B"], Int[Tensor, "*B"] | None]:
    """Return token ids, and the type of each token; None where there is no context."""
    return values[..., 0], (values[..., 1] - 1).clamp(min=0) if values.shape[-1] > 1 else None


def _is_worth_packing(series: PaddedSeries) -> bool:
    """Return whether there may be padding to leave out; a traced graph is for all lengths."""
    return len(series.mask) > 1 and _has_text(series)


def _has_text(series: PaddedSeries) -> bool:
    """Return whether there is a token; no answer while a graph is traced, which is for any text."""
    return not is_traced() and bool(series.mask.any())


def _never_empty(mask: Tensor) -> Tensor:
    """Let a clip without text attend to its first padding, for a softmax over nothing is NaN."""
    first = torch.zeros_like(mask)
    first[:, 0] = ~mask.any(dim=1)
    return (mask | first).long()


def load_settings(source: Path | str) -> Any:
    """Load the configuration of a text encoder; it has the names of ``BertSizes``.

    Raises:
        AssetError: If it cannot be loaded.
    """
    return read_sizes(source) or load_part(source, "AutoConfig", "text encoder")


def load_backbone(source: Path | str) -> Any:
    """Load a text encoder in float32, with all of its weights.

    BERT and MPNet encoders are those of ``mien.pretrained.direct``, all others of transformers.

    Raises:
        AssetError: If it cannot be loaded, or weights are missing.
    """
    if (sizes := read_sizes(source)) is not None:
        with _explained(source):
            return load_encoder(Path(source), sizes)
    backbone, missing = load_model(source, "text encoder")
    _refuse_lacking(source, [name for name in missing if not name.startswith("pooler.")])
    if getattr(backbone, "pooler", None) is not None:
        backbone.pooler = None  # read by nothing, so never trained
    return backbone


@contextmanager
def _explained(source: Path | str) -> Iterator[None]:
    """Turn what is wrong with a file of weights into one sentence."""
    try:
        yield
    except KeyError as error:
        _refuse_lacking(source, error.args[0])
    except (OSError, ValueError, SafetensorError) as error:
        raise cannot_load(source, "text encoder", str(error).splitlines()[0]) from error


def _refuse_lacking(source: Path | str, lacking: Sequence[str]) -> None:
    if lacking:  # transformers would go on with random ones
        reason = f"it lacks {len(lacking)} weights, such as {lacking[0]!r}"
        raise cannot_load(source, "text encoder", reason)


def load_bottom(source: Path | str, layers: int) -> TokenEncoder:
    """Load a text encoder that ends after so many layers; none is computed that nobody reads.

    It is not for training: it drops nothing.

    Raises:
        AssetError: If it cannot be loaded.
        ConfigError: If it has more layers, which cannot be told apart.
    """
    backbone = load_backbone(source)
    if layers < backbone.config.num_hidden_layers:
        backbone = cut_encoder(backbone, layers).lower
    return TokenEncoder(backbone).eval()


def load_adapted(source: Path | str, rank: int, layers: int | None = None) -> AdaptedEncoder:
    """Load a text encoder with adapters, or the last layers of one; the adapters are trained alone.

    Args:
        source: The encoder.
        rank: Rank of the adapters.
        layers: How many layers there are, and get adapters: tokens to states if it is None, else
            states below them to states.

    Raises:
        AssetError: If it cannot be loaded.
        ConfigError: If its layers cannot be told apart.
    """
    if layers is not None:
        top = load_top(source, layers)
        return AdaptedEncoder(top, top.layers, rank)
    backbone = load_backbone(source)
    stack = backbone.get_submodule(find_layers(backbone))
    return AdaptedEncoder(TokenEncoder(backbone), stack, rank)


def load_top(source: Path | str, layers: int) -> TopLayers:
    """Load the last layers of a text encoder, with their pretrained weights.

    Raises:
        AssetError: If it cannot be loaded.
        ConfigError: If its layers cannot be told apart.
    """
    backbone = load_backbone(source)
    cut = cut_encoder(backbone, backbone.config.num_hidden_layers - layers)
    return TopLayers(cut, is_packable=make_packable(backbone))
