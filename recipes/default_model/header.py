"""Complete the header of the weights that were trained before the recipe kept groups apart.

    python recipes/default_model/header.py DATA OUT [--model FILE]

DATA and OUT are those of ``measure.py``. Written is ``OUT/default.safetensors``: the tensors of
FILE (by default the file that ships) byte for byte, and a header with every group from which they
learned, by the ids that users know, and with widths of intervals from clips that they have not
learned from. Weights that ``train.py`` makes have all that from the start.
"""

import argparse
import shutil
from pathlib import Path

from corpus import compose_all, groups_learned, read_items
from measure import score, write_held_out
from train import videos_read
from widths import calibrate_alone

from mien.prediction.package import pack
from mien.prediction.predictor import DEFAULT_MODEL
from mien.training.checkpoints.checkpoint import add_to_header


def main(model: Path, data: Path, out: Path) -> Path:
    """Do it."""
    sources = read_items(data, out)
    joined = compose_all(sources)  # as it was done then: in the splits of the sources
    videos = groups_learned(sources, joined) | videos_read(sources.texts)
    valid = score(model, *write_held_out(sources, data, out))["valid"]
    widths = calibrate_alone(valid.found, valid.clips, without=sources.trained)
    completed = out / "completed.safetensors"
    shutil.copyfile(model, completed)
    facts = {"videos": sorted(videos), "video_hashes": [], "videos_of_init": True}
    add_to_header(completed, {**facts, "calibration": widths.model_dump(mode="json")})
    packed = pack(completed, out / "default.safetensors", replace=True)
    completed.unlink()
    return packed


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="Folder with the sources.")
    parser.add_argument("out", type=Path, help="Folder for what is made; holds voices and faces.")
    parser.add_argument("--model", type=Path, default=DEFAULT_MODEL, help="Weights to complete.")
    given = parser.parse_args()
    main(given.model, given.data, given.out)
