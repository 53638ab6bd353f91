"""What a model is, for people: what it predicts, reads and was trained on.

``mien info`` prints it.
"""

from collections.abc import Iterator
from pathlib import Path

from mien.data.text_settings import TextEncoderConfig
from mien.evaluation.conformal import Calibration
from mien.pretrained.assets import list_assets
from mien.reports.text import count_words, wrap
from mien.training.checkpoints.header import Header, open_header
from mien.training.checkpoints.shipped_models import find_card, name_weights
from mien.training.run_folder import RunFolder, find_checkpoint, open_run
from mien.types import Modality

__all__ = ["describe_model", "describe_run"]

_INDENT = 12


def describe_model(model: str | Path) -> str:
    """Return what a trained model is, from the header of its file; no weights are read.

    Args:
        model: A checkpoint, a packed file, or the name of a model that comes with the package.

    Raises:
        CheckpointError: If there is none, or its header is damaged.
    """
    weights = find_checkpoint(model)
    header = open_header(weights)
    megabytes = weights.stat().st_size / 1e6
    head = f"{name_weights(weights, header.name)} · a trained model · {megabytes:.1f} MB"
    return "\n".join([head, "", *(_row(name, text) for name, text in _facts(weights, header))])


def describe_run(run: RunFolder | str | Path) -> str:
    """Return how far each seed of a run is, and what its models are.

    Raises:
        CheckpointError: If there is no run, or a checkpoint is damaged.
    """
    folder = open_run(run)
    config = folder.config
    head = [f"{folder.path} · a run of {config.model.name} on {config.corpus}", ""]
    if folder.folds:
        for fold in folder.folds:
            num_finished = sum(seed.is_finished for seed in fold.seeds)
            head.append(_row(fold.path.name, f"{count_words(num_finished, 'seed')} finished"))
        return "\n".join([*head, "", f"mien info {folder.folds[0].path} describes one fold"])
    head += [_row(f"seed {seed}", _progress(folder, seed)) for seed in config.train.seeds]
    saved = [seed.best for seed in folder.seeds if seed.failure is None and seed.best.is_file()]
    if not saved:
        return "\n".join([*head, "", "no model has been saved yet"])
    rows = [_row(name, text) for name, text in _facts(saved[0], open_header(saved[0]))]
    return "\n".join([*head, "", *rows])


def _progress(run: RunFolder, number: int) -> str:
    seeds = {seed.seed: seed for seed in run.seeds}
    if number not in seeds:
        return "not begun"
    seed = seeds[number]
    if seed.failure is not None:
        return seed.failure
    if seed.is_finished:
        results = seed.results()
        return f"finished, epoch {results.best_epoch} of {results.num_epochs} is the best"
    has_epochs = (seed.path / "epochs.jsonl").is_file()
    num_epochs = len(seed.epochs()) if has_epochs else 0
    return f"{count_words(num_epochs, 'epoch')} so far; mien train --resume goes on"


def _facts(weights: Path, header: Header) -> Iterator[tuple[str, str]]:
    config = header.read_config(weights)
    yield "predicts", "; ".join(_list_predicted(weights, header))
    yield from _list_read(header, config.text_encoder)
    made = f"trained as {config.model.name} on {header.corpus} (language {header.language})"
    if header.ensemble:
        made += f"; the mean of the scores of {count_words(len(header.ensemble), 'seed')}"
    if header.averaged:
        made += f"; the mean of the weights of {count_words(len(header.averaged), 'seed')}"
    yield "made", made if header.init is None else f"{made}; its training began from other weights"
    reads_alone = header.usual_baseline == "none" and header.calibration_alone is not None
    calibration = header.calibration_alone if reads_alone else header.calibration
    if calibration is not None and header.has_sentiment:
        yield "intervals", _describe_widths(calibration)
    if header.licence:
        yield "licence", header.licence
    card = find_card(weights)
    if card is not None:
        yield "model card", str(card)


def _list_predicted(weights: Path, header: Header) -> Iterator[str]:
    if header.has_sentiment:
        low, high = header.read_scale(weights)
        yield f"sentiment, {low:g} to {high:g}"
    for target in header.targets:
        yield f"{target.name}, {target.describe()}"


def _list_read(header: Header, encoder: TextEncoderConfig) -> Iterator[tuple[str, str]]:
    names = header.series_names()
    for modality, size in header.sizes.items():
        series = header.series.get(names.get(modality, ""))
        if modality is Modality.TEXT and header.text_encoder is not None:
            yield str(modality), _describe_encoder(header.text_encoder, encoder)
        else:
            maker = series.extractor if series is not None else None
            made = f", made by {maker}" if maker else ""
            yield str(modality), f"{count_words(size, 'value')} a step{made}"


def _describe_encoder(name: str, settings: TextEncoderConfig) -> str:
    kind, _, layers = settings.mode.partition("-")
    where = f"the last {layers} layers" if layers else "all layers"
    how = {
        "frozen": "not trained",
        "finetune": "all of it trained",
        "last": f"{where} trained",
        "lora": f"adapters of rank {settings.rank} in {where}",
    }[kind]
    asset = next((asset for asset in list_assets() if asset.name == name), None)
    if asset is None or asset.path is not None:
        return f"{name}, {how}"
    return f"{name}, {how}; not here yet: mien assets get {name} ({asset.size / 1e6:.0f} MB)"


def _describe_widths(calibration: Calibration) -> str:
    widths = [f"{width:.2f} for {names}" for names, width in calibration.fusion.items()]
    return f"{calibration.level:.0%}, half widths: {', '.join(widths)}"


def _row(name: str, text: str) -> str:
    return wrap(f"  {name:<{_INDENT}}{text}", indent=" " * (_INDENT + 2))
