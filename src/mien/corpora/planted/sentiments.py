"""What each modality of a planted clip says, and what they say together.

The multimodal label is made from the unimodal ones (``mixing``), t, a, v, with weights w:

    sum         (w_t t + w_a a + w_v v) / (w_t + w_a + w_v)
    strongest   that of t, a, v which is farthest from 0
    irony       the same as sum, with t' = -t where t a < 0

A sum is what a fusion that only joins can learn; the two others are interactions. Under ``irony``
words that the voice contradicts are meant the other way round: the words say how much and the voice
says which way, ``t' = |t| sign(a)``. No function of the words plus a function of the voice is that.
"""

from collections.abc import Mapping

import numpy as np

from mien.corpora.planted.planted_config import FACTS, PlantedConfig, RandomStream, draw_from
from mien.corpora.planted.sentences import GRADES
from mien.types import Modality

__all__ = ["draw_sentiments", "draw_values", "mix_sentiments", "round_label", "weigh_meaning"]


def draw_sentiments(
    settings: PlantedConfig, generator: np.random.Generator, video_number: int
) -> dict[Modality, float]:
    """Draw what each modality says: correlated, or one of them against the two others.

    Args:
        settings: How the sentiments are distributed.
        generator: Draws what is the clip's own.
        video_number: The video, whose clips may have something in common.
    """
    text, audio, video = draw_values(settings, generator, video_number)
    return {
        Modality.TEXT: min(GRADES, key=lambda grade: abs(grade - text)),
        Modality.AUDIO: round_label(settings, audio),
        Modality.VIDEO: round_label(settings, video),
    }


def draw_values(
    settings: PlantedConfig, generator: np.random.Generator, video_number: int, *, extra: int = 0
) -> list[float]:
    """Draw a value for text, audio and video: correlated, or one against the two others.

    Args:
        settings: How they are distributed; they lie on the scale.
        generator: Draws what is the clip's own.
        video_number: The video, whose clips may have something in common.
        extra: Tells what is drawn for a video apart.
    """
    own, common = generator.standard_normal(3), generator.standard_normal()
    shared = np.sqrt(settings.agreement)
    drawn = shared * common + np.sqrt(1 - settings.agreement) * own
    if settings.video_effect:
        of_video = draw_from(settings, RandomStream.VIDEOS, video_number, extra).standard_normal()
        share = settings.video_effect
        drawn = np.sqrt(1 - share) * drawn + np.sqrt(share) * float(of_video)
    drawn = settings.spread * drawn
    odd, size = generator.integers(3), generator.standard_normal()
    if generator.random() < settings.disagreement:
        others = drawn.sum() - drawn[odd]
        drawn[odd] = -np.sign(others) * max(0.6, settings.spread * abs(size))
    values: list[float] = FACTS.scale.clip(drawn).tolist()
    return values


def round_label(settings: PlantedConfig, value: float) -> float:
    """Return the nearest label on the scale."""
    low, high = FACTS.scale
    value = round(value / settings.label_step) * settings.label_step
    return round(min(max(value, low), high), 6) + 0.0  # no negative zero


def mix_sentiments(
    settings: PlantedConfig, sentiments: Mapping[Modality, float], noise: float
) -> float:
    """Return the multimodal label of a clip.

    Args:
        settings: How the label is made.
        sentiments: What each modality that the clip has says; every clip has text.
        noise: What the label has beyond its parts.
    """
    meant, weights = weigh_meaning(settings, sentiments)
    value = sum(weight * meant[m] for m, weight in weights.items())
    return round_label(settings, value / sum(weights.values()) + noise)


def weigh_meaning(
    settings: PlantedConfig, sentiments: Mapping[Modality, float]
) -> tuple[dict[Modality, float], dict[Modality, float]]:
    """Return what each modality contributes to the label, and the weights of those that do.

    Args:
        settings: How labels are made.
        sentiments: What each modality that the clip has says; every clip has text.
    """
    meant = dict(sentiments)
    if settings.mixing == "strongest":
        return meant, {max(meant, key=lambda m: abs(meant[m])): 1.0}
    if settings.mixing == "irony" and meant[Modality.TEXT] * meant.get(Modality.AUDIO, 0.0) < 0:
        meant[Modality.TEXT] *= -1
    return meant, {m: getattr(settings, f"{m}_weight") for m in meant}
