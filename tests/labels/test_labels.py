import copy
import pickle

import pytest
import torch
from cases import examples
from helpers import (
    AUDIO,
    SCALE,
    STATE_SIZES,
    TEXT,
    VIDEO,
    generator,
    live,
    make_annotation,
    make_generator,
    make_output,
)
from hypothesis import given
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode

from mien.errors import ConfigError
from mien.labels import build_labels
from mien.labels.distance import Centroids, propose_by_distance
from mien.labels.generator import LabelInputs
from mien.labels.reference import HumanConfig
from mien.labels.row_buffers import RowBuffers
from mien.labels.ulag import Confidence, held_out_prediction
from mien.training.settings import read_config
from mien.types import Modality, Task

numbers = st.floats(-1e6, 1e6, width=32)
HALF = torch.tensor([1.0, 0.5, -0.5])


# --- exact second implementations, from the formulas ----------------------------------------------


class SlowLabels:
    """Labels and centres of yu2021, recomputed over all clips at every step."""

    def __init__(self, annotated, zeros="positive"):
        self.annotated, self.zeros = annotated, zeros
        self.labels = {task: annotated.clone() for task in Task}
        self.states = {t: torch.zeros(len(annotated), n) for t, n in STATE_SIZES.items()}
        self.seen = torch.zeros(len(annotated), dtype=torch.bool)
        self.safe = torch.ones(len(annotated), dtype=torch.bool)

    def members(self, task):
        labels = self.labels[task]
        positive = labels >= 0 if self.zeros == "positive" else labels > 0
        return self.seen & positive, self.seen & (labels < 0)

    def centres(self, task):
        return [self.states[task][rows].double().mean(dim=0).float() for rows in self.members(task)]

    def delta(self, task, state):
        positive, negative = self.centres(task)
        near, far = (state - positive).norm(), (state - negative).norm()
        return (far - near) / (near + 1e-8)

    def observe(self, states, index, epoch):
        new = {}
        for row, clip in enumerate(index.tolist()):
            ready = all(m.any() for m in self.members(Task.FUSION))
            if epoch == 1 or not ready:
                continue
            fused = self.delta(Task.FUSION, states[Task.FUSION][row])
            y = self.annotated[clip]
            for task in list(Task)[1:]:
                if not all(m.any() for m in self.members(task)):
                    continue
                own = self.delta(task, states[task][row])
                proposal = own / (fused + 1e-8) * y / 2 + (y + own - fused) / 2
                proposal = proposal.clamp(-3, 3)
                old = self.labels[task][clip]
                new[task, clip] = (epoch - 1) / (epoch + 1) * old + 2 / (epoch + 1) * proposal
                if fused.abs() < 0.05:  # the ratio is ill-conditioned there
                    self.safe[clip] = False
        for (task, clip), label in new.items():
            self.labels[task][clip] = label
        for task in Task:
            self.states[task][index] = states[task]
        self.seen[index] = True


@given(
    seed=st.integers(0, 10_000),
    zeros=st.sampled_from(["positive", "excluded"]),
    batch_size=st.integers(1, 12),
)
@examples(15)
def test_labels_and_centres_agree_with_their_exact_recomputation(seed, zeros, batch_size):
    annotated = make_annotation(seed, 12)
    labels = make_generator("distance", annotated, zeros=zeros)
    slow = SlowLabels(annotated, zeros)
    for epoch in (1, 2, 3):
        order = torch.randperm(12, generator=generator(seed + epoch))
        for number, index in enumerate(order.split(batch_size)):
            output = make_output(seed * 100 + 10 * epoch + number, len(index))
            slow.observe(output.states, index, epoch)
            labels.observe(output, index, epoch)
            for task in Task:
                safe = slow.safe if task is not Task.FUSION else torch.ones(12, dtype=torch.bool)
                torch.testing.assert_close(
                    labels.bank(task)[safe], slow.labels[task][safe], rtol=0, atol=1e-4
                )
                slow.labels[task] = labels.bank(task).clone()  # from here on from the same labels
                if all(m.any() for m in slow.members(task)):
                    positive, negative = slow.centres(task)
                    found = labels.centres.positive(task), labels.centres.negative(task)
                    torch.testing.assert_close(found, (positive, negative), rtol=0, atol=2e-7)
        labels.finish_epoch(epoch)


