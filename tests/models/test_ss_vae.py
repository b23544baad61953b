"""M2: its bounds by naive enumeration and against the exact likelihood, what labels move, and what codes decode to."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from genfoundry.models.classifier import Classifier
from genfoundry.models.ss_vae import SsVae, unlabelled_bound
from genfoundry.nn.conv.blocks import scale_levels
from genfoundry.nn.conv.classifier import Mixup, augment, consistency_loss, supervised_loss
from genfoundry.nn.latent.gaussian import Normal, kl_divergence
from genfoundry.types import Batch, Clock, Spec

SPEC = Spec((1, 4, 4), 4, classes=3, class_counts=(1, 2, 5))


def build(spec: Spec = SPEC, **more: object) -> SsVae:
    torch.manual_seed(0)
    model = SsVae(spec, SsVae.Config.model_validate({"latent": 2, "hidden": 8, "recogniser": 4, **more}))
    with torch.no_grad():  # away from the start, where posterior and prior agree
        for p in model.parameters():
            p.add_(0.2 * torch.randn_like(p))
    return model.eval()


def items(n: int, spec: Spec = SPEC) -> Batch:
    draw = torch.Generator().manual_seed(1)
    x = torch.randint(spec.levels or 2, (n, *spec.shape), generator=draw)
    return Batch(x, label=torch.arange(n) % spec.classes)


@pytest.mark.parametrize("net", ["mlp", "conv"])
@torch.no_grad()
def test_the_unlabelled_bound_is_the_enumeration_over_classes(net: str) -> None:
    """Class by class, item by item, with the noise that the vectorised form draws, summed in float64."""
    model, batch, n = build(net=net), items(5), SPEC.classes
    torch.manual_seed(3)
    found = model.measure(batch)["nll"]
    torch.manual_seed(3)
    noise = torch.randn(len(batch) * n, model.config.latent).view(len(batch), n, -1)
    prior = torch.tensor([1, 2, 5]).double() / 8
    for i in range(len(batch)):
        x = scale_levels(batch.x[i : i + 1], SPEC)
        chance, total = model.recogniser(x).double().softmax(1)[0], torch.zeros((), dtype=torch.float64)
        for y in range(n):
            q = model.style_posterior(model.encoder(x), torch.tensor([[y]]))
            z = q.mean + q.scale.exp() * noise[i, y]
            code = torch.cat([z, F.one_hot(torch.tensor([y]), n).float()], 1)
            labelled = model.head.nll(model.decoder(code), batch.x[i : i + 1]) - prior[y].log()
            labelled = labelled + kl_divergence(q, Normal.standard(q.mean)).sum()
            total = total + chance[y] * (labelled.squeeze() + chance[y].log())
        assert total.item() == pytest.approx(found[i].item(), rel=1e-5)


@torch.no_grad()
def test_a_class_left_out_has_no_mass_and_no_samples() -> None:
    """Its embeddings are never trained: the bound is the one over the other classes, whatever they hold."""
    spec = replace(SPEC, class_counts=(3, 0, 5))
    model, batch = build(spec), items(6, spec)
    bounds = []
    for shift in (0.0, 50.0):
        model.named.weight[1] += shift
        model.recogniser.classes.bias[1] += shift
        torch.manual_seed(3)
        bounds.append(model.measure(batch))
    assert all(torch.equal(bounds[0][name], bounds[1][name]) for name in bounds[0])
    torch.manual_seed(3)
    rate, distortion = model.terms_per_class(batch.x, scale_levels(batch.x, spec))
    kept = torch.tensor([0, 2])
    named = (rate + distortion)[:, kept] - (torch.tensor([3.0, 5.0]) / 8).log()
    expected = unlabelled_bound(named, model.recogniser(scale_levels(batch.x, spec))[:, kept])
    assert torch.allclose(bounds[0]["nll"], expected, rtol=1e-6)
    assert not model.prior(400)[:, model.config.latent + 1].any()
    assert not model.embed(batch)[:, model.config.latent + 1].any()
    assert not (model.classify(batch).argmax(1) == 1).any()


def test_a_class_left_out_is_trained_around() -> None:
    model = build(replace(SPEC, class_counts=(3, 0, 5)))
    batch = replace(items(6), label=torch.tensor([0, 2, -1, -1, 0, -1]))
    next(model.losses(batch, Clock("fit", 0, 4)))["model"].backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())
    assert not model.recogniser.classes.weight.grad[1].any()  # type: ignore[index]


@torch.no_grad()
def test_posterior_means_are_the_styles_averaged_over_classes() -> None:
    model, batch = build(), items(5)
    x, n = scale_levels(batch.x, SPEC), SPEC.classes
    chance = model.recogniser(x).softmax(1)
    means = torch.stack([model.style_posterior(model.encoder(x), torch.full((5, 1), y)).mean for y in range(n)], 1)
    assert torch.allclose(model.posterior_means(batch), (chance[..., None] * means).sum(1), atol=1e-6)


@torch.no_grad()
def test_both_bounds_stay_above_the_exact_likelihood() -> None:
    """On two binary pixels p(x, y) follows from many draws of z; p(x) sums to 1 over the four images."""
    spec = Spec((1, 1, 2), 2, classes=3, class_counts=(1, 2, 5))
    model = build(spec)
    x = torch.tensor([[0, 0], [0, 1], [1, 0], [1, 1]]).view(4, 1, 1, 2)
    draws = 40_000
    torch.manual_seed(1)
    z = torch.randn(draws, model.config.latent)
    joint = torch.empty(4, 3)  # nats: -log p(x, y)
    for y in range(3):
        out = model.decoder(torch.cat([z, F.one_hot(torch.tensor(y), 3).expand(draws, -1)], 1))
        for i in range(4):
            given = (-model.head.nll(out, x[i : i + 1].expand(draws, -1, -1, -1)).double()).exp().mean().log()
            joint[i, y] = -given - model.frequency[y].log()
    exact = -(-joint).logsumexp(1)
    assert (-exact).exp().sum().item() == pytest.approx(1.0, abs=0.01)
    many = 4000
    torch.manual_seed(2)
    named, bound = torch.zeros(4, 3), torch.zeros(4)
    for i in range(4):
        rate, distortion = model.terms_per_class(
            x[i : i + 1].expand(many, -1, -1, -1), scale_levels(x[i : i + 1], spec).expand(many, -1, -1, -1)
        )
        named[i] = (rate + distortion).mean(0) - model.frequency.log()
        bound[i] = model.measure(Batch(x[i : i + 1].expand(many, -1, -1, -1)))["nll"].mean()
    assert (named > joint - 0.01).all(), "L(x, y) bounds -log p(x, y)"
    assert (bound > exact - 0.01).all(), "U(x) bounds -log p(x)"
    assert (named > joint + 0.01).any()


def test_no_class_scores_give_a_better_bound_than_the_posterior_of_the_bounds() -> None:
    """U is least, and the log of the summed evidence, where q(y | x) is the softmax of -L."""
    named = torch.tensor([[3.0, 1.0, 2.5]])
    best = unlabelled_bound(named, -named)
    assert torch.allclose(best, -(-named).logsumexp(1))
    for seed in range(20):
        other = -named + torch.randn(1, 3, generator=torch.Generator().manual_seed(seed))
        assert unlabelled_bound(named, other) >= best - 1e-6


def loss(model: SsVae | Classifier, batch: Batch) -> Tensor:
    torch.manual_seed(7)
    return next(iter(model.losses(batch, Clock("fit", 5, 10))))["model"]


def test_a_labelled_item_costs_its_own_bound() -> None:
    model, batch = build(alpha=0.0, consistency=0.0, warm=0.0), items(6)
    assert batch.label is not None
    torch.manual_seed(7)
    Mixup.draw(batch.label < 0)  # what draws before the codes do
    augment(scale_levels(batch.x, SPEC), shift=0.07, mirror=False, erase=0.0)
    rate, distortion = model.terms_per_class(batch.x, scale_levels(batch.x, SPEC))
    named = rate + distortion - model.frequency.log()
    own = torch.stack([named[i, y] for i, y in enumerate(batch.label.tolist())])
    assert torch.allclose(loss(model, batch), own.mean() / SPEC.dims)
    hidden = replace(batch, label=torch.full_like(batch.label, -1))
    whole = unlabelled_bound(named, model.recogniser(scale_levels(batch.x, SPEC)))
    assert torch.allclose(loss(model, hidden), whole.mean() / SPEC.dims)


def test_the_classification_loss_moves_labelled_items_alone() -> None:
    logits = [torch.randn(4, 3, requires_grad=True) for _ in range(2)]
    supervised_loss((logits[0], logits[1]), torch.tensor([0, -1, 2, -1])).backward()
    for part in logits:
        assert part.grad is not None
        assert (part.grad.abs().sum(1) > 0).tolist() == [True, False, True, False]
    plain = [p.detach()[[0, 2]] for p in logits]
    expected = torch.stack([F.cross_entropy(p, torch.tensor([0, 2])) for p in plain]).mean()
    assert torch.allclose(supervised_loss((logits[0], logits[1]), torch.tensor([0, -1, 2, -1])), expected)


def test_consistency_moves_the_changed_view_of_items_without_a_label() -> None:
    plain = torch.tensor([[5.0, 0, 0], [2.0, 0, 1], [0.1, 0, 3]], requires_grad=True)
    changed = torch.randn(3, 3, requires_grad=True)
    blend = Mixup(torch.tensor([1.0, 0.75, 1.0]), torch.tensor([0, 2, 1]))
    hidden = torch.tensor([False, True, True])
    found = consistency_loss((plain, changed), hidden, blend, 0.5)
    found.backward()
    assert plain.grad is None
    assert changed.grad is not None
    assert (changed.grad.abs().sum(1) > 0).tolist() == [False, True, True]
    sharp = plain.detach().softmax(1).square()
    sharp = sharp / sharp.sum(1, keepdim=True)
    target = torch.stack([0.75 * sharp[1] + 0.25 * sharp[2], sharp[2]])
    expected = F.cross_entropy(changed.detach()[1:], target)
    assert found.item() == pytest.approx(expected.item(), rel=1e-5)


def test_items_with_a_label_are_not_blended() -> None:
    torch.manual_seed(0)
    hidden, x = torch.arange(64) >= 16, torch.randn(64, 1, 2, 2)
    blend = Mixup.draw(hidden)
    assert torch.equal(blend(x)[:16], x[:16])
    changed = (blend(x) != x).flatten(1).any(1)
    assert changed[16:].sum() > 24
    assert hidden[blend.other[changed]].all(), "a labelled item's picture went into an unlabelled one"
    assert (blend.share >= 0.5).all()


def test_the_classifier_learns_nothing_without_labels() -> None:
    model = Classifier(SPEC, Classifier.Config()).eval()
    loss(model, replace(items(6), label=torch.full((6,), -1))).backward()
    assert all(p.grad is None or not p.grad.any() for p in model.parameters())


def test_samples_follow_their_label_and_the_class_frequencies() -> None:
    model = build()
    torch.manual_seed(0)
    counts = model.prior(4000)[:, model.config.latent :].sum(0) / 4000
    assert torch.allclose(counts, torch.tensor([1, 2, 5]) / 8, atol=0.03)
    with torch.no_grad():  # a decoder that knows the class alone
        for p in model.decoder.parameters():
            p.zero_()
        first, last = model.decoder[1], model.decoder[3]
        first.weight[0, model.config.latent + 2] = 20.0  # type: ignore[index]
        last.weight[16:32, 0], last.bias[:16], last.bias[32:] = 1.0, 0.0, -7.0  # type: ignore[index]
        last.bias[16:32] = -10.0  # type: ignore[index]
    label = torch.tensor([0, 2, 1, 2])
    x = model.sample(4, label=label).float().mean((1, 2, 3))
    assert (x > 1.5).tolist() == [False, True, False, True]


def test_analogies_keep_the_style_and_go_through_all_classes() -> None:
    model, batch = build(), items(2)
    found = model.analogies(batch)
    assert found.shape == (2, 1 + SPEC.classes, *SPEC.shape)
    assert torch.equal(found[:, 0], batch.x.float())
    z = model.embed(batch)[:, : model.config.latent]
    for y in range(SPEC.classes):
        code = torch.cat([z, F.one_hot(torch.full((2,), y), SPEC.classes).float()], 1)
        assert torch.allclose(found[:, 1 + y], model.decode(code), atol=1e-5)


def test_varied_items_are_moved_mirrored_and_lack_a_square() -> None:
    x = torch.arange(1.0, 65).view(1, 1, 8, 8).expand(200, -1, -1, -1)
    torch.manual_seed(0)
    assert torch.equal(augment(x, shift=0.0, mirror=False, erase=0.0), x)
    mirrored = augment(x, shift=0.0, mirror=True, erase=0.0)
    assert {"same" if torch.equal(m, x[0]) else "flip" if torch.equal(m, x[0].flip(-1)) else "?" for m in mirrored} == {
        "same",
        "flip",
    }
    moved = augment(x, shift=0.125, mirror=False, erase=0.0)
    assert len({tuple(m.flatten().tolist()) for m in moved}) == 9
    assert any(torch.equal(m[:, 1:, :], x[0][:, :-1, :]) and torch.equal(m[:, 0], x[0][:, 0]) for m in moved)
    erased = (augment(x, shift=0.0, mirror=False, erase=0.5) != x).flatten(1).sum(1)
    assert erased.max() == 9
    assert erased.min() >= 3
