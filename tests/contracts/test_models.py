"""What every model promises; whatever is in MODELS is tested by being there."""

import inspect
from itertools import combinations

import pytest
import torch
from cases import examples, with_extended
from helpers import (
    AUDIO,
    SIZES,
    TEXT,
    TINY,
    VIDEO,
    generator,
    make_batch,
    make_clip,
    make_model,
    open_up,
)
from hypothesis import given
from hypothesis import strategies as st

from mien.errors import ConfigError
from mien.models import MODELS
from mien.models.attention import ATTENTIONS
from mien.models.fusion import FUSIONS, ConcatFusion
from mien.tensors import Batch, PaddedSeries
from mien.types import Modality, Task

#: Every attention with one fusion, every fusion with one attention, and what self_mm is made of.
PAIRS = [(a, "dimension") for a in ATTENTIONS] + [("softmax", f) for f in FUSIONS]
SWITCHES = {
    "tam_ulag": [
        {"attention": a, "fusion": f} for a, f in dict.fromkeys([*PAIRS, ("none", "concat")])
    ]
    + [{"encoder": "steps", "attention": "softmax"}, {"encoder": "steps", "attention": "none"}],
}


def has_layers(name):
    return "num_layers" in MODELS[name].config.model_fields


#: Every model with what it can be switched to.
VARIANTS = [(name, switch) for name in MODELS for switch in SWITCHES.get(name, [{}])]
#: Without the released attention, which breaks these promises: tests/test_differences.py shows how.
SOUND = [(n, s) for n, s in VARIANTS if s.get("attention") != "released"]
#: Without trees, which read nothing before they are fitted.
UNFITTED = [(n, s) for n, s in VARIANTS if n != "trees"]
#: Attentions whose weights are at least 0 and sum to one.
SHARES = ("softmax", "mean", "max", "self")
SUBSETS = [subset for num in (1, 2, 3) for subset in combinations(Modality, num)]


#: What teaches parts that learn from nothing else.
LEARNING_OF = {"tfr_net": {"missing_share": 0.7}}


def name_variant(value):
    if isinstance(value, str | int):
        return str(value)
    parts = value.values() if isinstance(value, dict) else value
    return "-".join(map(str, parts))


#: Every variant with one layer, and with two where it has such a setting.
DEEP = [
    (name, {**switch, **deep})
    for name, switch in VARIANTS
    for deep in ([{"num_layers": 1}, {"num_layers": 2}] if has_layers(name) else [{}])
]
#: Models of the package's own parts, which score every modality too.
OWN = ("tam_ulag", "self_mm")
#: All others, which are many: they are tried on fewer cases.
OF_THE_FIELD = [name for name in MODELS if name not in OWN]


every_variant = pytest.mark.parametrize(("name", "switch"), VARIANTS, ids=name_variant)
every_sound_variant = pytest.mark.parametrize(("name", "switch"), SOUND, ids=name_variant)


def make_eval_model(name, switch, **options):
    return open_up(make_model(name, **switch, **options)).eval()


def assert_same(first, second, **tolerance):
    for task in first.scores:
        torch.testing.assert_close(first.scores[task], second.scores[task], **tolerance)
        torch.testing.assert_close(first.states[task], second.states[task], **tolerance)


def rows(output, chosen):
    chosen = torch.as_tensor(chosen)
    return type(output)(
        scores={t: s[chosen] for t, s in output.scores.items()},
        states={t: s[chosen] for t, s in output.states.items()},
        attention={m: w[chosen] for m, w in output.attention.items()},
        present={m: p[chosen] for m, p in output.present.items()},
    )


def total(output, seed=1):
    """A sum of all scores and losses in which each counts differently."""
    drawn = generator(seed)
    scores = sum((torch.randn(len(s), generator=drawn) * s).sum() for s in output.scores.values())
    return scores + sum(output.terms.values())


# --- shapes ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "switch", "num_clips", "length"),
    [(*v, *case) for v in DEEP for case in [(1, 1), (1, 4), (3, 1)][: 3 if v[0] in OWN else 2]],
    ids=name_variant,
)
def test_one_clip_one_step_and_several_layers_work(name, switch, num_clips, length):
    model = make_model(name, **switch)
    batch = make_batch(*(make_clip(seed, length) for seed in range(num_clips)))
    output = model(batch)
    assert tuple(output.scores) == model.tasks
    assert set(model.tasks) == set(Task) or model.tasks == (Task.FUSION,)
    for task in model.tasks:
        assert output.scores[task].shape == (num_clips,)
        assert output.states[task].shape == (num_clips, model.state_sizes[task])
        assert name not in OWN or model.state_sizes[task] == TINY["state_size"][task]
        assert torch.isfinite(output.scores[task]).all()
    for modality, weights in output.attention.items():
        assert weights.shape == batch.sequences[modality].mask.shape
    total(output).backward()


