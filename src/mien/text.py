"""Transcripts to token ids or states, and the pretrained text encoder as part of a model."""

import hashlib
import json
import logging
import os
from collections.abc import Callable
from collections.abc import Sequence as Several
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from pickle import UnpicklingError  # named, to be caught; nothing is unpickled here
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float, Int, Num
from pydantic import Field
from safetensors import SafetensorError
from torch import Tensor, nn

from mien.assets import default_text_encoder, find_text_encoder, text_prefix
from mien.config import Settings
from mien.errors import AssetError, ConfigError
from mien.store import Series, Store, staged
from mien.tensors import Sequence
from mien.types import Clip

__all__ = [
    "GivenStates",
    "TextEncoderConfig",
    "TextInput",
    "TextReader",
    "TokenEncoder",
    "TopLayers",
    "cache_folder",
    "load_backbone",
    "load_tokenizer",
    "prepare_text",
]

logger = logging.getLogger(__name__)

_CHUNK = 64  # clips encoded at once when states are computed ahead


class TextEncoderConfig(Settings):
    """Where the states of the text come from.

    Attributes:
        input: ``transcript``: what is said, through the encoder's own tokenizer. ``tokens``: the
            published token ids, for an encoder with the same vocabulary. ``embeddings``: the
            published states of the text, without an encoder. ``none``: leave the text out.
        name: ``auto`` (the default encoder for the language of the corpus), a name that
            ``mien assets`` lists, a local folder, or a name on a model hub.
        mode: ``finetune``: train all of the encoder. ``frozen``: train none of it; its states are
            computed once and kept. ``last-k``, for example ``last-2``: train the last k layers; the
            states below them are computed once and kept.
        summary: What the encoder's own summary of a clip is: its first state (``cls``) or the mean
            of all (``mean``).
        max_tokens: Longer transcripts are cut to this many tokens.
    """

    input: Literal["transcript", "tokens", "embeddings", "none"] = "transcript"
    name: str = "auto"
    mode: str = Field("finetune", pattern=r"^(finetune|frozen|last-[1-9][0-9]?)$")
    summary: Literal["cls", "mean"] = "cls"
    max_tokens: int = Field(128, ge=3)

    @property
    def trained_layers(self) -> int | None:
        """How many layers are trained; None stands for all of the encoder."""
        if self.mode == "finetune":
            return None
        return 0 if self.mode == "frozen" else int(self.mode.removeprefix("last-"))


@dataclass(frozen=True, slots=True, kw_only=True)
class TextInput:
    """The text of a corpus, ready for a model.

    Attributes:
        series: Token ids ``(T, 1)`` or states ``(T, d)`` of every clip of the store.
        size: Size of a state that ``build`` gives, d.
        build: Makes the trained part of the encoder, with its pretrained weights.
        step_cost: Work of one step, to pad clips of like cost together.
        name: Which encoder it is; ``embeddings`` if there is none.
        fingerprint: SHA-256 of the encoder's weights; empty if there is none.
        tokens: Gives the tokens of a clip's steps as text, and the characters of the transcript
            that each covers; None if that is not known.
    """

    series: Series
    size: int
    build: Callable[[], nn.Module]
    step_cost: float
    name: str
    fingerprint: str
    tokens: Callable[[Clip], list[tuple[str, int, int]]] | None


class TokenEncoder(nn.Module):
    """A whole pretrained encoder: token ids to states.

    Args:
        backbone: A model of transformers whose output has ``last_hidden_state``.
    """

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone

    def forward(self, sequence: Sequence) -> Float[Tensor, "B T d"]:
        """Return the states; those at padding have no meaning."""
        ids = sequence.values.squeeze(-1).long()
        mask = _never_empty(sequence.mask)
        output = self.backbone(input_ids=ids, attention_mask=mask)
        states: Tensor = output.last_hidden_state
        return states


class TopLayers(nn.Module):
    """The last layers of a pretrained encoder: states below them to states.

    Args:
        layers: The layers, in their order.
        settings: The encoder's own configuration; the form of its attention mask depends on it.
    """

    def __init__(self, layers: nn.ModuleList, settings: Any) -> None:
        super().__init__()
        self.layers = layers
        self.settings = settings

    def forward(self, sequence: Sequence) -> Float[Tensor, "B T d"]:
        """Return the states; those at padding have no meaning."""
        from transformers.masking_utils import create_bidirectional_mask

        states = sequence.values
        mask = create_bidirectional_mask(
            config=self.settings, inputs_embeds=states, attention_mask=_never_empty(sequence.mask)
        )
        for layer in self.layers:
            states = layer(states, mask)
        return states


