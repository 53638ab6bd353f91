"""Recordings to a store in one call, with the settings of ``mien extract`` and its defaults."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from mien.corpora.recordings import read_words
from mien.corpora.unlabelled import Unlabelled
from mien.data.store import Store
from mien.errors import ExtractionError
from mien.extraction.pipeline import ExtractionListener, extract
from mien.extraction.processes.backends import Backend
from mien.extraction.request import make_settings, read_request
from mien.types import Bounds, Scale

__all__ = ["extract_recordings"]


def extract_recordings(
    source: str | Path,
    out: str | Path,
    *,
    corpus: str | None = None,
    language: str | None = None,
    scale: Bounds | None = None,
    encoding: str | None = None,
    unlabelled: Unlabelled = "keep",
    targets: Sequence[str] = (),
    fold: int | None = None,
    audio: str = "librosa-sims",
    video: str = "face",
    text: Literal["auto", "transcript", "speech", "none"] = "auto",
    recogniser: str = "auto",
    words: str | Path | None = None,
    align: Literal["none", "words"] = "none",
    encoder: str = "auto",
    pool: Sequence[str] = (),
    rate: Sequence[str] = (),
    jobs: int | None = None,
    backend: Backend = "local",
    address: str | None = None,
    time_limit: float | None = None,
    max_skipped: int = 0,
    resume: bool = False,
    replace: bool = False,
    listener: ExtractionListener | None = None,
) -> Store:
    """Extract the features of recordings into a store, and open it.

    Args:
        source: A folder with ``label.csv`` and ``Raw/VIDEO/CLIP.mp4``, a CSV with a column
            ``path``, the folder of an emotion corpus, a folder of recordings, or one recording.
        out: The store to make.
        corpus: Its name; by default that of the folder or file.
        language: ISO 639-1 code of what is said; by default that of the corpus, or ``en``.
        scale: Range of the labels, such as ``(-3, 3)``; a published corpus has its own.
        encoding: Encoding of a CSV file; None finds it out.
        unlabelled: Whether clips without a label are kept where others have one.
        targets: What is annotated besides labels, such as ``valence=1:5`` or ``emotion=meld7``.
        fold: Which fold of an emotion corpus is tested, from 1.
        audio: Extractor of the voice, as ``list_extractors`` names it, or ``none``.
        video: Extractor of the face, or ``none``.
        text: Where transcripts come from: ``speech`` is recognised, a ``transcript`` stands in the
            CSV, ``auto`` recognises speech where there is none, ``none`` leaves text out.
        recogniser: Speech model: a name of ``list_assets``, or a folder.
        words: A JSON file with the times of words, ``{CLIP: [[WORD, START, END], ...]}``.
        align: ``words`` makes one step per word in every series.
        encoder: Text encoder of the words where they are aligned, or ``none``.
        pool: ``MODALITY=K``: the mean over every K steps.
        rate: ``MODALITY=HERTZ``: means at so many steps a second.
        jobs: Clips that are worked on at the same time; None for one per processor.
        backend: Where they are worked on.
        address: Of the Dask scheduler or the Ray cluster.
        time_limit: Longest time for a clip in seconds; by default ten minutes and twenty times
            the length of the clip.
        max_skipped: How many clips may fail; the store's ``skipped.csv`` lists them.
        resume: Whether an extraction that was stopped goes on.
        replace: Whether a store, or work that was stopped, is replaced.
        listener: Receives the progress.

    Raises:
        ExtractionError: If more clips failed than may; what is done is kept for ``resume``.
        CorpusError: If no recording is found, or a CSV is not as it should be.
        ConfigError: If a package is missing, or settings do not fit.
        AssetError: If a pretrained model is missing.
        StoreError: If ``out`` exists and is not to be replaced.
    """
    recordings = read_request(
        Path(source),
        corpus=corpus,
        language=language,
        scale=None if scale is None else Scale(*scale),
        encoding=encoding,
        unlabelled=unlabelled,
        targets=targets,
        fold=fold,
    )
    settings = make_settings(
        audio=audio,
        video=video,
        text=text,
        recogniser=recogniser,
        language=recordings.corpus.language,
        align=align,
        encoder=encoder,
        pool=pool,
        rate=rate,
    )
    ids = [clip.id for clip in recordings.corpus.clips]
    made = extract(
        recordings,
        Path(out),
        settings,
        words=None if words is None else read_words(Path(words), ids),
        jobs=jobs,
        backend=backend,
        address=address,
        time_limit=time_limit,
        max_skipped=max_skipped,
        resume=resume,
        replace_store=replace,
        listener=listener,
    )
    if made.store is None:
        raise ExtractionError(
            f"{out}: {len(made.skipped)} of {len(ids)} clips failed, at most {max_skipped} may; "
            f"{made.table} lists why; mend them and call again with resume=True, or add "
            f"max_skipped={len(made.skipped)}"
        )
    return made.store
