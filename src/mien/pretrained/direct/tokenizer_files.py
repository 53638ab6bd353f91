"""The files of a tokenizer, and whether this package can put the tokenizer together from them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from mien.errors import AssetError
from mien.files.reading import parse_json, read_limited, require_regular
from mien.pretrained.conversion.bert_folder import BertSizes
from mien.pretrained.direct.encoder_files import read_sizes
from mien.pretrained.direct.mpnet import MpnetSizes

__all__ = ["PARTS", "TokenizerFiles", "read_tokenizer_files"]

_LARGEST_FILE = 500_000_000  # bytes
#: Tokens with a part to play, in the order in which transformers adds them.
PARTS: Final = (
    "bos_token",
    "eos_token",
    "unk_token",
    "sep_token",
    "pad_token",
    "cls_token",
    "mask_token",
)
#: What tokens with a part are called where the files do not say, by the tokenizer's class.
_BERT = {
    "unk_token": "[UNK]",
    "sep_token": "[SEP]",
    "pad_token": "[PAD]",
    "cls_token": "[CLS]",
    "mask_token": "[MASK]",
}
_MPNET = {
    "bos_token": "<s>",
    "eos_token": "</s>",
    "unk_token": "[UNK]",
    "sep_token": "</s>",
    "pad_token": "<pad>",
    "cls_token": "<s>",
    "mask_token": "<mask>",
}
_COMPLETE = "PreTrainedTokenizerFast"
_CLASSES: Mapping[str, Mapping[str, str]] = {
    "BertTokenizer": _BERT,
    "BertTokenizerFast": _BERT,
    "MPNetTokenizer": _MPNET,
    "MPNetTokenizerFast": _MPNET,
    _COMPLETE: {},
}
#: Of what class a tokenizer is that states none, by its encoder's sizes.
_OF_SIZES = {BertSizes: "BertTokenizer", MpnetSizes: "MPNetTokenizer"}
#: Settings of a tokenizer that are taken into account here, or change no token ids.
_KNOWN_SETTINGS = frozenset(
    {
        *PARTS,
        *("added_tokens_decoder", "do_lower_case", "strip_accents", "tokenize_chinese_chars"),
        *("backend", "clean_up_tokenization_spaces", "do_basic_tokenize", "is_local"),
        *("local_files_only", "model_input_names", "model_max_length", "name_or_path"),
        *("never_split", "special_tokens_map_file", "tokenizer_class", "tokenizer_file"),
    }
)


class TokenizerFiles(NamedTuple):
    """What the files of a tokenizer say, of one that is put together here.

    Attributes:
        text: The file ``tokenizer.json``.
        values: What is in it.
        settings: What is in ``tokenizer_config.json``, with its class and its tokens with a part.
    """

    text: str
    values: Mapping[str, Any]
    settings: Mapping[str, Any]

    @property
    def is_complete(self) -> bool:
        """Whether ``tokenizer.json`` is taken as it is, rather than its vocabulary alone."""
        return bool(self.settings["tokenizer_class"] == _COMPLETE)

    @property
    def marks_twice(self) -> bool:
        """Whether two marks are put between a text and a second one, as RoBERTa has it."""
        return self.default_parts is _MPNET

    @property
    def default_parts(self) -> Mapping[str, str]:
        """What tokens with a part are called where the files do not say."""
        return _CLASSES[self.settings["tokenizer_class"]]


def read_tokenizer_files(source: Path | str) -> TokenizerFiles | None:
    """Read a tokenizer's files; None if transformers must put it together."""
    if isinstance(source, Path) and source.is_dir():
        require_regular(source, AssetError)
    if isinstance(source, str) or (sizes := read_sizes(source)) is None:
        return None
    try:
        text = read_limited(source / "tokenizer.json", AssetError, most=_LARGEST_FILE)
        values = parse_json(text, source, AssetError)
        stated = _read_object(source / "tokenizer_config.json")
        marks = source / "special_tokens_map.json"
        named = _read_object(marks) if marks.exists() else {}
    except AssetError:
        return None  # transformers reports what is wrong, or makes do without the file
    settings = {"tokenizer_class": _OF_SIZES[type(sizes)], **stated}
    if _CLASSES.get(settings["tokenizer_class"]) is _MPNET:
        named = {name: _name_of(token) for name, token in named.items()}
    is_known = (
        isinstance(values, dict)
        and settings["tokenizer_class"] in _CLASSES
        and settings.get("backend", "tokenizers") == "tokenizers"
        and settings.get("never_split") is None
        and set(settings) <= _KNOWN_SETTINGS
        and not (source / "added_tokens.json").exists()
        and ("added_tokens_decoder" in settings or _are_parts(named))
        and (
            settings["tokenizer_class"] == _COMPLETE
            or values.get("model", {}).get("type") == "WordPiece"
        )
    )
    if not is_known or not _are_parts({name: settings.get(name) for name in PARTS}):
        return None
    if "added_tokens_decoder" not in settings:
        settings = {**settings, **named}
    return TokenizerFiles(text, values, settings)


def _read_object(path: Path) -> Mapping[str, Any]:
    values = parse_json(read_limited(path, AssetError, most=_LARGEST_FILE), path, AssetError)
    if not isinstance(values, dict):
        raise AssetError(f"{path}: is not a JSON object")
    return values


def _are_parts(named: Mapping[str, Any]) -> bool:
    """Return whether all are tokens with a part, as plain text."""
    return set(named) <= set(PARTS) and all(
        value is None or isinstance(value, str) for value in named.values()
    )


def _name_of(token: object) -> object:
    """Return a token as plain text; how it takes in spaces is in ``tokenizer.json`` as well."""
    return token.get("content") if isinstance(token, dict) else token
