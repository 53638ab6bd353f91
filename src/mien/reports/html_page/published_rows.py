"""What others published of a corpus, from ``published.toml``, to stand beside rows of our own."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files

__all__ = ["PublishedResults", "PublishedRow", "read_published_rows"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedRow:
    """What one source says of a model.

    Attributes:
        model: Name of the model.
        source: Name of the source.
        values: Per metric, as in ``METRICS``; shares in percent. A name that is not there is of a
            metric of which the source does not say how it counts.
    """

    model: str
    source: str
    values: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedResults:
    """What is published of a corpus.

    Attributes:
        rows: The models.
        protocols: Per source, how its numbers were made.
        num_clips: Clips of the test split that they are of.
    """

    rows: tuple[PublishedRow, ...]
    protocols: Mapping[str, str]
    num_clips: int


def read_published_rows(corpus: str) -> PublishedResults | None:
    """Return what is published of the test split of a corpus; None if nothing is known."""
    text = files(__package__).joinpath("published.toml").read_text(encoding="utf-8")
    known = tomllib.loads(text)
    rows = [row for row in known["row"] if row["corpus"] == corpus]
    if not rows:
        return None
    sources = {key: known["source"][key] for key in dict.fromkeys(row["source"] for row in rows)}
    return PublishedResults(
        rows=tuple(
            PublishedRow(
                model=row["model"], source=sources[row["source"]]["name"], values=row["values"]
            )
            for row in rows
        ),
        protocols={each["name"]: each["protocol"] for each in sources.values()},
        num_clips=known["clips"][corpus],
    )
