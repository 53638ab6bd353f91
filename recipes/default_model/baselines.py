"""What baselines of several kinds do: lone voices and faces of valid, read against them."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from compose import Joined, name_clip
from tables import HEADS

from mien.data.dataset import ClipDataset
from mien.data.speakers.speaker_baseline import Moments, shrink
from mien.data.store import Store
from mien.evaluation.scoring import predict
from mien.training.loading import load_model

#: Columns of the table.
KINDS = ("*read against", "*source", "n", "MAE", "Corr")
#: Which clips of the same person are the baseline, by what is shown in them and in the clip.
_CHOICES: Mapping[str, Callable[[str, str], bool]] = {
    "nobody": lambda _clip, _other: False,
    "neutral clips": lambda _clip, other: other == "neutral",
    "all other clips": lambda _clip, _other: True,
    "those of other emotions": lambda clip, other: other != clip,
    "those of the same emotion": lambda clip, other: other == clip,
}
_SOURCES = ("ravdess", "taiwan")


def compare_baselines(
    model: Path, store: Store, joined: Sequence[Joined]
) -> Iterator[tuple[str, str, str, str, str]]:
    """Yield how good the own heads of voice and face are with each kind of baseline.

    Args:
        model: Weights that know baselines.
        store: The clips of valid, among others.
        joined: What they are composed of.
    """
    network, prepared = load_model(model, store, baseline="speaker", splits=("valid",))
    dataset = prepared.datasets["valid"]
    by_name = {name_clip(one): one for one in joined}
    clips = [by_name[name] for name in dataset.ids]
    lone = [row for row, one in enumerate(clips) if one.kind in _SOURCES]
    alone, kinds = dataset.part(np.array(lone)), [clips[row].kind for row in lone]
    shown = [next(iter(clips[row].items.values())).emotion for row in lone]
    persons = [next(iter(clips[row].items.values())).group for row in lone]
    for name, choice in _CHOICES.items():
        found = predict(network, read_against(alone, persons, shown, choice))
        for source in _SOURCES:
            rows = [row for row, kind in enumerate(kinds) if kind == source]
            scores, targets = found.scores[HEADS[source]][rows], found.targets[HEADS[source]][rows]
            yield (
                name,
                source,
                str(len(rows)),
                f"{np.abs(scores - targets).mean():.3f}",
                f"{np.corrcoef(scores, targets)[0, 1]:.3f}",
            )


def read_against(
    dataset: ClipDataset,
    persons: Sequence[str],
    shown: Sequence[str],
    choice: Callable[[str, str], bool],
) -> ClipDataset:
    """Return clips, each of which is read against chosen others of the same person.

    Args:
        dataset: The clips.
        persons: Who each shows.
        shown: Which emotion.
        choice: Whether another clip is part of the baseline, by the emotions of clip and other.
    """
    speakers = dataset.speakers
    if speakers is None:
        raise ValueError("the clips have no speakers")
    rows_of = defaultdict(list)
    for row, person in enumerate(persons):
        rows_of[person].append(row)
    chosen = [
        [at for at in rows_of[person] if at != row and choice(shown[row], shown[at])]
        for row, person in enumerate(persons)
    ]
    baselines = {}
    for modality, known in speakers.moments.items():
        places = [speakers.rows[rows] for rows in chosen]
        given = Moments(
            seconds=np.array([known.seconds[at].sum() for at in places]),
            counts=np.array([known.counts[at].sum() for at in places]),
            sums=np.array([known.sums[at].sum(axis=0) for at in places]),
            squares=np.array([known.squares[at].sum(axis=0) for at in places]),
        )
        baselines[modality] = shrink(given, speakers.units[modality], speakers.half_seconds)
    return replace(dataset, baselines=baselines)
