"""Makers of what tests need: clips, batches, models, label generators, stores, a text encoder."""

import contextlib
import importlib
import json
import os
import signal
import sys
from collections.abc import Mapping
from html import escape
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch

from mien.data.dataset import make_dataset
from mien.data.store_writer import write_store
from mien.labels import GENERATORS, build_labels
from mien.labels.generator import Evidence, LabelInputs
from mien.models import MODELS, build_model
from mien.models.multitask import ModelInputs
from mien.tensors import Batch, Output, Targets, pad
from mien.training.settings import ExperimentConfig
from mien.types import Clip, Corpus, Material, Modality, Scale, SeriesSource, Task

TEXT, AUDIO, VIDEO = Modality
SIZES = {TEXT: 6, AUDIO: 4, VIDEO: 5}
SCALE = Scale(-3, 3)
STATE_SIZES = {Task.FUSION: 7, Task.TEXT: 6, Task.AUDIO: 4, Task.VIDEO: 5}

#: Sizes so small that a test of a whole model takes milliseconds.
TINY = {
    "lstm_size": {"audio": 5, "video": 6},
    "output_size": {"audio": 4, "video": 5},
    "state_size": {"fusion": 12, "text": 8, "audio": 8, "video": 8},
    "fusion_size": 6,
}

#: Three layers with ReLUs in a row are dead in places if they are narrower.
_TINY_AVERAGED = {"hidden_size": {"text": 8, "audio": 16, "video": 17}}
_TINY_FUSED = {**_TINY_AVERAGED, "text_output_size": 4, "fusion_size": 16}
_TINY_ATTENDING = {"num_layers": 1, "num_heads": 2, "head_size": 3, "feed_forward_size": 8}
_TINY_LAYERS = {"hidden_size": 5}
_TINY_MEMORY = {
    "hidden_size": {"text": 4, "audio": 5, "video": 3},
    "memory_size": 4,
    **dict.fromkeys(("candidate", "keep_gate", "write_gate", "output"), _TINY_LAYERS),
}
#: Settings of tiny models that are made of other parts.
TINY_OF = {
    "ridge": {},
    "trees": {"rounds": 8, "depths": (2,)},
    "ef_lstm": {"hidden_size": 8, "padded_steps": 6},
    "lf_dnn": _TINY_FUSED,
    "tfn": _TINY_FUSED,
    "lmf": _TINY_AVERAGED,
    "mlf_dnn": _TINY_FUSED,
    "mtfn": _TINY_FUSED,
    "mlmf": _TINY_AVERAGED,
    "mfn": {**_TINY_MEMORY, "attention": _TINY_LAYERS},
    "graph_mfn": {**_TINY_MEMORY, "node_size": 5, "node_hidden_size": 6},
    "mult": {"model_size": 4, "num_heads": 2, "num_layers": 1},
    "tetfn": {
        "model_size": 4,
        "num_heads": 2,
        "audio_size": 4,
        "video_size": 5,
        "fusion_size": 12,
        "head_size": {"text": 8, "audio": 9, "video": 10},
    },
    "almt": {
        "model_size": 8,
        "num_tokens": 2,
        "longest_text": 4,
        "longest_audio": 5,
        "longest_video": 6,
        **dict.fromkeys(("embedding", "fusion"), _TINY_ATTENDING),
        "text_layers": {**_TINY_ATTENDING, "num_layers": 1},
        "guided": {"num_heads": 2, "head_size": 3},
    },
    "tfr_net": {
        "model_size": 4,
        "num_heads": 2,
        "num_layers": 1,
        "missing_share": 0.0,
        "gate_size": {"text": 4, "audio": 5, "video": 6},
        "fusion_size": 8,
    },
    "misa": {"hidden_size": 6, "transformer_dropout": 0.0},
    "mmim": {
        "audio_size": 3,
        "video_size": 4,
        "fusion_size": 8,
        "audio_output_size": 5,
        "video_output_size": 6,
        "video_audio_bound": True,
    },
    "bert_mag": {},
    "cenet": {"dropout": 0.0},
}

#: Words of the tiny text encoder, after the five special tokens.
WORDS = [
    "the",
    "a",
    "an",
    "it",
    "is",
    "was",
    "not",
    "very",
    "so",
    "and",
    "but",
    "good",
    "bad",
    "fine",
    "poor",
    "great",
    "awful",
    "film",
    "book",
    "song",
    "play",
    "story",
    "actor",
    "end",
    "start",
    "plot",
    "i",
    "we",
    "you",
    "they",
    "like",
    "love",
    "hate",
    "saw",
    "read",
    "heard",
    "think",
    "feel",
    "never",
    "always",
    "really",
    "quite",
    "##s",
    "##ed",
    "##ing",
    "##er",
    ".",
    ",",
    "!",
    "?",
]


def generator(seed):
    return torch.Generator().manual_seed(seed)


def make_clip(seed, length=3, *, sizes=SIZES, **lengths):
    """A clip's series: ``length`` steps each, or as said by a modality's name; 0 is missing."""
    drawn = generator(seed)
    return {
        m: torch.randn(lengths.get(m, length), size, generator=drawn) for m, size in sizes.items()
    }


