"""The runs of a study to its results: every measure of every variant, side by side."""

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from jaxtyping import Float

from mien.data.store import open_store
from mien.errors import MienError
from mien.evaluation.contrast import clusters_of, contrast
from mien.evaluation.evaluate import judged_rows, plain
from mien.evaluation.metrics import METRICS, Metric, Scores, Sums, divide, mean_of_sums
from mien.evaluation.predictions import Predictions
from mien.reports.label_measure import (
    COPY,
    LabelRows,
    flipped_share,
    judge_agreement,
    judge_moves,
    judge_trajectories,
    read_label_rows,
)
from mien.studies.baselines import fit_reference
from mien.studies.corpora import PreparedCorpus
from mien.studies.plan import Study
from mien.studies.runner import Outcome
from mien.training.run_folder import SeedFolder, read_json
from mien.types import ID_SEPARATOR, SPLITS, Modality, Split, Task

__all__ = ["INSIDE", "RATIO", "judge_corpus"]

_JUDGED: Final[tuple[Split, ...]] = ("test", "valid")
_UNIMODAL_METRICS: Final = ("mae", "corr")


def _share_terms(shares: Scores, uniform: Scores) -> Float[np.ndarray, "N 2"]:
    return np.stack([shares, uniform], axis=1)


def _count_terms(shares: Scores, uniform: Scores) -> Float[np.ndarray, "N 2"]:
    return np.stack([shares, np.ones(len(uniform))], axis=1)


def _ratio(sums: Float[np.ndarray, "*B 2"]) -> Float[np.ndarray, "*B"]:
    return divide(sums[..., 0], sums[..., 1])


#: Share of attention inside the known moments.
INSIDE: Final = Metric(
    function=lambda shares, uniform: float(_ratio(_count_terms(shares, uniform).sum(axis=0))),
    higher_is_better=True,
    is_share=True,
    description="share of attention inside the known moments",
    sums=Sums(terms=_count_terms, combine=mean_of_sums),
)
#: The same over what equal weights get.
RATIO: Final = Metric(
    function=lambda shares, uniform: float(_ratio(_share_terms(shares, uniform).sum(axis=0))),
    higher_is_better=True,
    is_share=False,
    description="share of attention inside the known moments, over what equal weights get",
    sums=Sums(terms=_share_terms, combine=_ratio),
    limits=(0.0, math.inf),
)


def judge_corpus(
    study: Study, ready: PreparedCorpus, outcomes: Sequence[Outcome]
) -> dict[str, Any]:
    """Judge the runs of one corpus.

    A seed that did not finish is named among the variant's ``runs`` and is in no mean.

    Args:
        study: Says what is measured and which variants are subtracted.
        ready: The corpus.
        outcomes: What became of its jobs.
    """
    store = open_store(ready.store)
    corpus = ready.corpus
    finished = _finished(outcomes)
    judged: dict[str, Any] = {
        "corpus": store.meta.name,
        "is_synthetic": store.meta.is_synthetic,
        "planted": corpus.planted.model_dump(exclude_unset=True) if corpus.planted else None,
        "fingerprint": ready.fingerprint,
        "num_clips": {split: store.meta.num_clips.get(split, 0) for split in SPLITS},
        "num_videos": {
            split: len({store.clips[row].video_id for row in store.rows(split)}) for split in SPLITS
        },
        "seeds": list(corpus.seeds),
        "sweep": corpus.sweep,
        "at": corpus.at,
        "variants": {name: _describe(ready, name, outcomes) for name in ready.variants},
    }
    if not finished:
        return judged
    if "labels" in study.config.measures:
        judged["labels"] = _judge_labels(study, ready, finished)
    if "scores" in study.config.measures:
        judged |= _judge_scores(study, finished)
    if "attention" in study.config.measures:
        judged["attention"] = _judge_attention(study, outcomes)
    return judged


def _finished(outcomes: Sequence[Outcome]) -> dict[str, list[SeedFolder]]:
    """Return the finished seeds of every variant that has some."""
    found: dict[str, list[SeedFolder]] = {}
    for outcome in outcomes:
        if outcome.status == "finished":
            found.setdefault(outcome.job.variant, []).append(outcome.job.seed_folder)
    return found


