import json
import math

import pytest
from fake_runs import write_run

from mien.errors import CheckpointError
from mien.evaluation.label_agreement import Agreement, LabelAgreement
from mien.evaluation.metrics_file.seed_metrics import (
    AttentionMetrics,
    Coverage,
    SeedMetrics,
    TaskCoverage,
    seed_metrics_from_json,
    seed_metrics_to_json,
)
from mien.types import Modality, Task


def measure(num_clips, pearson=math.nan):
    return Agreement(
        num_clips=num_clips, pearson=pearson, spearman=0.25, mae=1.0, mae_monotone=0.5,
        num_signed=num_clips, sign=0.5,
    )  # fmt: skip


METRICS = SeedMetrics(
    seed=3,
    best_epoch=1,
    num_epochs=2,
    splits={"valid": {Task.FUSION: {"mae": 0.5, "corr": None}, Task.TEXT: {"mae": 1.5}}},
    labels={
        Modality.TEXT: {"copy": LabelAgreement(everywhere=measure(9, 0.5), conflicting=measure(1))}
    },
    attention={
        "valid": {Modality.AUDIO: AttentionMetrics(inside=0.4, uniform=0.2, ratio=2.0, num_clips=7)}
    },
    coverage=Coverage(
        level=0.9,
        splits={"test": {Task.FUSION: TaskCoverage(share=1.0, num_clips=4, num_without_width=0)}},
    ),
)

#: As a file has it.
JSON = {
    "seed": 3,
    "best_epoch": 1,
    "num_epochs": 2,
    "splits": {"valid": {"fusion": {"mae": 0.5, "corr": None}, "text": {"mae": 1.5}}},
    "labels": {
        "text": {
            "copy": {
                "everywhere": {
                    "num_clips": 9, "pearson": 0.5, "spearman": 0.25, "mae": 1.0,
                    "mae_monotone": 0.5, "num_signed": 9, "sign": 0.5,
                },
                "conflicting": {
                    "num_clips": 1, "pearson": None, "spearman": 0.25, "mae": 1.0,
                    "mae_monotone": 0.5, "num_signed": 1, "sign": 0.5,
                },
            }
        }
    },
    "attention": {
        "valid": {"audio": {"inside": 0.4, "uniform": 0.2, "ratio": 2.0, "num_clips": 7}}
    },
    "intervals": {
        "level": 0.9,
        "coverage": {"test": {"fusion": {"share": 1.0, "num_clips": 4, "num_without_width": 0}}},
    },
}  # fmt: skip


def test_a_file_has_a_key_for_each_field_in_this_order():
    assert json.dumps(seed_metrics_to_json(METRICS)) == json.dumps(JSON)


def test_what_was_written_is_read_with_undefined_numbers_as_they_were_measured():
    read = seed_metrics_from_json(JSON)
    assert (read.splits, read.attention, read.coverage) == (
        METRICS.splits, METRICS.attention, METRICS.coverage,
    )  # fmt: skip
    assert read.labels[Modality.TEXT]["copy"].everywhere == measure(9, 0.5)
    assert math.isnan(read.labels[Modality.TEXT]["copy"].conflicting.pearson)
    assert json.dumps(seed_metrics_to_json(read)) == json.dumps(JSON)


def test_the_file_of_an_earlier_version_has_no_coverage():
    values = {key: value for key, value in JSON.items() if key != "intervals"}
    read = seed_metrics_from_json(values)
    assert read.coverage is None
    assert seed_metrics_to_json(read) == values


@pytest.mark.parametrize(
    "damage",
    [
        {"splits": {"test": {"smell": {}}}},
        {"labels": {"text": {"copy": {"everywhere": {}}}}},
        {"attention": [1]},
        {"best_epoch": None},
    ],
)
def test_damaged_metrics_of_a_seed_are_an_error_that_names_the_file(tmp_path, damage):
    seed = write_run(tmp_path, seeds=(1,), num_epochs=2).seeds[0]
    assert (seed.results().seed, seed.results().num_epochs) == (1, 2)
    path = seed.path / "metrics.json"
    path.write_text(json.dumps({**seed.metrics(), **damage}))
    with pytest.raises(CheckpointError, match=r"seed-1/metrics\.json: is damaged"):
        seed.results()
