"""Token ids of one vocabulary as those of another, by the names of the tokens.

Published files hold token ids of BERT. Encoders that were made later often keep its words and
number them otherwise, behind special tokens of their own: MPNet's are BERT's, shifted by four. Read
as they are, such ids would be other words.
"""

import numpy as np
from jaxtyping import Num

from mien.errors import ConfigError
from mien.pretrained.direct.tokenizer import TextTokenizer

__all__ = ["rename_tokens"]

#: What the tokens that are no words are called, by the part that they play.
_PARTS = (("[PAD]", "<pad>"), ("[UNK]", "<unk>"), ("[MASK]", "<mask>"))


def rename_tokens(
    ids: Num[np.ndarray, "S 1"], given: TextTokenizer, own: TextTokenizer, name: str
) -> Num[np.ndarray, "S 1"]:
    """Return the ids that another tokenizer has for the same tokens.

    Args:
        ids: Ids of ``given``.
        given: The tokenizer that made them.
        own: That of the encoder which shall read them.
        name: What the encoder is called, for errors.

    Raises:
        ConfigError: If an id is none of ``given``, or its token is not in the other vocabulary.
    """
    used = np.unique(ids)
    words, target = given.vocabulary(), own.vocabulary()
    by_id = {number: word for word, number in words.items()}
    renamed = dict(zip(given.marks, own.marks, strict=True))
    for names in _PARTS:
        ours = next((target[word] for word in names if word in target), None)
        renamed |= {words[w]: ours for w in names if w in words and ours is not None}
    table = np.zeros(int(used.max(initial=0)) + 1, dtype=np.int32)
    for number in used.tolist():
        word = by_id.get(number)
        new = renamed.get(number, None if word is None else target.get(word))
        if new is None:
            which = f"id {number}" if word is None else f"{word!r}, id {number},"
            raise ConfigError(
                f"setting text_encoder.input is 'tokens', but {which} of the published token ids "
                f"is not in the vocabulary of {name!r}; use text_encoder.input=transcript"
            )
        table[number] = new
    numbers: Num[np.ndarray, "S 1"] = table[ids]
    return numbers
