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
from mien.pretrained.text_encoder import TokenEncoder
from mien.tensors import Batch, PaddedSeries, Targets
from mien.types import Task

ZOO = Path(__file__).parents[2] / "shared" / "goldens" / "zoo"
SIZES = {TEXT: 12, AUDIO: 5, VIDEO: 7}
LETTERS = {Task.FUSION: "M", Task.TEXT: "T", Task.AUDIO: "A", Task.VIDEO: "V"}

#: What of ours is in no published program.
OURS_ALONE = re.compile(r"last\.\w+\.(layers|norm)|absent\.|encoders\.\w+\.standardise\.")

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

CROSSMODAL = {
    **PLAIN,
    "model_size": 4,
    "num_heads": 2,
    "width": {"text": 3, "audio": 1, "video": 3},
}
SETTINGS |= {
    "mult": {**CROSSMODAL, "num_layers": 2},
    "tetfn": {
        **CROSSMODAL,
        "width": {"text": 1, "audio": 3, "video": 1},
        "audio_size": 4,
        "video_size": 5,
        "fusion_size": 6,
        "head_size": {"text": 5, "audio": 4, "video": 3},
    },
    "almt": {
        **PLAIN,
        "model_size": 8,
        "num_tokens": 3,
        "longest_text": 6,
        "longest_audio": 8,
        "longest_video": 9,
        "embedding": {"num_heads": 2, "feed_forward_size": 10},
        "text_layers": {"num_layers": 2, "num_heads": 2, "feed_forward_size": 9},
        "guided": {"num_heads": 2, "head_size": 5},
        "fusion": {"num_heads": 1, "feed_forward_size": 7},
    },
    "tfr_net": {
        **CROSSMODAL,
        "width": {"text": 1, "audio": 5, "video": 3},
        "num_layers": 1,
        "gate_size": {"text": 4, "audio": 3, "video": 5},
        "fusion_size": 6,
    },
    "misa": {**PLAIN, "hidden_size": 4, "difference_weight": 0.3, "similarity_weight": 0.8},
    "mmim": {
        **PLAIN,
        "audio_size": 3,
        "video_size": 4,
        "audio_output_size": 8,
        "video_output_size": 8,
        "fusion_size": 6,
        "video_audio_bound": True,
    },
    "bert_mag": PLAIN,
    "cenet": {**PLAIN, "dropout": 0.0},
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
_PARTS = {"q": "query", "k": "key", "v": "value"}
_RNNS = {"1": "first", "2": "second"}


def _name_bound(found):
    part = "mean" if found[3] == "mu" else "spread"
    return f"bounds.{_BY_LETTER[found[1]]}_{_BY_LETTER[found[2]]}.{part}"


def _name_part(found):
    return f"enhance.sources.{_BY_LETTER[found[1]]}.{_PARTS[found[2]]}"


_IN_CROSSMODAL = [
    (r"\.self_attn\.", ".attention."),
    (r"\.fc1\.", ".enter."),
    (r"\.fc2\.", ".leave."),
    (r"\.layer_norms\.", ".norms."),
    (r"\.layer_norm\.", ".norm."),
    (r"^trans_(\w)_mem", lambda m: f"memories.{_BY_LETTER[m[1]]}"),
]
_IN_ALMT = [
    (r"^proj_l", "embed_text"),
    (r"^proj_(\w)", lambda m: f"encoders.{_BY_LETTER[m[1]]}.embed"),
    (r"(embed\w*)\.0\.", r"\1.enter."),
    (r"(embed\w*)\.1\.pos_embedding", r"\1.places"),
    (r"(embed\w*)\.1\.extra_token", r"\1.tokens"),
    (r"(embed\w*)\.1\.encoder", r"\1.attend"),
    (r"^l_encoder\.pos_embedding", "text_places"),
    (r"^l_encoder\.encoder", "text_layers"),
    (r"^h_hyper$", "hyper"),
    (r"^h_hyper_layer\.layers\.(\d+)\.0", r"guided.\1"),
    (r"^(guided\.\d+)\.norm1", r"\1.text_norm"),
    (r"^(guided\.\d+)\.norm2", r"\1.source_norms.audio"),
    (r"^(guided\.\d+)\.norm3", r"\1.source_norms.video"),
    (r"^(guided\.\d+)\.norm4", r"\1.norm"),
    (r"\.fn\.to_k_t(\w)", lambda m: f".keys.{_BY_LETTER[m[1]]}"),
    (r"\.fn\.to_v_t(\w)", lambda m: f".values.{_BY_LETTER[m[1]]}"),
    (r"^fusion_layer\.pos_embedding_s", "hyper_places"),
    (r"^fusion_layer\.pos_embedding_t", "joined_places"),
    (r"^fusion_layer\.extra_token", "token"),
    (r"^fusion_layer\.CrossTransformerEncoder", "fusion"),
    (r"^regression_layer\.0", "leave"),
    (r"(layers\.\d+)\.1\.norm\.", r"\1.step_norm."),
    (r"(layers\.\d+)\.0\.fn\.", r"\1.fn."),
    (r"\.0\.norm_([qkv])", lambda m: f".norms.{'qkv'.index(m[1])}"),
    (r"\.fn\.to_out", ".out"),
    (r"\.fn\.to_q", ".query"),
    (r"\.fn\.to_k", ".key"),
    (r"\.fn\.to_v", ".value"),
    (r"\.1\.fn\.net\.0", ".enter"),
    (r"\.1\.fn\.net\.3", ".leave"),
]
RULES |= {
    "mult": [
        *_IN_CROSSMODAL,
        (r"^proj_(\w)\.", lambda m: f"enter.{_BY_LETTER[m[1]]}.conv."),
        (r"^trans_(\w)_with_(\w)", lambda m: f"crossmodal.{_BY_LETTER[m[1]]}_{_BY_LETTER[m[2]]}"),
        (r"^proj1", "first"),
        (r"^proj2", "second"),
        (r"^out_layer", "leave"),
    ],
    "tetfn": [
        *_IN_CROSSMODAL,
        (r"^(audio|video)_model\.rnn", r"encoders.\1.rnn"),
        (r"^(audio|video)_model\.conv", r"encoders.\1.convolution.conv"),
        (r"^proj_l", "enter.conv"),
        (r"^trans_l_with_(\w)", lambda m: f"to_text.{_BY_LETTER[m[1]]}"),
        (r"^trans_(\w)_with_l", lambda m: f"from_text.{_BY_LETTER[m[1]]}"),
        (r"^trans_(\w)_with_(\w)", lambda m: f"enhanced.{_BY_LETTER[m[1]]}_{_BY_LETTER[m[2]]}"),
        (r"(lower|upper)_mha", r"\1"),
        (r"^post_(\w+)_layer_(\d)", lambda m: f"heads.{m[1]}.{_TO_LAYER[m[2]]}"),
    ],
    "almt": _IN_ALMT,
    "tfr_net": [
        (r"^(align|fusion)_subnet\.Model\.", ""),
        *_IN_CROSSMODAL,
        (r"^memories", "own"),
        (r"^proj_(\w)\.", lambda m: f"enter.{_BY_LETTER[m[1]]}.conv."),
        (r"^trans_(\w)_with_(\w)", lambda m: f"crossmodal.{_BY_LETTER[m[1]]}_{_BY_LETTER[m[2]]}"),
        (r"^generator_(\w)\.Model\.linear", lambda m: f"recover.{_BY_LETTER[m[1]]}"),
        (r"^vision_encoder", "video_encoder"),
        (r"^(\w+)_encoder\.gru\.gru", r"gates.\1.rnn"),
        (r"^(\w+)_encoder\.cnn", r"gates.\1.conv"),
        (r"^(\w+)_encoder\.fc", r"gates.\1.linear"),
        (r"^classifier\.linear_trans_norm", "norm"),
        (r"^classifier\.linear_trans_hidden", "hidden"),
        (r"^classifier\.linear_trans_final", "leave"),
        (r"^text_model\.model", "text_encoder.backbone"),
    ],
    "misa": [
        (r"^(\w)rnn(\d)", lambda m: f"encoders.{_BY_LETTER[m[1]]}.rnn.{_RNNS[m[2]]}"),
        (r"^(\w)layer_norm", lambda m: f"encoders.{_BY_LETTER[m[1]]}.rnn.norm"),
        (r"^project_(\w)\.project_\w_layer_norm", lambda m: f"enter.{_BY_LETTER[m[1]]}.2"),
        (r"^project_(\w)\.project_\w", lambda m: f"enter.{_BY_LETTER[m[1]]}.0"),
        (r"^private_(\w)\.\w+", lambda m: f"private.{_BY_LETTER[m[1]]}"),
        (r"^shared\.\w+", "shared"),
        (r"^recon_(\w)\.\w+", lambda m: f"recover.{_BY_LETTER[m[1]]}"),
        (r"^fusion\.fusion_layer_1", "join"),
        (r"^fusion\.fusion_layer_3", "leave"),
        (r"^transformer_encoder\.layers\.0", "transformer"),
    ],
    "mmim": [
        (r"^visual_enc\.linear_1", "encoders.video.network.linear"),
        (r"^acoustic_enc\.linear_1", "encoders.audio.network.linear"),
        (r"^visual_enc", "encoders.video.network"),
        (r"^acoustic_enc", "encoders.audio.network"),
        (r"^mi_(\w)(\w)\.mlp_(\w+)", _name_bound),
        (r"^cpc_z(\w)\.net", lambda m: f"predict.{_BY_LETTER[m[1]]}"),
        (r"^fusion_prj\.linear_1", "first"),
        (r"^fusion_prj\.linear_2", "second"),
        (r"^fusion_prj\.linear_3", "leave"),
    ],
    "bert_mag": [
        (r"^model\.bert\.MAG\.W_h(\w)", lambda m: f"gate.gates.{_BY_LETTER[m[1]]}"),
        (r"^model\.bert\.MAG\.W_(\w)", lambda m: f"gate.shifts.{_BY_LETTER[m[1]]}"),
        (r"^model\.bert\.MAG\.LayerNorm", "gate.norm"),
        (r"^model\.bert\.pooler\.dense", "pool"),
        (r"^model\.classifier", "leave"),
        (r"^model\.bert", "text_encoder.backbone"),
    ],
    "cenet": [
        (r"^bert\.encoder\.CE\.visual_transform", "enhance.sources.video.enter"),
        (r"^bert\.encoder\.CE\.acoustic_transform", "enhance.sources.audio.enter"),
        (r"^bert\.encoder\.CE\.h(\w)\.W(\w)", _name_part),
        (r"^bert\.encoder\.CE\.cat_connect", "enhance.join"),
        (r"^classifier\.dense", "pool"),
        (r"^classifier\.out_proj", "leave"),
        (r"^bert\.", "text_encoder.backbone."),
    ],
}  # fmt: skip
#: Models of whose rules all are applied, not the first that fits.
ALL_RULES = {"mult", "tetfn", "almt", "tfr_net"}
#: Where the states are that a model's text encoder gave; it is not computed again.
STATES = {
    "misa": "mid/bertmodel",
    "mmim": "mid/bertmodel",
    "almt": "mid/bertmodel",
    "tetfn": "mid/text_model",
}
#: Models inside whose text encoder states are changed.
INJECTED = ("bert_mag", "cenet")
#: Models whose text encoder is computed.
WITH_ENCODER = (*INJECTED, "tfr_net")
#: Weights of the programs that nothing uses, or that are constants.
UNUSED = {
    "almt": r"bertmodel\.",
    "mmim": r"bertmodel\.|mi_\w\w\.entropy_prj",
    "misa": r"bertmodel\.|sp_discriminator|tlayer_norm",
    "tfr_net": r"align_subnet\.Model\.trans_\w_final|text_model\.model\.pooler",
    "tetfn": r"text_model\.",
    "cenet": r"bert\.pooler|bert\.embeddings\.(senti|pos_tag|polarity)_embeddings",
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
        if count and name not in ALL_RULES:
            break
    return theirs


def is_used(name, theirs):
    return name not in UNUSED or re.match(UNUSED[name], theirs) is None


def make_text_encoder(golden):
    from transformers import BertConfig, BertModel

    layers = {m[1] for n in golden.weights if (m := re.search(r"encoder\.layer\.(\d+)\.", n))}
    sizes = {**golden.meta["bert"], "num_hidden_layers": len(layers)}
    return TokenEncoder(BertModel(BertConfig(**sizes), add_pooling_layer=False))


def build(name, golden, **changes):
    """Our model with the weights of the golden: all of ours are among them but those we add."""
    kind, _ = MODELS[name]
    text_encoder = make_text_encoder(golden) if name in WITH_ENCODER else None
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


def text_of(golden, prefix, rows):
    name = golden.meta["model"]
    if golden.at["in/text"].dtype.is_floating_point and golden.at["in/text"].shape[1] == 6:
        return series_of(golden, TEXT, prefix, rows)
    rows_of_text = golden.at["in/text"][rows].long()
    mask = rows_of_text[:, 1].bool()
    if name in STATES:
        return PaddedSeries(golden.at[STATES[name]][rows], mask)
    return PaddedSeries(rows_of_text[:, :1].transpose(1, 2), mask)


def make_incomplete(golden):
    """The batch that TFR-Net's program predicts from, some of whose steps were taken away."""
    at = golden.at
    sequences = {
        m: PaddedSeries(at[f"out/incomplete_{m}"].float(), at[f"in/{m}_mask"].bool())
        for m in (AUDIO, VIDEO)
    }
    ids = at["out/incomplete_text"].long()
    text = PaddedSeries(ids[:, :1].transpose(1, 2), ids[:, 1].bool())
    return Batch(index=torch.arange(3), sequences={TEXT: text, **sequences})


def make_batch(golden, *, prefix="in", rows=slice(None)):
    if golden.meta["model"] == "tfr_net":
        return make_incomplete(golden)
    sequences = {m: series_of(golden, m, prefix, rows) for m in (AUDIO, VIDEO)}
    text = text_of(golden, prefix, rows)
    return Batch(index=torch.arange(len(text.mask)), sequences={TEXT: text, **sequences})


def targets_of(golden):
    names = {task: f"label/{letter}" for task, letter in LETTERS.items()}
    labels = {t: golden.at[name].squeeze(-1) for t, name in names.items() if name in golden.at}
    return Targets(labels=labels)


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


def _of_modalities(p, name):
    return {m: p[f"{name}_{m}"] for m in ("text", "audio", "video")}


def _crossmodal(p):
    names = ("model_size", "feed_forward_dropout", "residual_dropout", "embedding_dropout")
    return {
        **_of(p, *names),
        "num_heads": p["heads"],
        "width": _of_modalities(p, "convolution_width"),
        "attention_dropout": _of_modalities(p, "attention_dropout"),
    }


def _tetfn(p):
    series = ("text", "audio", "video")
    return {
        **_crossmodal(p),
        "audio_size": p["audio_recurrent_size"],
        "video_size": p["video_recurrent_size"],
        "fusion_size": p["fusion_head_size"],
        "fusion_dropout": p["fusion_head_dropout"],
        "head_size": {m: p[f"{m}_head_size"] for m in series},
        "head_dropout": {m: p[f"{m}_head_dropout"] for m in series},
    }


def _almt(p):
    longest = p["longest_sequence"]

    def layers(name, num_layers):
        return {
            "num_layers": num_layers,
            "num_heads": p[f"{name}_heads"],
            "head_size": p[f"{name}_head_size"],
            "feed_forward_size": p[f"{name}_feed_forward_size"],
        }

    return {
        **_of(p, "model_size", "dropout"),
        "num_tokens": p["tokens"],
        **{f"longest_{m}": n for m, n in longest.items()},
        "embedding": layers("embedding", p["embedding_layers"]),
        "text_layers": layers("text_encoder", p["text_encoder_layers"]),
        "guided": {
            "num_heads": p["hyper_modality_heads"],
            "head_size": p["hyper_modality_head_size"],
        },
        "fusion": layers("fusion", p["fusion_layers"]),
    }


TRANSLATIONS |= {
    "mult": lambda p: {
        **_crossmodal(p),
        **_of(p, "output_dropout"),
        "num_layers": p["layers"],
        "text_dropout": p["text_input_dropout"],
    },
    "tetfn": _tetfn,
    "almt": _almt,
    "tfr_net": lambda p: {
        **_crossmodal(p),
        **_of(p, "gate_dropout"),
        "num_layers": p["layers"],
        "text_dropout": p["text_input_dropout"],
        "gate_size": {m: p[f"gate_{m}_size"] for m in ("text", "audio", "video")},
        "gate_layers": p["gate_recurrent_layers"],
        "fusion_size": p["classifier_size"],
        "fusion_dropout": p["classifier_dropout"],
        "reconstruction_weight": p["loss_weights_reconstruction"],
        "moment_weight": p["loss_weight_central_moments"],
    },
    "misa": lambda p: {
        **_of(p, "hidden_size", "dropout"),
        "difference_weight": p["loss_weight_difference"],
        "similarity_weight": p["loss_weight_similarity"],
        "reconstruction_weight": p["loss_weight_reconstruction"],
    },
    "mmim": lambda p: {
        **_of(p, "audio_output_size", "video_output_size", "video_audio_bound"),
        "audio_size": p["audio_hidden_size"],
        "video_size": p["video_hidden_size"],
        "num_layers": p["recurrent_layers"],
        "fusion_size": p["fusion_hidden_size"],
        "fusion_dropout": p["dropout_fusion"],
        "bound_weight": p["loss_weight_bounds"],
        "contrast_weight": p["loss_weight_contrast"],
    },
    "bert_mag": lambda p: _of(p, "shift_limit", "dropout"),
    "cenet": lambda _: {},
}