class GivenStates(nn.Module):
    """No encoder: the sequence holds states already."""

    def forward(self, sequence: Sequence) -> Float[Tensor, "B T d"]:
        """Return the states as they are."""
        return sequence.values


def _never_empty(mask: Tensor) -> Tensor:
    """Let a clip without text attend to its first padding, for a softmax over nothing is NaN."""
    first = torch.zeros_like(mask)
    first[:, 0] = ~mask.any(dim=1)
    return (mask | first).long()


def prepare_text(store: Store, config: TextEncoderConfig) -> TextInput | None:
    """Bring the text of a store into the form that the settings ask for.

    States of frozen layers are computed once per store and encoder and kept in the user's cache.

    Returns:
        The input, or None if the settings or the store have no text.

    Raises:
        ConfigError: If the store does not hold what ``config.input`` names.
        AssetError: If the encoder is not here.
    """
    if config.input == "none":
        return None
    if config.input == "embeddings":
        return _given(store)
    if config.input == "tokens" and "tokens" not in store.meta.series:
        raise ConfigError(
            "setting text_encoder.input is 'tokens', but the store has no published token ids; "
            "say text_encoder.input=transcript"
        )
    if config.input == "transcript" and not any(clip.transcript.strip() for clip in store.clips):
        return None
    return _encoded(store, config)


def _given(store: Store) -> TextInput:
    if "text" not in store.meta.series:
        raise ConfigError(
            "setting text_encoder.input is 'embeddings', but the store has no series 'text'; "
            "say text_encoder.input=transcript"
        )
    meta = store.meta.series["text"]
    return TextInput(
        series=store.series("text"),
        size=meta.size,
        build=GivenStates,
        step_cost=1.0,
        name="embeddings",
        fingerprint="",
        tokens=None,
    )


class TextReader:
    """Texts to what a model of these settings reads: token ids, or states below its trained layers.

    Args:
        config: Settings of the text, with ``input`` ``transcript`` or ``tokens``.
        language: ISO 639-1 code of the texts.

    Attributes:
        name: Which encoder it is.
        fingerprint: SHA-256 of its weights.
        size: Size of a state that ``build`` gives, d.
        vocabulary: Number of its tokens.
        step_cost: Work of one step, to pad clips of like cost together.

    Raises:
        ConfigError: If the encoder has fewer layers than are to be trained.
        AssetError: If the encoder is not here.
    """

    def __init__(self, config: TextEncoderConfig, language: str) -> None:
        self.name = default_text_encoder(language) if config.name == "auto" else config.name
        self.source = find_text_encoder(self.name)
        self.fingerprint = _fingerprint(self.source)
        self._tokenizer, self._prefix = load_tokenizer(self.source), text_prefix(self.name)
        self._max_tokens, self._trained = config.max_tokens, config.trained_layers
        settings = _load_settings(self.source)
        self.size, self.vocabulary = int(settings.hidden_size), int(settings.vocab_size)
        self.step_cost = 1.0 if self._trained == 0 else 100.0
        num_layers = int(settings.num_hidden_layers)
        if self._trained is not None and self._trained > num_layers:
            raise ConfigError(
                f"setting text_encoder.mode is {config.mode!r}, but {self.name} has {num_layers} "
                "layers"
            )
        #: After how many layers states are computed ahead; None where token ids are what is read.
        self.layer = None if self._trained is None else num_layers - self._trained

    def build(self) -> nn.Module:
        """Make the trained part of the encoder, with its pretrained weights."""
        if self._trained is None:
            return TokenEncoder(load_backbone(self.source))
        return _load_top(self.source, self._trained) if self._trained else GivenStates()

    def tokenise(self, texts: Several[str]) -> Series:
        """Return the token ids of each text, ``(T, 1)``; no step for an empty one."""
        given = [self._prefix + text if text.strip() else "" for text in texts]
        encoded = self._tokenizer(
            given, truncation=True, max_length=self._max_tokens, padding=False
        )["input_ids"]
        ids = [
            np.array(one if text else [], dtype=np.int32)
            for one, text in zip(encoded, given, strict=True)
        ]
        offsets = np.concatenate([[0], np.cumsum([len(one) for one in ids])]).astype(np.int64)
        return Series(np.concatenate(ids)[:, None], offsets)

    @torch.no_grad()
    def read(self, text: str) -> Num[np.ndarray, "T _"]:
        """Return what a model reads of one text; no step if it is empty."""
        ids = self.tokenise([text])
        if self.layer is None:
            return ids[0]
        if not len(ids.values):
            return np.zeros((0, self.size), np.float32)
        return _states_of(self._backbone, ids, np.arange(1), self.layer)[0].numpy()

    @cached_property
    def _backbone(self) -> Any:
        return load_backbone(self.source).eval()

    def tokens(self, text: str) -> list[tuple[str, int, int]]:
        """Return the token of each step, and the characters of the text that it covers."""
        encoded = self._tokenizer(
            self._prefix + text,
            truncation=True,
            max_length=self._max_tokens,
            return_offsets_mapping=True,
        )
        names = self._tokenizer.convert_ids_to_tokens(encoded["input_ids"])
        shift = len(self._prefix)
        return [
            (name, max(0, start - shift), max(0, end - shift))
            for name, (start, end) in zip(names, encoded["offset_mapping"], strict=True)
        ]


