"""How runs compare: means with intervals and marks, published rows beside them, differences."""

from mien.evaluation.metrics import METRICS, Metric
from mien.evaluation.metrics_file.run_metrics import MetricSummary, RunMetrics
from mien.reports.comparison import MARK, is_marked, is_significant
from mien.reports.figures.forest_plot import draw_differences
from mien.reports.html_page.html_parts import (
    Content,
    DrawnFigure,
    Html,
    Section,
    join,
    paragraph,
    show_figure,
    table,
    tag,
)
from mien.reports.html_page.page_runs import PageRuns
from mien.reports.html_page.published_rows import (
    PublishedResults,
    PublishedRow,
    read_published_rows,
)
from mien.reports.run_text import describe_pairing
from mien.reports.target_results.compared_captions import describe_marks
from mien.reports.target_results.shown_metrics import pick_shown, shown_metrics
from mien.reports.text import (
    UNDEFINED,
    count_words,
    format_interval,
    format_p,
    format_value,
    name_metric,
)
from mien.types import Task

__all__ = ["show_differences", "show_results"]


def show_results(runs: PageRuns) -> Section:
    """Return a table of sentiment and of each target: a row for each run."""
    content = []
    for key, scores in runs.aligned.scores.items():
        metrics = _metrics_of(runs, key)
        rows: list[list[Content]] = [
            [_name(runs, number), *(_cell(runs, number, key, *each) for each in metrics.items())]
            for number in range(len(runs.names))
        ]
        published = _published_rows(runs, metrics) if not key else []
        heading: list[Content] = [
            "run",
            *(_heading(name, metric, key) for name, metric in metrics.items()),
        ]
        title = key or "Sentiment"
        content += [
            tag("h3", f"{title}, {count_words(len(scores[0].ids), 'clip')}"),
            table(
                heading,
                rows + published,
                kinds={len(rows) + number: "published" for number in range(len(published))},
            ),
        ]
        if published:
            content += _protocols(runs)
    content.append(_explain(runs))
    return Section(name="results", title="Results", content=tuple(content))


def _metrics_of(runs: PageRuns, key: str) -> dict[str, Metric]:
    if not key:
        return dict(METRICS[runs.finished[0].family])
    kind = next(target.kind for target in runs.aligned.targets if target.name == key)
    return shown_metrics(kind)


def _heading(name: str, metric: Metric, key: str) -> Html:
    """Return the name of a metric; below it which reading it is, its unit, and what is better."""
    title, _, reading = (name if key else name_metric(name)).partition(" (")
    arrow = "↑" if metric.higher_is_better else "↓"
    below = [reading.removesuffix(")"), "%" * metric.is_share, arrow]
    return join([title, tag("small", " ".join(part for part in below if part))])


def _name(runs: PageRuns, number: int) -> Html:
    return join([runs.names[number], tag("small", _describe_models(runs.aligned.facts[number]))])


def _describe_models(metrics: RunMetrics) -> str:
    """Return how many seeds a row is of, or which model of one file."""
    return metrics.model or count_words(len(metrics.seeds), "seed")


def _cell(runs: PageRuns, number: int, key: str, name: str, metric: Metric) -> Html:
    """Return the mean of a metric with its deviation, its interval below, and its marks."""
    if runs.comparison is None:
        summary = _summary(runs, key, name)
        return _mean_cell(
            (summary.mean, summary.deviation),
            (summary.widest.low, summary.widest.high),
            metric,
        )
    full = f"{key}/{name}" if key else name
    run = runs.comparison.metrics[full][number]
    return _mean_cell(
        (run.seeds.mean, run.seeds.deviation),
        (run.low, run.high),
        metric,
        is_best=is_marked(runs.comparison, full, number),
        is_different=is_significant(run),
    )


def _summary(runs: PageRuns, key: str, name: str) -> MetricSummary:
    metrics, split = runs.finished[0].metrics, runs.aligned.split
    if not key:
        return metrics.splits[split][Task.FUSION][name]
    kind = next(target.kind for target in runs.aligned.targets if target.name == key)
    return pick_shown(metrics.targets[split][key][Task.FUSION], kind)[name]


def _mean_cell(
    over_seeds: tuple[float | None, float | None],
    interval: tuple[float | None, float | None],
    metric: Metric,
    *,
    is_best: bool = False,
    is_different: bool = False,
) -> Html:
    mean, deviation = (format_value(value, metric) for value in over_seeds)
    text = mean if deviation == UNDEFINED else f"{mean} ± {deviation}"
    shown = tag("b", text) if is_best else join([text])
    mark = [tag("sup", MARK)] if is_different else []
    return join([shown, *mark, tag("small", format_interval(*interval, metric))])


