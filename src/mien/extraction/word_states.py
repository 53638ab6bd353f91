"""Words to states of a pretrained text encoder, one per word."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float32

from mien.pretrained.direct.tokenizer import load_tokenizer
from mien.pretrained.encoder_source import find_text_encoder, text_prefix
from mien.pretrained.text_encoder import load_backbone

__all__ = ["WordEncoder"]


class WordEncoder:
    """Makes one state per word: the mean of the states of its tokens.

    The words of a clip are read as one text, so that each is encoded in the light of the others.
    Where the encoder cannot take all of them at once, they are read in pieces.

    Args:
        name: An asset, a local folder or a name on a hub.

    Raises:
        AssetError: If the encoder is not here.
    """

    def __init__(self, name: str) -> None:
        source = find_text_encoder(name)
        self._tokenizer = load_tokenizer(source)
        self._backbone = load_backbone(source).eval()
        self._prefix = text_prefix(name).split()
        self.name = name
        self.size = int(self._backbone.config.hidden_size)
        self._most = min(
            self._tokenizer.max_length,
            int(self._backbone.config.max_position_embeddings) - 2,
        )

    @torch.no_grad()
    def encode(self, words: Sequence[str]) -> Float32[np.ndarray, "T d"]:
        """Return the states of the words."""
        result = np.zeros((len(words), self.size), np.float32)
        start = 0
        while start < len(words):
            start = self._encode_piece(words, start, result)
        return result

    def _encode_piece(
        self, words: Sequence[str], start: int, result: Float32[np.ndarray, "T d"]
    ) -> int:
        """Fill in as many words as the encoder takes from ``start`` on; return the next one."""
        skipped = len(self._prefix)
        ids, of_words = self._tokenizer.encode_words([*self._prefix, *words[start:]], self._most)
        states = self._backbone(input_ids=torch.tensor([ids])).last_hidden_state[0]
        states = states.double().numpy()
        numbers = np.array([-1 if n is None else n for n in of_words]) - skipped
        last = int(numbers.max(initial=-1))
        is_whole = start + last + 1 >= len(words)
        stop = start + last + (1 if is_whole or last == 0 else 0)  # the last word may be cut
        for number in range(max(stop - start, 0)):
            chosen = numbers == number
            if chosen.any():
                result[start + number] = states[chosen].mean(axis=0)
        return len(words) if last < 0 else stop
