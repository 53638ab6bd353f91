"""What is done to the clips: kinds of stress, their levels, and the protocols of the field."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from mien.errors import ConfigError, name_known
from mien.evaluation.conformal import name_modalities, subsets_of
from mien.types import Modality

__all__ = [
    "INTACT",
    "KINDS",
    "PROTOCOLS",
    "Condition",
    "Stress",
    "StressKind",
    "plan_stresses",
]

KindName = Literal[
    "intact",
    "sets",
    "clips",
    "steps",
    "blanks",
    "noise",
    "slip",
    "words-deleted",
    "words-replaced",
    "words-masked",
]

#: 0 to 90 %, as LNLN has them.
_TENTHS: Final = tuple(number / 10 for number in range(10))
#: 0 to 50 %, about what recognisers get wrong of clean and of very noisy speech.
_HALF: Final = _TENTHS[:6]
_FEATURES: Final = (Modality.AUDIO, Modality.VIDEO)


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """What is done to the clips of a split before they are scored.

    Attributes:
        kind: Key of ``KINDS``; ``intact`` does nothing.
        modalities: Which modalities suffer; of ``sets``, which ones stay.
        level: How much, as the kind says; 0 for ``sets``.
    """

    kind: KindName
    modalities: tuple[Modality, ...]
    level: float = 0.0

    @property
    def name(self) -> str:
        """A name that a file may have, such as ``steps-audio+video-0.3``."""
        if self.kind == "intact":
            return self.kind
        level = "" if self.kind == "sets" else f"-{self.level:g}"
        return f"{self.kind}-{name_modalities(self.modalities)}{level}"


#: Nothing is done.
INTACT: Final = Condition(kind="intact", modalities=())


@dataclass(frozen=True, slots=True, kw_only=True)
class StressKind:
    """One way in which clips suffer.

    Attributes:
        title: Its name in headings.
        across: What its level is.
        levels: Levels that are tried if none are given; none for ``sets``.
        largest: The largest level that it can have.
        meaning: What is done, a sentence.
        suffer: Modalities that can suffer.
        is_joint: Whether they also suffer all at once.
        needs_another: Whether it means something only where the model has another modality.
    """

    title: str
    across: str
    levels: tuple[float, ...]
    largest: float
    meaning: str
    suffer: tuple[Modality, ...] = tuple(Modality)
    is_joint: bool = True
    needs_another: bool = False


#: Every kind, in the order of pages.
KINDS: Final[Mapping[KindName, StressKind]] = {
    "sets": StressKind(
        title="Sets of modalities",
        across="modalities that are there",
        levels=(),
        largest=0.0,
        meaning="Every clip has these modalities alone; the others are taken away.",
        needs_another=True,
    ),
    "clips": StressKind(
        title="Modalities lost in some clips",
        across="share of clips",
        levels=_TENTHS,
        largest=1.0,
        meaning="In this share of the clips, drawn for each modality by itself, the modality is "
        "taken away; a clip always keeps one.",
        needs_another=True,
    ),
    "steps": StressKind(
        title="Steps cut out",
        across="share of steps",
        levels=_TENTHS,
        largest=1.0,
        meaning="This share of the steps is cut out, so that series get shorter: tokens of text "
        "(the marks around a text stay), frames of audio and video; a series keeps one step.",
    ),
    "blanks": StressKind(
        title="Steps made blank",
        across="share of steps",
        levels=_TENTHS,
        largest=1.0,
        meaning="This share of the steps is made blank in its place: a token becomes the encoder's "
        "unknown one (the marks around a text stay), a frame of features becomes zeros, as "
        "features are stored.",
    ),
    "noise": StressKind(
        title="Noise on features",
        across="deviation of the noise, in deviations of the feature",
        levels=(0.0, 0.25, 0.5, 1.0, 2.0, 4.0),
        largest=1000.0,
        meaning="Normal noise is added to every value of every step; its standard deviation is "
        "this many times that of the feature over the training split.",
        suffer=_FEATURES,
    ),
    "slip": StressKind(
        title="Slips in time",
        across="delay, share of the clip",
        levels=(0.0, 0.05, 0.1, 0.2, 0.3, 0.5),
        largest=1.0,
        meaning="The series is late against the others by this share of its steps: the first step "
        "is repeated at the beginning, and what is pushed out at the end is lost.",
        suffer=_FEATURES,
        is_joint=False,
        needs_another=True,
    ),
    "words-deleted": StressKind(
        title="Words deleted",
        across="share of words",
        levels=_HALF,
        largest=1.0,
        meaning="This share of the words is left out, as a recogniser that does not hear them "
        "does; a text without words is no text, unless the clip has nothing else.",
        suffer=(Modality.TEXT,),
    ),
    "words-replaced": StressKind(
        title="Words replaced",
        across="share of words",
        levels=_HALF,
        largest=1.0,
        meaning="This share of the words is replaced by other words of the split, drawn as often "
        "as they occur there.",
        suffer=(Modality.TEXT,),
    ),
    "words-masked": StressKind(
        title="Words masked",
        across="share of words",
        levels=_HALF,
        largest=1.0,
        meaning="Every token of this share of the words becomes the mask token of the text "
        "encoder.",
        suffer=(Modality.TEXT,),
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Stress:
    """One curve: a kind of stress on some modalities, level by level.

    Attributes:
        kind: Key of ``KINDS``.
        modalities: Which modalities suffer; of ``sets``, all that the model has.
        levels: In increasing order; none for ``sets``.
    """

    kind: KindName
    modalities: tuple[Modality, ...]
    levels: tuple[float, ...] = ()

    @property
    def name(self) -> str:
        """What it is called in tables, such as ``steps-audio``."""
        is_clear = self.kind == "sets" or len(KINDS[self.kind].suffer) == 1
        return self.kind if is_clear else f"{self.kind}-{self.suffering}"

    @property
    def suffering(self) -> str:
        """The modalities that suffer."""
        return name_modalities(self.modalities)

    @property
    def conditions(self) -> tuple[Condition, ...]:
        """What is done, point by point."""
        if self.kind == "sets":
            return tuple(
                INTACT if staying == self.modalities else Condition(kind="sets", modalities=staying)
                for staying in subsets_of(self.modalities)
            )
        return tuple(
            Condition(kind=self.kind, modalities=self.modalities, level=level) if level else INTACT
            for level in self.levels
        )

    @property
    def points(self) -> tuple[str, ...]:
        """What each point is called in tables: its level, or the modalities that are there."""
        if self.kind == "sets":
            return tuple(name_modalities(staying) for staying in subsets_of(self.modalities))
        return tuple(f"{level:g}" for level in self.levels)


def _suffering(kind: KindName, modalities: Sequence[Modality]) -> Iterator[tuple[Modality, ...]]:
    """Yield the modalities of each curve of a kind, for a model of these."""
    known = KINDS[kind]
    own = tuple(m for m in modalities if m in known.suffer)
    if known.needs_another and len(modalities) < 2:
        return
    if kind != "sets":
        yield from ((m,) for m in own)
    if known.is_joint and len(own) > 1:
        yield own


@dataclass(frozen=True, slots=True, kw_only=True)
class Protocol:
    """What a paper, or this package, tests.

    Attributes:
        kinds: Kinds of stress.
        only_together: Whether all modalities suffer at once, and none by itself.
        meaning: What it does, and how it differs from the paper.
    """

    kinds: tuple[KindName, ...]
    only_together: bool
    meaning: str


#: What can be chosen by name.
PROTOCOLS: Final[Mapping[str, Protocol]] = {
    "full": Protocol(
        kinds=tuple(kind for kind in KINDS if kind != "blanks"),
        only_together=False,
        meaning="Every set of modalities, and every kind of loss, noise, slip and wrong words.",
    ),
    "lnln": Protocol(
        kinds=("blanks",),
        only_together=True,
        meaning="As zhang2024 tests incomplete data: of all modalities at once, the same share of "
        "steps is made blank, 0 to 90 %, each step by itself; tokens become the unknown one, but "
        "for the marks around a text; frames become zeros. The average over the ten levels is "
        "what their tables show. Unlike theirs, one checkpoint chosen on validation gives all "
        "metrics, and the seed draws other steps in every clip and modality.",
    ),
    "missmac": Protocol(
        kinds=("sets", "clips"),
        only_together=True,
        meaning="The two patterns of lin2026: fixed, every set of modalities for all of the split, "
        "and random, in each clip by itself a share of its modalities, one of which always stays. "
        "One model is tested in all cases. Their other principle, that training knows nothing of "
        "what will be missing, is staying by runs without modality dropout and without lost steps. "
        "The levels of the random pattern are those of this package, 0 to 90 %.",
    ),
}


def plan_stresses(
    modalities: Sequence[Modality],
    protocol: str = "full",
    *,
    kinds: Sequence[str] = (),
    levels: Sequence[float] = (),
) -> list[Stress]:
    """Return the curves of a model.

    Args:
        modalities: Those of the model.
        protocol: Key of ``PROTOCOLS``.
        kinds: Kinds of stress to keep; all of the protocol if empty. Any of ``KINDS`` may be named
            with ``full``.
        levels: Levels in the place of those of each kind, in increasing order, from 0.

    Raises:
        ConfigError: If a name is not known, or a level is impossible.
    """
    if protocol not in PROTOCOLS:
        raise ConfigError(f"--protocol {protocol!r}: {name_known(protocol, list(PROTOCOLS))}")
    chosen = PROTOCOLS[protocol]
    known = tuple(KINDS) if protocol == "full" else chosen.kinds
    for kind in kinds:
        if kind not in known:
            raise ConfigError(f"--only {kind!r}: {name_known(kind, list(known))}")
    used = [kind for kind in known if kind in kinds] if kinds else list(chosen.kinds)
    stresses = []
    for kind in used:
        for suffering in _suffering(kind, modalities):
            is_alone = kind != "sets" and len(suffering) < len(modalities)
            if not (chosen.only_together and is_alone):
                own = _levels_of(kind, levels)
                stresses.append(Stress(kind=kind, modalities=suffering, levels=own))
    return stresses


def _levels_of(kind: KindName, given: Sequence[float]) -> tuple[float, ...]:
    known = KINDS[kind]
    if kind == "sets" or not given:
        return known.levels
    levels = tuple(sorted({0.0, *given}))
    if len(levels) < 2 or not 0 <= levels[0] <= levels[-1] <= known.largest:
        raise ConfigError(
            f"--levels {','.join(f'{level:g}' for level in given)}: must have a number above 0, "
            f"and none below 0 or above {known.largest:g} for {kind}"
        )
    return levels