@pytest.mark.parametrize("name", MODELS)
def test_a_model_sees_a_batch_and_nothing_else(name):
    parameters = inspect.signature(make_model(name).forward).parameters
    assert list(parameters) == ["batch"]


@pytest.mark.parametrize(
    ("name", "switch", "subset"),
    [(*v, s) for v in VARIANTS for s in (SUBSETS if v[0] in OWN else SUBSETS[:5:2])],
    ids=name_variant,
)
def test_a_corpus_may_have_any_of_the_modalities(name, switch, subset):
    sizes = {m: SIZES[m] for m in subset}
    if getattr(MODELS[name].model, "needs_text", False) and TEXT not in subset:
        with pytest.raises(ConfigError, match="led by the text, and the corpus has none"):
            make_model(name, sizes=sizes, **switch)
        return
    model = make_model(name, sizes=sizes, **switch)
    batch = make_batch(make_clip(1, 3, sizes=sizes), make_clip(2, 5, sizes=sizes))
    output = model(batch)
    assert tuple(output.scores) == model.tasks
    assert set(model.tasks) in ({Task.FUSION}, {Task.FUSION, *(Task(m) for m in subset)})
    assert set(output.present) == set(subset)
    total(output).backward()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)


# --- company, padding, order ----------------------------------------------------------------------


@pytest.mark.parametrize(("name", "switch"), [v for v in SOUND if v[0] in OWN], ids=name_variant)
@given(
    seed=st.integers(0, 99),
    text=st.integers(0, 4),
    audio=st.integers(0, 4),
    video=st.integers(1, 4),
    longer=st.integers(1, 8),
)
@examples(8)
def test_a_clip_scores_the_same_whatever_it_is_batched_with(
    name, switch, seed, text, audio, video, longer
):
    check_company(name, switch, seed, text, audio, video, longer)


@pytest.mark.parametrize("name", OF_THE_FIELD)
@pytest.mark.parametrize("lengths", [(4, 1, 2), (0, 3, 1)], ids=str)
def test_a_clip_scores_the_same_beside_a_longer_one(name, lengths):
    check_company(name, {}, 1, *lengths, longer=3, rtol=1e-5, atol=1e-4)


def check_company(name, switch, seed, text, audio, video, longer, **tolerance):
    model = make_eval_model(name, switch)
    clip = make_clip(seed, text=text, audio=audio, video=video)
    company = make_clip(seed + 1, 4 + longer)
    alone = model(make_batch(clip))
    together = model(make_batch(company, clip))
    assert_same(rows(together, [1]), alone, **tolerance)
    for modality, weights in alone.attention.items():
        found = together.attention[modality][1, : weights.shape[1]]
        torch.testing.assert_close(found, weights[0])


@pytest.mark.parametrize(("name", "switch"), UNFITTED, ids=name_variant)
@pytest.mark.parametrize("summary", ["cls", "mean"])
def test_settings_tell_which_models_read_the_summary_of_a_text_alone(name, switch, summary):
    clips = [make_clip(seed, 3) for seed in range(4)]
    others = [c | {TEXT: torch.cat([c[TEXT][:1], c[TEXT][1:].flip(0, 1) + 0.5])} for c in clips]
    model = make_eval_model(name, switch, summary=summary)
    before, after = (model(make_batch(*each)).scores[Task.FUSION] for each in (clips, others))
    settings = MODELS[name].config(name=name, **switch)
    reads_first_alone = settings.reads_summary_alone and summary == "cls"
    assert torch.equal(before, after) == reads_first_alone


@pytest.mark.parametrize("name", ["bert_mag", "cenet"])
def test_the_first_state_is_scored_where_the_settings_say_so(name):
    batch = make_batch(make_clip(1, 3), make_clip(2, 5))

    def score(**settings):
        return make_eval_model(name, {}, **settings)(batch).scores[Task.FUSION]

    first = score(summary="cls")
    assert torch.equal(score(summary="mean", scored="first"), first)
    assert not torch.equal(score(summary="mean"), first)


