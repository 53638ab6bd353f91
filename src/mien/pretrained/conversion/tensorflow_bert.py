"""BERT checkpoints as Google published them to a folder in Hugging Face's layout.

CKPT/
    bert_config.json                          sizes
    bert_model.ckpt.index                     names, shapes and places of the weights
    bert_model.ckpt.data-00000-of-00001       the weights
    vocab.txt                                 one word piece a line
"""

import logging
import re
import shutil
from collections import Counter
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Float
from pydantic import ValidationError

from mien.errors import AssetError
from mien.files.reading import open_regular, parse_json
from mien.pretrained.conversion.bert_folder import (
    BertSizes,
    staged_folder,
    weight_shapes,
    write_bert,
    write_tokenizer,
)
from mien.pretrained.conversion.tensor_bundle import TensorBundle

__all__ = ["Casing", "convert_tensorflow_bert", "read_sizes"]

logger = logging.getLogger(__name__)

Casing = Literal["cased", "uncased"]

#: What the names of published folders say about casing; the first that occurs decides.
_CASINGS: dict[str, Casing] = {
    "uncased": "uncased",
    "cased": "cased",
    "chinese": "uncased",
    "multilingual": "uncased",
}
_SPECIAL = {
    "pad_token": "[PAD]",
    "unk_token": "[UNK]",
    "cls_token": "[CLS]",
    "sep_token": "[SEP]",
    "mask_token": "[MASK]",
}
_LARGEST = 1 << 26  # bytes of the sizes, and of the word pieces
_NOT_NEEDED = re.compile(r"(^|/)(adam_[mv]|adamw?|lamb_[mv]|global_step|bad_steps|loss_scale.*)$")


def convert_tensorflow_bert(
    checkpoint: str | Path, out: str | Path, *, casing: Casing | None = None
) -> Path:
    """Convert a TensorFlow-1 checkpoint of BERT.

    Weights for pretraining and the state of the optimiser are left out; how many is logged. All
    checksums of the checkpoint are compared.

    Args:
        checkpoint: Its folder, with the names that Google gave the files.
        out: Folder to make.
        casing: Whether the model tells capital letters apart. If it is not given, it is read off
            the folder's name, as in ``uncased_L-12_H-768_A-12`` or ``chinese_L-12_H-768_A-12``.

    Raises:
        AssetError: If a file is missing or damaged, the weights are not those that
            ``bert_config.json`` speaks of, the casing is unknown, or ``out`` exists.
    """
    checkpoint, out = Path(checkpoint), Path(out)
    casing = casing or _casing_of(checkpoint)
    sizes = read_sizes(checkpoint / "bert_config.json")
    pieces = _read_vocabulary(checkpoint / "vocab.txt", sizes)
    bundle = TensorBundle(checkpoint / "bert_model.ckpt")
    sizes = sizes.model_copy(update={"pad_token_id": pieces[_SPECIAL["pad_token"]]})
    shapes = weight_shapes(sizes, pooler="with")
    _check_variables(bundle, shapes)
    with staged_folder(out) as folder:
        write_bert(folder, sizes, shapes, lambda name: _read_weight(bundle, name))
        shutil.copyfile(checkpoint / "vocab.txt", folder / "vocab.txt")
        write_tokenizer(
            folder,
            _describe_tokenizer(pieces, casing),
            _describe_use(sizes.max_position_embeddings, casing),
        )
    logger.info("converted %s to %s (%s)", checkpoint, out, casing)
    return out


def _casing_of(checkpoint: Path) -> Casing:
    name = checkpoint.resolve().name.lower()
    for word, casing in _CASINGS.items():
        if word in name:
            return casing
    raise AssetError(
        f"{checkpoint}: its name does not show whether the model is cased or uncased; "
        "give the casing"
    )


def read_sizes(path: Path) -> BertSizes:
    """Read ``bert_config.json``.

    Raises:
        AssetError: If it cannot be read, or lacks something or holds what no such model has.
    """
    try:
        return BertSizes.model_validate(parse_json(_read(path), path, AssetError))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise AssetError(f"{path}: {where} {first['msg']}".replace("Value error, ", "")) from error


def _read_vocabulary(path: Path, sizes: BertSizes) -> dict[str, int]:
    """Return the word pieces with their ids, which are the numbers of their lines."""
    lines = _read(path).removesuffix("\n").split("\n")
    if len(lines) != sizes.vocab_size:
        raise AssetError(
            f"{path}: has {len(lines)} lines, bert_config.json says vocab_size {sizes.vocab_size}"
        )
    pieces = {line.strip(): number for number, line in enumerate(lines)}
    if missing := [token for token in _SPECIAL.values() if token not in pieces]:
        raise AssetError(f"{path}: has no line {missing[0]!r}; it is not a vocabulary of BERT")
    return pieces