@given(seed=st.integers(0, 10_000), steps=st.integers(1, 40), rebuild=st.booleans())
@examples(20)
def test_running_centres_agree_with_the_mean_over_the_clips_that_were_seen(seed, steps, rebuild):
    drawn = generator(seed)
    centres = Centroids(15, {Task.AUDIO: 3}, "positive")
    states, classes = torch.zeros(15, 3), torch.full((15,), 2)
    for step in range(steps):
        index = torch.randperm(15, generator=drawn)[: 1 + step % 5]
        new = 100 * torch.randn(len(index), 3, generator=drawn)
        labels = torch.randint(-2, 3, (len(index),), generator=drawn).float()
        seen = torch.rand(len(index), generator=drawn) > 0.2
        centres.update(index, {Task.AUDIO: new}, labels[None], seen[None])
        states[index[seen]], classes[index[seen]] = new[seen], (labels >= 0).long()[seen]
        if rebuild and step % 7 == 0:
            centres.rebuild()
    assert centres.is_ready(Task.AUDIO) == bool((classes == 0).any() and (classes == 1).any())
    for wanted, found in ((1, centres.positive), (0, centres.negative)):
        if (classes == wanted).any():
            mean = states[classes == wanted].double().mean(dim=0).float()
            torch.testing.assert_close(found(Task.AUDIO), mean, rtol=2e-7, atol=2e-5)


def test_running_sums_do_not_drift_over_many_steps():
    drawn = generator(1)
    centres = Centroids(50, {Task.TEXT: 4}, "positive")
    states, labels = torch.zeros(50, 4), torch.linspace(-1, 1, 50)
    for _ in range(2000):
        index = torch.randperm(50, generator=drawn)[:8]
        states[index] = torch.rand(8, 4, generator=drawn)
        seen = torch.ones(1, 8, dtype=torch.bool)
        centres.update(index, {Task.TEXT: states[index]}, labels[None, index], seen)
    exact = states[labels >= 0].double().mean(dim=0).float()
    torch.testing.assert_close(centres.positive(Task.TEXT), exact, rtol=0, atol=2e-7)
    centres.rebuild()
    torch.testing.assert_close(centres.positive(Task.TEXT), exact, rtol=0, atol=2e-7)


# --- work -----------------------------------------------------------------------------------------


class CountWork(TorchDispatchMode):
    """Count the numbers that operations make, or that they read to change others in place."""

    def __init__(self):
        super().__init__()
        self.numbers = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        if function._schema.is_mutable:
            rest = torch.utils._pytree.tree_leaves((args[1:], kwargs))
            self.numbers += sum(x.numel() for x in rest if isinstance(x, torch.Tensor))
        elif not any(r.alias_info for r in function._schema.returns):
            made = torch.utils._pytree.tree_leaves(result)
            self.numbers += sum(x.numel() for x in made if isinstance(x, torch.Tensor))
        return result


@pytest.mark.parametrize("name", ["distance", "ulag", "ulag_released"])
def test_the_work_of_a_step_does_not_grow_with_the_corpus(name):
    work = {}
    for num_clips in (24, 2400):
        labels = make_generator(name, make_annotation(1, num_clips))
        live(labels, [1, 2], batch_size=num_clips)
        index, output = torch.arange(6), make_output(1, 6)
        with CountWork() as counted:
            labels.generate(output, index, 3)
            labels.weights(index)
            labels.observe(output, index, 3)
        work[num_clips] = counted.numbers
    assert work[24] > 100
    assert work[2400] == work[24]


@pytest.mark.parametrize("name", ["distance", "ulag"])
def test_a_step_touches_no_row_outside_its_batch(name):
    labels = make_generator(name, make_annotation(1, 24))
    live(labels, [1, 2])
    before = {k: v.clone() for k, v in labels.state_dict().items() if v.dim() and len(v) == 24}
    index = torch.tensor([3, 9, 20])
    labels.generate(make_output(1, 3), index, 3)
    labels.observe(make_output(1, 3), index, 3)
    others = torch.ones(24, dtype=torch.bool)
    others[index] = False
    assert len(before) > 10
    for key, value in before.items():
        assert torch.equal(labels.state_dict()[key][others], value[others]), key


