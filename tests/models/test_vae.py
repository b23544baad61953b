from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from genfoundry.models.vae import Vae
from genfoundry.nn.conv.blocks import scale_levels
from genfoundry.nn.conv.encoder_decoder import MARGIN, ConvDecoder
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
    return model.log_weights(model.encoder(scale_levels(x, SPEC)), x, 1)[0]


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
        out = model.decode_global(torch.randn(n, 2), 1.0)
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
    _, codes = model.encode_decode(model.encoder(scale_levels(torch.randint(4, (8, 1, 4, 4)), SPEC)))
    assert codes[1].kl().flatten(1).sum(1).max() < 0.05


class LinearGaussian:
    """z ~ N(0, I), x = W z + noise: log p(x) is known; the Vae's own parts stand in for its networks."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        spec = Spec((1, 2, 2), None)
        self.model = Vae(spec, Vae.Config(net="mlp", detail=0, latent=2, hidden=4)).eval()
        self.w, self.noise = torch.randn(4, 2), 0.7
        scale = torch.full((4,), math.log(self.noise))
        self.model.encoder = torch.nn.Flatten()  # type: ignore[assignment]
        self.model.decoder = Affine(self.w, scale)  # type: ignore[assignment]
        covariance = self.w @ self.w.T + self.noise**2 * torch.eye(4)
        self.marginal = torch.distributions.MultivariateNormal(torch.zeros(4), covariance)
        precision = torch.eye(2) + self.w.T @ self.w / self.noise**2
        self.gain = torch.linalg.inv(precision) @ self.w.T / self.noise**2  # the exact posterior's mean
        self.spread = torch.linalg.inv(precision).diagonal().sqrt().log()  # and its best independent scales, about

    def encode(self, gain: Tensor, spread: Tensor) -> None:
        posterior = torch.nn.Linear(4, 4)
        with torch.no_grad():
            posterior.weight.copy_(torch.cat([gain, torch.zeros(2, 4)]))
            posterior.bias.copy_(torch.cat([torch.zeros(2), spread]))
        self.model.posterior = posterior


class Affine(torch.nn.Module):
    """(B, 2) -> (B, 2, 2, 2): means W z and constant log standard deviations, as the Gaussian head reads them."""

    def __init__(self, w: Tensor, scale: Tensor) -> None:
        super().__init__()
        self.w, self.scale = w, scale

    def forward(self, z: Tensor) -> Tensor:
        mean = z @ self.w.T
        return torch.stack([mean, self.scale.expand_as(mean)], 1).view(len(z), 2, 2, 2)


def test_bounds_are_ordered_below_the_exact_likelihood() -> None:
    """ELBO = IW bound of one draw <= of more draws <= log p(x) (Burda et al. 2016, theorem 1), in expectation."""
    toy, repeats = LinearGaussian(), 4000
    toy.encode(0.8 * toy.gain, toy.spread + 0.3)
    x = toy.marginal.sample((1,)).view(1, 1, 2, 2)
    exact = -toy.marginal.log_prob(x.view(1, 4)).item()
    many = Batch(x.expand(repeats, -1, -1, -1))
    torch.manual_seed(1)
    with torch.no_grad():
        elbo = toy.model.measure(many)["nll"].mean().item()
        bounds = [toy.model.bound(many, k).mean().item() for k in (1, 4, 256)]
    error = 5 * toy.model.bound(many, 1).std().item() / math.sqrt(repeats)
    assert bounds[0] == pytest.approx(elbo, abs=error)
    assert bounds[0] - bounds[1] > error
    assert bounds[1] - bounds[2] > 0
    assert bounds[2] == pytest.approx(exact, abs=0.02)
    assert bounds[2] > exact - 0.01


def test_the_closed_form_divergence_is_its_monte_carlo_estimate() -> None:
    toy, n = LinearGaussian(), 200_000
    toy.encode(0.8 * toy.gain, toy.spread + 0.3)
    _, (code,) = toy.model.encode_decode(torch.ones(n, 4))
    estimate = (code.q.log_prob(code.z) - code.p.log_prob(code.z)).sum(1)
    closed = code.kl().sum(1)
    assert estimate.mean().item() == pytest.approx(closed[0].item(), abs=5 * estimate.std().item() / math.sqrt(n))


def gradient(model: Vae, batch: Batch, **more: float) -> Tensor:
    """The mean gradient of the objective over many draws, of the posterior's layer."""
    model.config = model.config.model_copy(update={"warm": 0.0, **more})
    for p in model.parameters():
        p.grad = None
    (losses,) = model.losses(batch, Clock("fit", 0, 1))
    losses["model"].backward()
    assert model.posterior.weight.grad is not None
    return model.posterior.weight.grad.clone()


def test_one_draw_of_the_importance_weighted_objective_has_the_elbos_gradient() -> None:
    toy = LinearGaussian()
    toy.encode(0.8 * toy.gain, toy.spread + 0.3)
    x = toy.marginal.sample((1,)).view(1, 1, 2, 2)
    batch = Batch(x.expand(100_000, -1, -1, -1))
    torch.manual_seed(4)
    elbo = gradient(toy.model, batch)
    features = toy.model.encoder(batch.x)
    for p in toy.model.parameters():
        p.grad = None
    (-toy.model.log_weights(features, batch.x, 1).mean() / toy.model.spec.dims).backward()
    assert toy.model.posterior.weight.grad is not None
    assert torch.allclose(toy.model.posterior.weight.grad, elbo, atol=0.02 * elbo.abs().max().item())


