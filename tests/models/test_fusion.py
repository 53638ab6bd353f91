import pytest
import torch
from cases import examples
from helpers import AUDIO, TEXT, VIDEO, generator, open_up
from hypothesis import given
from hypothesis import strategies as st

from mien.models.fusion import FUSIONS, ConflictFusion, DimensionFusion, RankOneFusion
from mien.types import Modality

VECTORS = {TEXT: 4, AUDIO: 3, VIDEO: 2}


def make_vectors(seed, num_clips=5, sizes=VECTORS):
    drawn = generator(seed)
    return {m: torch.randn(num_clips, n, generator=drawn) for m, n in sizes.items()}


def test_rank_one_fusion_joins_products_in_the_order_that_is_stated():
    vectors = {TEXT: torch.tensor([[1.0, 2.0]]), AUDIO: torch.tensor([[10.0]]),
               VIDEO: torch.tensor([[100.0, -200.0]])}  # fmt: skip
    fused = RankOneFusion({m: v.shape[1] for m, v in vectors.items()}, 1)(vectors)
    t, a, v = (x[0].tolist() for x in vectors.values())
    wanted = [
        *t, *a, *v,
        *(10 * x for x in t), *(3 * x for x in a),
        *(-100 * x for x in t), *(3 * x for x in v),
        *(-100 * x for x in a), *(10 * x for x in v),
    ]  # fmt: skip
    assert fused[0].tolist() == wanted


def slow_dimension_fusion(layer, vectors):
    joined = torch.cat(list(vectors.values()))
    p = {
        m: torch.tanh(layer.project[m].weight @ x + layer.project[m].bias)
        for m, x in vectors.items()
    }
    raw = {m: torch.exp(layer.weigh[m].weight @ joined + layer.weigh[m].bias) for m in vectors}
    total = sum(raw.values())
    fused = sum(raw[m] / total * p[m] for m in vectors)
    t, a, v = p.values()
    return torch.cat([fused, t * a, t * v, a * v, t, a, v])


def slow_conflict_fusion(layer, vectors):
    t, a, v = (torch.tanh(layer.project[m].weight @ x + layer.project[m].bias)
               for m, x in vectors.items())  # fmt: skip
    seen = torch.cat([t * a, t * v, a * v, t, a, v])
    looked = (layer.look.weight @ seen + layer.look.bias).clamp(min=0)
    raw = [torch.exp(layer.weigh[m].weight @ looked + layer.weigh[m].bias) for m in vectors]
    fused = sum(one / sum(raw) * p for one, p in zip(raw, (t, a, v), strict=True))
    return torch.cat([fused, seen])


SLOW = {DimensionFusion: slow_dimension_fusion, ConflictFusion: slow_conflict_fusion}


@pytest.mark.parametrize("kind", SLOW)
@given(seed=st.integers(0, 999))
@examples(15)
def test_fusion_in_a_shared_space_follows_its_formula(kind, seed):
    layer = open_up(kind(VECTORS, 5), seed)
    vectors = make_vectors(seed)
    found = layer(vectors)
    assert found.shape == (5, layer.output_size) == (5, 35)
    for row in range(5):
        wanted = SLOW[kind](layer, {m: x[row] for m, x in vectors.items()})
        torch.testing.assert_close(found[row], wanted)


def odds_of_text(kind, signs, seed):
    """Log odds of the text's weight against the audio's, for each pair of what the two say."""
    sizes = {TEXT: 1, AUDIO: 1}
    layer = open_up(kind(sizes, 1), seed)
    with torch.no_grad():
        for project in layer.project.values():
            project.weight.fill_(1.0)
            project.bias.zero_()
        if kind is ConflictFusion:
            layer.look.bias.fill_(5.0)  # so that the one hidden unit is on
    said, fused = torch.tanh(signs), layer({m: signs[:, [i]] for i, m in enumerate(sizes)})[:, 0]
    return torch.logit((fused - said[:, 1]) / (said[:, 0] - said[:, 1]))


@pytest.mark.parametrize("seed", range(5))
def test_only_weights_that_see_products_can_tell_a_conflict(seed):
    """Over agreement and conflict of two modalities a linear map's interaction is 0."""
    signs = torch.tensor([[1.0, 0.5], [1.0, -0.5], [-1.0, 0.5], [-1.0, -0.5]])
    interaction = torch.tensor([1.0, -1.0, -1.0, 1.0])
    seen = {kind: (odds_of_text(kind, signs, seed) * interaction).sum().abs() for kind in SLOW}
    assert seen[DimensionFusion] < 1e-4
    assert seen[ConflictFusion] > 1e-2


def test_in_dimension_fusion_a_dimension_meets_its_own_dimension_and_no_other():
    """The products of dimension 0 do not change with what a modality says in dimension 1."""
    layer = open_up(DimensionFusion(dict.fromkeys(Modality, 5), 5))
    with torch.no_grad():
        for project in layer.project.values():
            project.weight.copy_(torch.eye(5))
            project.bias.zero_()
    vectors = make_vectors(1, num_clips=1, sizes=dict.fromkeys(Modality, 5))
    before = layer(vectors)[0]
    vectors[AUDIO][:, 1] += 1
    after = layer(vectors)[0]
    products = slice(5, 20)
    changed = torch.nonzero(before[products] != after[products]).flatten().tolist()
    assert changed == [1, 11]  # t * a and a * v, in dimension 1


@pytest.mark.parametrize("name", FUSIONS)
@pytest.mark.parametrize("subset", [(TEXT,), (AUDIO, VIDEO), tuple(Modality)], ids="-".join)
def test_every_fusion_says_how_large_its_state_is(name, subset):
    sizes = {m: VECTORS[m] for m in subset}
    fusion = FUSIONS[name](sizes, 5)
    found = fusion(make_vectors(1, sizes=sizes))
    assert found.shape == (5, fusion.output_size)
    found.sum().backward() if any(True for _ in fusion.parameters()) else None
    assert all(p.grad is not None for p in fusion.parameters())
