"""The person of a recording: how that person is on average, and what an utterance is read as."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np

from mien.data.speakers.speaker_baseline import Baseline, Moments, measure, shrink
from mien.data.speakers.speaker_moments import SpeakerMoments
from mien.errors import ConfigError, MediaError
from mien.files.reading import open_regular
from mien.prediction.answer import PersonFacts
from mien.prediction.explain import UtteranceInput
from mien.prediction.first_pass import explain_emptiness
from mien.prediction.network import ClipSeries, Network
from mien.prediction.recording import RecordingReader
from mien.prediction.spoken.transcripts import read_transcript
from mien.training.checkpoints.baseline_use import BaselineUse, reads_speakers
from mien.training.preparation import units_of
from mien.training.settings import ExperimentConfig
from mien.types import Modality

__all__ = ["BaselineChoice", "Person", "PersonFinder", "read_choice"]

#: Against whom the utterances of a recording are read, beside another recording.
BaselineChoice = Literal["recording", "none"]
_NAMED: dict[str, BaselineChoice] = {"recording": "recording", "none": "none"}

#: Against whom clips of a store are read, by the same names: a clip's recordings are its speaker's.
_OF_STORE: dict[BaselineChoice, BaselineUse] = {"recording": "speaker", "none": "none"}

_Inputs = Sequence[tuple[ClipSeries, UtteranceInput]]


#: Of whom nothing is known.
_NOBODY = PersonFacts(kind="none")
_UNKNOWN = ", of whom no two utterances of the recording have a voice, or a face"


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Against whom the utterances of a recording are read.

    Attributes:
        facts: Who that is.
        baselines: Of each modality, that of every utterance.
        share: How much of it is the person's own, where there is most: in voice or in face, the
            mean over the utterances that have it.
        reason: Why nothing is known of somebody who should be; begins with a comma.
    """

    facts: PersonFacts
    baselines: Mapping[Modality, Baseline]
    share: float = 0.0
    reason: str = ""

    def read(self, series: ClipSeries, row: int) -> ClipSeries:
        """Return the features of an utterance, the ``row``-th of all, as the network reads them."""
        read = dict(series)
        for modality, baseline in self.baselines.items():
            if modality in read and len(read[modality]):
                read[modality] = baseline.apply(read[modality].astype(np.float32), row)
        return read

    def calibrate(self, network: Network) -> Network:
        """Return the network with the intervals of what it knows of the person.

        Those of clips by themselves hold while the training counts more than the person.
        """
        if self.share >= 0.5:
            return network
        return replace(
            network,
            calibration=network.calibration_alone or network.calibration,
            target_calibration=network.target_calibration_alone or network.target_calibration,
        )


def _measure(network: Network, inputs: _Inputs) -> dict[Modality, Moments]:
    """Return what there is of voice and face in every utterance, up to what the network reads.

    How long it is, is counted as ``clip_seconds`` does in training.
    """
    moments = {}
    most = network.config.features.max_steps or None
    for modality, units in units_of(network.model).items():
        empty = np.zeros((0, len(units.mean)), np.float32)
        values = [series.get(modality, empty)[:most] for series, _ in inputs]
        step = network.step_seconds.get(modality)
        lengths = ((u.end or 0.0) - (u.start or 0.0) for _, u in inputs)
        seconds = lengths if step is None else (len(own) * step for own in values)
        moments[modality] = measure(values, seconds, units)
    return moments


def read_choice(
    config: ExperimentConfig, checkpoint: Path, given: str | Path | None
) -> BaselineChoice | Path | None:
    """Read against whom a model reads a recording: a name of that, or another recording.

    Raises:
        ConfigError: If the model was trained without baselines.
        MediaError: If the other recording is not there.
    """
    reads_speakers(config, checkpoint, None if given is None else str(given))
    if given is None or (isinstance(given, str) and given in _NAMED):
        return None if given is None else _NAMED[given]
    other = Path(given)
    open_regular(other, MediaError).close()
    return other


def _from_recording(network: Network, moments: Mapping[Modality, Moments]) -> Person:
    """Return the person of a recording: each utterance is read against all the others."""
    num = max((len(own.counts) for own in moments.values()), default=0)
    speakers = SpeakerMoments(
        speakers=np.zeros(num, dtype=np.int64),
        moments=moments,
        units=units_of(network.model),
        half_seconds=network.config.features.baseline_seconds,
        rows=np.arange(num),
    )
    baselines = speakers.all_others()
    shares = {m: baselines[m].shares[own.counts > 0] for m, own in moments.items()}
    known = [m for m, own in shares.items() if own.any()]  # in more than one utterance
    if not known:
        return Person(facts=_NOBODY, baselines={}, reason=_UNKNOWN)
    seconds = _seconds_of({m: moments[m] for m in known})
    return Person(
        facts=PersonFacts(kind="recording", seconds=seconds),
        baselines=baselines,
        share=max(float(shares[m].mean()) for m in known),
    )