def make_states(seed, lengths, size=3):
    """Padded states of clips of the given lengths, as a sequence."""
    drawn = generator(seed)
    return pad([torch.randn(length, size, generator=drawn) for length in lengths])


def make_batch(*clips, index=None):
    """A padded batch of clips that ``make_clip`` made."""
    rows = torch.arange(len(clips)) if index is None else torch.as_tensor(index)
    return Batch(index=rows, sequences={m: pad([clip[m] for clip in clips]) for m in clips[0]})


def make_model(
    name="tam_ulag",
    *,
    seed=1,
    sizes=SIZES,
    text_encoder=None,
    summary="cls",
    targets=(),
    has_sentiment=True,
    **settings,
):
    """A tiny model with random weights; ``settings`` go to its config."""
    kind, _ = MODELS[name]
    tiny = TINY_OF.get(name, TINY)
    torch.manual_seed(seed)
    inputs = ModelInputs(
        sizes=sizes,
        text_encoder=text_encoder,
        summary=summary,
        targets=targets,
        has_sentiment=has_sentiment,
    )
    return build_model(kind(**{**tiny, **settings}), inputs)


def open_up(model, seed=1):
    """Draw weights that are not small, so that a wrong term of a formula cannot hide."""
    torch.manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.5)
    return model


def make_output(seed, num_clips, *, sizes=STATE_SIZES, present=None, requires_grad=False):
    """What a model might return for ``num_clips`` clips; states are at least 0, as real ones."""
    drawn = generator(seed)
    states = {t: torch.rand(num_clips, n, generator=drawn) for t, n in sizes.items()}
    scores = {t: torch.randn(num_clips, generator=drawn) for t in sizes}
    for tensor in (*states.values(), *scores.values()):
        tensor.requires_grad_(requires_grad)
    has = {Modality(t): torch.ones(num_clips, dtype=torch.bool) for t in sizes if t != "fusion"}
    return Output(scores=scores, states=states, attention={}, present={**has, **(present or {})})


def make_annotation(seed, num_clips):
    """Labels in thirds from -3 to 3, as MOSI has them; 0 among them."""
    return torch.randint(-9, 10, (num_clips,), generator=generator(seed)) / 3


def make_targets(annotated):
    return Targets(labels={Task.FUSION: annotated})


def make_generator(name, annotated, *, sizes=STATE_SIZES, seed=1, unimodal=None, **settings):
    """A label generator for clips with the given annotation."""
    labels = {Task.FUSION: annotated}
    if GENERATORS[name].labels.needs_unimodal:
        labels |= {t: -annotated for t in sizes if t is not Task.FUSION}
    labels |= unimodal or {}
    torch.manual_seed(seed)
    modalities = [Modality(t) for t in sizes if t is not Task.FUSION]
    evidence = make_evidence(modalities, len(annotated))
    inputs = LabelInputs(labels=labels, scale=SCALE, state_sizes=sizes, evidence=evidence)
    return build_labels(make_labels_config(name, **settings), inputs)


def make_labels_config(name, **settings):
    """Small settings of a label generator; those that it does not have are left out."""
    kind = GENERATORS[name].config
    given = {"expert_size": 4, "folds": 3, **settings}
    return kind(**{key: value for key, value in given.items() if key in kind.model_fields})


def make_evidence(modalities, num_clips, seed=9):
    """What judges might say of each modality of clips that they have not seen."""
    random = torch.Generator().manual_seed(seed)
    scores = {m: 2 * torch.randn(num_clips, generator=random) for m in modalities}
    return Evidence(scores=scores, weights={m: 1 / len(scores) for m in scores})


def make_series(arrays):
    from mien.data.store import Series

    offsets = np.concatenate([[0], np.cumsum([len(a) for a in arrays])]).astype(np.int64)
    return Series(np.concatenate(arrays), offsets)


def make_split(labels, arrays: Mapping[Modality, list], split="train"):
    """A dataset straight from arrays, without a store."""
    clips = tuple(
        Clip(id=f"v{i}$_${i}", split=split, transcript="", labels={Task.FUSION: float(label)})
        for i, label in enumerate(labels)
    )
    series = {m: make_series(one) for m, one in arrays.items()}
    return make_dataset(clips, np.arange(len(clips)), series, {})