def _read(path: Path) -> str:
    try:
        with open_regular(path, AssetError) as file:
            return file.read(_LARGEST).decode()  # a byte order mark would be of the first piece
    except UnicodeDecodeError as error:
        raise AssetError(f"{path}: is not UTF-8: {error}") from error
    except (AssetError, OSError) as error:
        raise AssetError(
            f"{error}; a checkpoint is a folder with bert_config.json, bert_model.ckpt.index, "
            "bert_model.ckpt.data-00000-of-00001 and vocab.txt"
        ) from error


def _check_variables(bundle: TensorBundle, shapes: dict[str, tuple[int, ...]]) -> None:
    """Compare names and shapes with those that are needed, and log what is left out."""
    needed = {_variable_name(name): (name, shape) for name, shape in shapes.items()}
    for variable, (name, shape) in needed.items():
        if variable not in bundle.variables:
            raise AssetError(
                f"{bundle.prefix}: has no variable {variable!r}, which a BERT of the sizes in "
                "bert_config.json has"
            )
        wanted = shape[::-1] if _is_transposed(name) else shape
        if (actual := bundle.variables[variable].shape) != wanted:
            raise AssetError(
                f"{bundle.prefix}: variable {variable!r} has shape {actual}, "
                f"bert_config.json says {wanted}"
            )
    rest = [v for v in bundle.variables if v not in needed]
    unknown = [v for v in rest if v.startswith("bert/") and not _NOT_NEEDED.search(v)]
    if unknown:
        raise AssetError(
            f"{bundle.prefix}: has {len(unknown)} variables that bert_config.json does not account "
            f"for, {unknown[0]!r} among them"
        )
    if rest:
        kinds = Counter("optimiser" if _NOT_NEEDED.search(v) else v.split("/")[0] for v in rest)
        counts = ", ".join(f"{number} of {kind}" for kind, number in sorted(kinds.items()))
        logger.info("left out %d variables: %s", len(rest), counts)


def _read_weight(bundle: TensorBundle, name: str) -> Float[np.ndarray, "..."]:
    values = bundle.read(_variable_name(name)).astype(np.float32, copy=False)
    if not np.isfinite(values).all():
        raise AssetError(f"{bundle.prefix}: variable {_variable_name(name)!r} is not finite")
    return values.T if _is_transposed(name) else values


def _is_transposed(name: str) -> bool:
    """Return whether TensorFlow holds a weight as (input, output), and PyTorch the other way."""
    return _variable_name(name).endswith("/kernel")


def _variable_name(name: str) -> str:
    """Return what TensorFlow calls a weight.

    >>> _variable_name("encoder.layer.0.attention.self.query.weight")
    'bert/encoder/layer_0/attention/self/query/kernel'
    >>> _variable_name("embeddings.LayerNorm.bias")
    'bert/embeddings/LayerNorm/beta'
    """
    part, _, kind = name.rpartition(".")
    part = "bert/" + re.sub(r"\blayer\.", "layer_", part).replace(".", "/")
    if part.endswith("_embeddings"):
        return part
    if part.endswith("LayerNorm"):
        return f"{part}/{'gamma' if kind == 'weight' else 'beta'}"
    return f"{part}/{'kernel' if kind == 'weight' else 'bias'}"


def _describe_tokenizer(pieces: dict[str, int], casing: Casing) -> dict[str, Any]:
    """Return BERT's tokenizer as the tokenizers library writes it down."""
    return {
        "added_tokens": [
            {
                "id": pieces[token],
                "content": token,
                "single_word": False,
                "lstrip": False,
                "rstrip": False,
                "normalized": False,
                "special": True,
            }
            for token in sorted(_SPECIAL.values(), key=pieces.__getitem__)
        ],
        "normalizer": {
            "type": "BertNormalizer",
            "clean_text": True,
            "handle_chinese_chars": True,
            "strip_accents": None,
            "lowercase": casing == "uncased",
        },
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": _describe_frame(pieces),
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True},
        "model": {
            "type": "WordPiece",
            "unk_token": _SPECIAL["unk_token"],
            "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 200,
            "vocab": pieces,
        },
    }


def _describe_frame(pieces: dict[str, int]) -> dict[str, Any]:
    """Return ``[CLS] A [SEP]``, or ``[CLS] A [SEP] B [SEP]`` for two texts."""
    start, end = _SPECIAL["cls_token"], _SPECIAL["sep_token"]

    def piece(kind: str, name: str, segment: int) -> dict[str, Any]:
        return {kind: {"id": name, "type_id": segment}}

    single = [
        piece("SpecialToken", start, 0),
        piece("Sequence", "A", 0),
        piece("SpecialToken", end, 0),
    ]
    second = [piece("Sequence", "B", 1), piece("SpecialToken", end, 1)]
    return {
        "type": "TemplateProcessing",
        "single": single,
        "pair": single + second,
        "special_tokens": {
            token: {"id": token, "ids": [pieces[token]], "tokens": [token]}
            for token in (start, end)
        },
    }


def _describe_use(longest: int, casing: Casing) -> dict[str, Any]:
    return _SPECIAL | {
        "tokenizer_class": "BertTokenizer",
        "do_lower_case": casing == "uncased",
        "tokenize_chinese_chars": True,
        "strip_accents": None,
        "model_max_length": longest,
    }
