"""What models see, return and learn from, as tensors; the legend of shapes is in ``mien.types``.

They stand apart from the other values because whoever imports this imports torch, which takes
seconds: reading corpora, writing stores and extracting features do without.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float, Int, Num
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence
from torch.overrides import TorchFunctionMode

from mien.errors import ConfigError, MienError
from mien.types import Modality, Target, TargetKind, Task

__all__ = [
    "Batch",
    "Encoded",
    "Output",
    "PaddedSeries",
    "Targets",
    "as_shares",
    "dtype_of_sums",
    "find_device",
    "has_float64",
    "inferring",
    "is_traced",
    "move_to",
    "pad",
    "precise",
    "reported_scores",
    "reported_values",
    "without_numbers",
]


class PaddedSeries(NamedTuple):
    """Padded time series of one modality.

    Attributes:
        values: Features or token ids, zero where ``mask`` is False. A text that is read with
            context has one value more in each step: 1, and the type of a second text's tokens, at
            the steps of the context, which the text encoder sees behind the clip's own; 0 at all
            others.
        mask: True at real time steps, False at padding and context; a row without a real step
            stands for a clip that does not have this modality.
    """

    values: Num[Tensor, "B T D"]
    mask: Bool[Tensor, "B T"]

    @property
    def is_repeated(self) -> bool:
        """Whether all rows are one and the same in memory, as ``repeat`` makes them."""
        return self.values.shape[0] > 1 and self.values.stride(0) == self.mask.stride(0) == 0

    def repeat(self, num_rows: int) -> "PaddedSeries":
        """Return the first row so many times, without copying it."""
        return PaddedSeries(
            self.values[:1].expand(num_rows, -1, -1), self.mask[:1].expand(num_rows, -1)
        )


def pad(series: list[Num[Tensor, "_ D"]], *, has_context: bool = False) -> PaddedSeries:
    """Pad time series at the end, with zeros, to the longest of them.

    A series without a time step stands for a modality that its clip does not have: its row of the
    mask is all False. There is always at least one step, so that no axis is empty.

    Args:
        series: The series.
        has_context: Whether the last value of a step says if it is context, as in ``PaddedSeries``.
    """
    lengths = torch.tensor([len(values) for values in series])
    values = pad_sequence(series, batch_first=True)
    if values.shape[1] == 0:
        values = values.new_zeros(len(series), 1, values.shape[2])
    mask = torch.arange(values.shape[1]) < lengths.unsqueeze(1)
    if has_context:
        mask = mask & (values[:, :, -1] == 0)
    return PaddedSeries(values, mask)


def find_device(name: str, setting: str, error: type[MienError] = ConfigError) -> torch.device:
    """Return a device of this machine.

    Args:
        name: ``auto`` takes CUDA or MPS where there is one; ``cpu``, ``cuda``, ``cuda:1``, ``mps``.
        setting: What the user has set to it, for the message.
        error: What is raised.

    Raises:
        MienError: Of the kind ``error``, if there is no such device here.
    """
    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    there = ["cpu", *(["cuda"] if gpus else []), *(f"cuda:{number}" for number in range(gpus))]
    there += ["mps"] if torch.backends.mps.is_available() else []
    if name == "auto":
        return torch.device(next((kind for kind in ("mps", "cuda") if kind in there), "cpu"))
    if name not in there:
        raise error(f"{setting} is {name!r}, which is not here; there are: {', '.join(there)}")
    return torch.device(name)


def has_float64(device: torch.device) -> bool:
    """Return whether a device computes in float64; all do but Apple's (MPS)."""
    return device.type != "mps"


def dtype_of_sums(device: torch.device) -> torch.dtype:
    """Return the type in which long sums are taken on a device: float64 where it has that."""
    return torch.float64 if has_float64(device) else torch.float32


@contextmanager
def inferring(*modules: nn.Module) -> Iterator[None]:
    """Let modules drop nothing and record no gradients; after the block they train if they did."""
    modes = [module.training for module in modules]
    for module in modules:
        module.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for module, was_training in zip(modules, modes, strict=True):
            module.train(was_training)


def is_traced() -> bool:
    """Return whether what is computed becomes a graph, for any number of clips and of steps."""
    return torch.jit.is_tracing()  # type: ignore[attr-defined, no-untyped-call, no-any-return]


def move_to(module: nn.Module, device: torch.device) -> bool:
    """Move a module to a device, in place; where that has no float64, in float32.

    Returns:
        Whether something had to become float32.
    """
    is_less = not has_float64(device) and any(
        tensor.dtype == torch.float64 for tensor in (*module.parameters(), *module.buffers())
    )
    if is_less:
        module.float()
    module.to(device)
    return is_less


