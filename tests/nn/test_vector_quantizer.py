"""Vector quantisation: nearest codes, the straight-through gradient, both codebooks, revival."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from genfoundry.nn.latent.vector_quantizer import Rule, VectorQuantizer


def quantiser(codes: int = 5, width: int = 3, rule: Rule = "ema", decay: float = 0.9) -> VectorQuantizer:
    """Its codes have been chosen 40 times each."""
    torch.manual_seed(0)
    one = VectorQuantizer(codes, width, codebook=rule, commitment=0.25, decay=decay)
    one.counts.fill_(40.0)
    if rule == "ema":
        one.sums.copy_(40.0 * one.codes)
    return one


def encodings(seed: int = 1) -> Tensor:
    """(B, D, H, W), so many that every code has some."""
    return torch.randn(16, 3, 4, 4, generator=torch.Generator().manual_seed(seed))


def flat(z: Tensor) -> Tensor:
    return z.movedim(1, -1).reshape(-1, z.shape[1])


def test_the_nearest_code_is_chosen() -> None:
    one, z = quantiser().eval(), encodings()
    found = one(z)
    distance = (flat(z).unsqueeze(1) - one.codes).square().sum(-1)
    assert (found.index.flatten() == distance.argmin(1)).all()
    assert torch.equal(flat(found.z), one.codes[found.index.flatten()])


@pytest.mark.parametrize("rule", ["ema", "loss"])
def test_the_gradient_goes_straight_through(rule: Rule) -> None:
    one, z = quantiser(rule=rule), encodings().requires_grad_()
    into = torch.randn(z.shape)
    (got,) = torch.autograd.grad((one(z).z * into).sum(), z)
    assert torch.equal(got, into)


def test_the_losses_gradients_by_hand() -> None:
    """Commitment pulls encodings to their codes; the codebook's loss pulls codes to their encodings."""
    one, z = quantiser(rule="loss").eval(), encodings().requires_grad_()
    found = one(z)
    gap = flat(z.detach()) - one.codes[found.index.flatten()].detach()
    to_z, to_codes = torch.autograd.grad(found.loss, [z, one.codes])
    assert torch.allclose(flat(to_z), 0.25 * 2 * gap / gap.numel())
    wanted = torch.zeros_like(one.codes).index_add(0, found.index.flatten(), -2 * gap / gap.numel())
    assert torch.allclose(to_codes, wanted, atol=1e-7)
    assert found.loss.item() == pytest.approx(1.25 * gap.square().mean().item())


def test_without_memory_the_codebook_is_a_step_of_k_means() -> None:
    one, z = quantiser(decay=0.0), encodings()
    index = one.eval()(z).index.flatten()
    one.train()(z)
    for code in range(5):
        assert torch.allclose(one.codes[code], flat(z)[index == code].mean(0), atol=1e-6)
        assert one.counts[code] == (index == code).sum()


def test_with_memory_the_codebook_is_a_moving_mean() -> None:
    one = quantiser(decay=0.9)
    counts, sums, codes = one.counts.clone(), one.sums.clone(), one.codes.clone()
    for seed in range(4):
        z = encodings(seed)
        index = (flat(z).unsqueeze(1) - codes).square().sum(-1).argmin(1)
        one(z)
        for code in range(5):
            own = flat(z)[index == code]
            counts[code] = 0.9 * counts[code] + 0.1 * len(own)
            sums[code] = 0.9 * sums[code] + 0.1 * own.sum(0)
        codes = sums / counts.unsqueeze(1)
        assert torch.allclose(one.codes, codes, atol=1e-5)


@pytest.mark.parametrize("rule", ["ema", "loss"])
def test_dead_codes_are_revived_and_only_dead_ones(rule: Rule) -> None:
    one, z = quantiser(rule=rule), encodings()
    with torch.no_grad():
        one.codes[3] = 100.0
        one.counts[3] = 1e-6
    if rule == "ema":
        one.sums[3] = 1e-4
    before = {key: value.clone() for key, value in one.state_dict().items()}
    one._revive(flat(z))
    assert (flat(z) == one.codes[3]).all(1).any(), "not an encoding of the batch"
    assert one.counts[3] == len(flat(z)) / 5
    alive = [0, 1, 2, 4]
    assert all(torch.equal(value[alive], before[key][alive]) for key, value in one.state_dict().items())
    if rule == "ema":
        assert torch.allclose(one.sums[3], one.codes[3] * one.counts[3])
    one.codes.data[3] = 100.0
    one.counts[3] = 1e-6
    one(z)
    assert one.codes[3].abs().max() < 10, "a step of training revives"


@pytest.mark.parametrize("rule", ["ema", "loss"])
def test_evaluation_moves_nothing(rule: Rule) -> None:
    one = quantiser(rule=rule).eval()
    one.counts[0] = 0.0
    before = {key: value.clone() for key, value in one.state_dict().items()}
    one(encodings())
    assert all(torch.equal(value, before[key]) for key, value in one.state_dict().items())


def test_it_begins_with_encodings() -> None:
    one, z = quantiser(), encodings()
    one.initialize(z)
    assert (flat(z) == one.codes.unsqueeze(1)).all(-1).any(1).all()
    assert torch.allclose(one.sums, one.codes * one.counts.unsqueeze(1))


def test_distances_are_float32_under_autocast() -> None:
    one, z = quantiser().eval(), encodings()
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(one(z).index, one(z.float()).index)
        assert torch.equal(one.find_nearest(flat(z)), quantiser().find_nearest(flat(z)))
    assert torch.equal(one(z).index.flatten(), one.find_nearest(flat(z)))
