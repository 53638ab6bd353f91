from dataclasses import replace

import pytest
import torch
from helpers import make_config, make_generator, write_tiny_store
from targeted import EMOTION, VALENCE, make_targeted, values_of

from mien.cli import main
from mien.data.store import open_store
from mien.data.store_writer import write_store
from mien.errors import CheckpointError, ConfigError
from mien.studies.ablation import default_variants, plan_ablation
from mien.studies.results.results_file import read_results
from mien.studies.study import refuse_other_data, run_study
from mien.training.run_folder import RunFolder
from mien.types import Modality, Task


def labels_of(study):
    return {name: config.labels.generator for name, config in study.corpora[0].configs.items()}


def test_the_table_of_tam_ulag_leaves_out_what_the_settings_have_anyway(tiny_store):
    base = make_config(labels={"generator": "latent", "folds": 3, "weight": "difference"})
    study = plan_ablation(base, tiny_store)
    assert list(study.corpora[0].configs) == [
        "base",
        *("attention gated", "attention none", "fusion rank_one", "fusion concat"),
        *("labels ulag", "labels distance", "labels copy", "labels human"),
        *(f"no task of {m}" for m in Modality),
        *(f"without {m}" for m in Modality),
        "released",
    ]
    configs = study.corpora[0].configs
    assert configs["base"] == base
    assert configs["no task of text"].train.loss.text == 0
    assert configs["without audio"].features.audio == "none"
    assert configs["labels ulag"].labels.weight == "difference"  # what both take stays
    assert configs["labels copy"].labels.weight == configs["labels human"].labels.weight == "one"
    assert not hasattr(configs["labels copy"].labels, "folds")
    assert configs["released"].model.lstm_size == base.model.lstm_size
    assert (study.config.baseline, study.config.measures) == ("base", ("scores",))


@pytest.mark.parametrize("weight", ["difference", "deviation"])
def test_every_label_generator_of_the_table_can_be_built(tiny_store, weight):
    """The published weight was kept for copies, which refuse it: each of their runs was refused."""
    base = make_config(labels={"generator": "posterior", "weight": weight})
    configs = plan_ablation(base, tiny_store).corpora[0].configs
    assert configs["labels latent"].labels.weight == {"deviation": "one"}.get(weight, weight)
    for config in configs.values():
        make_generator(config.labels.generator, torch.zeros(3), weight=config.labels.weight)


def test_only_what_a_store_and_a_model_have_is_ablated(tmp_path):
    store = open_store(write_tiny_store(tmp_path / "s", unimodal=False))
    names = [v.name for v in default_variants(make_config(features={"video": "none"}), store)]
    assert "labels human" not in names
    assert "without video" not in names
    assert "no task of audio" in names
    lone = make_config(features={"video": "none", "audio": "none"}, model={"name": "self_mm"})
    with pytest.raises(ConfigError, match=r"give some with --variants FILE\.toml"):
        default_variants(lone, store)


def test_a_file_of_variants_and_what_is_wrong_in_it(tmp_path, tiny_store, capsys):
    file = tmp_path / "variants.toml"
    file.write_text(
        '[[variant]]\nname = "small"\nset = ["model.fusion_size=2"]\n'
        '[[variant]]\nname = "joined"\nset = ["model.fusion=concat"]\n'
    )
    given = {"variants": file, "seeds": (5, 6), "only": ["small"]}
    study = plan_ablation(make_config(), tiny_store, **given)
    assert list(study.corpora[0].configs) == ["base", "small"]
    assert study.corpora[0].configs["small"].model.fusion_size == 2
    assert study.corpora[0].seeds == (5, 6)
    file.write_text('[[variant]]\nname = "bad"\nset = ["model.fuson=concat"]\n')
    with pytest.raises(ConfigError, match=r"variant 'bad': .*fuson"):
        plan_ablation(make_config(), tiny_store, variants=file)
    file.write_text('[[variant]]\nname = "more"\nset = ["train.seeds=[1, 2]"]\n')
    with pytest.raises(ConfigError, match=r"train\.seeds has no effect on the runs of a study"):
        plan_ablation(make_config(), tiny_store, variants=file)
    file.write_text('[[variant]]\nname = "same"\nset = ["corpus=other"]\n')
    with pytest.raises(ConfigError, match=r"ablate: 'same' has the same settings as 'base'"):
        plan_ablation(make_config(), tiny_store, variants=file)
    wrong = ["ablate", "tam_ulag-planted", "--store", str(tiny_store.path), "--only", "nothing"]
    assert main(wrong) == 2
    assert "--only 'nothing'" in capsys.readouterr().err