@every_sound_variant
def test_what_stands_at_padding_changes_nothing(name, switch):
    model = make_eval_model(name, switch)
    batch = make_batch(make_clip(1, 3), make_clip(2, 5))
    sequences = {}
    for modality, (values, mask) in batch.sequences.items():
        values, mask = (torch.cat([part, part], dim=1) for part in (values, mask))
        mask[:, values.shape[1] // 2 :] = False
        sequences[modality] = PaddedSeries(values.masked_fill(~mask.unsqueeze(-1), 1e3), mask)
    output = model(Batch(index=batch.index, sequences=sequences))
    assert_same(output, model(batch))
    for modality, weights in output.attention.items():
        assert (weights[~sequences[modality].mask] == 0).all()


@every_variant
def test_the_order_of_clips_changes_no_score(name, switch):
    model = make_eval_model(name, switch)
    clips = [make_clip(seed, seed) for seed in (1, 2, 3, 4)]
    order = [2, 0, 3, 1]
    shuffled = model(make_batch(*(clips[i] for i in order)))
    assert_same(shuffled, rows(model(make_batch(*clips)), order))


@every_variant
def test_the_index_of_a_clip_changes_no_score(name, switch):
    model = make_eval_model(name, switch)
    clips = make_clip(1, 3), make_clip(2, 2)
    assert_same(model(make_batch(*clips)), model(make_batch(*clips, index=[7, 3])), rtol=0, atol=0)


# --- attention ------------------------------------------------------------------------------------


@every_sound_variant
def test_attention_weights_are_zero_at_padding_and_where_the_modality_is_missing(name, switch):
    model = make_eval_model(name, switch)
    batch = make_batch(make_clip(1, 3, audio=0), make_clip(2, 5, text=0), make_clip(3, 1))
    for modality, weights in model(batch).attention.items():
        mask = batch.sequences[modality].mask
        assert (weights[~mask] == 0).all()
        attention = switch.get("attention")  # of another model, nothing more is known
        if attention in SHARES:
            torch.testing.assert_close(weights.sum(dim=1), mask.any(dim=1).float())
        if attention not in (None, "max"):  # of a step that is nowhere the largest nothing is taken
            assert (weights[mask] != 0).all()


# --- parameters -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "switch"), [v for v in DEEP if v[1].get("attention") != "released"], ids=name_variant
)
def test_every_parameter_gets_a_gradient(name, switch):
    model = make_model(name, **{**LEARNING_OF.get(name, {}), **switch})
    clips = (
        make_clip(1, 3),
        make_clip(2, 5),
        make_clip(3, 2, text=0),
        make_clip(4, audio=0, video=0),
    )
    total(model(make_batch(*clips))).backward()
    idle = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert idle == []


@every_variant
def test_every_parameter_is_in_exactly_one_group(name, switch):
    model = make_model(name, text_encoder=torch.nn.Linear(6, 6), **switch)
    groups = model.parameter_groups()
    assert set(groups) == {"text", "audio", "video", "rest"}
    grouped = [key for named in groups.values() for key, _ in named]
    assert sorted(grouped) == sorted(n for n, _ in model.named_parameters())
    own = dict(model.named_parameters())
    assert all(own[key] is parameter for named in groups.values() for key, parameter in named)
    assert {key.split(".")[0] for key, _ in groups["text"]} == {"text_encoder"}
    for modality in (AUDIO, VIDEO):
        assert all(key.startswith(f"encoders.{modality}.") for key, _ in groups[modality])
        if name not in OWN:
            continue
        reader = "step" if switch.get("encoder") == "steps" else "rnn"
        assert any(reader in key for key, _ in groups[modality])


@every_variant
def test_the_state_dict_is_the_whole_model(name, switch):
    model, twin = make_model(name, seed=1, **switch), make_model(name, seed=2, **switch)
    batch = make_batch(make_clip(1, 3, audio=0), make_clip(2, 5))
    model.encoders[VIDEO].standardise.fit(torch.ones(5), torch.full((5,), 2.0))
    before = model(batch)
    assert not torch.equal(twin(batch).scores[Task.FUSION], before.scores[Task.FUSION])
    twin.load_state_dict(model.state_dict())
    assert_same(twin(batch), before, rtol=0, atol=0)


@every_variant
def test_the_same_seed_makes_the_same_weights(name, switch):
    first, second = (make_model(name, seed=3, **switch).state_dict() for _ in range(2))
    assert all(torch.equal(first[key], second[key]) for key in first)