def _from_other(
    network: Network, other: Mapping[Modality, Moments], name: str, num_utterances: int
) -> Person:
    """Return the person of another recording, against whom every utterance is read."""
    units, half = units_of(network.model), network.config.features.baseline_seconds
    rows = np.zeros(num_utterances, dtype=np.int64)
    facts = PersonFacts(kind="clip", source=name, seconds=_seconds_of(other))
    alone = {m: shrink(own.total(), units[m], half) for m, own in other.items()}
    return Person(
        facts=facts,
        baselines={m: own.take(rows) for m, own in alone.items()},
        share=max(float(own.shares[0]) for own in alone.values()),
    )


def _seconds_of(moments: Mapping[Modality, Moments]) -> dict[Modality, float]:
    """Return how much there is of voice and face, of those of which there is anything."""
    seconds = {m: float(own.seconds.sum()) for m, own in moments.items()}
    return {m: value for m, value in seconds.items() if value > 0}


def _is_same(other: Path, recording: Path | None) -> bool:
    """Return whether both are one file."""
    return recording is not None and recording.exists() and other.samefile(recording)


class PersonFinder:
    """Finds the person of a recording for a network that reads voice and face against one.

    Args:
        reader: Makes the features of the other recording.
        network: The network.
        choice: Where the person is known from.

    Attributes:
        nobody: The choice of no baseline: everybody is read alike.
    """

    def __init__(
        self, reader: RecordingReader, network: Network, choice: BaselineChoice | Path
    ) -> None:
        self._reader, self._network, self._choice = reader, network, choice
        self.nobody = Person(facts=_NOBODY, baselines={})

    @staticmethod
    def choose_for_store(choice: BaselineChoice | Path | None) -> BaselineUse | None:
        """Return against whom the clips of a store are read, by what is chosen for recordings.

        The other utterances of a recording are the other clips of a speaker; None is the way of the
        model here as there.

        Raises:
            ConfigError: If it is another recording: the clips have speakers of their own.
        """
        if isinstance(choice, Path):
            raise ConfigError(
                f"baseline: {choice} is a recording of one person, and the clips of a store are "
                "read against their own speakers; open the model without a baseline, or with none"
            )
        return None if choice is None else _OF_STORE[choice]

    def make_ready(self) -> None:
        """Read another recording, if the person is known from one.

        Raises:
            MediaError: If it cannot be read, or has nothing of a person.
        """
        if isinstance(self._choice, Path):
            _ = self._other

    def find_apart(self, inputs: _Inputs) -> Person:
        """Return the person of clips that come from no recording: another one, if it is chosen.

        Texts have neither voice nor face, and are read alike whoever says them.

        Raises:
            MediaError: As ``make_ready``.
        """
        has_person = any(
            len(values) for own, _ in inputs for m, values in own.items() if m is not Modality.TEXT
        )
        if not (isinstance(self._choice, Path) and has_person):
            return self.nobody
        return _from_other(self._network, self._other, self._choice.name, len(inputs))

    def find(
        self,
        inputs: Iterator[tuple[ClipSeries, UtteranceInput]],
        num_utterances: int,
        recording: Path | None = None,
    ) -> tuple[Person, Iterator[tuple[ClipSeries, UtteranceInput]]]:
        """Return the person, and the utterances as they came.

        Where the person is known from them, the features of all are kept meanwhile: what comes last
        tells of the person as well. So it is too if the other recording is the same: an utterance
        is never part of its own baseline.

        Args:
            inputs: The utterances of a recording.
            num_utterances: How many there are.
            recording: Its file, where there is one.

        Raises:
            MediaError: If the other recording cannot be read, or has nothing of a person.
        """
        if self._choice == "none":
            return self.nobody, inputs
        if isinstance(self._choice, Path) and not _is_same(self._choice, recording):
            other = _from_other(self._network, self._other, self._choice.name, num_utterances)
            return other, inputs
        utterances = list(inputs)
        return _from_recording(self._network, _measure(self._network, utterances)), iter(utterances)

    @cached_property
    def _other(self) -> dict[Modality, Moments]:
        """What there is of the person in the other recording, whose words are of no interest."""
        path, given = Path(str(self._choice)), read_transcript("none")
        first_pass = self._reader.scan(path, given, None)
        utterances, _ = self._reader.cut(first_pass, given)
        inputs = list(self._reader.extract(path, utterances, first_pass, given))
        moments = _measure(self._network, inputs)
        if not any(own.counts.any() for own in moments.values()):
            why = explain_emptiness(first_pass, self._network.modalities)
            raise MediaError(f"{path}: holds nothing of a person to compare with: {why}")
        return moments
