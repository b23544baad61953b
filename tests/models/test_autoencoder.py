"""The plain autoencoder: what it learns from, and the Gaussian that it draws codes from."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tiny import Loader, settings
from torch import Tensor

from genfoundry.models.autoencoder import Autoencoder, factorize
from genfoundry.training.loop import fit
from genfoundry.types import Batch, Draw, Spec

SPEC = Spec((1, 8, 8), 17)


def trained() -> tuple[Autoencoder, Tensor]:
    torch.manual_seed(0)
    model, loader = Autoencoder(SPEC, Autoencoder.Config(latent=3)), Loader(SPEC)
    list(fit(model, loader, settings(model, 20), key=("test",)))
    return model.eval(), loader.split.tensor


def test_the_gaussian_is_that_of_the_training_codes() -> None:
    model, whole = trained()
    z = model.embed(Batch(whole)).double().numpy()
    assert np.allclose(model.centre.numpy(), z.mean(0), atol=1e-5)
    assert np.allclose((model.factor @ model.factor.T).numpy(), np.cov(z.T, bias=True), rtol=1e-4, atol=1e-5)
    torch.manual_seed(1)
    drawn = model.prior(200_000).double().numpy()
    assert np.allclose(drawn.mean(0), z.mean(0), atol=0.02 * z.std())
    assert np.allclose(np.cov(drawn.T), np.cov(z.T, bias=True), atol=0.02 * z.var())


def test_a_covariance_without_full_rank_has_a_root() -> None:
    line = torch.tensor([[1.0, 2.0], [2.0, 4.0]], dtype=torch.float64)
    assert torch.allclose(factorize(line) @ factorize(line).T, line)
    assert factorize(torch.zeros(2, 2)).abs().max() == 0


def test_at_temperature_0_samples_come_from_the_mean_code() -> None:
    model, _ = trained()
    out = model.decoder(model.centre.expand(2, -1))
    torch.manual_seed(2)
    want = model.head.sample(out, Draw(temperature=0.0))
    torch.manual_seed(2)
    torch.randn(2, 3)
    assert torch.equal(model.sample(2, draw=Draw(temperature=0.0)), want)


def test_it_has_no_likelihood() -> None:
    model, whole = trained()
    assert model.likelihood == "none"
    assert model.measure(Batch(whole)) == {}
    assert torch.equal(model.reconstruct(Batch(whole[:4])), model.decode(model.embed(Batch(whole[:4]))))


@pytest.mark.parametrize("net", ["conv", "mlp"])
def test_any_net_gives_images(net: str) -> None:
    model = Autoencoder(Spec((3, 7, 9), 6), Autoencoder.Config.model_validate({"net": net}))
    assert model.sample(2).shape == (2, 3, 7, 9)
