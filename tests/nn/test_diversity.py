from __future__ import annotations

import pytest
import torch

from genfoundry.nn.adversarial.diversity import measure_diversity


def test_diversity_is_the_ratio_of_standard_deviations() -> None:
    torch.manual_seed(0)
    real, fake = torch.randn(16, 3, 4, 4), 5 + 0.5 * torch.randn(16, 3, 4, 4)
    expected = fake.std(0).mean() / real.std(0).mean()
    assert measure_diversity(real, fake).item() == pytest.approx(expected.item())
    assert measure_diversity(real, fake[:1].expand(16, -1, -1, -1)).item() == pytest.approx(0.0, abs=1e-6)
    assert measure_diversity(real[:1], fake[:1]).isnan(), "of one item there is nothing to tell"