def precise(tensor: Tensor) -> Tensor:
    """Return a tensor in float64, on its device if that computes in it, else on the CPU."""
    return (tensor if has_float64(tensor.device) else tensor.cpu()).double()


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """What a model sees: the clips' features, never their labels.

    Attributes:
        index: Row of each clip in its split; label banks are addressed by it.
        sequences: One padded series per modality that the corpus has.
    """

    index: Int[Tensor, "B"]
    sequences: dict[Modality, PaddedSeries]

    def to(self, device: torch.device | str) -> "Batch":
        """Return the batch on ``device``; a GPU copies it from pinned memory as it computes."""
        return self._with(lambda part: _send(part, device))

    def pin(self) -> "Batch":
        """Return the batch in memory that a GPU reads by itself."""
        return self._with(Tensor.pin_memory)

    def _with(self, change: Callable[[Tensor], Tensor]) -> "Batch":
        return Batch(
            index=change(self.index),
            sequences={
                m: PaddedSeries(*(change(part) for part in s)) for m, s in self.sequences.items()
            },
        )

    def keep(self, modalities: Collection[Modality]) -> "Batch":
        """Return the same clips with these modalities alone; of the others one step is padding."""
        sequences = {
            m: s
            if m in modalities
            else PaddedSeries(torch.zeros_like(s.values[:, :1]), torch.zeros_like(s.mask[:, :1]))
            for m, s in self.sequences.items()
        }
        return Batch(index=self.index, sequences=sequences)

    def row(self, number: int) -> "Batch":
        """Return one clip, with the steps of the batch."""
        here = slice(number, number + 1)
        return Batch(
            index=self.index[here],
            sequences={
                m: PaddedSeries(s.values[here], s.mask[here]) for m, s in self.sequences.items()
            },
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Targets:
    """What was annotated: goes to objectives and evaluation, never to a model.

    Attributes:
        labels: Annotated label per task; ``fusion`` is always there.
        values: Values of further targets, by name and task; NaN where a clip has none.
    """

    labels: dict[Task, Float[Tensor, "B"]]
    values: dict[str, dict[Task, Float[Tensor, "B _"]]] = field(default_factory=dict)

    def to(self, device: torch.device | str) -> "Targets":
        """Return the targets on ``device``; a GPU copies them from pinned memory as it computes."""
        return self.change(lambda part: _send(part, device))

    def pin(self) -> "Targets":
        """Return the targets in memory that a GPU reads by itself."""
        return self.change(Tensor.pin_memory)

    def change(self, change: Callable[[Tensor], Tensor]) -> "Targets":
        """Return the targets with something else in the place of every tensor."""
        return Targets(
            labels={t: change(v) for t, v in self.labels.items()},
            values=_change_each(self.values, change),
        )


def _change_each(
    values: Mapping[str, Mapping[Task, Tensor]], change: Callable[[Tensor], Tensor]
) -> dict[str, dict[Task, Tensor]]:
    return {name: {t: change(v) for t, v in own.items()} for name, own in values.items()}


def _send(tensor: Tensor, device: torch.device | str) -> Tensor:
    """Copy a tensor to a device, without waiting for that where it is a GPU."""
    return tensor.to(device, non_blocking=torch.device(device).type != "cpu")


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoded:
    """The modalities of clips, each encoded by itself; what remains to be done is their fusion.

    Attributes:
        vectors: One vector of each modality; of a clip that lacks it, one without a meaning.
        attention: Weight of each time step, as in ``Output``.
        present: Which clips have which modality.
    """

    vectors: dict[Modality, Float[Tensor, "B _"]]
    attention: dict[Modality, Float[Tensor, "B _"]]
    present: dict[Modality, Bool[Tensor, "B"]]

    def keep(self, modalities: Collection[Modality]) -> "Encoded":
        """Return the same clips, of which all modalities but these are taken away."""
        present = {
            m: has if m in modalities else torch.zeros_like(has) for m, has in self.present.items()
        }
        return Encoded(vectors=self.vectors, attention=self.attention, present=present)

    def row(self, number: int) -> "Encoded":
        """Return one clip, with the steps of its batch."""
        here = slice(number, number + 1)
        return Encoded(
            vectors={m: vectors[here] for m, vectors in self.vectors.items()},
            attention={m: weights[here] for m, weights in self.attention.items()},
            present={m: has[here] for m, has in self.present.items()},
        )

    def vary(
        self,
        modality: Modality,
        vectors: Float[Tensor, "B _"],
        is_present: Bool[Tensor, "B"],
    ) -> "Encoded":
        """Return a clip with other vectors of one modality, as many clips as there are of these."""
        count = len(vectors)
        own = {m: vector.expand(count, -1) for m, vector in self.vectors.items()}
        present = {m: has.expand(count) for m, has in self.present.items()}
        return Encoded(
            vectors=own | {modality: vectors},
            attention={},
            present=present | {modality: is_present},
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """What a model returns.

    Attributes:
        scores: Predicted score per task, on the scale of the corpus; none where it has no
            sentiment.
        states: Hidden state from which each score was read.
        attention: Weight of each time step, zero at padding; a modality without weights is absent.
        present: Which clips have the modality; where False, a learned stand-in was used.
        targets: What is predicted besides, by name and task: values on the scale of the target,
            and of classes and labels logits.
        terms: Other losses of the batch, by name and times their weights, that are minimised with
            those of the tasks.
    """

    scores: dict[Task, Float[Tensor, "B"]]
    states: dict[Task, Float[Tensor, "B _"]]
    attention: dict[Modality, Float[Tensor, "B _"]]
    present: dict[Modality, Bool[Tensor, "B"]]
    targets: dict[str, dict[Task, Float[Tensor, "B _"]]] = field(default_factory=dict)
    terms: dict[str, Float[Tensor, ""]] = field(default_factory=dict)

    def change(self, change: Callable[[Tensor], Tensor]) -> "Output":
        """Return what losses need, without attention, with another tensor in every place."""
        return Output(
            scores={t: change(s) for t, s in self.scores.items()},
            states={t: change(s) for t, s in self.states.items()},
            attention={},
            present={m: change(has) for m, has in self.present.items()},
            targets=_change_each(self.targets, change),
            terms={name: change(term) for name, term in self.terms.items()},
        )

    def take(self, places: Int[Tensor, "_"]) -> "Output":
        """Return some of the clips; what the model adds to the loss is of all, and stays out."""
        return replace(self, terms={}).change(lambda part: part[places])


def as_shares(target: Target, raw: Float[Tensor, "*B K"]) -> Float[Tensor, "*B K"]:
    """Return what a model's values of a target mean: probabilities, or values cut to the scale."""
    if target.kind is TargetKind.CLASS:
        return raw.softmax(dim=-1)
    return raw.sigmoid() if target.kind is TargetKind.LABELS else target.bounds.clip(raw)


def reported_scores(
    scores: Mapping[Task, Float[Tensor, "B"]], present: Mapping[Modality, Bool[Tensor, "B"]]
) -> dict[Task, Float[Tensor, "B"]]:
    """Return the scores that are reported about clips, whatever modalities they lack.

    There is nothing to fuse in a clip with exactly one modality: its multimodal score is the score
    of that modality. A network without modality dropout has never learned what absence means to
    its fusion. A network that knows one modality only was trained to fuse nothing else, and it is
    its multimodal score that was trained on the annotation and evaluated: there the unimodal
    score is the multimodal one.

    Args:
        scores: Raw score of each task.
        present: Which clips have which modality.

    Returns:
        The same tasks. In a clip with one modality its two scores are equal.
    """
    columns = {task: score.unsqueeze(-1) for task, score in scores.items()}
    return {task: v.squeeze(-1) for task, v in reported_values(columns, present).items()}


def reported_values(
    values: Mapping[Task, Float[Tensor, "B K"]], present: Mapping[Modality, Bool[Tensor, "B"]]
) -> dict[Task, Float[Tensor, "B K"]]:
    """Return the values of a target that are reported about clips, as ``reported_scores``."""
    known = [m for m in Modality if m in present and Task(m) in values]
    if not known or Task.FUSION not in values:
        return dict(values)
    fused = values[Task.FUSION]
    if len(present) == 1:
        return {**values, Task(known[0]): fused}
    has = torch.stack([present[m] for m in known])  # (M, B)
    own = torch.stack([values[Task(m)] for m in known])
    is_lone = torch.stack([present[m] for m in present]).sum(dim=0) == 1
    lone = own.masked_fill(~has.unsqueeze(-1), 0.0).sum(dim=0)
    replaced = (is_lone & has.any(dim=0)).unsqueeze(-1)
    return {**values, Task.FUSION: torch.where(replaced, lone, fused)}


@contextmanager
def without_numbers() -> Iterator[None]:
    """Let modules that are built here have shapes alone: nothing is allocated, nothing drawn."""
    with torch.device("meta"), _Undrawn():
        yield


class _Undrawn(TorchFunctionMode):
    """Leaves normal numbers undrawn: without memory they would import torch's compiler, seconds."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        _types: object,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401  # whatever the function returns
        given = kwargs or {}
        if func is nn.init.normal_:
            return args[0] if args else given["tensor"]
        return func(*args, **given)
