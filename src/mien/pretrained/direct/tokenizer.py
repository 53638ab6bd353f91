"""Tokenizers of text encoders: by the package ``tokenizers``, read by this package where it can.

A folder's tokenizer is read here if its encoder is (``encoder_files``) and the tokenizer is BERT's
or MPNet's WordPiece, or ``tokenizer.json`` is all of it; all others are made by transformers, which
takes seconds to import. Token ids are the same: it is put together here as transformers does.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast

from tokenizers import (
    AddedToken,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
)

from mien.errors import AssetError
from mien.pretrained.direct.tokenizer_files import PARTS, TokenizerFiles, read_tokenizer_files
from mien.pretrained.transformers_models import cannot_load, load_part

__all__ = ["TextTokenizer", "TokenizedPart", "load_tokenizer"]

#: Longest text of a tokenizer that states none.
_NO_LIMIT = int(1e30)


class TokenizedPart(NamedTuple):
    """A text, or as much of it as fits, in tokens.

    Attributes:
        ids: Token ids.
        tokens: The tokens.
        spans: Characters of the text that each covers; none for marks.
    """

    ids: list[int]
    tokens: list[str]
    spans: list[tuple[int, int]]


class TextTokenizer:
    """Texts to token ids, with the marks that an encoder expects around them.

    Args:
        backend: Tokenizer of the package ``tokenizers``.
        special_ids: Ids of tokens that are no text.
        max_length: Most tokens that the encoder was made for.
    """

    def __init__(self, backend: Tokenizer, special_ids: frozenset[int], max_length: int) -> None:
        self._backend = backend
        self._backend.no_padding()
        self.special_ids = special_ids
        self.max_length = max_length

    def encode(self, texts: Sequence[str], most: int | None = None) -> list[list[int]]:
        """Return the token ids of each text, cut to ``most``; None cuts nothing."""
        self._limit(most)
        return [encoding.ids for encoding in self._backend.encode_batch(list(texts))]

    def encode_bare(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the token ids of each text, uncut, without the marks around it."""
        self._limit(None)
        encoded = self._backend.encode_batch(list(texts), add_special_tokens=False)
        return [encoding.ids for encoding in encoded]

    def segment_marks(self) -> tuple[list[int], list[int], int]:
        """Return the marks that follow one text if there is a second: before and after the second.

        Returns:
            Both, and the type of the second text's tokens.

        Raises:
            AssetError: If a text that is followed by another is not marked as one alone is.
        """
        self._limit(None)
        alone, pair = self._backend.encode("a").ids, self._backend.encode("a", "a")
        of_second = [step for step, number in enumerate(pair.sequence_ids) if number == 1]
        if not of_second or pair.ids[: len(alone)] != alone or of_second[0] < len(alone):
            raise AssetError(
                "this text encoder reads no second text behind the first one; set "
                "text_encoder.context and context_after to 0, or choose another encoder"
            )
        first, last = of_second[0], of_second[-1] + 1
        return pair.ids[len(alone) : first], pair.ids[last:], pair.type_ids[first]

    def split(self, text: str, most: int) -> list[TokenizedPart]:
        """Return a text in tokens, cut to ``most``; what is cut off follows in further parts."""
        self._limit(most)
        first = self._backend.encode(text)
        return [
            TokenizedPart(encoding.ids, encoding.tokens, encoding.offsets)
            for encoding in (first, *first.overflowing)
        ]

    def encode_words(self, words: Sequence[str], most: int) -> tuple[list[int], list[int | None]]:
        """Return the token ids of a text given in words, and the number of each token's word."""
        self._limit(most)
        encoding = self._backend.encode(list(words), is_pretokenized=True)
        return encoding.ids, encoding.word_ids

    @property
    def marks(self) -> tuple[int, ...]:
        """Ids of the tokens that it puts around a text."""
        return tuple(self.encode([""])[0])

    def vocabulary(self) -> dict[str, int]:
        """Return the id of every token."""
        return dict(self._backend.get_vocab())

    def to_json(self, most: int) -> str:
        """Return it in the form that the package ``tokenizers`` reads; it cuts to ``most``."""
        copy = Tokenizer.from_str(self._backend.to_str())
        copy.no_padding()
        copy.enable_truncation(most)
        return copy.to_str()

    def _limit(self, most: int | None) -> None:
        if most is None:
            self._backend.no_truncation()
        else:
            self._backend.enable_truncation(most)


class SlowTokenizer(TextTokenizer):
    """A tokenizer of transformers that is not one of the package ``tokenizers``.

    It gives token ids alone.

    Args:
        tokenizer: The tokenizer.
        name: Name of the encoder, for errors.
    """

    def __init__(self, tokenizer: Any, name: str) -> None:  # noqa: ANN401  # has no types
        self._tokenizer = tokenizer
        self._name = name
        self.special_ids = frozenset(tokenizer.all_special_ids)
        self.max_length = int(tokenizer.model_max_length)

    def encode(self, texts: Sequence[str], most: int | None = None) -> list[list[int]]:
        """Return the token ids of each text, cut to ``most``; None cuts nothing."""
        options: dict[str, Any] = {"truncation": False, "verbose": False}
        if most is not None:
            options = {"truncation": True, "max_length": most}
        encoded = self._tokenizer(list(texts), padding=False, **options)
        return cast("list[list[int]]", encoded["input_ids"])

    def encode_bare(self, texts: Sequence[str]) -> list[list[int]]:  # noqa: ARG002
        """Refuse: how it joins two texts is not known."""
        raise self._refusal()

    def segment_marks(self) -> tuple[list[int], list[int], int]:
        """Refuse: how it joins two texts is not known."""
        raise self._refusal()

    def split(self, text: str, most: int) -> list[TokenizedPart]:  # noqa: ARG002
        """Refuse: which characters a token covers is not known."""
        raise self._refusal()

    def encode_words(
        self,
        words: Sequence[str],  # noqa: ARG002
        most: int,  # noqa: ARG002
    ) -> tuple[list[int], list[int | None]]:
        """Refuse: which word a token belongs to is not known."""
        raise self._refusal()

    def vocabulary(self) -> dict[str, int]:
        """Return the id of every token."""
        return dict(self._tokenizer.get_vocab())

    def to_json(self, most: int) -> str:  # noqa: ARG002
        """Refuse: it has no such form."""
        raise self._refusal()

    def _refusal(self) -> AssetError:
        return AssetError(
            f"text encoder {self._name!r}: its tokenizer is not one of the package "
            "'tokenizers'; give an encoder whose folder has a tokenizer.json"
        )