def make_material(
    *, seed=1, num_clips=(20, 8, 8), missing=0.1, unimodal=True, name="tiny", video_prefix="v"
):
    """Clips whose labels can be told from their series, three to a video; videos keep to a split.

    A share ``missing`` of the series is left out. ``name`` is the name of the corpus.
    """
    random = np.random.default_rng(seed)
    clips, arrays = [], {"text": [], "audio": [], "video": []}
    for split, num in zip(("train", "valid", "test"), num_clips, strict=True):
        for number in range(num):
            label = float(random.integers(-9, 10) / 3)
            labels = {Task.FUSION: label}
            for modality in Modality:
                own = float(np.clip(label + random.integers(-3, 4) / 3, -3, 3))
                if unimodal:
                    labels[Task(modality)] = own
                steps = 0 if random.random() < missing else int(random.integers(1, 7))
                values = random.normal(size=(steps, SIZES[modality])).astype(np.float32)
                values[:, 0] += own
                arrays[modality].append(values)
            words = " ".join(random.choice(WORDS[:40], size=int(random.integers(1, 8))))
            clips.append(
                Clip(
                    id=f"{video_prefix}-{split}-{number // 3}$_${number}",
                    split=split,
                    transcript=words,
                    labels=labels,
                )
            )
    sources = tuple(
        SeriesSource(
            name=series, size=SIZES[series], dtype="float32", extractor="made/1",
            read=lambda one=one: iter(one),
        )
        for series, one in arrays.items()
    )  # fmt: skip
    corpus = Corpus(name=name, language="en", scale=SCALE, clips=tuple(clips), is_synthetic=True)
    return Material(corpus=corpus, series=sources, origin={"made": "by a test"})


def write_tiny_store(path, **options):
    return write_store(make_material(**options), path)


def make_config(**sections):
    """Settings of a run of two short epochs on a tiny store; sections override single settings."""
    train = {
        "seeds": [1],
        "epochs": 2,
        "batch_size": 4,
        "accumulate": 2,
        "device": "cpu",
        **sections.pop("train", {}),
    }
    model = {"name": "tam_ulag", **sections.pop("model", {})}
    model = {**TINY_OF.get(model["name"], TINY), **model}
    labels = {"generator": "ulag", **sections.pop("labels", {})}
    if labels["generator"] == "ulag":
        labels = {"expert_size": 4, "folds": 2, **labels}
    text = {"input": "embeddings", **sections.pop("text_encoder", {})}
    return ExperimentConfig(
        **{"train": train, "model": model, "labels": labels, "text_encoder": text, **sections}
    )


def write_tiny_bert(folder, *, seed=1, num_layers=2, vocabulary=None):
    """Write a random BERT in Hugging Face's layout, with a WordPiece tokenizer."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
    from transformers import BertConfig, BertModel

    folder = Path(folder)
    words = vocabulary or ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]
    torch.manual_seed(seed)
    config = BertConfig(
        vocab_size=len(words),
        hidden_size=16,
        num_hidden_layers=num_layers,
        num_attention_heads=2,
        intermediate_size=24,
        max_position_embeddings=40,
        initializer_range=0.5,
    )
    BertModel(config).save_pretrained(folder)
    tokenizer = Tokenizer(
        models.WordPiece({word: i for i, word in enumerate(words)}, unk_token=words[1])
    )
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {
        "tokenizer_class": "BertTokenizer",
        "do_lower_case": True,
        "unk_token": "[UNK]",
        "sep_token": "[SEP]",
        "pad_token": "[PAD]",
        "cls_token": "[CLS]",
        "mask_token": "[MASK]",
        "model_max_length": 40,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")
    (folder / "vocab.txt").write_text("\n".join(words) + "\n", encoding="utf-8")
    return folder


def live(labels, epochs, *, seed=1, batch_size=6, sizes=STATE_SIZES, present=None):
    """Let a label generator see ``epochs`` epochs of made states; give what it generated last.

    Args:
        labels: The generator.
        epochs: Numbers of the epochs.
        present: Whether each train clip has each modality, if not all have.

    Returns:
        For every batch of the last epoch its rows, the model's output and what was generated.
    """
    num_clips, result = len(labels.annotated), []
    for epoch in epochs:
        result = []
        order = torch.randperm(num_clips, generator=generator(100 * seed + epoch))
        for number, index in enumerate(order.split(batch_size)):
            has = {m: p[index] for m, p in (present or {}).items()}
            made = make_output(
                10_000 * seed + 100 * epoch + number, len(index), sizes=sizes, present=has
            )
            result.append((index, made, labels.generate(made, index, epoch)))
            labels.observe(made, index, epoch)
        labels.finish_epoch(epoch)
    return result


@contextlib.contextmanager
def limit_files(size):
    """Refuse files of more than ``size`` bytes, as a full disk would; for POSIX."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def die():
    """End this process as ``kill -9`` does."""
    os.kill(os.getpid(), signal.SIGKILL)


def killed(action):
    """Do something in a process of its own that ``die`` ends; say whether it did."""
    child = os.fork()
    if child == 0:
        with contextlib.suppress(BaseException):
            action()
        os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL


def outline(figure, kind):
    """Return a file of the kind with no more of a figure than its title."""
    title = figure.get_suptitle()
    match kind:
        case "svg":
            return f'<svg xmlns="http://www.w3.org/2000/svg"><title>{escape(title)}</title></svg>'.encode()
        case "pdf":
            return b"%PDF-1.4\n% " + title.encode("ascii", "replace")
    return b"\x89PNG\r\n\x1a\n" + title.encode()


@contextlib.contextmanager
def recipe_modules(folder, names):
    """The modules of a recipe in the block, which import each other by bare names."""
    sys.path.insert(0, str(folder))
    try:
        yield SimpleNamespace(**{name: importlib.import_module(name) for name in names})
    finally:
        sys.path.remove(str(folder))
        for name in names:
            sys.modules.pop(name, None)
