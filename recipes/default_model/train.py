"""Train the model that comes with the package: compose clips, train, calibrate, pack, measure.

It is trained in four stages: on transcripts of CMU-MOSEI (``text.toml``); on composed clips
(``settings.toml``) and, apart from that, on transcripts of CMU-MOSI (``words.toml``); then its
words are read by a mean of the weights of both, as adapters (``words.py``); and with its words as
they are then it is trained on the composed clips again, whose voices and faces are read against the
person (``persons.toml``).

    python recipes/ravdess.py DATA/ravdess OUT/ravdess
    mien extract OUT/ravdess/recordings.csv --corpus ravdess --scale -1,1 --audio whisper-tiny-en \
        --rate audio=10 --video none --text none --out OUT/voices
    mien extract DATA/clips/grid --video blendshapes --audio none --text none --out OUT/faces
    python recipes/default_model/train.py DATA OUT --seeds 1111,1112

DATA holds ``mosi``, ``mosei``, ``ravdess``, ``cremad``, ``face`` and ``clips``; OUT gets the
composed store, a run, ``default.safetensors``, packed from the seed that is best on valid, and
``card.md``, the numbers of its model card. ``weights/MODEL_CARD.md`` of the package says what the
sources are and what may be done with the weights.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from compose import Joined
from corpus import compose_all, groups_learned, read_items, write_corpus
from items import Text
from measure import measure
from persons import best_on_valid, learn_persons
from widths import calibrate_alone
from words import learn_words, tune_words, write_texts

import mien
from mien.data.store import Store
from mien.evaluation.scoring import predict
from mien.training.checkpoints.checkpoint import add_to_header, read_header
from mien.training.loading import load_model
from mien.training.run_folder import SeedFolder, open_run

HERE = Path(__file__).parent


def main(
    data: Path, out: Path, seeds: tuple[int, ...], read: Path | None, tuned: Path | None
) -> None:
    """Do all of it."""
    items = read_items(data, out).apart()
    joined = compose_all(items)
    store = write_corpus(items, joined, data, out, "store")
    read = read or learn_to_read(items.texts, out)
    config = mien.read_config(HERE / "settings.toml", [f"train.seeds={list(seeds)}"])
    run = mien.train(config, store, out / "run", init=read, resume=True)
    best = best_on_valid(run)
    videos = groups_learned(items, joined) | videos_read(items.texts)
    complete_header(best, store, joined, videos)
    runs = tune_words(items.texts, read, out) if tuned is None else open_run(tuned)
    words = learn_words(best.best, runs, store, out)
    measure(learn_persons(words, store, items, joined, data, out, seeds), data, out)


def complete_header(
    seed: SeedFolder, store: Store, joined: Sequence[Joined], videos: set[str]
) -> None:
    """Write widths of intervals into a checkpoint, and all that it has learned from.

    Training itself knows one video of a clip, and composed clips have up to three.
    """
    model, prepared = load_model(seed.path, store)
    widths = calibrate_alone(predict(model, prepared.datasets["valid"]), joined)
    known = read_header(seed.best).get("videos", [])
    facts = {"videos": sorted(videos.union(known)), "videos_of_init": True}
    add_to_header(seed.best, {**facts, "calibration": widths.model_dump(mode="json")})


def videos_read(texts: Sequence[Text]) -> set[str]:
    """Return the videos from whose transcripts the first stage learns."""
    return {one.group for one in texts if one.split == "train"}


def learn_to_read(texts: Sequence[Text], out: Path) -> Path:
    """Train on the transcripts of CMU-MOSEI alone."""
    store = write_texts((one for one in texts if one.source == "mosei"), out / "text-store")
    mien.train(mien.read_config(HERE / "text.toml"), store, out / "text-run", resume=True)
    return out / "text-run"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="Folder with the sources.")
    parser.add_argument("out", type=Path, help="Folder for all that is made.")
    parser.add_argument("--seeds", default="1111", help="Seeds, separated by commas.")
    parser.add_argument("--read", type=Path, help="Run of the first stage, if it is there already.")
    parser.add_argument("--tuned", type=Path, help="Run on CMU-MOSI, if it is there already.")
    given = parser.parse_args()
    seeds = tuple(int(seed) for seed in given.seeds.split(","))
    main(given.data, given.out, seeds, given.read, given.tuned)