def _encoded(store: Store, config: TextEncoderConfig) -> TextInput:
    reader = TextReader(config, store.meta.language)
    if config.input == "tokens":
        ids = store.series("tokens")
    else:
        ids = reader.tokenise([clip.transcript for clip in store.clips])
    _check_ids(ids, reader.vocabulary, reader.name)

    def tokens(clip: Clip) -> list[tuple[str, int, int]]:
        return reader.tokens(clip.transcript)

    series = ids
    if reader.layer is not None:
        key = _key(store, config, reader.fingerprint, reader.layer)
        series = _cached_states(ids, reader.source, reader.layer, key)
    return TextInput(
        series=series,
        size=reader.size,
        build=reader.build,
        step_cost=reader.step_cost,
        name=reader.name,
        fingerprint=reader.fingerprint,
        tokens=tokens if config.input == "transcript" else None,
    )


def _load(
    source: Path | str, what: Literal["AutoTokenizer", "AutoConfig", "AutoModel"], **options: Any
) -> Any:
    """Load a part of a pretrained encoder from a local folder or, by name, from a hub."""
    import transformers

    quieten = transformers.logging
    quieten.set_verbosity_error()  # type: ignore[no-untyped-call]
    quieten.disable_progress_bar()  # type: ignore[no-untyped-call]
    if isinstance(source, Path):
        options["local_files_only"] = True
    try:
        return getattr(transformers, what).from_pretrained(
            str(source), trust_remote_code=False, **options
        )
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError, UnpicklingError) as error:
        reason = str(error).strip() or type(error).__name__
        raise _cannot_load(source, reason.splitlines()[0]) from error


def _cannot_load(source: Path | str, reason: str) -> AssetError:
    return AssetError(
        f"text encoder {str(source)!r} cannot be loaded ({reason}); give a local folder, a name "
        "that mien assets lists, or a hub name where a hub can be reached"
    )


def load_tokenizer(source: Path | str) -> Any:
    """Load the tokenizer of a text encoder.

    Raises:
        AssetError: If it cannot be loaded, or has no vocabulary.
    """
    tokenizer = _load(source, "AutoTokenizer")
    if len(tokenizer) <= len(tokenizer.all_special_tokens):  # made up where its files are missing
        raise _cannot_load(source, "its tokenizer has no vocabulary")
    return tokenizer


def _load_settings(source: Path | str) -> Any:
    return _load(source, "AutoConfig")


def load_backbone(source: Path | str) -> Any:
    """Load a text encoder in float32, with all of its weights.

    Raises:
        AssetError: If it cannot be loaded, or weights are missing.
    """
    backbone, found = _load(source, "AutoModel", output_loading_info=True)
    lacking = sorted(name for name in found["missing_keys"] if not name.startswith("pooler."))
    if lacking:  # transformers would go on with random ones
        raise _cannot_load(source, f"it lacks {len(lacking)} weights, such as {lacking[0]!r}")
    backbone = backbone.float()
    if getattr(backbone, "pooler", None) is not None:
        backbone.pooler = None  # read by nothing, so never trained
    return backbone


