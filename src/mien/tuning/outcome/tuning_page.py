"""What a tuning came to, as one page that needs no other file and no outside address."""

import base64
import re
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

from mien.data.store import StoreMeta
from mien.files.atomic import write_text
from mien.reports.figures.style import render_svg
from mien.reports.text import name_corpus
from mien.tuning.outcome.trial_records import FEWEST_WEIGHED, GIVEN, TrialRecord, Tuned
from mien.tuning.outcome.trial_text import state_budget
from mien.tuning.outcome.tuning_figures import TuningFigure, draw_race, draw_tuned

__all__ = ["write_page"]

_STYLE = """
:root { color-scheme: light dark; --ink: #222; --paper: #fff; --line: #ddd; --soft: #f5f6f8; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e6e6; --paper: #17191c; --line: #3a3d42; --soft: #22252a; }
}
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper);
  max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; } h2 { margin-top: 2.5rem; border-top: 1px solid var(--line);
  padding-top: 1.5rem; }
.scroll { overflow-x: auto; margin: 1rem 0; }
table { border-collapse: collapse; font-size: .88rem; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .7rem; border-bottom: 1px solid var(--line); text-align: right;
  white-space: nowrap; }
th:first-child, td:first-child { text-align: left; }
tr.best td { font-weight: 700; }
figure { margin: 1.5rem 0; } figcaption { font-size: .88rem; }
figure img { max-width: 100%; background: #fff; border: 1px solid var(--line); border-radius: 6px; }
.budget { background: var(--soft); border-radius: 6px; padding: .6rem .9rem; }
code { background: var(--soft); padding: .1em .3em; border-radius: 4px; }
details { margin: 1rem 0; } summary { cursor: pointer; }
"""
#: What stands in the place of importances.
_NOT_WEIGHED = (
    f"<p>Importances of the settings are measured from {FEWEST_WEIGHED} finished trials on, the "
    "settings as they were given not counted.</p>"
)


def write_page(models: Sequence[Tuned], path: Path, store: StoreMeta) -> Path:
    """Write the page of a tuning, and return its path.

    Args:
        models: What was tuned, one or several with the same budget.
        path: The page.
        store: What it was tuned on.

    Raises:
        OutputError: If it cannot be written.
    """
    corpus = name_corpus(store.name, is_synthetic=store.is_synthetic)
    names = ", ".join(tuned.name for tuned in models)
    title = f"Tuning of {names} on {corpus}"
    parts = [f"<h1>{escape(title)}</h1>", _introduction(models)]
    if len(models) > 1:
        parts.append(_comparison(models))
    parts += [_section(tuned, is_alone=len(models) == 1) for tuned in models]
    write_text(
        path,
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta http-equiv="Content-Security-Policy" '
        "content=\"default-src 'none'; img-src data:; style-src 'unsafe-inline'\">\n"
        f"<title>{escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        + "\n".join(parts)
        + "\n</body>\n</html>\n",
    )
    return path


def _introduction(models: Sequence[Tuned]) -> str:
    where = (
        f"{models[0].budget.folds} folds of train and valid, by video"
        if models[0].budget.folds
        else "the valid split"
    )
    return (
        f"<p>Settings were chosen on {where}; nothing of test was read. The value of a trial is "
        "that of the best epoch of each of its trainings, and their mean: as the best of many "
        "trials it is too good, and test says what it is worth.</p>"
    )


def _comparison(models: Sequence[Tuned]) -> str:
    goals = {tuned.goal.metric for tuned in models}
    note = (
        ""
        if len(goals) == 1
        else "<p>The models were compared by different metrics, which do not compare.</p>"
    )
    rows = []
    for tuned in models:
        given = "-" if tuned.given is None else f"{tuned.given.value:.4f}"
        rows.append(
            [
                tuned.name,
                f"{tuned.best.value:.4f}",
                given,
                str(tuned.count("finished")),
                str(tuned.count("pruned")),
                str(tuned.count("diverged") + tuned.count("refused")),
                f"{tuned.epochs:,}",
                f"{tuned.cpu_seconds:,.0f}",
            ]
        )
    metric = models[0].goal.metric
    heading = ["model", f"best {metric}", "as given", "finished", "given up", "failed"]
    table = _table([*heading, "epochs", "CPU seconds"], rows)
    return "\n".join(
        [
            "<h2>The models beside each other</h2>",
            f'<p class="budget">{escape(state_budget(models))}</p>',
            note,
            table,
            _figure(draw_race(models)),
        ]
    )