def _published_rows(runs: PageRuns, metrics: dict[str, Metric]) -> list[list[Content]]:
    known = _find_published(runs)
    if known is None:
        return []
    return [[_published_name(row, metrics), *_published_cells(row, metrics)] for row in known.rows]


def _find_published(runs: PageRuns) -> PublishedResults | None:
    """Return what is published of the same split, of a corpus that nobody made by a program."""
    facts = runs.aligned.facts[0]
    if runs.aligned.split != "test" or facts.is_synthetic:
        return None
    return read_published_rows(facts.corpus)


def _published_name(row: PublishedRow, metrics: dict[str, Metric]) -> Html:
    others = [
        f"{name_metric(name)} {value:.2f} %: how it counts is not stated"
        for name, value in row.values.items()
        if name not in metrics
    ]
    return join([row.model, *(tag("small", t) for t in [f"published: {row.source}", *others])])


def _published_cells(row: PublishedRow, metrics: dict[str, Metric]) -> list[str]:
    return [
        "" if name not in row.values
        else f"{row.values[name]:.2f}" if metric.is_share
        else f"{row.values[name]:.3f}"
        for name, metric in metrics.items()
    ]  # fmt: skip


def _protocols(runs: PageRuns) -> list[Html]:
    """Return how published rows and ours were made, as far as they differ."""
    known = _find_published(runs)
    if known is None:
        return []
    own = []
    for name, run, facts in zip(runs.names, runs.finished, runs.aligned.facts, strict=True):
        encoder = run.environment.get("text_encoder")
        text = f"text by {encoder}" if encoder else "no text encoder"
        own.append(f"{name}: {text}, {_describe_models(facts)}")
    num = len(runs.aligned.scores[""][0].ids)
    ours = "as ours" if num == known.num_clips else f"ours of {num}"
    lines = [
        *(f"{source}: {protocol}" for source, protocol in known.protocols.items()),
        f"Runs of this report: {'; '.join(own)}; the best epoch chosen on validation.",
        f"Published rows are of {known.num_clips} test clips, {ours}.",
    ]
    return [
        paragraph(
            "Published rows were made by others, with features and protocols of their own. They "
            "say what is known of the corpus; a difference to them is no comparison of methods.",
            kind="note",
        ),
        tag("ul", *(tag("li", line) for line in lines), class_="note"),
    ]


def _explain(runs: PageRuns) -> Html:
    means = "the mean over the seeds ± their standard deviation", "the 95 % interval of the mean"
    has_seeds = any(facts.seeds for facts in runs.aligned.facts)
    value, interval = means if has_seeds else ("the metric", "its 95 % interval")
    deviation = (
        f"Each cell: {value}; below it {interval} over the clips (over whole videos or speakers "
        "where several clips come from one), for these weights. Arrows show which way is better."
    )
    if runs.comparison is None:
        return paragraph(deviation, kind="note")
    return paragraph(f"{deviation} {describe_marks(runs.comparison)}", kind="note")


def show_differences(runs: PageRuns) -> tuple[Section, list[DrawnFigure]]:
    """Return every difference to the first run, as a figure and a table."""
    comparison = runs.comparison
    if comparison is None:
        return Section(name="differences", title="Differences", content=()), []
    first = comparison.runs[0]
    drawn = DrawnFigure(
        "differences",
        "Differences",
        draw_differences(comparison),
        f"Difference of every run to {first} with its 95 % interval, by metric.",
    )
    rows = [
        [
            name_metric(name),
            run.name,
            format_value(run.to_first.difference, metric),
            format_interval(run.to_first.low, run.to_first.high, metric),
            format_p(run.to_first.p_value),
            format_p(run.p_corrected),
        ]
        for name, compared in comparison.metrics.items()
        for metric in [comparison.metric(name)]
        for run in compared[1:]
        if run.to_first is not None
    ]
    heading = ["metric", "run", "difference", "95 % interval", "p", "p, Holm"]
    note = (
        f"Differences of the means to {first}, {describe_pairing(comparison)}; shares in "
        "percentage points."
    )
    content = (show_figure(drawn), table(heading, rows, caption=note, words=(0, 1)))
    return Section(name="differences", title=f"Differences to {first}", content=content), [drawn]