def test_the_importance_weighted_objective_is_the_bound() -> None:
    model = build(2, importance=5, warm=0.0)
    batch = Batch(torch.randint(4, (8, 1, 4, 4)))
    torch.manual_seed(3)
    (losses,) = model.losses(batch, Clock("fit", 0, 1))
    torch.manual_seed(3)
    assert losses["model"].item() * SPEC.dims == pytest.approx(model.bound(batch, 5).mean().item(), rel=1e-5)


@pytest.mark.parametrize(
    ("hyper", "right"), [({"net": "mlp", "detail": 2}, "detail: 0"), ({"importance": 2, "beta": 2.0}, "beta: 1.0")]
)
def test_what_does_not_go_together_is_refused(hyper: dict[str, object], right: str) -> None:
    with pytest.raises(ValueError, match=right):
        Vae.Config.model_validate(hyper)


@pytest.mark.parametrize("noise", ["gaussian", "salt_pepper", "mask"])
def test_only_the_encoder_sees_the_damage(noise: str) -> None:
    """The target is the clean image: without a way from encoder to decoder, the objective does not notice noise."""
    model = build(2, noise=noise, warm=0.0)
    assert model.damages == (noise,)
    batch = Batch(torch.randint(4, (8, 1, 4, 4)))

    def objective() -> float:
        (losses,) = model.losses(batch, Clock("fit", 0, 1))
        return losses["model"].item()

    seeds = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        seeds.append(objective())
    assert seeds[0] != seeds[1]
    with torch.no_grad():  # codes of the prior, whatever the encoder saw, and a decoder that ignores them
        for layer in (model.posterior, model.decoder.spread, model.detail_in, *model.detail_posterior):
            for p in layer.parameters():
                p.zero_()
        model.detail_prior.weight.zero_()
    deaf = objective()
    out = model.decoder(torch.zeros(8, 2))
    assert deaf * SPEC.dims == pytest.approx(model.head.nll(out, batch.x).mean().item(), rel=1e-5)


def test_it_learns_to_restore() -> None:
    """A denoiser of two images tells which one it was, at a level where a pixel alone says little."""
    spec = Spec((1, 8, 8), 2)
    patterns = torch.tensor([[0, 1] * 32, [1, 0] * 32]).view(2, 1, 8, 8)
    torch.manual_seed(0)
    model = Vae(spec, Vae.Config.model_validate({"net": "mlp", "detail": 0, "latent": 1, "noise": "gaussian"}))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for step in range(200):
        (losses,) = model.losses(Batch(patterns.repeat(32, 1, 1, 1)), Clock("fit", step, 200))
        optimizer.zero_grad()
        losses["model"].backward()
        optimizer.step()
    noisy = patterns + 0.5 * torch.randn(2, 1, 8, 8)
    assert (model.restore(noisy) - patterns).abs().max() < 0.3
    assert (noisy - patterns).abs().max() > 1


def test_known_pixels_are_kept() -> None:
    model = build(2, noise="mask")
    x, known = 3.0 * torch.rand(4, 1, 4, 4), torch.rand(4, 1, 4, 4) < 0.5
    assert torch.equal(model.restore(x * known, known)[known], x[known])


@pytest.mark.parametrize("detail", [0, 2])
def test_an_edit_moves_the_global_code_and_keeps_the_local_ones(detail: int) -> None:
    model, batch = build(detail), Batch(torch.randint(4, (3, 1, 4, 4)))
    shift = torch.randn(3, 2)
    with torch.no_grad():
        still, own = model.encode_decode(model.encoder(scale_levels(batch.x, SPEC)), 0.0)
    torch.testing.assert_close(model.edit(batch, torch.zeros(3, 2)), model.head.mean(still))
    if not detail:
        torch.testing.assert_close(model.edit(batch, shift), model.decode(model.embed(batch) + shift))
        return
    edited = model.edit(batch, shift)
    assert isinstance(model.decoder, ConvDecoder)
    with torch.no_grad():
        state = model.decoder.expand(own[0].z + shift) + model.detail_in(own[1].q.mean)
        torch.testing.assert_close(edited, model.head.mean(model.decoder.upsample(state)))
    assert not torch.allclose(edited, model.decode(model.embed(batch) + shift))


@torch.no_grad()
def test_codes_far_from_the_prior_decode_to_nothing_that_nearer_ones_do_not() -> None:
    """The MLP's logits grow with its codes: one item of 10,000 cost 5,032 nats, in another training 113,406."""
    torch.manual_seed(0)
    model = Vae(SPEC, Vae.Config(net="mlp", detail=0)).eval()
    z = torch.randn(200, model.config.latent)
    edge = z / torch.linalg.vector_norm(z, dim=1, keepdim=True) * (model.config.latent**0.5 + MARGIN)
    assert torch.allclose(model.decoder(1000 * z), model.decoder(edge), atol=1e-5)
    near = z * 0.9 * model.config.latent**0.5 / torch.linalg.vector_norm(z, dim=1, keepdim=True)
    assert torch.allclose(model.decoder[0](near), near), "and where a prior draws, nothing is changed"  # type: ignore[index]
