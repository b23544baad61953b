from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from genfoundry.models.vae import Vae
from genfoundry.nn.conv import scaled
from genfoundry.types import Batch, Clock, Spec

SPEC = Spec((1, 4, 4), 4)


def build(detail: int, **more: float) -> Vae:
    torch.manual_seed(0)
    config = Vae.Config.model_validate({"latent": 2, "detail": detail, "width": 4, **more})
    model = Vae(SPEC, config)
    with torch.no_grad():  # away from the start, where posterior and prior agree
        for p in model.parameters():
            p.add_(0.1 * torch.randn_like(p))
    return model.eval()


def drawn(model: Vae, x: Tensor) -> Tensor:
    """(B,) log weights, one draw an item."""
    return model.log_weights(model.encoder(scaled(x, SPEC)), x, 1)[0]


@pytest.mark.parametrize("detail", [0, 2])
def test_bound_is_below_the_importance_weighted_bound(detail: int) -> None:
    """-ELBO >= -IW bound, which falls with k (Burda et al. 2016), up to Monte Carlo error."""
    model, n = build(detail), 4096
    x = torch.randint(4, (1, 1, 4, 4)).expand(n, -1, -1, -1)
    torch.manual_seed(1)
    with torch.no_grad():
        weights = -drawn(model, x).double()
        elbo = model.measure(Batch(x))["nll"].double()
    bounds = [-(torch.logsumexp(-weights.view(-1, k), 1) - math.log(k)).mean().item() for k in (1, 8, 512)]
    assert bounds[0] == pytest.approx(elbo.mean().item(), abs=5 * weights.std().item() / math.sqrt(n))
    assert bounds[0] > bounds[1] > bounds[2]


@pytest.mark.parametrize("detail", [0, 2])
def test_the_bound_is_on_the_models_own_mass(detail: int) -> None:
    """log p(x) by 2^16 prior draws is above the ELBO, and not far above the importance-weighted bound."""
    model, n = build(detail), 1 << 16
    x = torch.randint(4, (1, 1, 4, 4))
    torch.manual_seed(2)
    with torch.no_grad():
        out = model.finished(torch.randn(n, 2), 1.0)
        exact = torch.logsumexp(-model.head.nll(out, x.expand(n, -1, -1, -1)).double(), 0) - math.log(n)
        elbo = -model.measure(Batch(x.expand(4096, -1, -1, -1)))["nll"].double().mean()
        weighted = torch.logsumexp(drawn(model, x.expand(8192, -1, -1, -1)).double(), 0) - math.log(8192)
    assert elbo < exact
    assert weighted.item() == pytest.approx(exact.item(), abs=0.1)


def test_the_objective_anneals_to_the_bound() -> None:
    model = build(2, warm=0.5)
    batch = Batch(torch.randint(4, (8, 1, 4, 4)))

    def objective(step: int) -> float:
        torch.manual_seed(3)
        (losses,) = model.losses(batch, Clock("fit", step, 100))
        return losses["model"].item() * SPEC.dims

    torch.manual_seed(3)
    measured = {k: v.mean().item() for k, v in model.measure(batch).items()}
    assert measured["nll"] == pytest.approx(measured["rate"] + measured["distortion"], rel=1e-6)
    assert objective(99) == pytest.approx(measured["nll"], rel=1e-5)
    assert objective(24) == pytest.approx(measured["distortion"] + 0.5 * measured["rate"], rel=1e-5)


def test_a_new_model_spends_no_rate_on_detail() -> None:
    torch.manual_seed(0)
    model = Vae(SPEC, Vae.Config(detail=2))
    _, codes = model.coded(model.encoder(scaled(torch.randint(4, (8, 1, 4, 4)), SPEC)))
    assert codes[1].divergence().flatten(1).sum(1).max() < 0.05
