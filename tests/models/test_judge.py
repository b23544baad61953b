from __future__ import annotations

import pytest
import torch

from genfoundry.models.judge import Judge
from genfoundry.types import Batch, Clock, Spec


def test_unlabelled_images_cost_nothing() -> None:
    torch.manual_seed(0)
    model = Judge(Spec((1, 8, 8), 17, classes=3), Judge.Config()).eval()
    x, label = torch.randint(17, (6, 1, 8, 8)), torch.tensor([0, -1, 2, 1, -1, 0])

    def loss(batch: Batch) -> float:
        return next(model.losses(batch, Clock("fit", 0, 1)))["model"].item()

    known = label >= 0
    assert loss(Batch(x, label=label)) == pytest.approx(loss(Batch(x[known], label=label[known])), rel=1e-6)
    assert loss(Batch(x, label=torch.full((6,), -1))) == 0.0


def test_features() -> None:
    model = Judge(Spec((1, 8, 8), 17, classes=3), Judge.Config()).eval()
    features = model.features(torch.randint(17, (6, 1, 8, 8)))
    assert features.shape == (6, 64)
    assert features.min() >= 0
