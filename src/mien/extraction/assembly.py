"""Results of clips to the clips and series of a store, with notes on how they came about."""

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Float32, Float64

from mien.corpora.recordings import Recordings
from mien.errors import ExtractionError
from mien.extraction.clip import ExtractionSettings, build_extractor
from mien.extraction.clip_results import ClipFacts, read_series
from mien.extraction.workspace import Skipped, Work, facts_of, format_skipped, name_media
from mien.files.reading import show
from mien.types import Clip, Material, SeriesSource, Word

__all__ = ["collect", "describe_origin", "describe_series"]

logger = logging.getLogger(__name__)


def describe_series(settings: ExtractionSettings) -> dict[str, SeriesSource]:
    """Return the series without their values; builds the extractors, so what is missing shows."""
    sources = {}
    for modality, name in settings.extractors().items():
        extractor = build_extractor(name)
        pooling = {str(m): pooled for m, pooled in settings.pooling.items()}.get(str(modality))
        made_by, step = extractor.name, extractor.step_seconds
        if settings.align == "words":
            made_by, step = f"{made_by}, mean per word", None
        elif pooling is not None:
            made_by, step = f"{made_by}, {pooling}", pooling.step_seconds(step)
        sources[str(modality)] = SeriesSource(
            name=str(modality),
            size=len(extractor.feature_names),
            dtype="float32",
            extractor=made_by,
            read=lambda: iter(()),
            feature_names=extractor.feature_names,
            step_seconds=step,
        )
    if settings.encoder:
        from mien.extraction.word_states import WordEncoder

        sources["text"] = SeriesSource(
            name="text",
            size=WordEncoder(settings.encoder).size,
            dtype="float32",
            extractor=f"states of {settings.encoder}, mean per word",
            read=lambda: iter(()),
        )
    return sources


@dataclass(frozen=True, slots=True)
class _Reading:
    """Reads one series of the results, clip by clip."""

    results: tuple[Path, ...]
    name: str
    size: int

    def values(self) -> Iterator[Float32[np.ndarray, "_ _"]]:
        for result in self.results:
            values = read_series(result, f"{self.name}_values")
            yield np.empty((0, self.size), np.float32) if values is None else values

    def times(self) -> Iterator[Float64[np.ndarray, " _"]]:
        for result in self.results:
            times = read_series(result, f"{self.name}_times")
            yield np.empty(0) if times is None else times


def collect(
    works: Sequence[Work],
    recordings: Recordings,
    settings: ExtractionSettings,
    sources: Mapping[str, SeriesSource],
    origin: Mapping[str, str],
) -> tuple[Material, dict[str, str]]:
    """Return what a store is written from, and the files that say how it came about."""
    used, clips, notes, skipped = [], [], [], []
    for work in works:
        facts = facts_of(work)
        if facts.reason:
            skipped.append(Skipped(work.clip.id, name_media(work.clip), facts.reason))
            continue
        used.append(work)
        clips.append(_complete(work, facts, settings))
        notes.append(_format_notes(work.clip, facts))
    if not used:
        raise ExtractionError(
            f"not one of {len(works)} clips could be used; the first: {skipped[0].reason}"
        )
    truncated = sum(facts_of(work).is_truncated for work in used)
    if truncated:
        logger.warning(
            "%d clips are shorter than their recordings should be: parts cannot be decoded "
            "(is_truncated in notes.jsonl)",
            truncated,
        )
    _report_ends(used)
    results = tuple(work.result for work in used)
    series = []
    for source in sources.values():
        reading = _Reading(results, source.name, source.size)
        if not any(len(times) for times in reading.times()):
            logger.warning("no clip has %s; the store has no such series", source.name)
            continue
        series.append(replace(source, read=reading.values, read_times=reading.times))
    records = {"notes.jsonl": "".join(notes)}
    if skipped:
        records["skipped.csv"] = format_skipped(skipped)
    corpus = replace(recordings.corpus, clips=tuple(clips))
    made = Material(
        corpus=corpus,
        series=tuple(series),
        origin=origin,
        extraction=settings.without_paths().model_dump(mode="json"),
    )
    return made, records


def _report_ends(works: Sequence[Work]) -> None:
    """Log how many clips of a table end behind the end of their recordings."""
    beyond = [work.clip.id for work in works if facts_of(work).seconds_beyond]
    if beyond:
        logger.warning(
            "%d clips should end after the end of their recordings, such as %s; they end with "
            "them (seconds_beyond in notes.jsonl)",
            len(beyond),
            show(beyond[0]),
        )


def _complete(work: Work, facts: ClipFacts, settings: ExtractionSettings) -> Clip:
    transcript = work.clip.transcript if facts.transcript is None else facts.transcript
    words = () if facts.words is None else tuple(Word(*word) for word in facts.words)
    return replace(work.clip, transcript="" if settings.text == "none" else transcript, words=words)


def _format_notes(clip: Clip, facts: ClipFacts) -> str:
    values: dict[str, object] = {"id": clip.id, "seconds": facts.seconds}
    if facts.is_truncated:
        values["is_truncated"] = True
    if facts.seconds_beyond:
        values["seconds_beyond"] = facts.seconds_beyond
    return json.dumps(values | facts.notes, ensure_ascii=False) + "\n"


def describe_origin(settings: ExtractionSettings) -> dict[str, str]:
    """Return what was made of the recordings; programs of the user's by their names alone."""
    facts = {str(m): name.partition(":")[0] for m, name in settings.extractors().items()}
    facts["words"] = settings.text
    if settings.recogniser:
        facts["words"] += f" ({settings.recogniser})"
    if settings.align == "words":
        facts["steps"] = "one per word"
    return {f"extracted {key}": value for key, value in facts.items()}
