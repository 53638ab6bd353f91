"""Several networks as one, whatever they are made of."""

import copy

import pytest
import torch
from helpers import AUDIO, TEXT, VIDEO, make_batch, make_clip, make_model, open_up
from targeted import EMOTION, TAGS, VALENCE

from mien.models.eight_bits import round_text_encoder
from mien.models.ensemble import Ensemble, average_values
from mien.pretrained.text_encoder import load_adapted
from mien.tensors import as_shares, pad
from mien.types import Task

#: One that encodes each modality by itself, and one with a ``forward`` of its own.
KINDS = ["tam_ulag", "lf_dnn"]


def make_members(kind, num=3, **options):
    return [open_up(make_model(kind, **options), seed).eval() for seed in range(num)]


def mean_scores(outputs):
    return {
        task: torch.stack([own.scores[task] for own in outputs]).mean(dim=0)
        for task in outputs[0].scores
    }


@pytest.fixture(params=KINDS)
def members(request):
    return make_members(request.param)


@pytest.fixture
def batch():
    return make_batch(make_clip(1, 3), make_clip(2, 5, audio=0), make_clip(3, 2, text=0, video=0))


@torch.no_grad()
def test_it_returns_the_means_of_its_members(members, batch):
    outputs = [member(batch) for member in members]
    joined = Ensemble(members)(batch)
    torch.testing.assert_close(joined.scores, mean_scores(outputs))
    assert joined.attention.keys() == outputs[0].attention.keys()
    for modality, weights in joined.attention.items():
        own = torch.stack([output.attention[modality] for output in outputs])
        torch.testing.assert_close(weights, own.mean(dim=0))
    assert all(torch.equal(joined.present[m], has) for m, has in outputs[0].present.items())
    sizes = {task: state.shape[1] for task, state in joined.states.items()}
    assert sizes == Ensemble(members).state_sizes


@torch.no_grad()
def test_clips_with_modalities_taken_away_are_means_too(members, batch):
    ensemble = Ensemble(members)
    for left in ([TEXT], [AUDIO, VIDEO]):
        own = [m.finish(m.encode_once(batch).keep(left)) for m in members]
        joined = ensemble.finish(ensemble.encode_once(batch).keep(left))
        torch.testing.assert_close(joined.scores, mean_scores(own))


@torch.no_grad()
def test_clips_with_another_series_are_means_too(members, batch):
    ensemble, drawn = Ensemble(members), torch.Generator().manual_seed(4)
    other = pad([torch.randn(length, 4, generator=drawn) for length in (2, 0, 3)])
    ways = (
        lambda model: model.vary(model.encode_once(batch).row(0), AUDIO, other),
        lambda model: model.change(model.encode_once(batch), {AUDIO: other}),
    )
    for way in ways:
        own = [member.finish(way(member)) for member in members]
        torch.testing.assert_close(ensemble.finish(way(ensemble)).scores, mean_scores(own))


@pytest.mark.parametrize("target", [EMOTION, TAGS], ids=lambda target: target.name)
def test_probabilities_are_averaged_and_not_logits(target):
    logits = [torch.tensor([[30.0, -20.0, 2.0]])[:, : target.size], torch.zeros(1, target.size)]
    joined = average_values(target, logits)
    shares = torch.stack([as_shares(target, own) for own in logits])
    assert torch.isfinite(joined).all()
    torch.testing.assert_close(as_shares(target, joined), shares.mean(dim=0))


def test_values_are_cut_to_their_scale_before_they_are_averaged():
    joined = average_values(VALENCE, [torch.tensor([[9.0]]), torch.tensor([[2.0]])])
    assert joined.tolist() == [[3.5]]


@torch.no_grad()
def test_adapted_encoders_of_one_ensemble_share_what_is_not_trained(tiny_bert):
    """Adapters that become part of the weights of one leave those of the other alone."""
    first = load_adapted(tiny_bert, rank=2).eval()
    twin = first.twin()
    for number, encoder in enumerate((first, twin)):
        open_up(encoder, number)
    assert len({id(own) for e in (first, twin) for own in e.parameters()}) == 2 * len(
        list(first.parameters())
    )
    series = pad([torch.tensor([[2], [7], [9], [3]])])
    before = [encoder(series) for encoder in (first, twin)]
    assert not torch.allclose(*before)
    merged = first.merge()
    torch.testing.assert_close(merged(series), before[0])
    assert torch.equal(twin(series), before[1])
    weights = [{p.data_ptr() for p in e.parameters()} for e in (merged, twin.merge())]
    assert len(weights[0] & weights[1]) > len(weights[0]) // 2  # embeddings, norms and biases


def test_the_text_encoder_of_every_member_computes_in_8_bits(tiny_bert):
    encoder = load_adapted(tiny_bert, rank=2)
    sizes = {TEXT: 16, AUDIO: 4, VIDEO: 5}
    members = [
        make_model(sizes=sizes, text_encoder=own).eval() for own in (encoder, encoder.twin())
    ]
    exact = copy.deepcopy(members[0].text_encoder)
    ensemble = Ensemble(members)
    round_text_encoder(ensemble)
    series = pad([torch.tensor([[2], [7], [9], [3]])])
    for member in ensemble.networks:
        assert not [part for part in member.text_encoder.modules() if type(part) is torch.nn.Linear]
        states = member.text_encoder(series)
        torch.testing.assert_close(states, exact(series), atol=0.5, rtol=0.1)
    assert Task.FUSION in ensemble.tasks
