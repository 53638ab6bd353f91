"""What a tuning came to, in lines for the terminal."""

from collections.abc import Sequence

from mien.reports.text import format_table, wrap
from mien.tuning.outcome.trial_records import GIVEN, Tuned, write_value

__all__ = ["format_tuned", "state_budget"]


def format_tuned(models: Sequence[Tuned]) -> str:
    """Return the best settings of each model, what was spent on it, and where its files are."""
    parts = []
    for tuned in models:
        best = tuned.best
        rows = [(name, write_value(value)) for name, value in best.settings.items()]
        what = "the settings as they were given" if best.number == GIVEN else f"trial {best.number}"
        lines = [f"{tuned.name}: {tuned.goal.metric} {best.value:.4f} on valid, by {what}"]
        if tuned.given is not None and best.number != GIVEN:
            lines.append(f"as given: {tuned.goal.metric} {tuned.given.value:.4f}")
        table = format_table(["setting", "best"], rows) if rows else ""
        lines += [""] * bool(rows) + table.splitlines() + [""] * bool(rows)
        lines.append(wrap(f"budget: {tuned.budget.describe(tuned.config)}"))
        lines.append(wrap(f"spent: {tuned.describe_use()}"))
        lines.append(f"best settings: {tuned.folder / 'best.toml'}")
        parts.append("\n".join(lines))
    if len(models) > 1:
        parts.append(wrap(state_budget(models)))
    return "\n\n".join(parts)


def state_budget(models: Sequence[Tuned]) -> str:
    """Return in one sentence whether all models had the same budget."""
    epochs = {tuned.config.train.epochs for tuned in models}
    budget = models[0].budget.describe(models[0].config)
    if len(epochs) == 1:
        return f"Every model got the same budget: {budget}."
    each = ", ".join(f"{tuned.name} {tuned.config.train.epochs}" for tuned in models)
    trials = budget.rpartition(", each")[0]
    return (
        f"Every model got {trials}, but not as many epochs: at most {each}; set train.epochs for "
        "all with --set to compare them."
    )
