"""Regressions on clip means: the fits of scikit-learn, kept as arrays."""

import numpy as np
import pytest
import torch
from helpers import SIZES, make_batch, make_clip, make_model
from sklearn.ensemble import GradientBoostingClassifier, GradientBoostingRegressor
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.preprocessing import StandardScaler
from targeted import EMOTION, MOODS, TAGS, TARGETS, VALENCE

from mien.errors import CheckpointError
from mien.models import MODELS, build_model
from mien.models.multitask import ModelInputs
from mien.models.zoo.clip_means.clip_means_model import FitGoal
from mien.tensors import as_shares
from mien.types import Modality, TargetKind, Task

SIZE = sum(SIZES.values())
ROUNDS = 12
TREES = {"rounds": ROUNDS, "depths": (1, 3), "rate": 0.2, "clip_share": 1.0, "feature_share": 1.0}


def build(name, **settings):
    torch.manual_seed(1)
    inputs = ModelInputs(sizes=SIZES, targets=TARGETS)
    return build_model(MODELS[name].config(**settings), inputs).eval()


def draw(num, seed=1):
    """Vectors of clips on scales of their own, and a number that follows from them."""
    random = np.random.default_rng(seed)
    standard = random.normal(size=(num, SIZE)).astype(np.float32).astype(float)
    number = standard[:, 0] - np.abs(standard[:, 7]) + 0.3 * random.normal(size=num)
    return standard * 4 + 3, number


def values_for(target, number):
    if target is None or target.kind is TargetKind.SCORE:
        return 3 + number[:, None] / 2
    if target.kind is TargetKind.CLASS:
        return np.eye(3)[np.digitize(number, (-1.5, 0.5))]
    if target.kind is TargetKind.LABELS:
        return np.stack([number > 0, number < -1], axis=1).astype(float)
    return np.stack([number.clip(0, 3), (-number).clip(0, 3)], axis=1)


def make_goal(target, **given):
    (vectors, number), (valid, of_valid) = draw(70), draw(40, seed=2)
    values, truth = values_for(target, number), values_for(target, of_valid)
    ones = np.ones(values.shape[1])

    def error(predicted):
        assert predicted.shape == truth.shape
        values = torch.from_numpy(predicted)
        if target is not None and target.has_shares:
            values = as_shares(target, values)
        return float(((values.numpy() - truth) ** 2).mean())

    return FitGoal(
        **{
            "target": target, "vectors": vectors, "values": values, "weights": ones,
            "others": ones, "constant": 0 * ones, "is_squared": True, "valid": valid,
            "error": error, "seed": 1, **given,
        }
    )  # fmt: skip


def predict(model, target, vectors):
    """What the model makes of vectors: logits, or values on the scale."""
    joined = torch.from_numpy(vectors).float()
    with torch.no_grad():
        if target is None:
            return model.score(joined).unsqueeze(1).numpy()
        return model.target_heads({Task.FUSION: joined})[target.name][Task.FUSION].numpy()


@pytest.mark.parametrize("target", [None, VALENCE, MOODS], ids=str)
@pytest.mark.parametrize("penalty", [0.5, 200.0])
def test_values_are_those_of_ridge_regression(target, penalty):
    model, goal = build("ridge", penalties=(penalty,)), make_goal(target)
    tried = model.fit(goal)
    scaler = StandardScaler().fit(goal.vectors)
    theirs = Ridge(alpha=penalty).fit(scaler.transform(goal.vectors), goal.values)
    wanted = theirs.predict(scaler.transform(goal.valid)).reshape(40, -1)
    np.testing.assert_allclose(predict(model, target, goal.valid), wanted, atol=1e-4)
    assert [each.error for each in tried] == [pytest.approx(goal.error(wanted))]


def test_classes_are_those_of_logistic_regression_whose_shares_count():
    """A clip with two classes counts half for each; one class is three times as heavy."""
    goal = make_goal(EMOTION, weights=np.array([1.0, 3.0, 1.0]))
    goal.values[:20] = (0.5, 0.5, 0.0)
    model = build("ridge", penalties=(2.0,))
    model.fit(goal)
    x = StandardScaler().fit(goal.vectors)
    clips, classes = np.nonzero(goal.values)
    counts = goal.values[clips, classes] * goal.weights[classes]
    theirs = LogisticRegression(C=0.5, tol=1e-8, max_iter=5000)
    theirs.fit(x.transform(goal.vectors)[clips], classes, sample_weight=counts)
    made = as_shares(EMOTION, torch.from_numpy(predict(model, EMOTION, goal.valid)))
    np.testing.assert_allclose(made, theirs.predict_proba(x.transform(goal.valid)), atol=2e-3)


def test_labels_are_those_of_a_logistic_regression_each():
    goal, model = make_goal(TAGS), build("ridge", penalties=(2.0,))
    model.fit(goal)
    x = StandardScaler().fit(goal.vectors)
    made = as_shares(TAGS, torch.from_numpy(predict(model, TAGS, goal.valid))).numpy()
    for column, there in enumerate(goal.values.T):
        theirs = LogisticRegression(C=0.5).fit(x.transform(goal.vectors), there)
        wanted = theirs.predict_proba(x.transform(goal.valid))[:, 1]
        np.testing.assert_allclose(made[:, column], wanted, atol=2e-3)


