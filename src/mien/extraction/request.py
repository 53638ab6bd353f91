"""What a user asks of an extraction, checked and completed before anything is begun."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from mien.corpora import complete_facts
from mien.corpora.emotion_layouts.layout_reader import read_if_layout
from mien.corpora.recordings import Recordings, read_recordings
from mien.corpora.unlabelled import Unlabelled
from mien.errors import ConfigError, MienError
from mien.extraction.alignment import Pooling, read_pooling
from mien.extraction.clip import ExtractionSettings, build_extractor, find_extractor
from mien.extraction.extractors import EXTRACTORS
from mien.pretrained.encoder_source import default_text_encoder
from mien.types import Modality, Scale

__all__ = ["ExtractorStatus", "list_extractors", "make_settings", "read_request"]


Pooled = Literal["audio", "video"]
_POOLED: tuple[Pooled, ...] = ("audio", "video")


class ExtractorStatus(NamedTuple):
    """An extractor, and what is missing to use it here; empty if nothing is."""

    name: str
    modality: Modality
    summary: str
    problem: str


def list_extractors() -> Iterator[ExtractorStatus]:
    """Try every extractor, and say which can be used here."""
    for name, entry in EXTRACTORS.items():
        problem = ""
        try:
            build_extractor(name)
        except MienError as error:
            problem = str(error)
        yield ExtractorStatus(name, entry.modality, entry.summary, problem)


def read_request(
    source: Path,
    *,
    corpus: str | None,
    language: str | None,
    scale: Scale | None,
    encoding: str | None = None,
    unlabelled: Unlabelled = "keep",
    targets: Sequence[str] = (),
    fold: int | None = None,
) -> Recordings:
    """Find the clips of ``source``; what is fixed for a published corpus need not be said.

    An emotion corpus (``mien.corpora.emotion_layouts``) is read from the folder that people
    download, unless that holds a table ``label.csv``.

    Args:
        source: A folder, a CSV file or a recording.
        corpus: Its name; by default that of the folder or file.
        language: ISO 639-1 code of what is said.
        scale: Range of the labels.
        encoding: Encoding of a CSV file; None finds it out.
        unlabelled: Whether clips without a label are kept where others have one.
        targets: What is annotated besides labels, such as ``valence=1:5``.
        fold: Which fold of an emotion corpus is tested.

    Raises:
        ConfigError: If ``fold`` or ``targets`` do not go with the corpus.
        CorpusError: If nothing is found, or a CSV is not as it should be.
    """
    read = read_if_layout(
        corpus,
        source,
        targets=targets,
        fold=fold,
        language=language,
        unlabelled=unlabelled,
        has_others=bool(encoding or scale),
    )
    if read is not None:
        return read
    language, scale = complete_facts(corpus, language, scale)
    return read_recordings(
        source,
        name=corpus or source.resolve().stem or "own",
        language=language,
        scale=scale,
        encoding=encoding,
        unlabelled=unlabelled,
        targets=targets,
    )


def make_settings(
    *,
    audio: str,
    video: str,
    text: Literal["transcript", "speech", "auto", "none"],
    recogniser: str,
    language: str,
    align: Literal["none", "words"],
    encoder: str,
    pool: Sequence[str],
    rate: Sequence[str],
) -> ExtractionSettings:
    """Complete the settings: names with versions, the encoder of the language, pooling.

    Raises:
        ConfigError: If something is unknown, or does not go together.
    """
    names = {
        modality: "none" if name == "none" else find_extractor(name, modality)
        for modality, name in ((Modality.AUDIO, audio), (Modality.VIDEO, video))
    }
    if set(names.values()) == {"none"} and text not in ("speech", "auto"):
        raise ConfigError(
            "--audio none --video none: nothing is left to extract; use --text speech"
        )
    extracted = tuple(m for m in _POOLED if names[Modality(m)] != "none")
    pooling = _read_poolings(pool, rate, extracted)
    if align == "words" and pooling:
        raise ConfigError(
            "--align words: joins the steps of each word; leave out --pool and --rate"
        )
    if align == "none" and encoder not in ("auto", "none"):
        raise ConfigError(f"--encoder {encoder!r}: goes with --align words")
    chosen = ""
    if align == "words" and text != "none" and encoder != "none":
        chosen = default_text_encoder(language) if encoder == "auto" else encoder
    hears = text in ("auto", "speech") or align == "words"
    return ExtractionSettings(
        audio=names[Modality.AUDIO],
        video=names[Modality.VIDEO],
        text=text,
        recogniser=_choose_recogniser(recogniser, language) if hears else "",
        language=language,
        align=align,
        encoder=chosen,
        pooling=pooling,
    )


def _choose_recogniser(name: str, language: str) -> str:
    from mien.extraction.extractors.speech import default_recogniser

    return default_recogniser(language) if name == "auto" else name


def _read_poolings(
    pool: Sequence[str], rate: Sequence[str], extracted: Sequence[Pooled]
) -> dict[Pooled, Pooling]:
    result: dict[Pooled, Pooling] = {}
    options = [("steps", "--pool", text) for text in pool]
    options += [("rate", "--rate", text) for text in rate]
    for kind, option, text in options:
        name, equals, amount = text.partition("=")
        pooling = read_pooling("steps" if kind == "steps" else "rate", amount if equals else name)
        targets = [modality for modality in extracted if not equals or modality == name]
        if not targets:
            raise ConfigError(
                f"{option} {text!r}: must be NUMBER or MODALITY=NUMBER; extracted are: "
                f"{', '.join(extracted) or 'neither audio nor video'}"
            )
        for target in targets:
            if target in result:
                raise ConfigError(f"{option} {text!r}: the steps of {target} are joined twice")
            result[target] = pooling
    return result