def load_tokenizer(source: Path | str) -> TextTokenizer:
    """Load the tokenizer of a text encoder.

    Args:
        source: Its folder, or its name on a hub.

    Raises:
        AssetError: If it cannot be loaded, or has no vocabulary.
    """
    files = read_tokenizer_files(source)
    if files is None:
        return _load_by_transformers(source)
    try:
        return _assemble(files)
    except Exception as error:  # the package tokenizers has no other class
        raise cannot_load(source, "text encoder", str(error).splitlines()[0]) from error


def _load_by_transformers(source: Path | str) -> TextTokenizer:
    tokenizer = load_part(source, "AutoTokenizer", "text encoder")
    if len(tokenizer) <= len(tokenizer.all_special_tokens):  # made up where its files are missing
        raise cannot_load(source, "text encoder", "its tokenizer has no vocabulary")
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        return SlowTokenizer(tokenizer, str(source))
    return TextTokenizer(
        backend, frozenset(tokenizer.all_special_ids), int(tokenizer.model_max_length)
    )


def _assemble(files: TokenizerFiles) -> TextTokenizer:
    """Put a tokenizer together as transformers does."""
    settings, is_complete = files.settings, files.is_complete
    parts = {name: settings.get(name, files.default_parts.get(name)) for name in PARTS}
    tokens = [token for token in parts.values() if token is not None]
    backend = Tokenizer.from_str(files.text) if is_complete else _make_wordpiece(files, parts)
    _add_tokens(backend, files, tokens)
    if not is_complete:
        surround = _surround_twice if files.marks_twice else _surround
        backend.post_processor = surround(backend, parts["cls_token"], parts["sep_token"])
    special_ids = frozenset(map(cast("Callable[[str], int]", backend.token_to_id), tokens))
    if backend.get_vocab_size() <= len(special_ids):
        raise ValueError("its tokenizer has no vocabulary")
    return TextTokenizer(backend, special_ids, int(settings.get("model_max_length", _NO_LIMIT)))


def _make_wordpiece(files: TokenizerFiles, parts: Mapping[str, str | None]) -> Tokenizer:
    settings = files.settings
    model = models.WordPiece(files.values["model"]["vocab"], unk_token=parts["unk_token"])
    backend = Tokenizer(model)
    backend.normalizer = normalizers.BertNormalizer(
        clean_text=True,
        handle_chinese_chars=settings.get("tokenize_chinese_chars", True),
        strip_accents=settings.get("strip_accents"),
        lowercase=settings.get("do_lower_case", True),
    )
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.decoder = decoders.WordPiece(prefix="##")
    return backend


def _add_tokens(backend: Tokenizer, files: TokenizerFiles, parts: Sequence[str]) -> None:
    """Add the tokens that are never cut: those of the files, then those with a part."""
    stated = files.settings.get("added_tokens_decoder")
    if stated is None:
        listed = [dict(token) for token in files.values.get("added_tokens", ())]
        stated = {token.pop("id"): token for token in listed}
    added = [AddedToken(**token) for _, token in sorted(stated.items(), key=lambda t: int(t[0]))]
    known = {token.content for token in added}
    known |= {token.content for token in backend.get_added_tokens_decoder().values()}
    for token in added:
        token.special = token.special or token.content in parts
    added += [AddedToken(t, special=True) for t in dict.fromkeys(parts) if t not in known]
    backend.add_tokens(added)


def _surround(
    backend: Tokenizer, first: str | None, last: str | None
) -> processors.TemplateProcessing:
    """Return what puts marks around a text."""
    if first is None or last is None:
        raise _no_marks()
    return processors.TemplateProcessing(
        single=f"{first}:0 $A:0 {last}:0",
        pair=f"{first}:0 $A:0 {last}:0 $B:1 {last}:1",
        special_tokens=[(first, backend.token_to_id(first)), (last, backend.token_to_id(last))],
    )


def _surround_twice(
    backend: Tokenizer, first: str | None, last: str | None
) -> processors.RobertaProcessing:
    """Return what puts marks around a text, and two between it and a second one."""
    before = None if first is None else backend.token_to_id(first)
    after = None if last is None else backend.token_to_id(last)
    if first is None or last is None or before is None or after is None:
        raise _no_marks()
    return processors.RobertaProcessing(
        (last, after),
        (first, before),
        trim_offsets=True,
        add_prefix_space=False,
    )


def _no_marks() -> ValueError:
    return ValueError("its tokenizer has no marks to put around a text")
