from __future__ import annotations

import math
from pathlib import Path

import pytest
import statsmodels
import torch

from genfoundry.nn.autoregression import conditional_least_squares, continued, deviations, impulse, residuals


def sunspots() -> torch.Tensor:
    """(309, 1): the yearly numbers, 1700 to 2008, of the installed package."""
    path = Path(statsmodels.__file__).parent / "datasets/sunspots/sunspots.csv"
    rows = [line.split(",")[1].strip('"') for line in path.read_text().split()[1:]]
    return torch.tensor([float(value) for value in rows], dtype=torch.float64).unsqueeze(1)


def test_reference_of_order_nine() -> None:
    x = sunspots()
    const, phi, sigma2 = conditional_least_squares(x, 9)
    assert const.item() == pytest.approx(6.7430535917, abs=1e-8)
    reference = [
        1.1649421971, -0.4053574226, -0.1665393425, 0.1498062942, -0.0946241706,
        0.0049100124, 0.0504665931, -0.0863534919, 0.2534910319,
    ]  # fmt: skip
    assert phi[0].tolist() == pytest.approx(reference, abs=1e-8)
    assert math.sqrt(sigma2.item() * 300 / 290) == pytest.approx(15.1279294937, abs=1e-8)
    error = residuals(x[None, 9:], x[None, :9], const, phi)
    assert error.square().mean().item() == pytest.approx(sigma2.item(), rel=1e-12)
    assert -150 * (math.log(2 * math.pi * sigma2.item()) + 1) == pytest.approx(-1235.559128, abs=1e-6)


def test_a_large_offset_costs_no_digits() -> None:
    x = sunspots()
    _, phi, sigma2 = conditional_least_squares(x, 9)
    _, moved, same = conditional_least_squares(x * 1e-3 + 1e6, 9)
    assert torch.allclose(moved, phi, atol=1e-5)  # the input itself keeps 1e-10 of 1e-2
    assert same.item() == pytest.approx(sigma2.item() * 1e-6, rel=1e-6)


def test_collinear_lags_get_the_least_norm() -> None:
    t = torch.arange(200, dtype=torch.float64)
    wave = torch.sin(2 * math.pi * t / 8)[:, None]  # obeys an AR(2): six of eight lags are superfluous
    const, phi, sigma2 = conditional_least_squares(wave, 8)
    assert sigma2.item() < 1e-25
    assert phi.abs().max() < 1
    ahead = continued(wave[None, :20], 16, const, phi)
    assert torch.allclose(ahead[0], wave[20:36], atol=1e-10)
    const, phi, sigma2 = conditional_least_squares(torch.full((50, 1), 4.0), 3)
    assert (const.item(), phi.abs().max().item(), sigma2.item()) == (4.0, 0.0, 0.0)


def test_columns_are_fitted_apart() -> None:
    torch.manual_seed(0)
    x = torch.randn(80, 2, dtype=torch.float64).cumsum(0)
    both = conditional_least_squares(x, 3)
    for d in range(2):
        for whole, alone in zip(both, conditional_least_squares(x[:, d : d + 1], 3), strict=True):
            assert torch.allclose(whole[d : d + 1], alone)


def test_too_short_a_series() -> None:
    with pytest.raises(ValueError, match="9 are needed"):
        conditional_least_squares(torch.zeros(7, 1), 4)


def test_impulse_and_deviations() -> None:
    phi, sigma2 = torch.tensor([[0.8], [0.5]], dtype=torch.float64), torch.tensor([4.0, 1.0], dtype=torch.float64)
    assert torch.allclose(impulse(phi, 4), phi ** torch.arange(4))
    variance = 4.0 * (1 - 0.64**5) / (1 - 0.64)  # of an AR(1), five steps ahead
    assert deviations(phi, sigma2, 5)[4, 0].item() == pytest.approx(math.sqrt(variance), rel=1e-12)
