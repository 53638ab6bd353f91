"""What is fixed for every known corpus; whatever is in KNOWN is tested by being there."""

import re

import numpy as np
import pytest

from mien.cli import main
from mien.corpora import KNOWN, facts_of, metric_family
from mien.data.store import open_store
from mien.evaluation.metrics import METRICS, evaluate_all
from mien.types import Scale, Task

every_corpus = pytest.mark.parametrize("name", KNOWN)


def write_table(path, labels):
    """A user's table with a clip for each label, in three splits."""
    splits = ("train", "valid", "test")
    rows = [f"v,{row},{label},well,{splits[row % 3]}" for row, label in enumerate(labels)]
    path.write_text("\n".join(["video_id,clip_id,label,text,mode", *rows]), encoding="utf-8")
    return path


@every_corpus
def test_facts_are_of_a_scale_around_neutral_a_language_and_a_family_of_metrics(name):
    facts = facts_of(name)
    assert re.fullmatch(r"[a-z][a-z0-9_]*", name)
    assert facts.scale.low < 0 < facts.scale.high
    assert re.fullmatch(r"[a-z]{2}", facts.language)
    assert metric_family(name, Scale(-9, 9)) == facts.metrics
    assert facts.metrics in METRICS


@every_corpus
def test_a_table_of_the_corpus_needs_no_scale_and_no_language(name, tmp_path, capsys):
    facts = KNOWN[name]
    table = write_table(tmp_path / "label.csv", [*facts.scale, 0.0])
    words = ["import", str(table), "--corpus", name, "--out", str(tmp_path / "store")]
    assert main(words) == 0, capsys.readouterr().err
    store = open_store(tmp_path / "store")
    assert (store.meta.name, store.meta.language, store.scale) == (
        name, facts.language, facts.scale,
    )  # fmt: skip
    assert [clip.labels[Task.FUSION] for clip in store.clips] == [*facts.scale, 0.0]


@every_corpus
def test_a_label_beyond_the_scale_is_refused_where_it_stands(name, tmp_path, capsys):
    beyond = KNOWN[name].scale.high + 0.5
    table = write_table(tmp_path / "label.csv", [0.0, 0.0, beyond])
    words = ["import", str(table), "--corpus", name, "--out", str(tmp_path / "store")]
    assert main(words) == 2
    assert f"label.csv:4: label is '{beyond}'" in capsys.readouterr().err
    assert not (tmp_path / "store").exists()


@every_corpus
def test_labels_over_all_of_the_scale_can_be_evaluated(name):
    """None of the metrics is undefined, and predictions that are right are the best there are."""
    facts = KNOWN[name]
    labels = np.linspace(*facts.scale, 21)
    values = evaluate_all(labels, labels, facts.metrics)
    for key, metric in METRICS[facts.metrics].items():
        best = metric.bounds[1] if metric.higher_is_better else metric.bounds[0]
        assert values[key] == pytest.approx(best), key