def test_an_ablation_is_a_study_with_costs_and_corrected_p(
    tmp_path, tiny_store, monkeypatch, capsys
):
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("mien.studies.figures.draw_corpus", lambda *_: [])
    base = make_config(labels={"generator": "copy"}, train={"epochs": 1, "seeds": [1, 2]})
    study = plan_ablation(base, tiny_store, only=["fusion concat", "without text"])
    report = run_study(study, tmp_path / "out", command="mien ablate")
    results = report.results.corpora["tiny"]
    assert report.unfinished == []
    assert results.variants["base"].seconds_per_epoch > 0
    assert results.variants["without text"].num_parameters < results.variants["base"].num_parameters
    page = report.page.read_text()
    assert "mae, p" in page
    assert "corrected by Holm" in page
    less = [results.scores.splits["test"]["fusion"].metrics["mae"][name].less["base"].p_value
            for name in ("fusion concat", "without text")]  # fmt: skip
    smaller = min(less)
    assert f"| {min(2 * smaller, 1):.3g} |" in page
    # a folder is of one store, and its page is written again from its results alone
    other = write_tiny_store(tmp_path / "other", unimodal=False)
    words = ["ablate", "self_mm-planted", "--set", "corpus=tiny", "--out", str(tmp_path / "out")]
    assert main([*words, "--set", "text_encoder.input=none", "--store", str(other.path)]) == 2
    assert "holds results on another store of tiny (fingerprint" in capsys.readouterr().err
    assert main(["study", "--rewrite", str(tmp_path / "out"), "--seeds", "7", "--any-code"]) == 2
    assert "leave out --seeds, --any-code" in capsys.readouterr().err
    assert main(["study", "--rewrite", str(tmp_path / "out")]) == 0


@pytest.mark.parametrize("text", ["{", "{}", '{"corpora": {}, "baseline": "base"}'])
def test_results_that_cannot_be_read_are_not_written_over(tmp_path, text):
    """Whoever asked for them anew was told to write them anew, and nothing else."""
    (tmp_path / "results.json").write_text(text)
    with pytest.raises(
        CheckpointError,
        match=r"cannot be read \(.*results\.json: .*\); give another --out, or remove the folder",
    ):
        refuse_other_data(tmp_path, ["tiny"], {})


@pytest.fixture(scope="module")
def emotional(tmp_path_factory):
    """A store of clips of which some have sentiment, classes and a valence; do not alter."""
    material = make_targeted((EMOTION, VALENCE), sentiment=0.8)
    return write_store(material, tmp_path_factory.mktemp("stores") / "emotional")


def test_what_is_learned_together_is_left_out_in_turn(emotional):
    base = make_config(labels={"generator": "copy"})
    configs = plan_ablation(base, emotional).corpora[0].configs
    assert list(configs)[-4:-1] == ["without emotion", "without valence", "without sentiment"]
    assert configs["without emotion"].targets.use == ("valence",)
    assert configs["without valence"].targets.use == ("emotion",)
    assert not configs["without sentiment"].targets.with_sentiment
    lone = make_config(labels={"generator": "copy"}, targets={"use": []})
    assert not any(
        "sentiment" in name for name in plan_ablation(lone, emotional).corpora[0].configs
    )


def test_targets_that_are_called_as_something_else_are_left_out_under_another_name(tmp_path):
    named = (replace(EMOTION, name="sentiment"), replace(VALENCE, name="audio"))
    material = make_targeted(
        named,
        values=lambda label: {"sentiment": values_of(label)["emotion"], "audio": (3.0,)},
    )
    store = write_store(material, tmp_path / "named")
    configs = plan_ablation(make_config(labels={"generator": "copy"}), store).corpora[0].configs
    assert configs["without the target sentiment"].targets.use == ("audio",)
    assert configs["without the target audio"].targets.use == ("sentiment",)
    assert not configs["without sentiment"].targets.with_sentiment
    assert configs["without audio"].features.audio == "none"


def test_targets_have_tables_on_the_clips_that_all_variants_predict(
    emotional, tmp_path, monkeypatch
):
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("mien.studies.figures.draw_corpus", lambda *_: [])
    base = make_config(labels={"generator": "copy"}, train={"epochs": 1, "seeds": [1]})
    only = ["without valence", "without sentiment"]
    report = run_study(plan_ablation(base, emotional, only=only), tmp_path / "out", command="it")
    assert report.unfinished == []
    results = report.results.corpora["tiny"]
    own = results.targets["emotion"].splits["test"]
    assert list(own.metrics) == ["accuracy", "uar", "f1_weighted", "f1_macro", "log_loss"]
    assert list(own.metrics["uar"]) == ["base", *only]
    assert list(results.targets["valence"].splits["test"].metrics["ccc"]) == ["base", only[1]]
    assert list(results.scores.splits["test"]["fusion"].metrics["mae"]) == ["base", only[0]]
    assert own.num_clips == len(annotated(emotional, "emotion"))
    base_run = next(iter(results.variants["base"].runs.values())).run
    of_run = RunFolder(tmp_path / "cache" / "runs" / base_run).results().targets["test"]
    assert own.metrics["accuracy"]["base"].mean == of_run["emotion"]["fusion"]["accuracy"].mean
    page = report.page.read_text()
    assert "### emotion on test" in page
    assert "| without sentiment | 1 |" in page
    assert "uar (UA) %, p" in page
    assert "- `ccc`: " in page
    assert read_results(tmp_path / "out") == report.results


def annotated(store, target):
    """The clips of test that are annotated for a target."""
    return [
        c for c in store.clips if c.split == "test" and Task.FUSION in c.targets.get(target, {})
    ]