# --- centres --------------------------------------------------------------------------------------


def test_centres_count_only_clips_that_have_been_seen():
    centres = Centroids(1000, {Task.TEXT: 2}, "positive")
    states = torch.tensor([[1.0, 2.0], [3.0, 4.0], [-5.0, 0.0]])
    labels, seen = torch.tensor([[1.0, 2.0, -1.0]]), torch.ones(1, 3, dtype=torch.bool)
    centres.update(torch.tensor([5, 700, 900]), {Task.TEXT: states}, labels, seen)
    assert centres.positive(Task.TEXT).tolist() == [2.0, 3.0]
    assert centres.negative(Task.TEXT).tolist() == [-5.0, 0.0]
    centres.rebuild()
    assert centres.positive(Task.TEXT).tolist() == [2.0, 3.0]


def test_a_clip_that_changes_its_class_leaves_its_old_centre():
    centres = Centroids(3, {Task.TEXT: 1}, "positive")
    seen = torch.ones(1, 3, dtype=torch.bool)
    states = {Task.TEXT: torch.tensor([[1.0], [3.0], [9.0]])}
    centres.update(torch.arange(3), states, torch.tensor([[1.0, 1.0, -1.0]]), seen)
    moved = {Task.TEXT: torch.tensor([[5.0]])}
    centres.update(torch.tensor([1]), moved, torch.tensor([[-1.0]]), seen[:, :1])
    assert centres.positive(Task.TEXT).item() == 1.0
    assert centres.negative(Task.TEXT).item() == 7.0


def test_a_class_without_a_clip_is_not_ready_until_it_has_one():
    centres = Centroids(2, {Task.TEXT: 1}, "positive")

    def update(row, label):
        states, seen = {Task.TEXT: torch.ones(1, 1)}, torch.ones(1, 1, dtype=torch.bool)
        centres.update(torch.tensor([row]), states, torch.tensor([[label]]), seen)
        return centres.is_ready(Task.TEXT)

    assert not centres.is_ready(Task.TEXT)
    assert not update(0, 1.0)
    assert update(1, -1.0)
    assert not update(1, 1.0)


def test_buffers_of_a_group_stay_one_tensor_when_others_take_their_place():
    rows = RowBuffers()
    rows.register_rows("labels", ("text", "audio"), torch.zeros(3))
    for change in (
        lambda: rows,
        rows.double,  # puts others in their place
        lambda: copy.deepcopy(rows),
        lambda: pickle.loads(pickle.dumps(rows)),
    ):
        changed = change()
        changed.rows("labels")[:, 1] += 1.0
        number = float(changed.rows("labels")[0, 1])
        state = changed.state_dict()
        assert list(state) == ["labels_text", "labels_audio"]
        assert all(values.tolist() == [0.0, number, 0.0] for values in state.values())
        changed.labels_audio[2] = 7.0
        assert changed.rows("labels")[1].tolist() == [0.0, number, 7.0]
        changed.labels_audio[2] = 0.0
        twin = RowBuffers()
        twin.register_rows("labels", ("text", "audio"), torch.zeros(3))
        twin.load_state_dict(state, assign=True)
        assert torch.equal(twin.rows("labels").double(), changed.rows("labels").double())


def test_zeros_are_positive_or_excluded_as_the_setting_says():
    labels = torch.tensor([1.0, 0.0, -0.0, -1.0])
    sizes = {Task.TEXT: 1}
    assert Centroids(4, sizes, "positive").classify(labels).tolist() == [1, 1, 1, 0]
    assert Centroids(4, sizes, "excluded").classify(labels).tolist() == [1, 2, 2, 0]


# --- proposals by distance ------------------------------------------------------------------------


