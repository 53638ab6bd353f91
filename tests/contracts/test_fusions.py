"""What every fusion promises; whatever is in FUSIONS is tested by being there."""

from itertools import combinations

import pytest
import torch
from helpers import AUDIO, TEXT, VIDEO, generator, open_up

from mien.models.fusion import FUSIONS
from mien.types import Modality

SIZES = {TEXT: 5, AUDIO: 3, VIDEO: 4}
SUBSETS = [subset for num in (1, 2, 3) for subset in combinations(Modality, num)]

every_fusion = pytest.mark.parametrize("name", FUSIONS)
every_subset = pytest.mark.parametrize("subset", SUBSETS, ids="-".join)


def make(name, subset=tuple(Modality), seed=1):
    torch.manual_seed(seed)
    return open_up(FUSIONS[name]({m: SIZES[m] for m in subset}, 6), seed)


def make_vectors(subset=tuple(Modality), num_clips=4):
    drawn = generator(1)
    return {m: torch.randn(num_clips, SIZES[m], generator=drawn) for m in subset}


@every_fusion
@every_subset
def test_the_fused_vector_is_of_the_size_that_is_stated(name, subset):
    fusion = make(name, subset)
    fused = fusion(make_vectors(subset))
    assert fused.shape == (4, fusion.output_size)
    assert torch.isfinite(fused).all()


@every_fusion
def test_a_clip_does_not_depend_on_its_company(name):
    fusion, vectors = make(name), make_vectors()
    alone = fusion({m: v[2:3] for m, v in vectors.items()})
    torch.testing.assert_close(alone[0], fusion(vectors)[2])


@every_fusion
@every_subset
def test_every_modality_is_in_the_fused_vector(name, subset):
    fusion, vectors = make(name, subset), make_vectors(subset)
    for modality in subset:
        other = {**vectors, modality: vectors[modality] + 1}
        assert not torch.allclose(fusion(other), fusion(vectors))


@every_fusion
@every_subset
def test_every_parameter_is_moved_by_the_fused_vector(name, subset):
    fusion = make(name, subset)
    fused = fusion(make_vectors(subset))
    assert fused.requires_grad == bool(list(fusion.parameters()))
    if fused.requires_grad:
        fused.square().sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in fusion.parameters())


@every_fusion
def test_the_state_is_restored(name):
    fusion, twin = make(name), make(name, seed=2)
    twin.load_state_dict(fusion.state_dict())
    assert torch.equal(twin(make_vectors()), fusion(make_vectors()))