@pytest.mark.parametrize(
    ("name", "switch"), [v for v in VARIANTS if v[0] in ("tam_ulag", "self_mm")], ids=name_variant
)
@pytest.mark.parametrize("modality", Modality)
def test_the_head_of_a_model_of_one_modality_is_carried_over_to_one_of_several(
    name, switch, modality
):
    """A model that has read more at first scores as the one did that read a modality alone."""
    alone = make_eval_model(name, switch, sizes={modality: SIZES[modality]})
    several = make_eval_model(name, switch, seed=2)
    state, own = alone.state_dict(), several.state_dict()
    fits = {k: t for k, t in state.items() if k in own and t.shape == own[k].shape}
    several.load_state_dict({**own, **fits, **several.widen(state, modality)})
    batch = make_batch(make_clip(1, 3), make_clip(2, 5))
    expected = alone(batch).scores[Task.FUSION]
    torch.testing.assert_close(several(batch).scores[Task.FUSION], expected)
    assert several.widen({}, modality) == {}


# --- missing modalities ---------------------------------------------------------------------------


@every_sound_variant
@pytest.mark.parametrize("gone", Modality)
@pytest.mark.parametrize("who", ["some", "all"])
def test_a_modality_may_be_missing_from_some_clips_or_from_all(name, switch, gone, who):
    model = make_eval_model(name, switch)
    lengths = [{gone: 0}, {gone: 0} if who == "all" else {}]
    batch = make_batch(*(make_clip(i, 3, **one) for i, one in enumerate(lengths)))
    output = model(batch)
    assert output.present[gone].tolist() == [False, who == "some"]
    total(output).backward()
    for parameter in model.parameters():
        assert parameter.grad is None or torch.isfinite(parameter.grad).all()
    assert all(torch.isfinite(s).all() for s in output.scores.values())


@every_sound_variant
@pytest.mark.parametrize("gone", Modality)
def test_a_learned_state_stands_in_for_a_missing_modality_and_for_no_other(name, switch, gone):
    model = make_eval_model(name, switch)
    batch = make_batch(make_clip(1, 3, **{gone: 0}), make_clip(2, 3))
    before = model(batch)
    with torch.no_grad():
        model.absent[gone].vector += 1.0
    after = model(batch)
    assert_same(rows(after, [1]), rows(before, [1]), rtol=0, atol=0)
    for task in {Task.FUSION, Task(gone)} & set(model.tasks):
        assert after.scores[task][0] != before.scores[task][0]
    assert all(
        torch.equal(after.scores[task], before.scores[task])
        for task in model.tasks
        if task not in (Task.FUSION, Task(gone))
    )


@every_sound_variant
def test_a_clip_without_any_modality_gets_a_score(name, switch):
    output = make_eval_model(name, switch)(make_batch(make_clip(1, 0)))
    assert all(torch.isfinite(score).all() for score in output.scores.values())


@pytest.mark.parametrize("name", [*OWN, "ef_lstm"])  # what draws it is one part of all models
@given(seed=st.integers(0, 999), share=st.sampled_from([0.3, 0.9, 0.999]))
@examples(25)
def test_modality_dropout_never_takes_the_last_modality(name, seed, share):
    model = make_model(name, modality_dropout=share).train()
    only_audio = make_clip(1, 2, text=0, video=0)
    batch = make_batch(only_audio, make_clip(2, 3, audio=0), make_clip(3, 3), make_clip(4, 0))
    has = {m: s.mask.any(dim=1) for m, s in batch.sequences.items()}
    torch.manual_seed(seed)
    present = model(batch).present
    assert all(not (present[m] & ~has[m]).any() for m in Modality)
    assert torch.stack(list(present.values())).any(dim=0).tolist() == [True, True, True, False]
    assert present[AUDIO][0]


@pytest.mark.parametrize("name", [*OWN, "ef_lstm"])
def test_modality_dropout_takes_modalities_away_in_training_alone(name):
    model = make_model(name, modality_dropout=0.5)
    batch = make_batch(*(make_clip(seed, 2) for seed in range(40)))
    torch.manual_seed(1)
    present = torch.stack(list(model.train()(batch).present.values()))
    assert 0.35 < present.float().mean() < 0.85
    assert present.float().mean(dim=1).min() > 0.2
    plain = make_model(name)
    plain.load_state_dict(model.state_dict())
    assert_same(model.eval()(batch), plain.eval()(batch), rtol=0, atol=0)
    assert all(p.all() for p in model(batch).present.values())


# --- learning -------------------------------------------------------------------------------------