@given(y=st.floats(-3, 3, width=32), own=numbers, fused=numbers)
@examples(200)
def test_proposals_are_finite_whatever_the_distances(y, own, fused):
    proposal = propose_by_distance(*(torch.tensor([v]) for v in (y, own, fused)))
    assert torch.isfinite(proposal).all()


@pytest.mark.parametrize("fused", [0.0, -0.0, -1e-8, 1e-8, -1e-9, 1e-30, -2e-8])
def test_a_fused_distance_near_zero_gives_a_large_and_finite_proposal(fused):
    proposal = propose_by_distance(torch.tensor([3.0]), torch.tensor([0.5]), torch.tensor([fused]))
    assert torch.isfinite(proposal).all()
    assert proposal.abs() > 3


def test_a_state_on_its_centre_gives_a_finite_proposal():
    labels = make_generator("distance", torch.tensor([1.0, -1.0, 2.0]))
    output = make_output(1, 3)
    labels.observe(output, torch.arange(3), 1)
    on_centre = make_output(1, 3)
    for task, states in on_centre.states.items():
        states[1] = labels.centres.negative(task)  # the only negative clip
        states[0] = labels.centres.positive(task)
    labels.observe(on_centre, torch.arange(3), 2)
    assert all(torch.isfinite(labels.bank(m)).all() for m in Modality)
    assert all(labels.bank(m).abs().max() <= 3 for m in Modality)


def test_a_proposal_follows_the_formula_by_hand():
    proposal = propose_by_distance(HALF, torch.tensor([1.0, -1.0, 0.0]), torch.full((3,), 2.0))
    assert proposal.tolist() == pytest.approx([0.25, -1.375, -1.25])


def test_the_label_moves_half_way_in_epoch_three():
    labels = make_generator("distance", make_annotation(1, 6))
    live(labels, [1, 2])
    before = {m: labels.bank(m).clone() for m in Modality}
    output, index = make_output(9, 6), torch.arange(6)
    differences = labels.centres.differences(output.states)
    found = dict(zip(labels.centres.tasks, differences, strict=True))
    labels.observe(output, index, 3)
    for modality in Modality:
        proposal = propose_by_distance(
            labels.annotated, found[Task(modality)], found[Task.FUSION]
        ).clamp(-3, 3)
        torch.testing.assert_close(labels.bank(modality), (before[modality] + proposal) / 2)


def test_labels_of_a_step_are_moved_with_the_centres_before_it():
    labels = make_generator("distance", make_annotation(1, 12))
    live(labels, [1])
    twin = make_generator("distance", make_annotation(1, 12))
    live(twin, [1])
    output, index = make_output(9, 4), torch.arange(4)
    company = make_output(8, 8)
    labels.observe(output, index, 2)
    # what else is taken in by the same step changes nothing: the centres move after the labels
    joined = make_output(9, 4)
    joined = type(joined)(
        scores={t: torch.cat([s, company.scores[t]]) for t, s in output.scores.items()},
        states={t: torch.cat([s, company.states[t]]) for t, s in output.states.items()},
        attention={},
        present={m: torch.ones(12, dtype=torch.bool) for m in Modality},
    )
    twin.observe(joined, torch.arange(12), 2)
    for modality in Modality:
        torch.testing.assert_close(labels.bank(modality)[index], twin.bank(modality)[index])


def test_the_share_of_clipped_proposals_counts_those_that_left_the_scale(monkeypatch):
    labels = make_generator("distance", make_annotation(1, 12))
    live(labels, [1])
    proposals = torch.tensor([5.0, -3.0, 3.0, -3.5])
    monkeypatch.setattr(
        "mien.labels.distance.propose_by_distance", lambda *_: proposals.expand(3, -1)
    )
    labels.observe(make_output(1, 4), torch.arange(4), 2)
    assert labels.pop_clipped_share() == 0.5
    wanted = labels.annotated[:2] / 3 + torch.tensor([2.0, -2.0])
    torch.testing.assert_close(labels.bank(TEXT)[:2], wanted)


# --- similarity -----------------------------------------------------------------------------------


def make_confidence(seed=1):
    torch.manual_seed(seed)
    return Confidence(STATE_SIZES, 4, 0.5)


