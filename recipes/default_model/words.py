"""Teach a model to read words: means of weights of several trainings, written as adapters.

Trainings that start from the same weights end near each other, and the mean of their weights reads
better than any of them, at the cost of one (Wortsman et al. 2022, arXiv 2203.05482). Here these
are the training on composed clips, which has transcripts of CMU-MOSI and CMU-MOSEI, and five on
CMU-MOSI's alone (``words.toml``). How much counts the first was chosen on valid of both corpora
(docs/decisions.md). The change of every linear layer is then written at a low rank.
"""

import logging
from collections.abc import Iterable, Sequence
from itertools import chain
from pathlib import Path
from typing import Final

from items import SCALE, Text

import mien
from mien.data.store import Store
from mien.prediction.packages.averaged_seeds import average_tensors
from mien.prediction.packages.reduced_encoder import reduce_checkpoint
from mien.training.checkpoints.checkpoint import read_header, read_tensors, write_tensors
from mien.training.run_folder import RunFolder
from mien.types import ID_SEPARATOR, Clip, Corpus, Material, Task

__all__ = ["WORDS", "learn_words", "tune_words", "write_texts"]

logger = logging.getLogger("words")

HERE = Path(__file__).parent
#: What begins the names of all tensors that read words alone.
WORDS: Final = ("model/text_encoder.", "model/summarise.", "model/heads.text.")
#: Weight of the training on composed clips in the mean; the others share the rest.
SHARE: Final = 0.67
RANK: Final = 24
SEEDS: Final = (1111, 1112, 1113, 1114, 1115)


def tune_words(texts: Sequence[Text], read: RunFolder | Path, out: Path) -> RunFolder:
    """Train on the transcripts of CMU-MOSI alone.

    Args:
        texts: All transcripts.
        read: The run to start from.
        out: Folder of all that is made.
    """
    store = write_texts((one for one in texts if one.source == "mosi"), out / "words-store")
    config = mien.read_config(HERE / "words.toml", [f"train.seeds={list(SEEDS)}"])
    return mien.train(config, store, out / "words-run", init=read, resume=True)


def learn_words(composed: Path, tuned: RunFolder, store: Store, out: Path) -> Path:
    """Write a model whose words are read by the mean of several, as adapters.

    Args:
        composed: Checkpoint of the training on composed clips, of which all else is kept.
        tuned: Trainings on transcripts, from the same start.
        store: The composed clips.
        out: Folder of all that is made.
    """
    place = out / "words"
    place.mkdir(exist_ok=True)
    joint, reduced = place / "mean.safetensors", place / "reduced.safetensors"
    average_words(composed, [seed.best for seed in tuned.seeds if seed.is_finished], joint)
    reduction = reduce_checkpoint(joint, reduced, RANK, store)
    logger.info("adapters of rank %d hold %.2f of the squared changes", RANK, reduction.share)
    for each in reduction.metrics:
        logger.info("%s, valid: %.4f before, %.4f after", each.name, each.before, each.after)
    return reduced


def average_words(composed: Path, tuned: Sequence[Path], out: Path) -> None:
    """Write a checkpoint in which all that reads words alone is a mean of weights.

    Args:
        composed: Checkpoint whose weights count ``SHARE``.
        tuned: Those that share the rest.
        out: File to write.
    """
    tensors = read_tensors(composed)
    words = {name: tensor for name, tensor in tensors.items() if name.startswith(WORDS)}
    share = (1 - SHARE) / len(tuned)
    others = ((share, read_tensors(path)) for path in tuned)
    means = average_tensors(chain([(SHARE, words)], others))
    write_tensors(out, {**tensors, **means}, read_header(composed))


def write_texts(texts: Iterable[Text], place: Path) -> Store:
    """Write transcripts with their sentiment as a store."""
    clips = tuple(
        Clip(
            id=f"{one.group}{ID_SEPARATOR}{one.name.removeprefix(f'{one.group}-')}",
            split=one.split,
            transcript=one.words,
            labels={Task.FUSION: one.label},
        )
        for one in texts
    )
    corpus = Corpus(name="text", language="en", scale=SCALE, clips=clips)
    material = Material(corpus=corpus, series=(), origin={"recipe": "recipes/default_model"})
    return mien.write_store(material, place, replace=place.exists())
