"""Vector-quantised autoencoders: what each phase moves, and that measure and samples are of one model."""

from __future__ import annotations

import itertools

import pytest
import torch
from tiny import SPECS, Loader, settings
from torch import Tensor

from genfoundry.models.vq_vae import VqVae
from genfoundry.models.vq_vae2 import VqVae2
from genfoundry.nn.latent.vector_quantizer import VectorQuantizer
from genfoundry.training.loop import fit
from genfoundry.types import Batch, Spec

GREY = SPECS["images"]["grey"]
KINDS = [VqVae, VqVae2]
Model = VqVae | VqVae2


def build(kind: type[Model], spec: Spec = GREY, **hyper: object) -> Model:
    torch.manual_seed(0)
    return kind(spec, kind.Config(**hyper))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("rule", ["ema", "loss"])
def test_phase_prior_does_not_move_the_autoencoder_by_a_bit(kind: type[Model], rule: str) -> None:
    model, kept = build(kind, codebook=rule), {}
    for event in fit(model, Loader(GREY), settings(model, 6, ema=0.9), key=("freeze",)):
        now = {k: v.clone() for k, v in model.state_dict().items()}
        if event.clock.phase == "codes" and event.clock.step == event.clock.total:
            kept = now
    own = [key for key in kept if key.startswith("autoencoder.")]
    assert any("counts" in key for key in own)
    assert any("codes" in key for key in own)
    assert all(torch.equal(kept[key], now[key]) for key in own)
    assert any(not torch.equal(kept[key], now[key]) for key in kept.keys() - own)


@pytest.mark.parametrize("kind", KINDS)
def test_phase_codes_does_not_move_the_prior(kind: type[Model]) -> None:
    model = build(kind)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    train = settings(model, 6)
    list(fit(model, Loader(GREY), train.model_copy(update={"steps": {"codes": 6, "prior": 0}}), key=("codes",)))
    moved = {key for key, value in model.state_dict().items() if not torch.equal(value, before[key])}
    assert moved
    assert all(key.startswith("autoencoder.") for key in moved)


def nll_by_hand(model: Model, x: Tensor) -> Tensor:
    """-log p(codes(x)) - log p(x | codes(x)), the labels summed over one by one."""
    labels = range(model.spec.classes)
    share = torch.tensor(model.spec.class_counts) / sum(model.spec.class_counts)
    if isinstance(model, VqVae):
        found = model.encode(x)
        prior, out, rest = model.prior, model.autoencoder["decoder"](found.z), torch.zeros(len(x))
        index = found.index
    else:
        top, bottom = model.autoencoder.encode(2.0 / 16 * x.float() - 1)
        prior, out, index = model.top, model.autoencoder.decode(top.z, bottom.z), top.index
        rest = model.bottom.nll(bottom.index, top.index)
    mass = sum(share[y] * (-prior.nll(index, torch.full((len(x),), y))).exp() for y in labels)
    return model.head.nll(out, x) - torch.as_tensor(mass).log() + rest


@pytest.mark.parametrize("kind", KINDS)
def test_the_figure_is_the_codes_nats_and_the_images_given_them(kind: type[Model]) -> None:
    model, batch = build(kind).eval(), Loader(GREY).batch("fit", 0)
    with torch.no_grad():
        found = model.measure(batch)
        assert torch.allclose(found["nll"], nll_by_hand(model, batch.x), rtol=1e-5)
        assert torch.allclose(found["nll"], found["rate"] + found["distortion"])
        assert torch.equal(found["nll"], model.measure(Batch(batch.x))["nll"]), "a label is no help"


