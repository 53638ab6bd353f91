"""Goldens of the field's models: what their published programs compute, and the names of weights.

They are kept beside the repository; the README that lies with them says how they were made.
"""

import json
import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from helpers import AUDIO, TEXT, VIDEO

from mien.models import MODELS, build_model
from mien.models.multitask import ModelInputs
from mien.tensors import Batch, PaddedSeries, Targets
from mien.types import Task

ZOO = Path(__file__).parents[2] / "shared" / "goldens" / "zoo"
SIZES = {TEXT: 12, AUDIO: 5, VIDEO: 7}
LETTERS = {Task.FUSION: "M", Task.TEXT: "T", Task.AUDIO: "A", Task.VIDEO: "V"}

#: What of ours is in no published program.
OURS_ALONE = re.compile(r"absent\.|text_encoder\.|encoders\.\w+\.standardise\.")

PLAIN = {"published": True, "standardise": False}
AVERAGED = {**PLAIN, "hidden_size": {"text": 6, "audio": 4, "video": 5}}
FUSED = {**AVERAGED, "text_output_size": 4, "fusion_size": 6}
HEADS = {"head_size": {"text": 4, "audio": 3, "video": 5}}
LOW_RANK = {**PLAIN, "hidden_size": {"text": 8, "audio": 4, "video": 5}, "rank": 3}
MEMORY = {
    **PLAIN,
    "hidden_size": {"text": 5, "audio": 3, "video": 4},
    "memory_size": 6,
    "output": {"hidden_size": 6},
}

#: Settings with which a model is as large as that of its golden.
SETTINGS = {
    "ef_lstm": {**PLAIN, "hidden_size": 6, "num_layers": 2, "padded_steps": 6},
    "lf_dnn": FUSED,
    "tfn": {**FUSED, "score_limit": 3.0},
    "lmf": LOW_RANK,
    "mlf_dnn": {**FUSED, **HEADS},
    "mtfn": {**FUSED, **HEADS, "score_limit": 3.0},
    "mlmf": {**LOW_RANK, **HEADS},
    "mfn": {
        **MEMORY,
        "attention": {"hidden_size": 7},
        "candidate": {"hidden_size": 8},
        "keep_gate": {"hidden_size": 5},
        "write_gate": {"hidden_size": 9},
    },
    "graph_mfn": {
        **MEMORY,
        "node_size": 5,
        "candidate": {"hidden_size": 7},
        "keep_gate": {"hidden_size": 8},
        "write_gate": {"hidden_size": 9},
    },
}

_TO_LAYER = {"1": "enter", "2": "middle", "3": "leave"}
_BY_LETTER = {"l": "text", "t": "text", "a": "audio", "v": "video"}
_ENDS = {"1": "enter", "2": "leave"}
_SETS = {"0": "text", "1": "audio", "2": "video"}


def _name_layer(found):
    return f"encoders.{found[1]}.network.layers.{int(found[2]) - 1}"


def _name_node(numbers):
    return f"graph.nodes.{'_'.join(_SETS[n] for n in numbers.split('_'))}"


_OF_SUBNETS = [
    (r"^(audio|video)_subnet\.norm", r"encoders.\1.network.norm"),
    (r"^(audio|video)_subnet\.linear_(\d)", _name_layer),
    (r"^text_subnet\.linear_1", "text_network.linear"),
    (r"^text_subnet", "text_network"),
    (r"^post_fusion_layer_(\d)", lambda m: f"head.{_TO_LAYER[m[1]]}"),
    (r"^post_(\w+)_layer_(\d)", lambda m: f"heads.{m[1]}.{_TO_LAYER[m[2]]}"),
    (r"^(\w+)_factor", r"factors.\1"),
    (r"^fusion_weights", "weights"),
    (r"^fusion_bias", "bias"),
]  # fmt: skip
_GATES = {"gamma1": "keep_gate", "gamma2": "write_gate", "att2": "candidate"}
_OF_MEMORY = [
    (r"^(gamma1|gamma2|att2)_fc(\d)", lambda m: f"memory.{_GATES[m[1]]}.{_ENDS[m[2]]}"),
    (r"^att1_fc1", "attention.enter"),
    (r"^att1_fc2", "attention.leave"),
    (r"^out_fc1", "output.enter"),
    (r"^out_fc2", "output.leave"),
]  # fmt: skip
#: How the names of a program's weights become ours.
RULES = {
    "ef_lstm": [(r"^lstm", "rnn"), (r"^linear", "enter"), (r"^out", "leave")],
    **dict.fromkeys(("tfn", "lmf", "lf_dnn", "mtfn", "mlmf", "mlf_dnn"), _OF_SUBNETS),
    "mfn": [(r"^lstm_(\w)", lambda m: f"cells.{_BY_LETTER[m[1]]}"), *_OF_MEMORY],
    "graph_mfn": [
        (r"^lstm_(\w)(.*)$", lambda m: f"rnns.{_BY_LETTER[m[1]]}{m[2]}_l0"),
        (r"^(\w)_transform", lambda m: f"transforms.{_BY_LETTER[m[1]]}"),
        (r"^graph_mfn\.t_network\.0", "graph.last.0"),
        (r"^graph_mfn\.t_network\.1\.0", "graph.last.1"),
        (r"^graph_mfn\.efficacy_model\.1\.0", "graph.efficacy.1"),
        (r"^graph_mfn\.efficacy_model", "graph.efficacy"),
        (r"^unregistered/([\d_]+)\.0", lambda m: f"{_name_node(m[1])}.0"),
        (r"^unregistered/([\d_]+)\.1\.0", lambda m: f"{_name_node(m[1])}.1"),
        *_OF_MEMORY,
    ],
}  # fmt: skip
#: Weights of the programs that nothing uses, or that are constants.
UNUSED = {
    "tfn": r"output_(range|shift)$",
    "mtfn": r"output_(range|shift)$",
}


