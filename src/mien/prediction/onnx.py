"""A trained network as one file of ONNX, checked against torch; and smaller, in 8 bits, for CPUs.

The file holds the network with all of its text encoder: token ids, and series of audio and
video as they were extracted, to scores on the scale of the corpus and values of further targets.
Lengths and the number of clips are free. Its metadata under ``mien`` hold what else a program must
know; the tokenizer lies beside.

The exporter is torch's older one, which traces. The newer one writes the length of the example
into the inner shapes of an LSTM; see docs/decisions.md.
"""

import json
import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mien.errors import CheckpointError, require
from mien.files.atomic import refuse_existing, written_beside
from mien.prediction.network import Network, load_network
from mien.prediction.network_parts.onnx_network import OnnxNetwork
from mien.prediction.package import require_single
from mien.prediction.target_answers.target_answer import TargetFacts
from mien.training.loading import find_checkpoint
from mien.training.run_folder import RunFolder, SeedFolder
from mien.types import Modality

__all__ = [
    "CLOSE", "LARGEST_BYTES", "OPSET", "ROUGH", "Difference", "Exported", "OnnxNetwork",
    "check_difference", "compare_with_torch", "export_onnx", "write_graph",
]  # fmt: skip

logger = logging.getLogger(__name__)

#: Version of the operators; the first with layer normalisation. onnxruntime 1.12 and later read it.
OPSET = 17

_KEY = "mien"  # of the metadata
_LOG = "_jit_onnx_log"  # what torch's exporter logs with
#: Bytes that a file of ONNX can hold.
LARGEST_BYTES = 2**31 - 2**20
#: Share of the scale by which any score may differ from torch's.
CLOSE = 1e-4
#: Share of the scale by which scores in 8 bits may differ on average.
ROUGH = 0.05