def boosted(kind, goal, values, depth, rounds):
    """scikit-learn's boosting with the settings and the seed of the model."""
    drawn = np.random.SeedSequence([goal.seed, depth, 0]).generate_state(1)
    model = kind(
        n_estimators=ROUNDS, learning_rate=0.2, max_depth=depth, max_features=1.0,
        min_samples_leaf=5, random_state=int(drawn[0]),
    ).fit(goal.vectors, values)  # fmt: skip
    is_number = kind is GradientBoostingRegressor
    of = model.staged_predict if is_number else model.staged_decision_function
    return np.squeeze(list(of(goal.valid))[rounds - 1])


def test_numbers_are_those_of_gradient_boosting_after_the_best_round():
    goal, model = make_goal(None), build("trees", **TREES)
    tried = model.fit(goal)
    best = min(tried, key=lambda each: each.error)
    assert {each.settings["depth"] for each in tried} == {1, 3}
    assert 0 < best.settings["rounds"] <= ROUNDS
    wanted = boosted(GradientBoostingRegressor, goal, goal.values[:, 0], **best.settings)
    np.testing.assert_allclose(predict(model, None, goal.valid)[:, 0], wanted, atol=1e-5)


@pytest.mark.parametrize(("target", "classes"), [(EMOTION, 3), (EMOTION, 2), (TAGS, 2)], ids=str)
def test_logits_are_those_of_gradient_boosting(target, classes):
    goal, model = make_goal(target), build("trees", **{**TREES, "depths": (3,)})
    if classes == 2 and target is EMOTION:  # one class is not there at all
        goal.values[:, 1] += goal.values[:, 2]
        goal.values[:, 2] = 0.0
    (best,) = model.fit(goal)
    made = predict(model, target, goal.valid)
    assert best.settings["rounds"] > 1
    labels = goal.values[:, 0] if target is TAGS else goal.values.argmax(axis=1)
    wanted = boosted(GradientBoostingClassifier, goal, labels, **best.settings)
    if target is TAGS:
        np.testing.assert_allclose(made[:, 0], wanted, atol=1e-5)
    elif classes == 2:
        np.testing.assert_allclose(made[:, 1] - made[:, 0], wanted, atol=1e-5)
        assert (made[:, 2] < made[:, :2].min(axis=1)).all()
    else:
        np.testing.assert_allclose(made, wanted, atol=1e-5)


@pytest.mark.parametrize("name", ["ridge", "trees"])
def test_a_label_that_no_clip_or_every_clip_has_is_predicted_as_a_constant(name):
    goal = make_goal(TAGS, constant=np.array([-4.0, 4.0]))
    goal.values[:] = (0.0, 1.0)
    model = build(name, **(TREES if name == "trees" else {}))
    model.fit(goal)
    made = predict(model, TAGS, goal.valid)
    assert (made == made[0]).all()
    assert made[0, 0] < -2 < 2 < made[0, 1]


@pytest.mark.parametrize("name", ["ridge", "trees"])
def test_the_first_of_the_best_is_kept(name):
    """Where nothing is better on valid than the rest, nothing depends on what is tried last."""
    settings = {"penalties": (3.0, 1.0)} if name == "ridge" else {**TREES, "depths": (2, 1)}
    several, first = (
        build(name, **settings),
        build(
            name,
            **{
                key: value[:1] if isinstance(value, tuple) else value
                for key, value in settings.items()
            },
        ),
    )
    goal = make_goal(None, error=lambda _: 1.0)
    tried = several.fit(goal), first.fit(goal)
    assert [len(each) for each in tried] == [2, 1]
    made = [predict(model, None, goal.valid) for model in (several, first)]
    np.testing.assert_array_equal(*made)


@pytest.mark.parametrize("name", ["ridge", "trees"])
def test_features_that_never_change_and_modalities_that_are_missing_count_for_nothing(name):
    model, goal = build(name, **(TREES if name == "trees" else {})), make_goal(None)
    goal.vectors[:, 3] = goal.valid[:, 3] = 1e4
    model.fit(goal)
    made = predict(model, None, goal.valid)
    goal.valid[:, 3] = 7.0
    np.testing.assert_allclose(predict(model, None, goal.valid), made, atol=1e-3)


def test_a_missing_modality_is_read_as_the_mean_of_train():
    model = make_model("ridge").eval()
    model.absent[Modality.AUDIO].vector.fill_(0.5)
    clip = make_clip(1, 3, audio=0)
    other = {**clip, Modality.AUDIO: torch.full((2, SIZES[Modality.AUDIO]), 0.5)}
    output = model(make_batch(clip, other))
    torch.testing.assert_close(*output.scores[Task.FUSION])


@pytest.mark.parametrize("value", [-1, SIZE, 10**12])
def test_trees_that_read_what_is_not_there_are_refused(value):
    model = build("trees", **TREES)
    state = model.state_dict()
    name = next(key for key in state if key.endswith(".feature"))
    state[name][3] = value
    with pytest.raises(CheckpointError, match=f"names a feature that is not among the {SIZE}"):
        build("trees", **TREES).load_state_dict(state)