def _describe(ready: PreparedCorpus, name: str, outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Return what there is to know of a variant's runs besides their results."""
    variant = ready.variants[name]
    runs = {}
    for outcome in outcomes:
        if outcome.job.variant != name:
            continue
        folder = outcome.job.seed_folder
        one: dict[str, Any] = {"status": outcome.status, "run": outcome.job.folder.name}
        if outcome.status == "finished":
            metrics, epochs = folder.metrics(), folder.epochs()
            one["best_epoch"] = metrics["best_epoch"]
            one["num_epochs"] = metrics["num_epochs"]
            one["seconds"] = sum(float(epoch["seconds"]) for epoch in epochs)
        else:
            one["reason"] = outcome.reason
        runs[str(outcome.job.seed)] = one
    return {
        "refusal": variant.refusal,
        "num_parameters": variant.num_parameters,
        "runs": runs,
        "settings": variant.config.model_dump(mode="json", exclude_none=True),
    }


def _judge_labels(
    study: Study, ready: PreparedCorpus, finished: Mapping[str, Sequence[SeedFolder]]
) -> dict[str, Any]:
    """Return, per modality, how the labels of every variant agree, move and come about."""
    rows = {name: read_label_rows(seeds) for name, seeds in finished.items()}
    modalities = [m for m in Modality if any(m in one for one in rows.values())]
    moves = {name: judge_moves(one) for name, one in rows.items()}
    judged = {}
    for modality in modalities:
        own = {name: one[modality] for name, one in rows.items() if modality in one}
        first = next(iter(own.values()))
        references, unfit = _references(ready, modality)
        result: dict[str, Any] = {
            "num_known": int(first.known.sum()),
            "unfit_references": unfit,
            "variants": {
                name: {
                    "trajectories": judge_trajectories(one),
                    "moves": moves[name][str(modality)],
                    "flipped": [plain(flipped_share(row, one.annotated)) for row in one.best],
                }
                for name, one in own.items()
            },
        }
        if first.known.any():
            share = flipped_share(first.truth[first.known], first.annotated[first.known])
            result["contradicting"] = plain(share)
            result["agreement"] = _agreement(study, first, own, references)
        judged[str(modality)] = result
    return judged


def _agreement(
    study: Study,
    first: LabelRows,
    own: Mapping[str, LabelRows],
    references: Mapping[str, Scores],
) -> dict[str, Any]:
    sources = {name: one.best for name, one in own.items()}
    fixed = (set(references) | {COPY}) - set(sources)
    if COPY not in sources:
        sources[COPY] = first.annotated[None]
    truth = first.truth
    for name, labels in references.items():
        sources[name] = labels[None]
        truth = np.where(np.isnan(labels), math.nan, truth)  # nothing to fit, nothing to judge
    against = dict.fromkeys((COPY, *study.against, *references))
    return judge_agreement(
        {name: np.where(np.isnan(truth), 0.0, one) for name, one in sources.items()},
        truth,
        first.annotated,
        first.videos,
        against=tuple(against),
        fixed=fixed,
    )


def _references(
    ready: PreparedCorpus, modality: Modality
) -> tuple[dict[str, Scores], dict[str, str]]:
    """Fit the references of a modality; return their labels, and why others could not be fitted."""
    store = open_store(ready.store)
    series = next(iter(ready.variants.values())).config.features
    names = {Modality.AUDIO: series.audio, Modality.VIDEO: series.video}
    fitted, unfit = {}, {}
    for name in ready.corpus.references:
        try:
            fitted[str(name)] = fit_reference(name, store, names.get(modality, str(modality)))
        except MienError as error:
            unfit[str(name)] = str(error)
    return fitted, unfit


def _judge_scores(study: Study, finished: Mapping[str, Sequence[SeedFolder]]) -> dict[str, Any]:
    """Return every metric of every task, and which variant is best on validation."""
    family = str(read_json(next(iter(finished.values()))[0].path.parent / "metrics.json")["family"])
    judged: dict[str, Any] = {}
    for split in _JUDGED:
        given = {}
        for name, seeds in finished.items():
            read = [one.predictions(split) for one in seeds]
            given[name] = [one for one in read if one is not None]
        given = {name: each for name, each in given.items() if each}
        tasks = {str(task): _judge_task(study, given, task, family) for task in Task}
        if given:
            judged[split] = {task: one for task, one in tasks.items() if one is not None}
    return {"family": family, "scores": judged, "best_on_valid": _best_on_valid(judged)}


def _judge_task(
    study: Study, given: Mapping[str, Sequence[Predictions]], task: Task, family: str
) -> dict[str, Any] | None:
    """Judge the scores of one task, of the variants that have it; None if there is no truth."""
    having = {name: each for name, each in given.items() if task in each[0].scores}
    if not having:
        return None
    first = next(iter(having.values()))[0]
    kept = judged_rows(first, task)
    if not kept.any():
        return None
    rows = {n: np.stack([p.scores[task][kept] for p in each]) for n, each in having.items()}
    clusters = clusters_of(np.array([name.split(ID_SEPARATOR)[0] for name in first.ids])[kept])
    return {
        "num_clips": int(kept.sum()),
        "num_clusters": len(np.unique(clusters)),
        "metrics": {
            name: contrast(
                rows,
                first.targets[task][kept],
                METRICS[family][name],
                clusters=clusters,
                against=study.against,
            )
            for name in (METRICS[family] if task is Task.FUSION else _UNIMODAL_METRICS)
        },
    }


def _best_on_valid(judged: Mapping[str, Any]) -> str | None:
    """Return the variant whose mean of the multimodal ``mae`` on validation is the lowest."""
    if "valid" not in judged or str(Task.FUSION) not in judged["valid"]:
        return None
    entries = judged["valid"][str(Task.FUSION)]["metrics"]["mae"]
    means = {name: one["mean"] for name, one in entries.items() if one["mean"] is not None}
    return min(means, key=means.__getitem__, default=None)


def _judge_attention(study: Study, outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Return, per split and modality, how much attention lies inside the known moments."""
    measured: dict[str, list[dict[str, Any]]] = {}
    for outcome in outcomes:
        if outcome.status == "finished":
            path = outcome.job.folder / "attention.json"
            one = json.loads(path.read_text(encoding="utf-8"))
            measured.setdefault(outcome.job.variant, []).append(one)
    judged: dict[str, Any] = {}
    for split in _JUDGED:
        for modality in Modality:
            given = {
                name: [one[split][modality] for one in each if modality in one.get(split, {})]
                for name, each in measured.items()
            }
            given = {name: each for name, each in given.items() if each}
            if given:
                judged.setdefault(split, {})[str(modality)] = _share(study, given)
    return judged


def _share(study: Study, given: Mapping[str, Sequence[Mapping[str, Any]]]) -> dict[str, Any]:
    rows = {
        name: np.array([[math.nan if v is None else v for v in one["inside"]] for one in each])
        for name, each in given.items()
    }
    silent = [name for name, one in rows.items() if np.isnan(one).all()]
    rows = {name: one for name, one in rows.items() if name not in silent}
    first = next(iter(given.values()))[0]
    uniform = np.array(first["uniform"], dtype=np.float64)
    videos = np.array([name.split(ID_SEPARATOR)[0] for name in first["ids"]])
    kept = np.ones(len(uniform), dtype=bool)
    for one in rows.values():
        kept &= ~np.isnan(one).any(axis=0)  # a clip without any attention has no share
    judged: dict[str, Any] = {
        "num_clips": int(kept.sum()),
        "without_attention": silent,
        "uniform": float(uniform[kept].mean()) if kept.any() else None,
        "metrics": {},
    }
    if kept.any() and rows:
        clusters = clusters_of(videos[kept])
        judged["num_clusters"] = len(np.unique(clusters))
        judged["metrics"] = {
            name: contrast(
                {n: one[:, kept] for n, one in rows.items()},
                uniform[kept],
                metric,
                clusters=clusters,
                against=study.against,
            )
            for name, metric in (("inside", INSIDE), ("ratio", RATIO))
        }
    return judged
