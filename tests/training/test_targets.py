"""Trainings on classes, labels, scores and intensities, with sentiment and without it."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers import make_config
from sklearn.metrics import log_loss
from sklearn.utils.class_weight import compute_class_weight
from targeted import EMOTION, MOODS, TAGS, TARGETS, VALENCE, make_targeted, values_of

from mien.data.dataset import make_dataset
from mien.data.store_writer import write_store
from mien.errors import CheckpointError, ConfigError, StoreError
from mien.evaluation.metrics_file.run_metrics import run_metrics_from_json, run_metrics_to_json
from mien.evaluation.target_metrics import evaluate_target
from mien.reports.comparison import compare_runs
from mien.reports.comparison_tables import format_comparison_as
from mien.reports.labels import format_label_report, report_labels
from mien.reports.page import write_report
from mien.reports.run_text import format_run
from mien.training.checkpoints.header import open_header
from mien.training.experiment import evaluate, train
from mien.training.listening import RunListener
from mien.training.loading import load_model, read_start, take_over
from mien.training.objective import make_objective
from mien.training.preparation import build, prepare
from mien.training.targets.aims import check_aims, find_aims, report_people
from mien.training.targets.target_losses import make_loss
from mien.training.targets.target_settings import LossSettings, TargetsConfig, TermSettings
from mien.types import Modality, Scale, Target, TargetKind, Task

COPY = {"generator": "copy"}
QUICK = {"evidence_epochs": 1, "folds": 2}


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    """Stores by what they have: sentiment of all clips, of some, and of none; do not alter."""
    folder = tmp_path_factory.mktemp("stores")
    return {
        name: write_store(make_targeted(sentiment=share), folder / name)
        for name, share in (("all", 1.0), ("some", 0.6), ("none", 0.0))
    }


@pytest.fixture(scope="module")
def of_emotions(stores, tmp_path_factory):
    """A run that predicts emotions alone; do not alter."""
    config = make_config(labels=COPY, targets={"use": ["emotion"], "with_sentiment": False})
    return train(config, stores["none"], tmp_path_factory.mktemp("runs") / "emotions")


SUBSETS = {"text", "audio", "video", "text+audio", "text+video", "audio+video", "text+audio+video"}


class Plan(RunListener):
    """Keeps what a run is going to do."""

    def on_begin(self, plan):
        self.seen = plan


@pytest.mark.parametrize(
    ("name", "generator", "model"),
    [("all", "ulag", "tam_ulag"), ("some", "distance", "mlf_dnn"), ("none", "latent", "self_mm")],
)  # fmt: skip
def test_a_run_predicts_all_targets_and_can_be_evaluated_and_loaded(
    stores, tmp_path, caplog, name, generator, model
):
    store = stores[name]
    config = make_config(
        labels={"generator": generator, **(QUICK if generator == "latent" else {})},
        model={"name": model},
        **({} if name == "all" else {"targets": {"named": {"emotion": {"weight": 2.0}}}}),
    )  # fmt: skip
    plan = Plan()
    run = train(config, store, tmp_path / "run", listener=plan)
    assert (plan.seen.has_sentiment, plan.seen.targets) == (name != "none", TARGETS)
    warning = "model self_mm reads of each text the first state alone"
    assert (warning in caplog.text) == (model == "self_mm")
    seed = run.seed(1)
    for epoch in seed.epochs():
        assert all(math.isfinite(loss) for loss in epoch["losses"].values())
        assert 0 < epoch["valid"]["relative_loss"] < 2
    test = seed.predictions("test")
    assert list(test.values) == [target.name for target in TARGETS]
    assert bool(test.scores) == (name != "none")
    loaded, prepared = load_model(run.path, store)
    assert loaded.has_sentiment == (name != "none")
    header = open_header(seed.best)
    assert (header.calibration is None) == (name == "none")
    assert list(header.target_calibration) == [target.name for target in TARGETS]
    assert set(header.target_calibration["emotion"].by_modalities) == SUBSETS
    for target in TARGETS:
        values = test.values[target.name].values
        assert set(values) == set(Task)
        low, high = target.bounds
        assert ((values[Task.FUSION] >= low) & (values[Task.FUSION] <= high)).all()
        known = prepared.datasets["test"].values[target.name][Task.FUSION].numpy()
        np.testing.assert_allclose(test.values[target.name].truths[Task.FUSION], known)
    check_metrics(run, test)
    again = evaluate(run, store=store, out=tmp_path / "out")
    assert again["splits"].get("test") == run.metrics()["splits"].get("test")
    for part in ("splits", "classes"):
        assert again["targets"][part] == {"test": run.metrics()["targets"][part]["test"]}


def check_metrics(run, test):
    """The files of seed and run have the metrics of every target, and those of its classes."""
    of_seed, of_run = run.seed(1).results(), run.results()
    assert of_run == run_metrics_from_json(json.loads(json.dumps(run_metrics_to_json(of_run))))
    assert of_run.described == of_seed.described == TARGETS
    for target in TARGETS:
        own = test.values[target.name]
        values, truths = own.values[Task.FUSION], own.truths[Task.FUSION]
        of_target = of_run.targets["test"][target.name]
        assert set(of_seed.targets["test"][target.name]) == set(of_target) == set(Task)
        for name, value in evaluate_target(target, values, truths).items():
            known = None if math.isnan(value) else pytest.approx(value, abs=1e-6)
            summary = of_target[Task.FUSION][name]
            assert of_seed.targets["test"][target.name][Task.FUSION][name] == known
            assert summary.mean == known
            assert summary.mean is None or summary.low <= summary.mean <= summary.high
            assert of_target[Task.TEXT][name].low is None
    counted = of_run.classes["test"]["emotion"]
    assert list(counted) == list(EMOTION.classes)
    annotated = ~np.isnan(test.values["emotion"].truths[Task.FUSION]).any(axis=1)
    assert sum(each["num_annotated"].mean for each in counted.values()) == annotated.sum()
    assert "valence" not in of_run.classes["test"]


@pytest.mark.usefixtures("undrawn")
def test_runs_without_sentiment_are_compared_and_printed(stores, tmp_path):
    run = train(make_config(labels=COPY, train={"epochs": 1}), stores["none"], tmp_path / "run")
    page = write_report(run).read_text()
    for words in ("## emotion", "uar (UA) %", "annotated classes in rows", "## moods.of it"):
        assert words in page
    assert "acc2" not in page
    check_labels(run)
    comparison = compare_runs([run, run])
    assert [target.name for target in comparison.targets] == [target.name for target in TARGETS]
    assert comparison.metrics["emotion/uar"][1].to_first.difference == 0
    assert 0 < comparison.target_clips["emotion"] < 20
    for kind in ("text", "markdown", "latex", "csv", "json"):
        text = format_comparison_as(comparison, kind)
        assert "spearman" in text
        assert "acc2" not in text
    text = format_run(evaluate(run))
    assert max(map(len, text.splitlines())) <= 80
    for words in ("1 seed", "emotion, multimodal task", "uar (UA) %", "ccc: concordance", "map %"):
        assert words in text
    assert "emotion, unimodal tasks" in text
    assert "acc2" not in text


def check_labels(run):
    """Labels of targets are measured without sentiment; a file of theirs that is damaged is not."""
    report = report_labels(run)
    assert report.trajectories == {}
    assert [own.target for own in report.targets] == list(TARGETS)
    for own in report.targets:
        assert set(own.agreement) == set(Modality)
        for parts in own.agreement.values():
            for sources in parts["everywhere"].metrics.values():
                assert abs(sources["generated"].less["copy"].difference) < 1e-6  # they are copies
    text = format_label_report(report)
    assert max(map(len, text.splitlines())) <= 80
    for words in ("emotion, labels of the best epoch", "misplaced %", "no class that has the larg"):
        assert words in text
    file = run.seed(1).path / "labels" / "targets.npy"
    good = file.read_bytes()
    for bad, match in ((b"", "targets.npy: cannot be read"), (good[:-4], "targets.npy: ")):
        file.write_bytes(bad)
        with pytest.raises(CheckpointError, match=match):
            report_labels(run)
    np.save(file, np.zeros((2, 2)))
    with pytest.raises(CheckpointError, match="is damaged, it holds float64 of shape"):
        report_labels(run)
    file.write_bytes(good)


def test_targets_begin_at_a_loss_of_one_and_are_learned(stores, tmp_path):
    rates = dict.fromkeys(("text", "audio", "video", "rest"), 0.02)
    config = make_config(labels=COPY, train={"epochs": 4, "learning_rate": rates})
    epochs = train(config, stores["none"], tmp_path / "run").seed(1).epochs()
    losses = [epoch["losses"]["fusion"] / 4 for epoch in epochs]
    assert 0.8 < losses[0] < 1.3
    assert losses[-1] < 0.95 * losses[0]


@pytest.mark.usefixtures("undrawn")
def test_a_run_goes_on_as_if_it_had_not_been_stopped(stores, tmp_path):
    from trainings import Stop, assert_same_run

    config = make_config(labels={"generator": "distance"})
    run = train(config, stores["some"], tmp_path / "whole")
    report = report_labels(run)
    assert report.agreement
    assert [own.target for own in report.targets] == list(TARGETS)
    page = write_report(run).read_text()
    assert page.index("## Multimodal task") < page.index("## emotion")
    with pytest.raises(KeyboardInterrupt):
        train(config, stores["some"], tmp_path / "cut", listener=Stop(1))
    train(config, stores["some"], tmp_path / "cut", resume=True)
    assert_same_run(tmp_path / "whole", tmp_path / "cut")
    kept = {
        key
        for key in load_keys(tmp_path / "cut" / "seed-1" / "best.safetensors")
        if "centres" in key
    }
    assert kept == set()


def load_keys(path):
    from safetensors import safe_open

    with safe_open(path, "pt") as file:
        return set(file.keys())


def test_a_run_can_start_from_weights_of_another_target(of_emotions, tmp_path, caplog):
    caplog.set_level("INFO", logger="mien")
    both = make_config(labels=COPY, targets={"use": ["emotion", "valence"]})
    other = write_store(make_targeted(name="other", video_prefix="w"), tmp_path / "store")
    train(both, other, tmp_path / "both", init=of_emotions)
    taken = next(text for text in caplog.messages if text.startswith("took over"))
    num = len([key for key in load_keys(of_emotions.seed(1).best) if key.startswith("model/")])
    assert taken.startswith(f"took over {num} of ")


@pytest.mark.parametrize(
    ("classes", "rows"),
    [
        (("pos", "neg", "neu"), {0: 2, 1: 0, 2: 1}),
        (("POS", "calm", "neg", "sad"), {0: 2, 2: 0}),
        (("calm", "sad", "proud"), {}),
    ],
)
def test_what_is_learned_of_a_class_goes_to_the_class_of_that_name(
    of_emotions, tmp_path, classes, rows
):
    """Weights of as many classes were taken over row by row, whatever these were called."""
    target = replace(EMOTION, classes=classes)
    first = (1.0, *[0.0] * (len(classes) - 1))
    material = make_targeted(
        (target,), values=lambda _: {"emotion": first}, name="other", video_prefix="w"
    )
    config = make_config(labels=COPY, targets={"use": ["emotion"], "with_sentiment": False})
    store = write_store(material, tmp_path / "store")
    model = build(prepare(store, config), config)
    fresh = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    start = read_start(of_emotions, store, config)
    take_over(model, start)
    for task in Task:
        for part in ("weight", "bias"):
            key = f"target_heads.layers.{task}/emotion.{part}"
            given, taken = start.tensors[key], model.state_dict()[key]
            for row in range(len(classes)):
                expected = given[rows[row]] if row in rows else fresh[key][row]
                torch.testing.assert_close(taken[row], expected, rtol=0, atol=0)


def prepared_of(material, path, **sections):
    return prepare(write_store(material, path), make_config(labels=COPY, **sections))


def losses_of(prepared, **sections):
    """The loss of each train clip, by itself in a batch."""
    config = make_config(labels=COPY, **sections)
    torch.manual_seed(1)
    model, data = build(prepared, config).eval(), prepared.datasets["train"]
    objective = make_objective(
        data, model, config.labels, prepared.scale, aims=prepared.aims, targets=config.targets
    )

    def measure(rows):
        batch, targets = data.batch(np.array(rows))
        return objective(model(batch), targets, batch.index, 1)

    return measure, data


def test_a_step_is_a_mean_over_its_clips_whichever_share_a_batch(stores):
    config = make_config(labels=COPY)
    prepared = prepare(stores["some"], config)
    measure, data = losses_of(prepared)
    alone = [float(measure([row]).total.detach()) for row in range(len(data))]
    assert float(measure(list(range(len(data)))).total.detach()) == pytest.approx(
        np.mean(alone), rel=1e-4
    )


def test_clips_that_are_not_annotated_add_nothing(stores):
    prepared = prepare(stores["some"], make_config(labels=COPY))
    measure, data = losses_of(prepared)
    values = data.values["emotion"][Task.FUSION]
    bare = [row for row in range(len(data)) if values[row].isnan().any()]
    assert bare
    loss = measure(bare[:1])
    assert loss.total.isfinite()
    only, data = losses_of(
        replace(prepared, aims=replace(prepared.aims, targets=(EMOTION,), has_sentiment=False))
    )
    loss = only(bare)
    assert float(loss.total.detach()) == 0
    loss.total.backward()


def test_the_loss_of_classes_is_weighted_cross_entropy():
    kinds = np.array([0, 0, 0, 0, 1, 1, 2])
    labels = torch.nn.functional.one_hot(torch.from_numpy(kinds), 3).float()
    raw = torch.randn(7, 3, generator=torch.Generator().manual_seed(1))
    chances = raw.double().softmax(dim=1).numpy()
    plain = make_loss(EMOTION, TermSettings(), labels)
    mean = float(plain(raw, labels).mean()) * plain.divisor
    assert mean == pytest.approx(log_loss(kinds, chances), rel=1e-5)
    balanced = make_loss(EMOTION, TermSettings(balance=1.0), labels)
    weights = compute_class_weight("balanced", classes=np.arange(3), y=kinds)
    np.testing.assert_allclose(balanced.weights, weights, rtol=1e-6)
    weighted = log_loss(kinds, chances, sample_weight=weights[kinds])
    mean = float(balanced(raw, labels).mean()) * balanced.divisor
    assert mean == pytest.approx(weighted, rel=1e-5)
    torch.testing.assert_close(
        balanced.of_shares(raw.softmax(dim=1), labels), balanced(raw, labels), rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.kind)
@pytest.mark.parametrize("focusing", [0.0, 2.0])
@pytest.mark.parametrize("balance", [0.0, 0.4, 1.0])
def test_the_constant_predictor_has_a_loss_of_one(target, focusing, balance):
    random = np.random.default_rng(1)
    values = [values_of(float(y))[target.name] for y in random.uniform(-3, 3, 60)]
    labels = torch.tensor(values)
    given = TermSettings(1.0, balance, focusing) if target.has_shares else TermSettings()
    loss = make_loss(target, given, labels)
    constant = loss.constant.expand_as(labels)
    assert float(loss(constant, labels).mean()) == pytest.approx(1, rel=1e-4)
    if focusing == 0:
        for step in torch.randn(20, target.size, generator=torch.Generator().manual_seed(2)):
            assert float(loss(constant + 0.5 * step, labels).mean()) > 0.98


def test_focusing_makes_clips_that_are_predicted_well_count_less():
    labels = torch.eye(3)[[0, 1, 2, 0]]
    raw = 4 * torch.eye(3)[[0, 1, 2, 1]]
    plain = make_loss(EMOTION, TermSettings(), labels)
    focal = make_loss(EMOTION, TermSettings(focusing=2.0), labels)
    ratio = focal(raw, labels) * focal.divisor / (plain(raw, labels) * plain.divisor)
    assert (ratio[:3] < 0.01).all()
    assert ratio[3] > 0.8


@pytest.mark.parametrize(
    ("targets", "match"),
    [
        ({"use": ["emotoin"]}, r"targets.use names 'emotoin', .* did you mean 'emotion'\?"),
        ({"named": {"tag": {}}}, r"targets.named names 'tag', .*; did you mean 'tags'\?"),
        ({"named": {"valence": {"focusing": 1}}}, r"named.valence.focusing is for classes and l"),
        ({"kinds": {"intensities": {"class_weights": "balanced"}}}, "'moods.of it' is a target of"),
        ({"use": [], "with_sentiment": False}, "nothing is left to be learned: its targets are em"),
    ],
)
def test_settings_that_do_not_fit_the_targets_are_refused(stores, tmp_path, targets, match):
    with pytest.raises(ConfigError, match=match):
        train(make_config(labels=COPY, targets=targets), stores["all"], tmp_path / "run")


def test_the_settings_of_a_name_come_before_those_of_its_kind():
    config = TargetsConfig(
        kinds={"class": {"weight": 3, "class_weights": "balanced"}},
        named={"emotion": {"weight": 2}},
    )
    assert config.of(EMOTION) == TermSettings(2.0, 1.0, 0.0)
    assert config.of(TAGS) == TermSettings()


def test_classes_may_count_between_their_frequency_and_alike():
    labels = torch.eye(3)[[0, 0, 0, 0, 1, 1, 2]]
    given = [TargetsConfig(kinds={"class": {"class_weights": w}}) for w in ("balanced", 0.5, 0)]
    full, half, none = (make_loss(EMOTION, one.of(EMOTION), labels).weights for one in given)
    torch.testing.assert_close(half, full**0.5)
    torch.testing.assert_close(none, torch.ones(3))
    for wrong in (1.5, -0.1, "some", True):
        with pytest.raises(ConfigError, match="class_weights"):
            LossSettings(class_weights=wrong)
    with pytest.raises(ConfigError, match=r"no setting kinds.class.wieght; did you mean"):
        TargetsConfig(kinds={"class": {"wieght": 1}})


def test_equal_settings_stand_for_each_other_in_processes_that_train_seeds():
    """Data is prepared once for equal settings, in whatever order losses were named."""
    losses = {"emotion": {"weight": 2}, "tags": {"focusing": 1}}
    one, other = TargetsConfig(named=losses), TargetsConfig(named=dict(reversed(losses.items())))
    assert one == other
    assert hash(make_config(targets=one)) == hash(make_config(targets=other))


def without(material, name, splits):
    """The material, but no clip of these splits has values of the target."""
    clips = tuple(
        replace(clip, targets={n: v for n, v in clip.targets.items() if n != name})
        if clip.split in splits
        else clip
        for clip in material.corpus.clips
    )
    return replace(material, corpus=replace(material.corpus, clips=clips))


def test_a_target_without_a_clip_in_train_is_refused(tmp_path):
    store = write_store(without(make_targeted(), "valence", ["train"]), tmp_path / "store")
    with pytest.raises(StoreError, match=r"no clip of train is annotated for target 'valence'"):
        train(make_config(labels=COPY), store, tmp_path / "run")
    config = make_config(labels=COPY, targets={"use": ["emotion"]})
    assert train(config, store, tmp_path / "run").seed(1).is_finished


def test_classes_that_no_clip_of_train_has_are_named(tmp_path, caplog):
    """As in a fold, whose clips the import of the whole corpus has not seen apart."""
    store = write_store(make_targeted(), tmp_path / "store")
    rows, aims = store.rows("train"), find_aims(store, TargetsConfig())
    check_aims(store, rows, aims)
    assert "no clip of train" not in caplog.text
    values = store.clips.take(rows).target(EMOTION, Task.FUSION)
    check_aims(store, rows[values[:, 2] != 1], aims)
    assert f"{store.path}: emotion: no clip of train has the class 'pos'; no model" in caplog.text
    assert "nothing to tell apart" not in caplog.text
    check_aims(store, rows[values[:, 0] == 1], aims)
    assert "emotion: all clips of train are of one class, 'neg'; there is nothing to" in caplog.text


def test_few_people_in_valid_are_named_since_sets_promise_nothing_for_others(tmp_path, caplog):
    material = make_targeted()
    clips = tuple(
        replace(clip, speaker=f"p{at % 9}") for at, clip in enumerate(material.corpus.clips)
    )
    material = replace(material, corpus=replace(material.corpus, clips=clips))
    store = write_store(material, tmp_path / "store")
    rows, aims = np.arange(len(clips)), find_aims(store, TargetsConfig(use=["emotion"]))
    caplog.clear()
    report_people(store, rows, aims)
    assert caplog.text == ""
    of_eight = rows[store.clips.take(rows).speaker_numbers != 0]
    report_people(store, of_eight, aims)
    assert "emotion: annotated clips of valid are of 8 speakers; sets and intervals" in caplog.text
    caplog.clear()
    report_people(store, of_eight, find_aims(store, TargetsConfig(use=["emotion", "tags"])))
    assert [r.getMessage().count("emotion, tags: annotated clips") for r in caplog.records] == [1]
    values = store.clips.have_target("emotion", Task.FUSION)
    report_people(store, rows[~values], aims)
    assert "emotion: no clip of valid is annotated for it, which then neither" in caplog.text


def test_a_target_without_a_clip_in_valid_is_left_out_of_the_choice(tmp_path):
    store = write_store(without(make_targeted(), "valence", ["valid"]), tmp_path / "store")
    model = {"name": "misa"}  # it scores the multimodal task alone
    config = make_config(labels=COPY, targets={"use": ["emotion", "valence"]}, model=model)
    run = train(config, store, tmp_path / "run")
    assert set(run.seed(1).predictions("test").values["emotion"].values) == {Task.FUSION}
    assert all(math.isfinite(e["valid"]["relative_loss"]) for e in run.seed(1).epochs())


@pytest.mark.parametrize(
    ("classes", "pick"),
    [
        (("all",), lambda _, __: 0),
        (("a", "b"), lambda _, __: 0),
        (("a", "b", "c"), lambda label, split: 2 if split != "train" else int(label > 0)),
        (tuple(f"class {k}" for k in range(40)), lambda label, _: round((label + 3) * 6.5)),
    ],
    ids=["one class", "one class of two", "absent in train", "more than clips"],
)
def test_odd_sets_of_classes_can_be_learned(tmp_path, classes, pick):
    target = Target(name="emotion", kind=TargetKind.CLASS, classes=classes)
    material = make_targeted(
        (target,), values=lambda _: {"emotion": (1.0,) + (0.0,) * (len(classes) - 1)}, sentiment=0
    )
    clips = []
    for clip, before in zip(material.corpus.clips, make_targeted().corpus.clips, strict=True):
        kind = pick(before.labels[Task.FUSION], clip.split)
        values = tuple(float(k == kind) for k in range(len(classes)))
        clips.append(replace(clip, targets={"emotion": {Task.FUSION: values}}))
    material = replace(material, corpus=replace(material.corpus, clips=tuple(clips)))
    store = write_store(material, tmp_path / "store")
    config = make_config(
        labels=COPY if len(classes) > 9 else {"generator": "latent", **QUICK},
        targets={"kinds": {"class": {"class_weights": "balanced", "focusing": 1.0}}},
    )
    run = train(config, store, tmp_path / "run")
    assert all(math.isfinite(e["valid"]["relative_loss"]) for e in run.seed(1).epochs())
    values = run.seed(1).predictions("test").values["emotion"].values[Task.FUSION]
    np.testing.assert_allclose(values.sum(axis=1), 1, rtol=1e-6)
    if len(classes) == 3:  # of the last no clip of train is: possible, but hardly so
        assert (values[:, 2] > 0).all()
        assert values[:, 2].mean() < 0.15
        uar = run.metrics()["targets"]["splits"]["test"]["emotion"]["fusion"]["uar"]
        assert uar["mean"] == 0


def test_a_model_is_evaluated_on_a_store_with_the_classes_in_another_order(of_emotions, tmp_path):
    turned = replace(EMOTION, classes=("pos", "neg", "neu"))
    material = make_targeted(
        (turned,),
        values=lambda y: {"emotion": tuple(np.roll(values_of(y)["emotion"], 1).tolist())},
        sentiment=0,
        annotated=1,
        video_prefix="x",
    )
    _, prepared = load_model(of_emotions.path, write_store(material, tmp_path / "turned"))
    plain = make_targeted((EMOTION,), sentiment=0, annotated=1, video_prefix="x")
    known = make_dataset(plain.corpus.clips, np.arange(20), {}, {}, (EMOTION,))
    torch.testing.assert_close(
        prepared.datasets["train"].values["emotion"][Task.FUSION],
        known.values["emotion"][Task.FUSION],
    )


@pytest.mark.parametrize(
    ("target", "match"),
    [
        (replace(EMOTION, classes=("pos", "neg", "odd")), "has the class 'odd', which the model d"),
        (Target(name="emotion", kind=TargetKind.LABELS, classes=EMOTION.classes), "of kind class"),
    ],
)
def test_a_store_with_other_classes_is_refused(of_emotions, tmp_path, target, match):
    material = make_targeted((target,), sentiment=0, video_prefix="y")
    with pytest.raises(CheckpointError, match=match):
        load_model(of_emotions.path, write_store(material, tmp_path / "store"))


def test_a_store_without_a_target_gives_no_metrics_of_it(stores, tmp_path):
    config = make_config(labels=COPY, targets={"use": ["emotion"]})
    run = train(config, stores["all"], tmp_path / "run")
    material = make_targeted((VALENCE, replace(MOODS, scale=Scale(0, 9))), video_prefix="z")
    metrics = evaluate(run, store=write_store(material, tmp_path / "store"))
    assert metrics["splits"]["test"]["fusion"]
    assert metrics["targets"]["splits"]["test"] == {}


def test_what_is_written_of_a_run_without_targets_is_as_it_was(finished):
    assert "targets" not in json.loads((finished / "seed-1" / "metrics.json").read_text())
    assert "relative_loss" not in (finished / "seed-1" / "epochs.jsonl").read_text()