def likeness_inputs(confidence):
    """Record what the judges of the confidence see."""
    seen = {}
    for task, judge in confidence.judge.items():
        judge.register_forward_pre_hook(lambda _m, args, task=task: seen.update({task: args[0]}))
    return seen


@given(seed=st.integers(0, 999), factor=st.sampled_from([0.5, 2.0, 1000.0]))
@examples(20)
def test_doubling_the_states_does_not_change_what_the_judges_see(seed, factor):
    confidence = make_confidence(seed)
    seen = likeness_inputs(confidence)
    states = {t: 10 * s for t, s in make_output(seed, 5).states.items()}
    plain = confidence(states)
    first = {task: x.clone() for task, x in seen.items()}
    scaled = confidence({t: factor * s for t, s in states.items()})
    for modality in plain:
        torch.testing.assert_close(seen[modality], first[modality], rtol=1e-3, atol=1e-3)
        torch.testing.assert_close(scaled[modality], plain[modality], rtol=1e-3, atol=1e-3)


@given(seed=st.integers(0, 999), factor=st.sampled_from([2.0, 100.0]))
@examples(20)
def test_doubling_the_experts_leaves_similarities_bounded_and_equal(seed, factor):
    confidence = make_confidence(seed)
    seen = likeness_inputs(confidence)
    states = make_output(seed, 5).states
    confidence(states)
    before = {task: x.clone() for task, x in seen.items()}
    with torch.no_grad():
        for expert in confidence.experts.values():
            expert[-1].weight.mul_(factor)
            expert[-1].bias.mul_(factor)
    confidence(states)
    num_tasks = len(STATE_SIZES)
    for task, x in seen.items():
        merged, likeness = x[:, :-num_tasks], x[:, -num_tasks:]
        assert likeness.abs().max() <= 1 + 1e-6
        torch.testing.assert_close(likeness, before[task][:, -num_tasks:], rtol=1e-4, atol=1e-5)
        # what is merged grows as the experts do and no faster
        wanted = factor * before[task][:, :-num_tasks]
        torch.testing.assert_close(merged, wanted, rtol=1e-3, atol=1e-4)


def test_confidence_is_between_0_and_1_for_states_of_any_size():
    confidence = make_confidence()
    for scale in (0.0, 1e-6, 1.0, 1e6):
        states = {t: scale * s for t, s in make_output(1, 6).states.items()}
        for values in confidence(states).values():
            assert torch.isfinite(values).all()
            assert ((values >= 0) & (values <= 1)).all()


def test_the_confidence_of_a_clip_does_not_depend_on_its_company():
    confidence = make_confidence()
    states = make_output(1, 6).states
    together = confidence(states)
    alone = confidence({t: s[2:3] for t, s in states.items()})
    for modality in Modality:
        torch.testing.assert_close(together[modality][2:3], alone[modality])


# --- ulag -----------------------------------------------------------------------------------------


@given(seed=st.integers(0, 999))
@examples(10)
def test_a_proposal_lies_between_the_annotation_and_the_evidence(seed):
    """Also for a clip annotated 0, of which the released form can only say 0."""
    annotated = make_annotation(seed, 24)
    annotated[:4] = 0
    labels = make_generator("ulag", annotated, seed=seed)
    live(labels, [1, 2], seed=seed)
    index = torch.randperm(24, generator=generator(seed))[:12]
    generated = labels.generate(make_output(seed, 12), index, 3)
    for modality in Modality:
        proposals = 2 * generated.targets[modality] - labels.bank(modality)[index]
        ends = torch.stack([annotated[index], labels.evidence(modality)[index]])
        assert (proposals >= ends.amin(dim=0) - 1e-5).all()
        assert (proposals <= ends.amax(dim=0) + 1e-5).all()


def test_labels_of_clips_annotated_zero_move():
    annotated = make_annotation(1, 24)
    annotated[:6] = 0
    labels = make_generator("ulag", annotated)
    live(labels, [1, 2, 3])
    assert all((labels.bank(m)[:6] != 0).all() for m in Modality)
    assert all((labels.latest(m)[:6] != 0).all() for m in Modality)


