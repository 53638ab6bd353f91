import math

import pytest

from mien.evaluation.evaluate import merge_seeds
from mien.evaluation.label_agreement import Agreement
from mien.evaluation.metrics_file.run_metrics import SeedValues


def test_trees_of_numbers_become_one_tree():
    trees = [{"text": {"a": 1.0, "b": None}}, {"text": {"a": 2.0, "b": 3.0}}]
    merged = merge_seeds(trees)["text"]
    assert (merged["a"].mean, merged["a"].values) == (1.5, (1.0, 2.0))
    assert merged["a"].deviation == pytest.approx(0.5**0.5)
    assert merged["b"] == SeedValues(mean=None, deviation=None, values=(None, 3.0))
    assert merge_seeds([]) == {}


def test_fields_of_a_value_become_keys_and_what_is_undefined_stays_so():
    def measure(pearson):
        return Agreement(
            num_clips=2, pearson=pearson, spearman=0.0, mae=0.5, mae_monotone=0.0,
            num_signed=2, sign=1.0,
        )  # fmt: skip

    merged = merge_seeds([{"text": measure(0.5)}, {"text": measure(math.nan)}])["text"]
    assert merged["num_clips"].values == (2.0, 2.0)
    assert merged["pearson"].values == (0.5, None)