def _section(tuned: Tuned, *, is_alone: bool) -> str:
    best = tuned.best
    names = [each.name for each in tuned.space.ranges]
    what = "the settings as they were given" if best.number == GIVEN else f"trial {best.number}"
    lead = (
        f"Best <code>{escape(tuned.goal.metric)}</code> on valid: <b>{best.value:.4f}</b>, {what}"
    )
    if tuned.given is not None and best.number != GIVEN:
        lead += f"; as given it was {tuned.given.value:.4f}"
    file = "best.toml" if is_alone else f"{tuned.name}/best.toml"
    settings = [
        [f"{name}" + "".join(f", {other}" for other in span.also), _cell(best.settings[name])]
        for name, span in zip(names, tuned.space.ranges, strict=True)
        if name in best.settings
    ]
    ranked = sorted(
        tuned.records,
        key=lambda each: (
            each.state != "finished",
            (-1 if tuned.goal.is_maximised else 1) * (each.value or 0.0),
        ),
    )
    trials = _table(
        ["trial", "state", tuned.goal.metric, "epochs", *names],
        [_row(each, names) for each in ranked],
        best=ranked.index(best),
    )
    failed = [
        f"<li>trial {each.number}, {each.state}: {escape(each.reason)}</li>"
        for each in tuned.records
        if each.reason
    ]
    return "\n".join(
        [
            f"<h2>{escape(tuned.name)}</h2>",
            f"<p>{lead}.</p>",
            f'<p class="budget">Budget: {escape(tuned.budget.describe(tuned.config))}. Spent: '
            f"{escape(tuned.describe_use())}.</p>",
            _table(["setting", "best"], settings) if settings else "",
            f"<p>Train with them: <code>mien train {escape(file)} --store STORE</code></p>",
            *(_figure(figure) for figure in draw_tuned(tuned)),
            "" if tuned.importances else _NOT_WEIGHED,
            f"<details><summary>All {len(tuned.records)} trials, the best first</summary>{trials}"
            + (f"<ul>{''.join(failed)}</ul>" if failed else "")
            + "</details>",
        ]
    )


def _row(each: TrialRecord, names: Sequence[str]) -> list[str]:
    settings = [_cell(each.settings[name]) if name in each.settings else "" for name in names]
    value = "-" if each.value is None else f"{each.value:.4f}"
    what = f"{each.number} (as given)" if each.number == GIVEN else str(each.number)
    return [what, each.state, value, str(each.epochs), *settings]


def _cell(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _table(
    heading: Sequence[str], rows: Iterable[Sequence[str]], *, best: int | None = None
) -> str:
    head = "".join(f"<th>{escape(cell)}</th>" for cell in heading)
    body = "".join(
        ('<tr class="best">' if number == best else "<tr>")
        + "".join(f"<td>{escape(cell)}</td>" for cell in row)
        + "</tr>"
        for number, row in enumerate(rows)
    )
    return (
        f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'
        "</div>"
    )


def _figure(drawn: TuningFigure) -> str:
    picture = base64.b64encode(render_svg(drawn.figure)).decode()
    caption = re.sub(r"`([^`]*)`", r"<code>\1</code>", escape(drawn.caption))
    return (
        f'<figure><img alt="{escape(drawn.title)}: {escape(drawn.caption)}" '
        f'src="data:image/svg+xml;base64,{picture}"><figcaption><b>{escape(drawn.title)}.</b> '
        f"{caption}</figcaption></figure>"
    )
