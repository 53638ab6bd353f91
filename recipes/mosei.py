"""Share CMU-MOSEI's clips of train and valid out anew, for tables where test is not at hand.

    python recipes/mosei.py DATA/mosei/label.csv OUT.csv
    mien import OUT.csv --corpus mosei --out stores/mosei-held-out

Clips of the official valid become test. Of train's videos one in ten, drawn by a seed, becomes
valid, so that settings and epochs are chosen on clips of other videos than those that are tested.
Nothing else of the table changes.
"""

import argparse
import csv
from pathlib import Path

import numpy as np

SHARE = 0.1  # of train's videos
SEED = 1111


def share_out(rows: list[dict[str, str]]) -> list[dict[str, str]]:
    """Return the rows with other splits.

    Raises:
        SystemExit: If there are clips of test, which then have a use of their own.
    """
    if any(row["mode"] == "test" for row in rows):
        raise SystemExit("the table has clips of test: import it as it is")
    videos = sorted({row["video_id"] for row in rows if row["mode"] == "train"})
    drawn = np.random.default_rng(SEED).permutation(len(videos))[: round(SHARE * len(videos))]
    held_out = {videos[place] for place in drawn.tolist()}

    def place(row: dict[str, str]) -> str:
        if row["mode"] == "valid":
            return "test"
        return "valid" if row["video_id"] in held_out else "train"

    return [{**row, "mode": place(row)} for row in rows]


def main() -> None:
    """Read the command line and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("table", type=Path)
    parser.add_argument("out", type=Path)
    given = parser.parse_args()
    with given.table.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    given.out.parent.mkdir(parents=True, exist_ok=True)
    with given.out.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(share_out(rows))


if __name__ == "__main__":
    main()
