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


def test_without_labels_it_tells_turns() -> None:
    model = Judge(Spec((1, 6, 6), 17, classes=2, class_counts=(0, 0)), Judge.Config())
    assert model.kind == "rotations"
    x = torch.arange(36).view(1, 1, 6, 6) % 17
    asked = model.asked(Batch(x, label=torch.tensor([-1])))
    assert asked.label is not None
    for turned, label in zip(asked.x, asked.label, strict=True):
        assert torch.equal(torch.rot90(turned, -int(label), (1, 2)), x[0])
    assert model.classify(asked).shape == (4, 4)
    oblong = Judge(Spec((1, 6, 4), 17), Judge.Config())
    assert oblong.asked(Batch(torch.zeros(2, 1, 6, 4))).x.shape == (4, 1, 6, 4)
    assert Judge(Spec((1, 6, 6), 17, classes=2, class_counts=(3, 0)), Judge.Config()).kind == "classes"


def test_it_learns_to_tell_turns() -> None:
    from tiny import Loader, settings

    from genfoundry.train import fit

    spec = Spec((1, 8, 8), 17)
    torch.manual_seed(0)
    model = Judge(spec, Judge.Config())
    list(fit(model, Loader(spec), settings(model, 60), key=("turns",)))
    asked = model.eval().asked(Loader(spec).batch("other", 0))
    assert (model.classify(asked).argmax(1) == asked.label).float().mean() > 0.9  # a ramp shows which way is up
