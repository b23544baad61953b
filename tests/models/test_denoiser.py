from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from genfoundry.evaluation.inverse_problem import DAMAGES
from genfoundry.models import abilities, base
from genfoundry.models.denoiser import Denoiser
from genfoundry.nn.conv.corruption import Noise
from genfoundry.types import Batch, Clock, Spec

SPEC = Spec((1, 8, 8), 17)


def build(spec: Spec = SPEC, **hyper: object) -> Denoiser:
    torch.manual_seed(0)
    return Denoiser(spec, Denoiser.Config.model_validate(hyper))


def loss(model: Denoiser, x: Tensor) -> Tensor:
    (losses,) = model.losses(Batch(x), Clock("fit", 0, 1))
    return losses["model"]


@pytest.mark.parametrize("noise", DAMAGES)
def test_the_target_is_the_clean_image(noise: Noise) -> None:
    """A network that answered with the clean image would have no loss, one that passed on what it saw would."""
    model, x = build(noise=noise), torch.randint(17, (16, 1, 8, 8))
    seen = []

    def answering(answer: Tensor | None) -> float:
        def forward(given: Tensor) -> Tensor:
            seen.append(given)
            return given[:, :1] if answer is None else answer

        model.forward = forward  # type: ignore[method-assign]
        return float(loss(model, x))

    clean = x / 8 - 1
    assert answering(clean) == pytest.approx(0.0, abs=1e-12)
    assert not torch.allclose(seen[0][:, :1], clean)
    damaged = answering(None)
    assert damaged == pytest.approx((seen[1][:, :1] - clean).square().mean().item())
    assert damaged > 0.1


@pytest.mark.parametrize(("level", "answers"), [(1.0, (6.0, 6.0)), (0.5, (4.0, 12.0))])
def test_missing_values_become_the_mean_of_what_they_may_have_been(level: float, answers: tuple[float, float]) -> None:
    """Images of one value, 4 or 12 with mean 6: told by any pixel, and by none where all are missing."""
    model = build(noise="mask", level=level)
    x = torch.where(torch.arange(64).view(64, 1, 1, 1) % 4 > 0, 4, 12).expand(-1, 1, 8, 8)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(100):
        optimizer.zero_grad()
        loss(model, x).backward()
        optimizer.step()
    clean = torch.tensor([4.0, 12.0]).view(2, 1, 1, 1).expand(-1, 1, 8, 8)
    known = torch.rand(2, 1, 8, 8) >= level
    restored = model.restore(clean * known, known)
    assert torch.equal(restored[known], clean[known])
    for one, miss, answer in zip(restored, ~known, answers, strict=True):
        assert one[miss].mean().item() == pytest.approx(answer, abs=0.7)


@pytest.mark.parametrize("spec", [SPEC, Spec((3, 7, 9), 256), Spec((1, 8, 8), None)])
@pytest.mark.parametrize("noise", [*DAMAGES, "none"])
def test_it_restores_what_its_configuration_says(spec: Spec, noise: Noise) -> None:
    model = build(spec, noise=noise)
    assert isinstance(model, abilities.Restores)
    assert not isinstance(model, base.GenerativeModel)
    assert model.damages == abilities.get_damages(model.config) == (() if noise == "none" else (noise,))
    x = torch.rand(2, *spec.shape)
    assert model.restore(x).shape == x.shape


def test_levels_come_back_as_levels() -> None:
    model = build(Spec((1, 8, 8), 256))
    model.forward = lambda given: given  # type: ignore[method-assign]
    x = 300 * torch.rand(2, 1, 8, 8) - 20  # noise leaves the range
    torch.testing.assert_close(model.restore(x), x, atol=1e-3, rtol=0)
    assert math.isclose(model.restore(torch.full_like(x, 255.0)).max().item(), 255.0)
