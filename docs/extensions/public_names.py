"""The public names of the package to a page, in the order in which they are used."""

import re
from pathlib import Path
from typing import Final

__all__ = ["describe_public_names", "list_public_names"]

#: Names by the step in which they are used; a name that is in none of them comes last.
_STEPS: Final = {
    "Read or make data": (
        *("read_published", "read_table", "make_planted", "PlantedConfig", "extract"),
        *("list_extractors", "write_store", "open_store", "Store", "summarise_store"),
        "export_store",
    ),
    "Train and evaluate": (
        *("list_configs", "read_config", "ExperimentConfig", "TrainConfig", "train", "open_run"),
        *("RunFolder", "SeedFolder", "evaluate", "Predictions"),
    ),
    "Compare and report": (
        *("compare", "RunComparison", "write_report", "report_labels", "read_study", "run_study"),
    ),
    "Predict": (
        *("load", "TrainedModel", "Prediction", "PredictionList", "FailedPrediction", "Answer"),
        *("Score", "pack", "export_onnx"),
    ),
    "Pretrained models": ("list_assets", "get_asset", "convert_bert"),
    "Add your own parts": ("register_model", "register_corpus", "register_extractor"),
    "Errors": ("MienError",),
}


def list_public_names() -> list[str]:
    """Return the names of the table ``_HOMES`` as it stands in the source; nothing is imported."""
    source = Path(__file__).parents[2] / "src" / "mien" / "__init__.py"
    found = re.search(r"^_HOMES = \{(.*?)^\}", source.read_text(encoding="utf-8"), re.M | re.S)
    if found is None:
        raise ValueError(f"{source} has no table _HOMES")
    return re.findall(r'^    "(\w+)":', found[1], re.M)


def describe_public_names() -> str:
    """Return a heading per step and a directive of mkdocstrings per name."""
    names = list_public_names()
    placed = {name for step in _STEPS.values() for name in step}
    steps = _STEPS | {"Other types and values": [n for n in names if n not in placed]}
    parts = []
    for step, members in steps.items():
        present = [name for name in members if name in names]
        if present:
            parts.append(f"## {step}")
            parts += [f"::: mien.{name}\n    options:\n      heading_level: 3" for name in present]
    return "\n\n".join(parts)