def test_training_the_confidence_lowers_its_own_loss():
    labels = make_generator("ulag", make_annotation(1, 24))
    live(labels, [1, 2])
    output, index = make_output(1, 24), torch.arange(24)
    optimizer = torch.optim.Adam(labels.parameters(), lr=0.02)
    losses = []
    for _ in range(30):
        loss = labels.generate(output, index, 3).own_loss
        losses.append(float(loss.detach()))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert losses[-1] < 0.9 * losses[0]


def test_a_modality_that_tells_the_opposite_is_trusted_less():
    """Text states carry the annotation, audio states its opposite for half of the clips."""
    drawn = generator(1)
    annotated = make_annotation(1, 120)
    told = {Task.FUSION: annotated, Task.TEXT: annotated, Task.VIDEO: annotated}
    told[Task.AUDIO] = torch.where(torch.arange(120) % 2 == 0, annotated, -annotated)
    states = {}
    for task, size in STATE_SIZES.items():
        states[task] = torch.randn(120, size, generator=drawn) * 0.2
        states[task][:, 0] += told[task]
    labels = make_generator("ulag", annotated)
    optimizer = torch.optim.Adam(labels.parameters(), lr=0.02)
    output = type(make_output(1, 1))(
        scores=dict.fromkeys(Task, annotated),
        states=states,
        attention={},
        present={m: torch.ones(120, dtype=torch.bool) for m in Modality},
    )
    index = torch.arange(120)
    for epoch in range(1, 60):
        generated = labels.generate(output, index, epoch)
        if generated.own_loss.requires_grad:
            optimizer.zero_grad()
            generated.own_loss.backward()
            optimizer.step()
        labels.observe(output, index, epoch)
        labels.finish_epoch(epoch)
    apart = {m: (labels.latest(m) - annotated).abs().mean() for m in Modality}
    assert apart[AUDIO] > apart[TEXT]
    assert apart[AUDIO] > apart[VIDEO]


@given(seed=st.integers(0, 999))
@examples(10)
def test_evidence_is_judged_on_clips_that_its_judge_has_not_seen(seed):
    """States that say nothing, however many, predict nothing; a judge that saw them would."""
    drawn = generator(seed)
    states = torch.randn(60, 40, generator=drawn, dtype=torch.float64)
    noise = torch.randn(60, generator=drawn, dtype=torch.float64)
    fitted = states @ torch.linalg.lstsq(states, noise).solution
    assert (fitted - noise).square().mean() < 0.6 * noise.square().mean()
    judged = held_out_prediction(states, noise, folds=5)
    assert (judged - noise).square().mean() > 0.8 * noise.var()
    told = held_out_prediction(states, states[:, 0] + 0.1 * noise, folds=5)
    assert torch.corrcoef(torch.stack([told, states[:, 0]]))[0, 1] > 0.8


def test_evidence_of_a_modality_is_from_the_clips_that_have_it():
    """What stands in for a missing modality says nothing of the clip."""
    has = torch.arange(24) % 3 > 0

    def run(shift):
        labels = make_generator("ulag", make_annotation(1, 24))
        for number, index in enumerate(torch.arange(24).split(6)):
            output = make_output(number, 6, present={AUDIO: has[index]})
            output.states[Task.AUDIO][~has[index]] += shift
            labels.observe(output, index, 1)
        labels.finish_epoch(1)
        return labels.evidence(AUDIO)

    plain, shifted = run(0.0), run(5.0)
    assert torch.equal(plain, shifted)
    assert not torch.equal(plain[has], make_annotation(1, 24)[has])


def test_constant_states_give_evidence_of_the_mean():
    targets = torch.linspace(-1, 3, 20, dtype=torch.float64)
    judged = held_out_prediction(torch.ones(20, 4, dtype=torch.float64), targets, folds=4)
    torch.testing.assert_close(judged, torch.full_like(judged, 1.0))


# --- copy, human, settings ------------------------------------------------------------------------