#: What models that can be switched are tested with; all others as they are.
SWITCHED_LEARNERS = {
    "tam_ulag": [
        {"attention": a, "fusion": f}
        for a, f in [
            ("softmax", "dimension"),
            ("gated", "rank_one"),
            ("none", "concat"),
            ("signed", "concat"),
        ]
    ]
}
#: What has a relative among them, and learns in the same time.
MORE_LEARNERS = [
    ("tam_ulag", {"attention": name, "fusion": "concat"}) for name in ("mean", "max", "self")
]
#: What learners are made larger by: in narrow states a clip can be lost to units that never fire.
WIDE = {"state_size": dict.fromkeys(Task, 32)}
BROAD = {"hidden_size": dict.fromkeys(("text", "audio", "video"), 32)}
LARGE = {"hidden_size": 32}
WIDE_OF = {
    **dict.fromkeys(OWN, WIDE),
    **dict.fromkeys(("lf_dnn", "tfn", "lmf"), BROAD),
    **{n: {**BROAD, "head_size": BROAD["hidden_size"]} for n in ("mlf_dnn", "mtfn", "mlmf")},
    "ef_lstm": LARGE,
    "misa": LARGE,
    "tetfn": {"model_size": 8, "fusion_size": 32, "head_size": BROAD["hidden_size"]},
    "mfn": {**BROAD, "output": LARGE},
    "graph_mfn": {**BROAD, "output": LARGE},
}
LEARNERS = [(name, switch) for name in MODELS for switch in SWITCHED_LEARNERS.get(name, [{}])]


@pytest.mark.parametrize(
    ("name", "switch"), with_extended(LEARNERS, MORE_LEARNERS), ids=name_variant
)
def test_a_batch_can_be_learned_by_heart(name, switch):
    model = make_model(name, **WIDE_OF.get(name, {}), **switch).train()
    batch = make_batch(*(make_clip(seed, 1 + seed % 3) for seed in range(4)))
    wanted = torch.tensor([-2.0, -0.5, 1.0, 2.5])
    is_own = name in OWN  # of the others a good part is enough: there are many
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01 if is_own else 0.02)
    enough = 0.01 if is_own else 0.5
    for _ in range(200 if is_own else 60):
        scores = torch.stack(list(model(batch).scores.values()))
        loss = (scores - wanted).square().mean()
        if loss < enough:
            break
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss < enough


@every_sound_variant
def test_constant_and_huge_features_give_finite_scores_and_gradients(name, switch):
    model = make_model(name, **switch)
    values = zip(SIZES.items(), (1.0, 0.0, 1e4), strict=True)
    clip = {m: torch.full((3, size), value) for (m, size), value in values}
    output = model(make_batch(clip, clip))
    total(output).backward()
    assert all(torch.isfinite(s).all() for s in output.scores.values())
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)


# --- settings -------------------------------------------------------------------------------------