def load(name):
    with np.load(ZOO / f"{name}.npz", allow_pickle=False) as file:
        arrays = {key: file[key] for key in file.files}
    meta = json.loads(str(arrays.pop("meta")))
    names = [str(n) for n in arrays.pop("parameter_names")]
    numbers = {key: torch.from_numpy(a) for key, a in arrays.items()}
    weights = {k.removeprefix("w/"): v for k, v in numbers.items() if k.startswith(("w/", "unreg"))}
    return SimpleNamespace(meta=meta, names=names, weights=weights, at=numbers)


def our_name(name, theirs):
    for pattern, ours in RULES[name]:
        theirs, count = re.subn(pattern, ours, theirs)
        if count:
            break
    return theirs


def is_used(name, theirs):
    return name not in UNUSED or re.match(UNUSED[name], theirs) is None


def build(name, golden, *, text_encoder=None, **changes):
    """Our model with the weights of the golden: all of ours are among them but those we add."""
    kind, _ = MODELS[name]
    inputs = ModelInputs(sizes=SIZES, text_encoder=text_encoder)
    model = build_model(kind(**{**SETTINGS[name], **changes}), inputs)
    state = {our_name(name, n): w for n, w in golden.weights.items() if is_used(name, n)}
    missing, unexpected = model.load_state_dict(state, strict=not SETTINGS[name]["published"])
    assert unexpected == []
    assert [n for n in missing if not OURS_ALONE.match(n)] == []
    return model.eval()


def series_of(golden, modality, prefix="in", rows=slice(None)):
    values = golden.at.get(f"{prefix}/{modality}_sequence")
    if values is None:
        values = golden.at[f"{prefix}/{modality}"]
    lengths = golden.at[f"in/{modality}_lengths"]
    mask = torch.arange(values.shape[1]) < lengths.unsqueeze(1)
    return PaddedSeries(values[rows].float(), mask[rows])


def make_batch(golden, *, text=None, prefix="in", rows=slice(None)):
    sequences = {m: series_of(golden, m, prefix, rows) for m in (AUDIO, VIDEO)}
    text = series_of(golden, TEXT, prefix, rows) if text is None else text
    return Batch(index=torch.arange(len(text.mask)), sequences={TEXT: text, **sequences})


def targets_of(golden):
    return Targets(
        labels={task: golden.at[f"label/{letter}"].squeeze(-1) for task, letter in LETTERS.items()}
    )


def read_published():
    return json.loads((ZOO / "published.json").read_text(encoding="utf-8"))


def _of(published, *names):
    return {name: published[name] for name in names}


def _averaged(p):
    dropouts = p["dropouts"]
    return {
        "hidden_size": p["hidden_sizes"],
        "audio_dropout": dropouts["audio"],
        "video_dropout": dropouts["video"],
    }


def _fused(p):
    of_head = p["head_dropouts"] if "head_dropouts" in p else p["dropouts"]
    return {
        **_averaged(p),
        "text_output_size": p["text_output_size"],
        "fusion_size": p["fusion_head_size"],
        "fusion_dropout": of_head["fusion"],
    }


def _heads(p):
    of_series = ("text", "audio", "video")
    return {
        "head_size": {m: p[f"{m}_head_size"] for m in of_series},
        "head_dropout": {m: p["head_dropouts"][m] for m in of_series},
    }


def _layers(p, *names):
    return {
        name: {"hidden_size": p[f"{name}_hidden_size"], "dropout": p[f"{name}_dropout"]}
        for name in names
    }


def _memory(p):
    return {
        "hidden_size": p["hidden_sizes"],
        "memory_size": p["memory_size"],
        **_layers(p, "candidate", "keep_gate", "write_gate", "output"),
    }


#: How the published settings of a model become ours.
TRANSLATIONS = {
    "ef_lstm": lambda p: {
        **_of(p, "hidden_size", "dropout"),
        "num_layers": p["recurrent_layers"],
    },
    "lf_dnn": _fused,
    "tfn": lambda p: {**_fused(p), "score_limit": 3.0},
    "lmf": lambda p: {**_averaged(p), "rank": p["rank"]},
    "mlf_dnn": lambda p: {**_fused(p), **_heads(p)},
    "mtfn": lambda p: {**_fused(p), **_heads(p), "score_limit": 3.0},
    "mlmf": lambda p: {**_averaged(p), **_heads(p), "rank": p["rank"]},
    "mfn": lambda p: {**_memory(p), **_layers(p, "attention"), "repeated_means": True},
    "graph_mfn": lambda p: {**_memory(p), "node_size": p["graph_node_size"]},
}
