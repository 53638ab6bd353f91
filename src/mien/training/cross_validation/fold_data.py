"""The stores of the folds of a corpus: the same clips, each of them test in one fold."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mien.data.store import Store, open_store
from mien.errors import StoreError
from mien.files.hashing import hash_json
from mien.files.reading import show
from mien.training.run_folder import RunFolder

__all__ = ["FoldStore", "describe_stores", "find_folds", "open_folds"]

_PREFIX = "fold-"


@dataclass(frozen=True, slots=True, kw_only=True)
class FoldStore:
    """One fold of a corpus.

    Attributes:
        name: What it is called: ``fold-1``.
        store: Its store, in which the clips of the fold are test.
        tested: Ids of these clips, in the order of the store.
    """

    name: str
    store: Store
    tested: tuple[str, ...]

    @property
    def clips_hash(self) -> str:
        """A hash of which clips are tested, the same for stores with other series."""
        return hash_json(sorted(self.tested))


def open_folds(folder: str | Path) -> tuple[FoldStore, ...]:
    """Open the stores ``fold-1``, ``fold-2`` and so on of a folder, as ``write_folds`` makes them.

    Raises:
        StoreError: If there are fewer than two, one misses, they are not of the same clips, targets
            and series, or a clip is test in several of them or in none.
    """
    folder = Path(folder)
    folds = [_open_fold(path) for path in _find_stores(folder)]
    first, ids = folds[0], [clip.id for clip in folds[0].store.clips]
    for fold in folds[1:]:
        _check_alike(fold, first, ids)
    _check_tested(folder, folds, ids)
    return tuple(folds)


def find_folds(run: RunFolder, folder: str | Path) -> tuple[FoldStore, ...]:
    """Open the stores of the folds that a run was trained on.

    Args:
        run: A run over folds.
        folder: The folder of the stores, which may have other series.

    Raises:
        StoreError: If the clips that are test in them are not those of the folds of the run.
    """
    folds = open_folds(folder)
    known = [(fold["name"], fold["clips"]) for fold in run.environment()["folds"]]
    if [(fold.name, fold.clips_hash) for fold in folds] != known:
        raise StoreError(
            f"{folder}: its folds are not those of {run.path}, whose models would be evaluated on "
            "clips that they have seen; give the folder that the run was trained on"
        )
    return folds


def describe_stores(folds: Sequence[FoldStore]) -> dict[str, Any]:
    """Return which stores a run over folds depends on, as its ``environment.json`` holds it."""
    fingerprints = [fold.store.meta.fingerprint for fold in folds]
    return {
        "store": {
            "corpus": folds[0].store.meta.name,
            "fingerprint": hash_json(fingerprints, digits=64),
        },
        "folds": [
            {
                "name": fold.name,
                "fingerprint": fold.store.meta.fingerprint,
                "clips": fold.clips_hash,
            }
            for fold in folds
        ],
    }


def _open_fold(path: Path) -> FoldStore:
    store = open_store(path)
    clips = store.clips.take(store.rows("test"))
    return FoldStore(name=path.name, store=store, tested=tuple(clip.id for clip in clips))


def _find_stores(folder: Path) -> list[Path]:
    """Return the stores of the folds, by number."""
    numbers = sorted(
        int(path.name.removeprefix(_PREFIX))
        for path in folder.glob(f"{_PREFIX}*")
        if path.name.removeprefix(_PREFIX).isdecimal() and path.is_dir()
    )
    if (folder / "meta.json").is_file():
        is_fold = folder.name.startswith(_PREFIX) and len([*folder.parent.glob(f"{_PREFIX}*")]) > 1
        hint = f"make them with: mien folds {folder} {folder}-folds"
        raise StoreError(
            f"{folder}: is one store, not a folder of folds; "
            f"{f'give {folder.parent}' if is_fold else hint}"
        )
    if len(numbers) < 2:
        present = f"only {_PREFIX}{numbers[0]}" if numbers else "none"
        raise StoreError(
            f"{folder}: must have a store for each fold, {_PREFIX}1, {_PREFIX}2, ..., there is "
            f"{present}; make them with: mien folds STORE {folder}"
        )
    stores = [folder / f"{_PREFIX}{number}" for number in numbers]
    written = open_store(stores[0]).meta.origin.get("fold", "").partition(" of ")[2]
    count = written.partition(" ")[0]  # "1 of 5 by speaker, seed 0"
    most = max(numbers[-1], int(count) if count.isdecimal() else 0)
    lacking = sorted({*range(1, most + 1)} - {*numbers})
    if lacking:
        raise StoreError(
            f"{folder}: {_PREFIX}{lacking[0]} of {most} folds is not there; write them again with: "
            f"mien folds STORE {folder} --replace"
        )
    return stores


def _check_alike(fold: FoldStore, first: FoldStore, ids: Sequence[str]) -> None:
    """Check that two folds are of the same clips, annotated for the same, with the same series."""
    meta, other = fold.store.meta, first.store.meta
    facts = {
        "corpus": (meta.name, other.name),
        "range of labels": (meta.scale, other.scale),
        "targets": ([t.describe() for t in meta.targets], [t.describe() for t in other.targets]),
        "series": (
            {name: series.size for name, series in sorted(meta.series.items())},
            {name: series.size for name, series in sorted(other.series.items())},
        ),
    }
    for what, (own, expected) in facts.items():
        if own != expected:
            raise StoreError(
                f"{fold.store.path}: its {what} are not those of {first.store.path}: {own!r} and "
                f"{expected!r}; folds must be of one store"
            )
    unlike = sorted({clip.id for clip in fold.store.clips} ^ set(ids))
    if unlike:
        raise StoreError(
            f"{fold.store.path}: its clips are not those of {first.store.path}: "
            f"{show(unlike[0])} is in one of them only ({len(unlike)} clips are); folds must be of "
            "one store"
        )


def _check_tested(folder: Path, folds: Sequence[FoldStore], ids: Sequence[str]) -> None:
    """Check that each clip is test in one fold."""
    tested: dict[str, str] = {}
    for fold in folds:
        if not fold.tested:
            raise StoreError(f"{fold.store.path}: has no clips in test; a fold must have some")
        for name in fold.tested:
            if name in tested:
                raise StoreError(
                    f"{fold.store.path}: clip {show(name)} is in test, as in {tested[name]}; a "
                    "clip must be test in one fold"
                )
            tested[name] = fold.name
    lacking = [name for name in ids if name not in tested]
    if lacking:
        raise StoreError(
            f"{folder}: clip {show(lacking[0])} is test in no fold ({len(lacking)} clips are not); "
            "a fold is missing"
        )
