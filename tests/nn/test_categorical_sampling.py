from __future__ import annotations

import torch

from genfoundry.nn.heads.categorical_sampling import apply_draw, sample_categorical
from genfoundry.types import Draw

MASS = torch.tensor([0.5, 0.3, 0.15, 0.05])


def kept(draw: Draw) -> list[float]:
    return [round(p, 4) for p in apply_draw(MASS.log(), draw).softmax(-1).tolist()]


def test_sharpening() -> None:
    assert kept(Draw()) == [0.5, 0.3, 0.15, 0.05]
    assert kept(Draw(top_k=2)) == [0.625, 0.375, 0.0, 0.0]
    assert kept(Draw(top_p=0.6)) == [0.625, 0.375, 0.0, 0.0]
    assert kept(Draw(top_p=0.01)) == [1.0, 0.0, 0.0, 0.0]
    assert kept(Draw(top_p=0.0)) == [1.0, 0.0, 0.0, 0.0]
    assert kept(Draw(temperature=0.0)) == [1.0, 0.0, 0.0, 0.0]
    squared = MASS**2 / (MASS**2).sum()
    assert torch.allclose(apply_draw(MASS.log(), Draw(temperature=0.5)).softmax(-1), squared)


def test_pick_follows_the_mass() -> None:
    torch.manual_seed(0)
    drawn = sample_categorical(MASS.log().expand(100, 1000, 4))
    assert drawn.shape == (100, 1000)
    assert (torch.bincount(drawn.flatten()) / 1e5 - MASS).abs().max() < 0.01


def test_what_has_no_mass_is_never_picked() -> None:
    torch.manual_seed(0)
    logits = torch.tensor([-torch.inf, 0.0, -torch.inf, 0.0, -torch.inf])
    assert set(sample_categorical(logits.expand(20_000, 5)).tolist()) == {1, 3}
    assert set(sample_categorical(torch.tensor([[-200.0, 0.0]]).expand(1000, 2)).tolist()) == {1}
