"""What stands above the tables of a comparison: data, clips, seeds, marks and how it is paired."""

from mien.evaluation.metrics import METRICS
from mien.reports.comparison import LEVEL, MARK, RunComparison
from mien.reports.run_text import describe_pairing
from mien.reports.text import count_words, name_corpus, name_metric

__all__ = ["describe_marks", "write_caption", "write_difference_caption"]


def describe_marks(comparison: RunComparison) -> str:
    """Return what a bold mean says, and what the star behind one."""
    first = comparison.runs[0]
    return (
        f"{_describe_bold(comparison)} {MARK}: differs from {first} with p < {LEVEL:g}, two-sided "
        f"by Student's t, corrected by Holm for the number of runs compared with {first}."
    )


def _describe_bold(comparison: RunComparison) -> str:
    return (
        f"Bold: the best mean, where the 95 % interval of its difference to {comparison.runs[0]}, "
        "over clips and seeds, excludes 0."
    )


def write_caption(comparison: RunComparison, marks: str = "") -> str:
    """Return what stands above the results: data, clips, seeds, and what is bold or ``marks``."""
    corpus = name_corpus(comparison.corpus, is_synthetic=comparison.is_synthetic)
    sentences = [
        f"Multimodal task on {comparison.split} of {corpus}, {_count_clips(comparison)}.",
        *_describe_means(comparison),
        *_describe_shares(comparison, "in percent"),
        marks or _describe_bold(comparison),
    ]
    sentences += [
        f"Seed {seed} of {name} diverged and is left out of all numbers."
        for name, seeds in comparison.failed_seeds.items()
        for seed in seeds
    ]
    sentences += [f"{name} is one model: {model}." for name, model in comparison.models.items()]
    sentences += [
        f"{name} reads every clip against the other clips of its speaker."
        for name, baseline in comparison.baselines.items()
        if baseline == "speaker"
    ]
    sentences += [
        f"{name} reads every clip as if it had no {' and no '.join(left_out)}."
        for name, left_out in comparison.without.items()
    ]
    return " ".join(sentences)


def write_difference_caption(comparison: RunComparison) -> str:
    """Return what stands above the differences."""
    return (
        f"Differences of the means to {comparison.runs[0]} on {comparison.split}, with 95 % "
        "intervals and two-sided p values by Student's t, "
        f"{describe_pairing(comparison)}; "
        f"Holm: corrected for the number of runs compared with {comparison.runs[0]}. "
        f"{' '.join(_describe_shares(comparison, 'in percentage points', with_zeros=False))}"
    ).rstrip()


def _describe_shares(comparison: RunComparison, how: str, *, with_zeros: bool = True) -> list[str]:
    """Return a sentence for sentiment and each target: which metrics are shares, shown so."""
    zeros = _describe_zeros(comparison) if with_zeros else ""
    sentences = [f"Acc and F1 {how}{zeros}."] * comparison.has_sentiment
    for target in comparison.targets:
        own = [name for name in comparison.metrics if name.rpartition("/")[0] == target.name]
        shares = [n.rpartition("/")[2] for n in own if comparison.metric(n).is_share]
        if shares:
            sentences.append(f"Of {target.name}, {', '.join(shares)} {how}.")
    return sentences


def _count_clips(comparison: RunComparison) -> str:
    """Return on what the first of what is compared rests, and the targets beside it."""
    text = count_words(comparison.num_clips, "clip")
    if comparison.unit != "clip":
        text += f" in {count_words(comparison.num_units, comparison.unit)}"
    if comparison.has_parts:
        numbers = comparison.target_clips.items()
        text += "".join(f"; {name}: {count_words(num, 'clip')}" for name, num in numbers)
    return text


def _describe_means(comparison: RunComparison) -> list[str]:
    """Return what means are over; nothing if all are of models of one file."""
    counted = _count_seeds(comparison)
    return [f"Mean ± standard deviation over the seeds ({counted})."] if counted else []


def _count_seeds(comparison: RunComparison) -> str:
    pairs = zip(comparison.runs, comparison.num_seeds, strict=True)
    trained = [(name, num) for name, num in pairs if name not in comparison.models]
    numbers = {num for _, num in trained}
    if len(numbers) == 1:
        return f"{numbers.pop()} of each run"
    return ", ".join(f"{name}: {num}" for name, num in trained)


def _describe_zeros(comparison: RunComparison) -> str:
    """Return how the two-class metrics count clips annotated 0, in brackets."""
    if not comparison.has_sentiment:
        return ""
    readings: dict[str, list[str]] = {}
    for name, metric in METRICS[comparison.family].items():
        if name.startswith(("acc2", "f1")):
            _, _, zeros = metric.description.rpartition("; ")
            readings.setdefault(zeros, []).append(name_metric(name))
    parts = [f"{' and '.join(names)}: {zeros}" for zeros, names in readings.items()]
    return f" ({'; '.join(parts)})"