def _load_top(source: Path | str, layers: int) -> nn.Module:
    backbone = load_backbone(source)
    return TopLayers(nn.ModuleList(_layers_of(backbone)[-layers:]), backbone.config)


def _layers_of(backbone: nn.Module) -> Several[nn.Module]:
    encoder = getattr(backbone, "encoder", None)
    layers = getattr(encoder, "layer", None)
    if not isinstance(layers, nn.ModuleList):
        raise ConfigError(
            f"setting text_encoder.mode: the layers of {type(backbone).__name__} cannot be told "
            "apart; say finetune or frozen"
        )
    return list(layers)


def _fingerprint(source: Path | str) -> str:
    """Return the SHA-256 of a local encoder's weights; the name and revision for one of a hub."""
    if isinstance(source, str):
        return f"hub:{source}"
    digest = hashlib.sha256()
    files = sorted([*source.glob("*.safetensors"), *source.glob("*.bin"), *source.glob("*.json")])
    for file in files:
        digest.update(file.name.encode())
        with file.open("rb") as handle:
            while block := handle.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()


def _check_ids(ids: Series, vocabulary: int, name: str) -> None:
    if len(ids.values) and not 0 <= int(ids.values.min()) <= int(ids.values.max()) < vocabulary:
        raise ConfigError(
            f"setting text_encoder.name is {name!r} with {vocabulary} tokens, but the token ids "
            f"reach {int(ids.values.max())}; they belong to another encoder"
        )


def cache_folder() -> Path:
    """Return where states computed once are kept: ``MIEN_CACHE``, or the user's cache folder."""
    if "MIEN_CACHE" in os.environ:
        return Path(os.environ["MIEN_CACHE"])
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mien"


def _key(store: Store, config: TextEncoderConfig, fingerprint: str, layer: int) -> str:
    parts = [store.meta.fingerprint, fingerprint, config.input, str(config.max_tokens), str(layer)]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:24]


def _cached_states(ids: Series, source: Path | str, layer: int, key: str) -> Series:
    """Return the states after ``layer`` layers, from the cache if they are there."""
    folder = cache_folder() / "states" / key
    if not (folder / "meta.json").is_file():
        with staged(folder, replace=folder.exists()) as partial:
            _compute_states(ids, source, layer, partial / "values.npy")
            (partial / "meta.json").write_text(json.dumps({"layer": layer}), encoding="utf-8")
    return Series(np.load(folder / "values.npy", mmap_mode="r", allow_pickle=False), ids.offsets)


@torch.no_grad()
def _compute_states(ids: Series, source: Path | str, layer: int, path: Path) -> None:
    backbone = load_backbone(source).eval()
    shape = (len(ids.values), int(backbone.config.hidden_size))
    states = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=shape)
    order = np.argsort(ids.lengths, kind="stable")
    order = order[ids.lengths[order] > 0]
    logger.info("computing text states once: %d clips", len(order))
    for start in range(0, len(order), _CHUNK):
        rows = order[start : start + _CHUNK]
        for row, one in zip(rows, _states_of(backbone, ids, rows, layer), strict=True):
            states[ids.offsets[row] : ids.offsets[row + 1]] = one.numpy()
    states.flush()


def _states_of(
    backbone: Any, ids: Series, rows: Int[np.ndarray, "_"], layer: int
) -> list[Float[Tensor, "_ d"]]:
    lengths = [int(ids.lengths[row]) for row in rows]
    padded = torch.zeros(len(rows), max(lengths), dtype=torch.long)
    mask = torch.zeros_like(padded)
    for i, row in enumerate(rows.tolist()):
        padded[i, : lengths[i]] = torch.from_numpy(np.array(ids[row][:, 0], dtype=np.int64))
        mask[i, : lengths[i]] = 1
    output = backbone(input_ids=padded, attention_mask=mask, output_hidden_states=True)
    return [output.hidden_states[layer][i, :n] for i, n in enumerate(lengths)]