CHANGES = {
    "encoder": "steps",
    "log_odds": ("audio",),
    "lstm_size": {"audio": 6, "video": 6},
    "num_layers": 2,
    "output_size": {"audio": 3, "video": 5},
    "state_size": {"fusion": 12, "text": 8, "audio": 8, "video": 9},
    "fusion_size": 7,
    "dropout": {"fusion": 0.5},
    "encoder_dropout": 0.5,
    "modality_dropout": 0.5,
    "attention": "gated",
    "fusion": "rank_one",
}
SIZES_OF = {"text": 7, "audio": 6, "video": 8}
LAYERS = {"hidden_size": 9}
#: Second values of the settings of other models, where a setting has the name of one above.
CHANGES_OF = {
    "published": True,
    "hidden_size": SIZES_OF,
    "head_size": SIZES_OF,
    "head_dropout": dict.fromkeys(("text", "audio", "video"), 0.5),
    "score_limit": 1.0,
    "rank": 2,
    **dict.fromkeys(("text_output_size", "memory_size", "node_size", "node_hidden_size"), 7),
    **dict.fromkeys(("audio_dropout", "video_dropout", "fusion_dropout", "dropout"), 0.5),
    **dict.fromkeys(("candidate", "keep_gate", "write_gate", "output", "attention"), LAYERS),
    "repeated_means": True,
    "model_size": 6,
    "num_heads": 1,
    "width": dict.fromkeys(("text", "audio", "video"), 2),
    "attention_dropout": dict.fromkeys(("text", "audio", "video"), 0.5),
    **dict.fromkeys(("feed_forward_dropout", "residual_dropout", "embedding_dropout"), 0.5),
    **dict.fromkeys(("text_dropout", "output_dropout", "transformer_dropout"), 0.5),
    "looks_ahead": True,
    **dict.fromkeys(("num_tokens", "audio_size", "video_size"), 7),
    **dict.fromkeys(("audio_output_size", "video_output_size"), 9),
    **dict.fromkeys(("longest_text", "longest_audio", "longest_video"), 2),
    **{name: {"num_heads": 3} for name in ("embedding", "text_layers", "guided")},
    "shift_limit": 0.001,
    "missing_share": 0.9,
    "gate_size": SIZES_OF,
    "gate_layers": 2,
}
#: Second values of one model, where those above are of another kind.
CHANGES_IN = {
    "trees": {"rounds": 9, "depths": (3,)},
    "ef_lstm": {"hidden_size": 9},
    "misa": {"hidden_size": 8},
    "almt": {"fusion": {"num_heads": 3}},
}
#: Settings that a model leaves to others: its own name, and what the experiment does before.
ELSEWHERE = {"name", "standardise"}
#: Settings without an effect unless another is set.
WITHOUT_EFFECT = {
    "ef_lstm": {"padded_steps"},
    # how a fit is made: tests/models/test_clip_means.py
    "ridge": {"penalties"},
    "trees": {"rate", "clip_share", "feature_share", "fewest"},
    # here the published program does what the paper means, and the summary is the first state
    "bert_mag": {"published", "scored"},
    "cenet": {"scored"},
    # weights act on the losses, and the published program differs where lengths do
    "misa": {"difference_weight", "similarity_weight", "reconstruction_weight", "published"},
    "tfr_net": {"reconstruction_weight", "moment_weight", "gate_dropout"},
    "mmim": {"bound_weight", "contrast_weight", "video_audio_bound", "published"},
}


@pytest.mark.parametrize("name", MODELS)
def test_every_setting_that_claims_to_change_something_does(name):
    settings_of = MODELS[name].config.model_fields
    batch = make_batch(make_clip(1, 3), make_clip(2, 5), make_clip(3, 4))

    def scores(**changes):
        model = make_model(name, **changes).train()
        torch.manual_seed(1)
        return torch.stack(list(model(batch).scores.values()))

    plain = scores()
    is_joined = isinstance(getattr(make_model(name), "fusion", None), ConcatFusion)
    without_effect = {"fusion_size"} if is_joined else WITHOUT_EFFECT.get(name, set())
    is_of_field = ".zoo." in MODELS[name].config.__module__
    changes = {**CHANGES, **(CHANGES_OF if is_of_field else {}), **CHANGES_IN.get(name, {})}
    for setting in settings_of.keys() - ELSEWHERE - without_effect:
        assert setting in changes, f"give a second value of {setting} in CHANGES"
        assert not torch.equal(scores(**{setting: changes[setting]}), plain), setting


def test_no_two_forms_of_attention_or_fusion_are_the_same():
    batch = make_batch(make_clip(1, 3), make_clip(2, 5))
    outputs = [
        make_eval_model(name, switch)(batch).scores[Task.FUSION] for name, switch in VARIANTS
    ]
    # self_mm is tam_ulag without attention, joined: only these two agree
    equal = [
        (VARIANTS[i], VARIANTS[j])
        for i, j in combinations(range(len(outputs)), 2)
        if torch.allclose(outputs[i], outputs[j], atol=1e-4)
    ]
    twin = ("tam_ulag", {"attention": "none", "fusion": "concat"})
    assert {name for pair in equal for name, _ in pair} == {"tam_ulag", "self_mm"}
    assert all(twin in pair for pair in equal)
    assert len(equal) == 1


@every_variant
def test_text_states_may_come_from_an_encoder_that_is_trained(name, switch):
    class Embedding(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.table = torch.nn.Embedding(11, 6)

        def forward(self, sequence):
            return self.table(sequence.values.squeeze(-1).long())

    model = make_model(name, text_encoder=Embedding(), **switch)
    clips = []
    for seed, length in ((1, 3), (2, 5)):
        clip = make_clip(seed, length)
        clip[TEXT] = torch.randint(0, 11, (length, 1), dtype=torch.int32, generator=generator(seed))
        clips.append(clip)
    total(model(make_batch(*clips))).backward()
    learned = model.text_encoder.table.weight.grad
    assert learned is None if name == "trees" else learned.any()  # trees have no gradient