def test_human_labels_are_the_annotations_and_the_multimodal_one_where_there_is_none():
    annotated = torch.tensor([1.0, -2.0, 0.5])
    own = torch.tensor([float("nan"), 3.0, -1.0])
    labels = make_generator("human", annotated, unimodal={Task.AUDIO: own})
    assert labels.bank(AUDIO).tolist() == [1.0, 3.0, -1.0]
    assert labels.bank(TEXT).tolist() == [-1.0, 2.0, -0.5]


def test_human_labels_need_annotations_of_every_modality():
    labels = {Task.FUSION: torch.zeros(3)}
    with pytest.raises(
        ConfigError,
        match=r"labels\.generator is 'human', but no clip has a label for text; "
        r"use one of latent, posterior, ulag, distance, copy, oof, mean, ulag_released, sugrm, mug",
    ):
        build_labels(
            HumanConfig(), LabelInputs(labels=labels, scale=SCALE, state_sizes=STATE_SIZES)
        )


@pytest.mark.parametrize("name", ["copy", "human"])
def test_a_weight_that_would_silence_every_unimodal_task_is_refused(name):
    with pytest.raises(
        ConfigError, match=r"setting labels\.weight is 'difference', must be one: .*weight=one"
    ):
        read_config("self_mm-mosi", [f"labels.generator={name}"])


def test_sizes_come_from_the_data():
    labels = make_generator("ulag", make_annotation(1, 17))
    states, seen = labels.centres.states_of(Task.VIDEO)
    assert states.shape == (17, STATE_SIZES[Task.VIDEO])
    assert seen.tolist() == [False] * 17


# --- modalities that are taken away for a step ----------------------------------------------------


def snapshot(labels):
    """Everything that a generator keeps of each clip and task, as rows by clip."""
    kept = {f"bank {m}": labels.bank(m).clone() for m in labels.modalities}
    kept |= {f"latest {m}": labels.latest(m).clone() for m in labels.modalities}
    kept |= {
        name: buffer.clone()
        for name, buffer in labels.named_buffers()
        if len(buffer.shape) and buffer.shape[0] == len(labels.annotated)
    }
    return kept


@given(seed=st.integers(0, 99), epoch=st.integers(2, 5), dropped=st.sampled_from([TEXT, AUDIO]))
@examples(6)
@pytest.mark.parametrize("name", ["ulag", "distance", "latent", "posterior", "ulag_released"])
def test_a_modality_that_is_taken_away_for_a_step_keeps_its_labels_and_its_place(
    name, seed, epoch, dropped
):
    """It left the class centres, and what it was trained on was said to be the annotation."""
    labels = make_generator(name, make_annotation(seed, 18), seed=seed)
    live(labels, range(1, epoch), seed=seed)
    before = snapshot(labels)
    index = torch.arange(6)
    has = torch.tensor([True, False] * 3)
    output = make_output(seed, 6, present={dropped: has})
    labels.generate(output, index, epoch)
    labels.observe(output, index, epoch)
    after = snapshot(labels)
    of_modality = [key for key in before if str(dropped) in key]
    assert len(of_modality) >= 3
    for key in of_modality:
        assert torch.equal(after[key][index[~has]], before[key][index[~has]]), key
        assert torch.equal(after[key][6:], before[key][6:]), key
    if name in ("ulag", "distance", "ulag_released"):
        states, seen = labels.centres.states_of(Task(dropped))
        assert seen.all()
        task = Task(dropped)
        is_positive = labels.centres.get_buffer(f"classes_{task}") == 1
        expected = states[is_positive].double().mean(dim=0).float()
        torch.testing.assert_close(labels.centres.positive(task), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["ulag", "distance", "ulag_released"])
def test_a_clip_that_never_had_a_modality_is_in_none_of_its_centres(name):
    labels = make_generator(name, make_annotation(3, 18))
    has = torch.arange(18) % 3 > 0
    live(labels, range(1, 4), present={AUDIO: has})
    assert torch.equal(labels.centres.states_of(Task.AUDIO)[1], has)
    assert torch.equal(labels.centres.get_buffer("classes_audio") == 2, ~has)
    assert torch.equal(labels.latest(AUDIO)[~has], labels.annotated[~has])
