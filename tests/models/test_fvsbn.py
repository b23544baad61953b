from __future__ import annotations

import pytest
import torch

from genfoundry.errors import UserError
from genfoundry.models.fvsbn import Fvsbn
from genfoundry.types import Batch, Clock, Spec


def test_each_pixel_is_a_logistic_regression_on_those_before_it() -> None:
    """By hand, from the model's own numbers: what is said of p(x) = prod_i sigmoid(...)."""
    spec = Spec((2, 1, 2), 2)
    torch.manual_seed(0)
    model = Fvsbn(spec, Fvsbn.Config()).double()
    with torch.no_grad():
        model.weight.normal_()
        model.bias.normal_()
    x = torch.tensor([[[[0, 1]], [[1, 1]]]])
    order = [x[0, 0, 0, 0], x[0, 1, 0, 0], x[0, 0, 0, 1], x[0, 1, 0, 1]]  # the channels of a pixel together
    nll = torch.zeros((), dtype=torch.float64)
    for i, value in enumerate(order):
        logit = model.bias[i] + sum(model.weight[i, j] * (2 * order[j] - 1) for j in range(i))
        nll -= torch.where(value == 1, logit, -logit).sigmoid().log()
    assert model.measure(Batch(x))["nll"].item() == pytest.approx(nll.item())


def test_masked_weights_stay_and_get_no_gradient() -> None:
    model = Fvsbn(Spec((1, 2, 2), 2), Fvsbn.Config())
    with torch.no_grad():
        model.weight.fill_(1.0)
    next(model.losses(Batch(torch.randint(2, (64, 1, 2, 2))), Clock("fit", 0, 1)))["model"].backward()
    assert (model.weight == 1).all()
    assert model.weight.grad is not None
    assert not model.weight.grad.triu().any()
    assert (model.weight.grad.tril(-1) != 0).sum() == 6


@pytest.mark.parametrize("levels", [256, None])
def test_other_levels_are_refused(levels: int | None) -> None:
    with pytest.raises(UserError, match="expected levels: 2"):
        Fvsbn(Spec((1, 2, 2), levels), Fvsbn.Config())