#: Clips and steps of each modality on which a file is checked; the letters of missing modalities.
_TRIALS: tuple[tuple[int, tuple[int, int, int], str], ...] = (
    (1, (1, 1, 1), ""),
    (3, (5, 40, 90), ""),
    (1, (48, 300, 7), ""),
    (3, (17, 11, 13), "t"),
    (1, (13, 17, 11), "a"),
    (2, (11, 13, 17), "v"),
    (2, (9, 9, 9), "tv"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """How far scores, and values of targets, are from torch's, in shares of their scale.

    Attributes:
        largest: Of any score.
        mean: Over all scores.
    """

    largest: float
    mean: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """What was written, and how near it comes to torch on random clips.

    Attributes:
        path: The network in 32 bits.
        int8: The network in 8 bits; None if it was not wanted.
        tokenizer: The tokenizer; None if the network reads no token ids.
        difference: Of the network in 32 bits.
        int8_difference: Of the network in 8 bits.
        num_clips: Clips of random values on which they were compared.
    """

    path: Path
    int8: Path | None
    tokenizer: Path | None
    difference: Difference
    int8_difference: Difference | None
    num_clips: int


def export_onnx(
    path: RunFolder | SeedFolder | str | Path, out: str | Path,
    *, int8: bool = False, replace: bool = False,
) -> Exported:  # fmt: skip
    """Write a trained network as ONNX, check it against torch, and write its tokenizer beside.

    Nothing is written under its final name before it was checked on random inputs of several
    lengths, with missing modalities among them.

    Args:
        path: A checkpoint, a seed's folder, or a run or its folder (its first seed).
        out: File to write, such as ``model.onnx``. The tokenizer becomes ``model.tokenizer.json``,
            the network in 8 bits ``model.int8.onnx``.
        int8: Whether it is written in 8 bits too: the matrices of the text encoder and of LSTMs,
            and the table of tokens. What is small stays in 32 bits.
        replace: Whether files that are already there are replaced.

    Raises:
        CheckpointError: If there is no sound checkpoint, the network cannot be written as ONNX, or
            what was written differs too much from torch.
        OutputError: If a file is there already, or cannot be written.
        ConfigError: If a package of the extra ``onnx`` is missing.
    """
    require("onnx", "onnxruntime", extra="onnx")
    source, out = find_checkpoint(path), Path(out)
    graph = OnnxNetwork(network := require_single(load_network(source)))
    tokenizer = network.text.tokenizer_json() if network.text is not None else None
    beside = {
        ".onnx": out,
        **({".int8.onnx": out.with_name(f"{out.stem}.int8.onnx")} if int8 else {}),
        **({".tokenizer.json": out.with_name(f"{out.stem}.tokenizer.json")} if tokenizer else {}),
    }
    for file in beside.values():
        refuse_existing(file, replace=replace)
    out.parent.mkdir(parents=True, exist_ok=True)
    if network.config.features.standardise == "speaker":
        logger.warning(
            "%s: reads voice and face against a baseline of the speaker, which a file of ONNX "
            "cannot make; what is written reads them without one", source,
        )  # fmt: skip
    about = _describe(network, graph)
    with ExitStack() as stack:
        made = {name: stack.enter_context(written_beside(file)) for name, file in beside.items()}
        logger.info("writing ONNX and comparing it with torch")
        write_graph(graph, made[".onnx"], about, source)
        difference = compare_with_torch(graph, made[".onnx"])
        check_difference(difference.largest, CLOSE, f"{source}: as ONNX, a score")
        rough = None
        if int8:
            logger.info("writing it in 8 bits")
            _quantise(made[".onnx"], made[".int8.onnx"], about)
            rough = compare_with_torch(graph, made[".int8.onnx"])
            check_difference(rough.mean, ROUGH, f"{source}: in 8 bits, the mean score")
        if tokenizer:
            made[".tokenizer.json"].write_text(tokenizer, encoding="utf-8")
    return Exported(
        path=out,
        int8=beside.get(".int8.onnx"),
        tokenizer=beside.get(".tokenizer.json"),
        difference=difference,
        int8_difference=rough,
        num_clips=sum(num_clips for num_clips, _, _ in _TRIALS),
    )


def _describe(network: Network, graph: OnnxNetwork) -> dict[str, Any]:
    """Return what a program needs to know to use the file."""
    about: dict[str, Any] = {
        "format": 1,
        "name": network.facts.name,
        "corpus": network.facts.corpus,
        "licence": network.facts.licence,
        "checkpoint_sha256": network.facts.sha256,
        **({"scale": list(network.scale)} if network.model.has_sentiment else {}),
        "language": network.language,
        "max_steps": network.config.features.max_steps or None,
        "modalities": {},
    }
    if network.model.targets:
        about["targets"] = [_describe_target(network, facts) for facts in network.targets]
    calibration = network.calibration_alone or network.calibration
    if calibration is not None:
        about["calibration"] = calibration.settle().model_dump(mode="json")
    for modality in network.modalities:
        entry: dict[str, Any] = {"made_by": network.made_by.get(modality, "")}
        if modality is Modality.TEXT and network.text is not None:
            entry |= {"input": "token ids", "prefix": network.text.prefix}
            entry |= {"max_tokens": network.text.max_tokens, "sha256": network.text.fingerprint}
        else:
            entry |= {"input": "series", "size": graph.sizes[modality]}
            entry |= {"feature_names": list(network.feature_names.get(modality, ()))}
        about["modalities"][str(modality)] = entry
    return about


def _describe_target(network: Network, facts: TargetFacts) -> dict[str, Any]:
    """Return what a target is, the names of its outputs, and what validation clips say of it."""
    index = [target.name for target in network.model.targets].index(facts.name)
    about = facts.model_dump(mode="json", exclude={"level"}, exclude_defaults=True)
    about["outputs"] = {str(task): f"target_{index}_{task}" for task in network.model.tasks}
    known = network.target_calibration_alone or network.target_calibration
    if facts.name in known:
        about["calibration"] = known[facts.name].model_dump(mode="json", exclude_defaults=True)
    return about


def write_graph(graph: OnnxNetwork, path: Path, about: Mapping[str, Any], source: Path) -> None:
    """Write a network as a file of ONNX, with ``about`` in its metadata; errors name ``source``.

    Raises:
        CheckpointError: If it is too large, or has an operator that cannot be written.
    """
    num_bytes = sum(tensor.nbytes for tensor in graph.state_dict().values())
    if num_bytes > LARGEST_BYTES:
        raise CheckpointError(
            f"{source}: has {num_bytes / 1e9:.1f} GB of weights; a file of ONNX holds 2 GB, so "
            "take a smaller text encoder"
        )
    outputs = graph.outputs()
    free = {name: {0: "clips", 1: f"{name.removesuffix('_mask')}_steps"} for name in graph.inputs}
    free |= {name: {0: "clips"} for name in outputs}
    free |= {n: {0: "clips", 1: f"{n[8:]}_steps"} for n in outputs if n.startswith("weights_")}
    with warnings.catch_warnings(), _traceable():
        _expect_what_tracing_warns_of()
        try:
            torch.onnx.export(
                graph,
                graph.draw(3, (7, 11, 13), "", seed=1),
                path,
                input_names=list(graph.inputs),
                output_names=list(outputs),
                dynamic_axes=free,
                opset_version=OPSET,
                dynamo=False,
            )
        except (torch.onnx.errors.OnnxExporterError, RuntimeError) as error:
            reason = str(error).strip().splitlines()[0].partition(". Please")[0]
            raise CheckpointError(
                f"{source}: the model {graph.name!r} cannot be written as ONNX ({reason}); predict "
                "with mien, or train another model"
            ) from error
    _label(path, about)


@contextmanager
def _traceable() -> Iterator[None]:
    """Let networks compute nothing for training alone, and no operator that only torch has.

    Nor is a graph printed, in hundreds of lines, that cannot be written: the exporter turns its log
    on, so that this is taken away.
    """
    was_fast, log = torch.backends.mha.get_fastpath_enabled(), getattr(torch._C, _LOG)  # noqa: SLF001
    torch.backends.mha.set_fastpath_enabled(False)  # torch's
    setattr(torch._C, _LOG, lambda *_: None)  # noqa: SLF001
    try:
        with torch.no_grad():
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(was_fast)
        setattr(torch._C, _LOG, log)  # noqa: SLF001


def _label(path: Path, about: Mapping[str, Any]) -> None:
    """Write into a file of ONNX what it is."""
    import onnx

    made = onnx.load(path)
    onnx.helper.set_model_props(made, {_KEY: json.dumps(about)})
    onnx.save(made, path)


def _expect_what_tracing_warns_of() -> None:
    """Silence what is known of the exporter; the file is compared with torch in any case."""
    for category, message in (
        (DeprecationWarning, ""),  # that the older exporter is the older one
        (torch.jit.TracerWarning, ""),  # type: ignore[attr-defined]
        (UserWarning, "Exporting (aten::index operator|a model to ONNX with a batch_size)"),
        (UserWarning, "Constant folding"),
    ):
        warnings.filterwarnings("ignore", message, category)


@torch.no_grad()
def compare_with_torch(graph: OnnxNetwork, path: Path) -> Difference:
    """Return how far scores and values of a file are from torch's, on random clips.

    Raises:
        CheckpointError: If they cannot be computed of clips as long, or as many.
    """
    import onnxruntime

    onnxruntime.set_default_logger_severity(3)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # what fails is said below
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    names = graph.compared
    apart: list[np.ndarray] = []
    for seed, (num_clips, steps, missing) in enumerate(_TRIALS):
        given = graph.draw(num_clips, steps, missing, seed=seed)
        wanted = graph(*given)[: len(names)]
        feeds = {name: values.numpy() for name, values in zip(graph.inputs, given, strict=True)}
        try:
            given_back = session.run(list(names), feeds)
        except Exception as error:  # its errors have no base of their own
            raise CheckpointError(
                f"the model {graph.name!r} cannot be written as ONNX: its steps depend on how long "
                "clips are, or on how many there are; predict with mien, or train another model"
            ) from error
        trios = zip(wanted, given_back, names.values(), strict=True)
        apart += [(np.abs(a.numpy() - b) / width).ravel() for a, b, width in trios]
    joined = np.concatenate(apart)
    return Difference(largest=float(joined.max()), mean=float(joined.mean()))


def check_difference(difference: float, most: float, what: str) -> None:
    """Refuse ``what`` if it differs from torch by more than ``most``, as shares of the scale.

    Raises:
        CheckpointError: If the difference is larger, or no number.
    """
    if not difference <= most:
        raise CheckpointError(
            f"{what} differs from torch by {difference:.2%} of the scale, more than {most:.2%}; "
            "nothing was written"
        )


def _quantise(path: Path, out: Path, about: Mapping[str, Any]) -> None:
    """Write the matrices of a file in 8 bits, with a scale for each column."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    logging.disable(logging.WARNING)  # it has a line for every matrix, by the root logger
    try:
        quantize_dynamic(
            path,
            out,
            weight_type=QuantType.QInt8,
            per_channel=True,
            reduce_range=True,  # else sums overflow on processors without 8-bit instructions
        )
    finally:
        logging.disable(logging.NOTSET)
    _label(out, about)
