"""What a training is going to do, in a few lines: settings, encoder, device, clips, seeds, time."""

from mien.reports.text import clock, count_words
from mien.training.listening import RunPlan
from mien.training.settings import PublishedRecipe, TrainConfig

__all__ = ["format_bound", "format_plan"]

_MOST_SEEDS = 8  # that are named one by one
#: What torch calls the instructions of processors that multiply matrices in bf16.
_BF16_INSTRUCTIONS = ("avx512_bf16", "amx_bf16", "bf16")


def format_plan(name: str, plan: RunPlan, published: PublishedRecipe | None) -> list[str]:
    """Return what a run is going to do, a line each.

    Args:
        name: What the settings are called.
        plan: The run.
        published: What the published results had, if the settings are published ones.
    """
    config, text = plan.config, plan.config.text_encoder
    encoder = plan.text_encoder
    how = f"text encoder {encoder} ({text.mode})" if encoder else _without_encoder(text.input)
    num_clips = ", ".join(f"{count:,} {split}" for split, count in plan.num_clips.items())
    lines = [
        f"{name}: model {config.model.name}, labels {config.labels.generator}, {how}, on "
        f"{plan.device}{f' in {plan.processes} processes' if plan.processes > 1 else ''}",
        f"{plan.store}: {num_clips} clips; {_format_seeds(plan)}; to {plan.folder}",
    ]
    if plan.targets:
        lines.append(_format_targets(plan))
    if published is not None and _is_another(encoder):
        lines += [
            f"note: the published results were made with {published.text_encoder}, so these are "
            f"not comparable with them",
            f"      to use it: --set text_encoder.name=FOLDER with the model in it, or "
            f"={published.text_encoder} where a model hub can be reached; settings made for "
            f"{encoder or 'the encoders that come with mien'}: {published.ours}",
        ]
    elif text.name == "auto" and encoder and text.trained_layers != 0:
        lines += _describe_larger(encoder)
    is_slow = plan.device == "cpu" and config.train.precision == "float32"
    is_new = not plan.ended  # other settings make another run
    if is_slow and is_new and encoder and text.trained_layers != 0 and _multiplies_in_bf16():
        lines.append(
            "note: this processor multiplies in bf16: --set train.precision=bf16 takes about half "
            "of the time (docs/performance.md)"
        )
    return lines


def _multiplies_in_bf16() -> bool:
    """Return whether torch knows the processor to have instructions for it."""
    import torch

    if not hasattr(torch.cpu, "get_capabilities"):  # torch 2.8 does not tell
        return False
    has = torch.cpu.get_capabilities()
    return any(has.get(name, False) for name in _BF16_INSTRUCTIONS)


def _format_targets(plan: RunPlan) -> str:
    """Return what is learned, and how to leave out what the settings do not name."""
    names = [*["sentiment"] * plan.has_sentiment]
    for target in plan.targets:
        is_named_twice = target.name in names
        names.append(f"{target.name} ({target.describe()})" if is_named_twice else target.name)
    own = plan.config.targets
    if own.use is not None or not plan.has_sentiment:
        return f"learns {', '.join(names)}"
    return f"learns {', '.join(names)}; sentiment alone: --set targets.use=[]"


def _describe_larger(encoder: str) -> list[str]:
    """Return what a larger encoder would cost and give, if there is one."""
    from mien.pretrained.registry import known_assets

    assets = known_assets()
    asset = assets.get(encoder)
    if asset is None or not asset.larger:
        return []
    size = assets[asset.larger].size / 1e6
    return [
        f"note: {encoder} is small; {asset.larger}, of base size, {asset.gain}",
        f"      to use it: mien assets get {asset.larger} ({size:.0f} MB), and "
        f"--set text_encoder.name={asset.larger}",
    ]


def _without_encoder(source: str) -> str:
    return "text as given states" if source == "embeddings" else "no text"


def _is_another(encoder: str | None) -> bool:
    """Return whether it is known that an encoder is none of the published ones."""
    from mien.pretrained.registry import known_assets

    return encoder is None or encoder in known_assets()


def _format_seeds(plan: RunPlan) -> str:
    seeds = plan.seeds
    if len(seeds) == 1:
        text = f"seed {seeds[0]}"
    elif len(seeds) <= _MOST_SEEDS:
        text = f"{len(seeds)} seeds: {', '.join(map(str, seeds))}"
    else:
        text = f"{len(seeds)} seeds, {seeds[0]} to {seeds[-1]}"
    if plan.jobs:
        text += f", {plan.jobs} at a time"
    if not plan.ended:
        return text
    of_them = "" if len(seeds) == 1 else f"{len(plan.ended)} of them "
    return f"{text}, {of_them}trained already"


def format_bound(
    config: TrainConfig, *, epoch_seconds: float, num_left: int, run_seconds: float, num_seeds: int
) -> str:
    """Return how long an epoch takes, and a training at most.

    Args:
        config: Says when it ends.
        epoch_seconds: Time of an epoch.
        num_left: Epochs that the present seed has left at most.
        run_seconds: Time that the run has left at most.
        num_seeds: Seeds that it has left, the present one included.
    """
    each = f"{epoch_seconds:.1f}" if epoch_seconds < 10 else f"{epoch_seconds:.0f}"
    seeds = "" if num_seeds == 1 else f" for {num_seeds} seeds"
    more = "" if num_left == config.epochs else "more "
    text = (
        f"about {each} s an epoch; at most {count_words(num_left, f'{more}epoch')}, so at most "
        f"{clock(run_seconds)}{seeds}"
    )
    if config.patience < config.epochs:
        text += f"; stops early after {count_words(config.patience, 'epoch')} without improvement"
    return text
