"""Tiny corpora whose clips have classes, labels, a score and intensities beside sentiment."""

from dataclasses import replace

import numpy as np
from helpers import make_material

from mien.types import Scale, Target, TargetKind

EMOTION = Target(name="emotion", kind=TargetKind.CLASS, classes=("neg", "neu", "pos"))
TAGS = Target(name="tags", kind=TargetKind.LABELS, classes=("up", "strong"))
VALENCE = Target(name="valence", kind=TargetKind.SCORE, scale=Scale(1, 5))
MOODS = Target(
    name="moods.of it", kind=TargetKind.INTENSITIES, classes=("joy", "woe"), scale=Scale(0, 3)
)
TARGETS = (EMOTION, TAGS, VALENCE, MOODS)


def values_of(label):
    """The values of every target of a clip or modality with this sentiment."""
    kind = 0 if label < -1 else 2 if label > 1 else 1
    return {
        "emotion": tuple(float(kind == k) for k in range(3)),
        "tags": (float(label > 0), float(abs(label) > 1)),
        "valence": (3 + 2 * label / 3,),
        "moods.of it": (max(label, 0.0), max(-label, 0.0)),
    }


def make_targeted(targets=TARGETS, *, sentiment=1.0, annotated=0.8, values=values_of, **options):
    """Shares of the clips have sentiment and each of the targets, for all tasks."""
    material, random = make_material(**options), np.random.default_rng(7)
    clips = []
    for clip in material.corpus.clips:
        own = {task: values(label) for task, label in clip.labels.items()}
        of_clip = {
            t.name: {task: each[t.name] for task, each in own.items()}
            for t in targets
            if random.random() < annotated
        }
        labels = clip.labels if random.random() < sentiment else {}
        clips.append(replace(clip, targets=of_clip, labels=labels))
    corpus = replace(material.corpus, clips=tuple(clips), targets=tuple(targets))
    return replace(material, corpus=corpus)
