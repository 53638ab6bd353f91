"""The field's models, set to ``published``, against the numbers of their published programs."""

import math

import pytest
import torch
from zoo_goldens import (
    LETTERS,
    OURS_ALONE,
    SETTINGS,
    STATES,
    TRANSLATIONS,
    ZOO,
    build,
    is_used,
    load,
    make_batch,
    our_name,
    read_published,
    targets_of,
)

from mien.models import MODELS, build_model
from mien.models.multitask import ModelInputs
from mien.training.settings import read_config
from mien.types import Modality, Task

pytestmark = pytest.mark.skipif(
    not ZOO.is_dir(),
    reason="the goldens are not beside the repository; put them into ../shared/goldens/zoo",
)

#: Parameters of BERT's pooler; and of embeddings in the program of CENET that are never fed.
POOLER, UNFED = 590_592, 14 * 768
#: Where the same sum in another order already differs by more than usual.
TOLERANCES = {"mult": 5e-5}


@pytest.fixture(scope="module", params=SETTINGS)
def case(request):
    golden = load(request.param)
    return request.param, golden, build(request.param, golden)


def assert_near(found, wanted, tolerance=1e-5):
    torch.testing.assert_close(found, wanted.to(found.dtype), rtol=0, atol=tolerance)


def loss_of(golden, output):
    labels, name = targets_of(golden).labels, golden.meta["model"]
    terms = sum(term for key, term in output.terms.items() if key != "bound_networks")
    if name in ("misa", "almt"):
        return (output.scores[Task.FUSION] - labels[Task.FUSION]).square().mean() + terms
    if name == "tetfn":  # as the objective weighs labels that move
        apart = {t: torch.tanh((y - labels[Task.FUSION]).abs()) for t, y in labels.items()}
        apart[Task.FUSION] = torch.ones(3)
        errors = {t: apart[t] * (s - labels[t]).abs() for t, s in output.scores.items()}
        return sum(error.mean() for error in errors.values())
    errors = {t: (s - labels[t]).abs().mean() for t, s in output.scores.items()}
    weights = golden.meta["task_weights"] or {"M": 1.0}
    return sum(weights[LETTERS[t]] * error for t, error in errors.items()) + terms


def test_scores_and_loss_are_those_of_the_published_program(case):
    name, golden, model = case
    tolerance = TOLERANCES.get(name, 1e-5)
    output = model(make_batch(golden))
    for task, scores in output.scores.items():
        assert_near(scores, golden.at[f"out/{LETTERS[task]}"].squeeze(-1), tolerance)
    if name == "tfr_net":  # its reconstruction, from clip to clip, is not ours
        assert_near(loss_of(golden, output), golden.at["loss/loss_task_l1"])
        return
    loss = golden.at.get("loss/loss_stage_two_without_entropy", golden.at["loss/loss"])
    assert_near(loss_of(golden, output), loss, tolerance)


def is_compared(name, theirs):
    """Whether a gradient is: in MMIM's program an entropy moves what is not behind the fusion."""
    if name == "tfr_net":  # the reconstruction moves all that is not behind the summaries
        return theirs.startswith("fusion_subnet")
    return is_used(name, theirs) and (name != "mmim" or theirs.startswith(("fusion", "cpc")))


def test_the_networks_of_bounds_are_trained_as_in_the_first_pass_of_the_published_program():
    golden = load("mmim")
    model = build("mmim", golden)
    model(make_batch(golden)).terms["bound_networks"].backward()
    parameters = dict(model.named_parameters())
    norms = golden.at["gradient_stage_one_norms"].tolist()
    for theirs, norm in zip(golden.names, norms, strict=True):
        if theirs.startswith("mi_") and "entropy" not in theirs:
            found = parameters[our_name("mmim", theirs)].grad.norm().item()
            assert found == pytest.approx(norm, rel=1e-4, abs=1e-6), theirs
    assert all(p.grad is None for n, p in parameters.items() if not n.startswith("bounds."))


def test_gradients_are_those_of_the_published_program(case):
    name, golden, model = case
    model.zero_grad()
    model.requires_grad_()
    loss_of(golden, model(make_batch(golden))).backward()
    parameters = dict(model.named_parameters())
    norms = golden.at["gradient_norms"]
    for theirs, norm in zip(golden.names, norms.tolist(), strict=True):
        if is_compared(name, theirs) and not math.isnan(norm):
            found = parameters[our_name(name, theirs)].grad.norm().item()
            assert found == pytest.approx(norm, rel=1e-4, abs=1e-6), theirs


def test_padding_is_read_as_the_published_program_reads_it(case):
    name, golden, model = case
    if name in (*STATES, "tfr_net"):
        pytest.skip("the golden has no states of the text with noise in the padding")
    batch = make_batch(golden, prefix="in_noise")
    assert_near(model(batch).scores[Task.FUSION], golden.at["out_noise/M"].squeeze(-1), 5e-5)


def published_models():
    if not ZOO.is_dir():
        return []
    models = read_published()["models"]
    counted = [name for name in TRANSLATIONS if name != "tfr_net"]  # its reconstruction is not ours
    return [(n, c) for n in counted for c in models[n] if models[n][c] is not None]


@pytest.mark.parametrize(("name", "corpus"), published_models())
def test_a_published_model_has_as_many_parameters_as_the_published_program(name, corpus):
    everything = read_published()
    published = everything["models"][name][corpus]
    sizes = {Modality(m): n for m, n in everything["common"]["feature_sizes"][corpus].items()}
    settings = {**TRANSLATIONS[name](published), "published": True, "standardise": False}
    if "padded_steps" in MODELS[name].config.model_fields:
        settings["padded_steps"] = 39 if corpus == "sims" else 50
    kind, _ = MODELS[name]
    shipped = read_config(f"{name}-{corpus}").model
    alike = ("score_limit", "repeated_means", "padded_steps", "published", "standardise")
    of_program = {key: settings[key] for key in alike if key in settings}
    assert shipped.model_copy(update=of_program) == kind(**settings)
    with torch.device("meta"):
        model = build_model(kind(**settings), ModelInputs(sizes=sizes))
    ours = sum(p.numel() for n, p in model.named_parameters() if not OURS_ALONE.match(n))
    counted = published["parameters"]
    wanted = counted["without_bert"] - counted.get("constants_stored_as_parameters", 0)
    wanted -= counted.get("never_updated_own", 0)  # what nothing uses is not here
    wanted += POOLER if name == "bert_mag" else 0  # there it is a part of BERT
    wanted -= UNFED if name == "cenet" else 0
    if name == "mmim":  # the entropy is not here: one projection for each bound
        sizes_of = [settings["video_output_size"], settings["audio_output_size"]]
        sizes_of += [sizes_of[1]] if settings["video_audio_bound"] else []
        wanted -= sum((size // 4) * (size + 1) for size in sizes_of)
    assert ours == wanted + counted.get("outside_the_module_registry", 0)
