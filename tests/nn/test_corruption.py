from __future__ import annotations

import pytest
import torch

from genfoundry.evaluation.inverse_problem import DAMAGES, corrupt
from genfoundry.nn.conv.corruption import LEVELS, Corruption, paste_known


def test_each_kind_is_what_it_says() -> None:
    torch.manual_seed(0)
    x = torch.full((64, 3, 16, 16), 0.25)
    noisy = Corruption("gaussian", 0.3).corrupt(x) - x
    assert noisy.std().item() == pytest.approx(0.6, rel=0.02)  # of the range, which is 2
    assert noisy.mean().item() == pytest.approx(0.0, abs=0.01)
    salted = Corruption("salt_pepper", 0.4).corrupt(x)
    assert [(salted == v).float().mean().item() for v in (-1, 1, 0.25)] == pytest.approx([0.2, 0.2, 0.6], abs=0.01)
    masked = Corruption("mask", 0.3).corrupt(x)
    image, known = masked[:, :3], masked[:, 3:].bool()
    assert known.float().mean().item() == pytest.approx(0.7, abs=0.01)
    assert torch.equal(image, torch.where(known, x, -1.0))  # a pixel is missing in all channels
    assert torch.equal(Corruption("none").corrupt(x), x)


def test_it_is_drawn_anew_from_the_global_generator() -> None:
    x, damage = torch.zeros(2, 1, 8, 8), Corruption("gaussian")
    torch.manual_seed(0)
    first, second = damage.corrupt(x), damage.corrupt(x)
    torch.manual_seed(0)
    assert torch.equal(damage.corrupt(x), first)
    assert not torch.equal(first, second)


@pytest.mark.parametrize("noise", DAMAGES)
def test_training_damages_as_restoration_does(noise: str) -> None:
    """The same statistics on levels 0..255 as `inverse_problem.corrupt`, which evaluation uses."""
    clean = torch.full((64, 1, 16, 16), 100)
    x, known = corrupt(clean, noise, 256)
    torch.manual_seed(0)
    ours = Corruption(noise).corrupt(clean * (2 / 255) - 1)  # type: ignore[arg-type]
    theirs = Corruption(noise).to_input(x * (2 / 255) - 1, known)  # type: ignore[arg-type]
    assert LEVELS[noise] > 0
    assert ours.shape == theirs.shape
    assert ours.mean((0, 2, 3)).tolist() == pytest.approx(theirs.mean((0, 2, 3)).tolist(), abs=0.05)
    assert ours.std().item() == pytest.approx(theirs.std().item(), rel=0.03)


def test_what_is_known_is_kept() -> None:
    x, answer = torch.tensor([[[[1.0, 2.0]]]]), torch.tensor([[[[8.0, 9.0]]]])
    assert paste_known(answer, x, torch.tensor([[[[True, False]]]])).tolist() == [[[[1.0, 9.0]]]]
    assert paste_known(answer, x, None) is answer
