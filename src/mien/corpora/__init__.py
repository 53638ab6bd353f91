"""Annotation and feature files to clips and their series: one reader per source.

``table`` reads a user's own CSV file of clips, and ``npz_features`` the features that are joined to
it, from an ``npz_file``; ``padded_steps`` finds the real steps of padded series. ``recordings``
reads a ``recording_folder`` or a ``recording_table``. Both kinds of tables are read by
``clip_table``, ``class_names`` holds which names of classes are the same, and ``unlabelled`` drops
or keeps the clips that nobody annotated. ``published`` reads the feature pickles of the field,
through ``safe_pickle``, ``emotion_layouts`` the folders of emotion corpora, and ``planted`` makes
the synthetic corpus. ``group_folds`` shares clips out to folds.

``KNOWN`` holds what is fixed for a published corpus; a user's own corpus states its scale and
language when it is read.
"""

from dataclasses import dataclass
from typing import Literal

from mien.errors import CorpusError, name_known
from mien.plugins import Registry
from mien.types import Scale

__all__ = [
    "KNOWN",
    "Facts",
    "MetricFamily",
    "complete_facts",
    "facts_of",
    "metric_family",
    "register_corpus",
]

MetricFamily = Literal["mosi", "sims", "general"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is fixed for a corpus, whatever file it is read from.

    Attributes:
        scale: Range of the annotations.
        language: ISO 639-1 code of the transcripts.
        metrics: Which family of metrics the literature reports on it.
    """

    scale: Scale
    language: str
    metrics: MetricFamily


_FACTS = {
    "mosi": Facts(scale=Scale(-3, 3), language="en", metrics="mosi"),
    "mosei": Facts(scale=Scale(-3, 3), language="en", metrics="mosi"),
    "sims": Facts(scale=Scale(-1, 1), language="zh", metrics="sims"),
    "sims2": Facts(scale=Scale(-1, 1), language="zh", metrics="sims"),
    "planted": Facts(scale=Scale(-3, 3), language="en", metrics="mosi"),
}

#: Facts of every known corpus, by name; other packages bring theirs by entry points of the group
#: ``mien.corpora``.
KNOWN: Registry[Facts] = Registry("corpus", "mien.corpora", Facts, _FACTS)


def register_corpus(name: str, facts: Facts) -> None:
    """Add what is fixed for a corpus to the table, for this process and those that train for it.

    Raises:
        PluginError: If there is such a corpus already.
    """
    KNOWN[name] = facts


def facts_of(name: str) -> Facts:
    """Return what is fixed for a published corpus.

    Raises:
        CorpusError: If no published corpus has that name.
    """
    if name not in KNOWN:
        raise CorpusError(f"no published corpus is called {name!r}; {name_known(name, KNOWN)}")
    return KNOWN[name]


def complete_facts(
    name: str | None, language: str | None, scale: Scale | None
) -> tuple[str, Scale | None]:
    """Return language and range of a corpus: what is stated, else what is fixed for its name.

    A corpus that is not known is in English, and has no range.

    >>> complete_facts("sims", None, None)
    ('zh', Scale(low=-1, high=1))
    """
    known = KNOWN.get(name or "")
    if known is None:
        return language or "en", scale
    return language or known.language, scale or known.scale


def metric_family(name: str, scale: Scale) -> MetricFamily:
    """Return the family of metrics for a corpus: its own if it is published, else by its scale."""
    if name in KNOWN:
        return KNOWN[name].metrics
    return "mosi" if scale == Scale(-3, 3) else "general"