def test_the_figure_is_a_bound() -> None:
    """Summed over all grids of a tiny model, p(x) is above what `measure` counts, by how much the others explain x."""
    spec = Spec((1, 5, 8), 2)
    model = build(VqVae, spec, codes=2, prior_width=4).eval()
    assert isinstance(model, VqVae)
    x = torch.randint(2, (6, *spec.shape))
    grids = torch.tensor(list(itertools.product(range(2), repeat=4))).view(-1, 2, 2)
    with torch.no_grad():
        bound = model.measure(Batch(x))["nll"]
        out = model.autoencoder["decoder"](model.quantiser.look_up(grids))
        joint = torch.stack(
            [-model.prior.marginal_nll(grids) - model.head.nll(out, one.expand(16, -1, -1, -1)) for one in x]
        )
        exact = -joint.logsumexp(1)
    assert (exact < bound).all()
    assert (bound <= (-joint).max(1).values + 1e-4).all()


def test_top_and_bottom_sum_to_one() -> None:
    """All 2 top codes times all 2^4 grids of the bottom."""
    model = build(VqVae2, Spec((1, 8, 8), 17), codes=2)
    assert isinstance(model, VqVae2)
    assert model.top.size == (1, 1)
    pairs = torch.tensor(list(itertools.product(range(2), repeat=5)))
    top, bottom = pairs[:, :1].view(-1, 1, 1), pairs[:, 1:].view(-1, 2, 2)
    mass = (-model.top.marginal_nll(top) - model.bottom.nll(bottom, top)).exp()
    assert mass.sum().item() == pytest.approx(1, abs=1e-5)
    each = (-model.bottom.nll(bottom, top)).exp().view(2, 16)
    assert torch.allclose(each.sum(1), torch.ones(2))
    assert not torch.allclose(each[0], each[1]), "the top says nothing"


def test_the_bottom_is_drawn_as_it_is_measured() -> None:
    model = build(VqVae2, Spec((1, 8, 8), 17), codes=2)
    assert isinstance(model, VqVae2)
    grids, n = torch.tensor(list(itertools.product(range(2), repeat=4))).view(-1, 2, 2), 20_000
    for code in range(2):
        top = torch.full((n, 1, 1), code)
        drawn = model.bottom.sample(top).flatten(1) @ torch.tensor([8, 4, 2, 1])
        mass = (-model.bottom.nll(grids, top[:16])).exp().detach()
        found = torch.bincount(drawn, minlength=16) / n
        assert ((found - mass).abs() < 5 * (mass * (1 - mass) / n).sqrt()).all()


class Shades:
    """Class 0 is dark, class 1 bright."""

    spec = Spec((1, 8, 8), 17, classes=2, class_counts=(10, 10))

    def __init__(self) -> None:
        self.split = self
        self.positions = 64

    def train_batch(self, position: Tensor) -> Batch:
        label = position % 2
        return Batch(torch.randint(0, 4, (len(position), 1, 8, 8)) + 13 * label.view(-1, 1, 1, 1), label=label)

    def batch(self, phase: str, step: int) -> Batch:
        return self.train_batch(torch.arange(16))


@pytest.fixture(scope="module", params=KINDS)
def trained(request: pytest.FixtureRequest) -> Model:
    model = build(request.param, Shades.spec)
    train = settings(model, 120)
    train = train.model_copy(update={"lr": dict.fromkeys(train.lr, 1e-2)})
    list(fit(model, Shades(), train, key=("shades",)))  # type: ignore[arg-type]
    return model.eval()


def test_samples_follow_the_class(trained: Model) -> None:
    assert trained.conditional
    torch.manual_seed(1)
    labels = torch.tensor([0, 1] * 50)
    bright = trained.sample(100, label=labels).float().mean((1, 2, 3)) > 8
    assert (bright == (labels == 1)).double().mean() > 0.9
    mixed = trained.sample(200).float().mean((1, 2, 3)) > 8
    assert 0.35 < mixed.double().mean() < 0.65


def test_codes_know_the_image(trained: Model) -> None:
    batch = Shades().batch("", 0)
    gap = trained.reconstruct(batch) - batch.x
    assert gap.square().mean().item() < 0.1 * batch.x.float().var().item()
    shares = [q.counts / q.counts.sum() for q in trained.modules() if isinstance(q, VectorQuantizer)]
    assert all(2 < float(torch.special.entr(share).sum().exp()) <= 16 for share in shares)  # perplexity
