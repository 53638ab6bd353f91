"""Settings of the text: which encoder reads it, and how much of the encoder is trained."""

from typing import Literal

from pydantic import Field

from mien.config import Settings

__all__ = ["TextEncoderConfig"]


class TextEncoderConfig(Settings):
    """Where the states of the text come from.

    Attributes:
        input: ``transcript``: what is said, through the encoder's own tokenizer. ``tokens``: the
            published token ids, for an encoder with the same tokens. ``embeddings``: the
            published states of the text, without an encoder. ``none``: leave the text out.
        name: ``auto`` (the default encoder for the language of the corpus), a name that
            ``mien assets`` lists, a local folder, or a name on a model hub.
        mode: ``finetune``: train all of the encoder. ``frozen``: train none of it; its states are
            computed once and kept. ``last-k``, for example ``last-2``: train the last k layers; the
            states below them are computed once and kept. ``lora``: train low-rank adapters at every
            linear layer, and nothing of the encoder itself; ``lora-k``: at those of the last k
            layers.
        rank: Rank of the adapters of ``lora``.
        summary: What the encoder's own summary of a clip is: its first state (``cls``) or the mean
            of all (``mean``).
        max_tokens: Longer transcripts are cut to this many tokens; preparing a store tells how many
            are. In prediction a longer text is read in parts.
        context: How many utterances before a clip, of the same video and split, its text is read
            with, as a second segment; with input ``transcript`` alone.
        context_after: How many utterances after it.
        context_tokens: Most tokens of context in all; what is nearest to the clip is kept.
        context_speakers: Whether it is told who speaks in the context: by ``name`` before each
            utterance, that of who speaks the clip last; or by ``role``: A speaks the clip, and B,
            C and so on are the others in its context, the nearest first. Where the store does not
            say who speaks, nothing is put before an utterance; recordings and texts that are
            predicted have no speakers.
        passage: Most tokens of a passage, in which clips of the same video and split are read
            together, one behind the other in the order of time; 0 reads each clip by itself, or
            with its context. A video is cut into as few passages as can be. With input
            ``transcript`` alone, and not with ``context``, ``last-k`` and ``lora-k``.
    """

    input: Literal["transcript", "tokens", "embeddings", "none"] = "transcript"
    name: str = "auto"
    mode: str = Field("finetune", pattern=r"^(finetune|frozen|lora|(last|lora)-[1-9][0-9]?)$")
    rank: int = Field(16, ge=1)
    summary: Literal["cls", "mean"] = "cls"
    max_tokens: int = Field(128, ge=3)
    context: int = Field(0, ge=0)
    context_after: int = Field(0, ge=0)
    context_tokens: int = Field(128, ge=1)
    context_speakers: Literal["none", "name", "role"] = "none"
    passage: int = Field(0, ge=0)

    @property
    def trained_layers(self) -> int | None:
        """How many layers are trained, or have adapters; None stands for all of the encoder."""
        if self.mode == "frozen":
            return 0
        _, _, count = self.mode.partition("-")
        return int(count) if count else None

    @property
    def reads_context(self) -> bool:
        """Whether a text is read with utterances around it."""
        return self.context > 0 or self.context_after > 0 or self.passage > 0

    @property
    def has_adapters(self) -> bool:
        """Whether adapters are trained instead of the layers themselves."""
        return self.mode.startswith("lora")
