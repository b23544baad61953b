"""What holds for every model that is `Autoregressive`: one file in models/ more, and this suite proves it too."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from genfoundry import models
from genfoundry.models.abilities import Autoregressive, Completes
from genfoundry.nn.autoregressive.ancestral import class_log_shares, nll_per_value
from genfoundry.nn.heads import categorical_sampling
from genfoundry.nn.heads.categorical_sampling import sample_categorical
from genfoundry.types import Batch, Draw, Spec

SPECS = {
    "images": {
        "binary": Spec((1, 3, 3), 2),
        "labelled": Spec((1, 3, 3), 2, classes=3, class_counts=(3, 0, 5)),
        "grey": Spec((1, 2, 3), 256),
        "colour": Spec((3, 2, 2), 5),
        "colour, labelled": Spec((3, 2, 2), 256, classes=2),
    },
    "text": {"text": Spec((4,), 4)},
    "lines": {"lines": Spec((4,), 4)},
    "pairs": {"pairs": Spec((4,), 4, cond_shape=(5,), cond_levels=3)},
    "video": {
        "video": Spec((2, 1, 2, 2), 2, cond_shape=(2, 1, 2, 2), cond_levels=2),
        "colour, odd": Spec((2, 2, 3, 1), 4, cond_shape=(1, 2, 3, 1), cond_levels=4),
    },
}
FOUND = [name for name in models.names() if issubclass(models.find(name), Autoregressive)]
CASES = [
    pytest.param(name, spec, id=f"{name}-{label}")
    for name in FOUND
    for modality in models.find(name).modalities
    for label, spec in SPECS.get(modality, {}).items()
    if not models.find(name).why_unsupported(spec.levels)
]
SMALL = [case for case in CASES if case.values[1].levels ** case.values[1].dims <= 512]  # type: ignore[union-attr, operator]


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def build(name: str, spec: Spec, dtype: torch.dtype = torch.float64) -> Any:
    """The default `Config`, its weights moved far from where a model starts: what is 0 there would hide a leak."""
    kind = models.find(name)
    torch.manual_seed(7)
    model = kind(spec, kind.Config())
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.4 * torch.randn_like(parameter))
    return model.to(dtype).eval()


def asked(model: Any, n: int) -> dict[str, Tensor]:
    """`label` and `cond` for n items, of a model that follows them."""
    spec, random = model.spec, torch.Generator().manual_seed(n)
    found = {"label": torch.arange(n) % spec.classes} if model.conditional else {}
    if spec.cond_shape is not None:
        found["cond"] = torch.randint(spec.cond_levels, (n, *spec.cond_shape), generator=random)
    return found


def values(spec: Spec, n: int) -> Tensor:
    return torch.randint(spec.levels or 0, (n, *spec.shape), generator=torch.Generator().manual_seed(3))


def every(spec: Spec) -> Tensor:
    """(levels ** dims, *shape): all that there is."""
    assert spec.levels is not None
    places = torch.arange(spec.dims)
    return ((torch.arange(spec.levels**spec.dims)[:, None] // spec.levels**places) % spec.levels).view(-1, *spec.shape)


def predicted(model: Any, batch: Batch) -> Tensor:
    """(B, dims, levels)."""
    return model.predict(batch).flatten(1, -2)  # type: ignore[no-any-return]


@torch.no_grad()
def naive(model: Any, n: int, how: Draw, given: dict[str, Tensor]) -> Tensor:
    """One full pass a value."""
    x = torch.zeros(n, *model.spec.shape, dtype=torch.int64)
    for position in model.order().tolist():
        x.view(n, -1)[:, position] = sample_categorical(predicted(model, Batch(x, **given))[:, position], how)
    return x


def test_there_are_such_models() -> None:
    assert FOUND
    assert {case.values[0] for case in CASES} == set(FOUND), "a model without a spec here is not proved"


@pytest.mark.parametrize(("name", "spec"), CASES)
@torch.no_grad()
def test_levels_have_mass_one_and_make_the_likelihood(name: str, spec: Spec) -> None:
    model, x = build(name, spec), values(spec, 6)
    order, given = model.order(), asked(model, 6)
    assert order.dtype == torch.int64
    assert order.sort().values.tolist() == list(range(spec.dims))
    scores = model.predict(Batch(x, **given))
    assert scores.shape == (6, *spec.shape, spec.levels)
    assert scores.dtype == torch.float64
    assert scores.logsumexp(-1).abs().max() < 1e-6
    chosen = scores.gather(-1, x.unsqueeze(-1))[..., 0].flatten(1)
    assert torch.allclose(nll_per_value(model, Batch(x, **given)).flatten(1), -chosen, atol=1e-6)
    if model.conditional:
        each = []
        for share, label in class_log_shares(spec):
            part = model.predict(Batch(x, label=torch.full((6,), label))).gather(-1, x.unsqueeze(-1))
            each.append(share + part.flatten(1).sum(1))
        total = torch.stack(each).logsumexp(0)
        alone = torch.stack(
            [score - share for score, (share, _) in zip(each, class_log_shares(spec), strict=True) if share > -math.inf]
        )
        assert (alone[0] - alone[1]).abs().max() > 1e-3, "labels do not matter"
    else:
        total = chosen.sum(1)
    assert torch.allclose(model.measure(Batch(x, **given))["nll"].double(), -total, atol=1e-4, rtol=1e-5)


@pytest.mark.parametrize(("name", "spec"), SMALL)
@torch.no_grad()
def test_mass_of_everything_is_one(name: str, spec: Spec) -> None:
    model, x = build(name, spec), every(spec)
    given = {key: value.expand(len(x), *value.shape[1:]) for key, value in asked(model, 1).items()}
    mass = model.measure(Batch(x, **given))["nll"].double().neg().exp()
    assert mass.sum().item() == pytest.approx(1.0, abs=1e-5)
    assert mass.max() > 3 * mass.min(), "so even that any model would pass"


@pytest.mark.parametrize(("name", "spec"), CASES)
@torch.no_grad()
def test_each_value_depends_on_all_before_it_and_on_nothing_else(name: str, spec: Spec) -> None:
    """The Jacobian, by finite differences: strictly causal in the model's order, and without a blind spot."""
    model, n = build(name, spec), 8
    x, given, order = values(spec, n), asked(model, n), model.order().tolist()
    before = predicted(model, Batch(x, **given))
    assert spec.levels is not None
    for place, position in enumerate(order):
        moved = torch.zeros(spec.dims, dtype=torch.float64)
        for step in {1, spec.levels // 2, spec.levels - 1}:
            other = x.clone()
            other.view(n, -1)[:, position] = (other.view(n, -1)[:, position] + step) % spec.levels
            after = predicted(model, Batch(other, **given))
            moved = torch.maximum(moved, (after - before).abs().nan_to_num(0.0).amax((0, 2)).double())
        assert moved[order[: place + 1]].max() == 0, f"a value knows position {position}, which is not before it"
        assert place + 1 == spec.dims or moved[order[place + 1 :]].min() > 0, f"a value does not see {position}"


@pytest.mark.parametrize("how", [Draw(), Draw(0.7, 2, 0.9), Draw(0.0)], ids=["plain", "sharpened", "likeliest"])
@pytest.mark.parametrize(("name", "spec"), CASES)
def test_samples_are_those_of_a_full_pass_a_value(name: str, spec: Spec, how: Draw) -> None:
    model = build(name, spec)
    given = asked(model, 5)
    torch.manual_seed(1)
    fast = model.sample(5, draw=how, **given)
    torch.manual_seed(1)
    assert torch.equal(fast, naive(model, 5, how, given))


@pytest.mark.parametrize(("name", "spec"), CASES)
def test_what_the_sampler_computes_is_what_a_full_pass_does(
    name: str, spec: Spec, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, seen = build(name, spec, torch.float32), []
    given = asked(model, 4)

    def watched(logits: Tensor, how: Draw) -> Tensor:
        seen.append(logits.log_softmax(-1).flatten(0, -2))
        return logits

    monkeypatch.setattr(categorical_sampling, "apply_draw", watched)
    x = model.sample(4, draw=Draw(top_k=10_000), **given)  # a cut that cuts nothing: every level is looked at
    assert len(seen) == spec.dims, "a value is drawn with one `sample_categorical`"
    with torch.no_grad():
        whole = predicted(model, Batch(x, **given))
    for position, scores in zip(model.order().tolist(), seen, strict=True):
        likely = scores > math.log(1e-6)  # float32 has no digits left below
        assert (scores - whole[:, position]).abs()[likely].max() < 1e-5


COMPLETE = [case for case in CASES if issubclass(models.find(str(case.values[0])), Completes)]
FEW = [case for case in COMPLETE if case in SMALL]


@pytest.mark.parametrize(("name", "spec"), COMPLETE)
def test_a_completion_keeps_what_is_known(name: str, spec: Spec) -> None:
    model, x = build(name, spec), values(spec, 6)
    known = torch.zeros(6, spec.dims, dtype=torch.bool)
    for item in range(6):
        known[item, model.order()[: (spec.dims * item) // 5]] = True
    known = known.view(x.shape)
    made = model.complete(torch.where(known, x, 0), known)
    assert made.shape == x.shape
    assert made.dtype == torch.int64
    assert torch.equal(made[known], x[known])
    assert made.max() < (spec.levels or 0)
    with pytest.raises(ValueError, match="known"):
        model.complete(x, ~known)


@pytest.mark.parametrize(("name", "spec"), FEW)
@torch.no_grad()
def test_completions_are_drawn_from_what_the_likelihood_says(name: str, spec: Spec) -> None:
    model, n = build(name, spec), 4000
    whole, order = every(spec), model.order()
    last = order[-2:]
    known = torch.ones(spec.dims, dtype=torch.bool)
    known[last] = False
    x = whole[5:6].expand(n, *spec.shape)
    same = (whole.flatten(1)[:, known] == whole[5].flatten()[known]).all(1)
    mass = model.measure(Batch(whole[same]))["nll"].double().neg().softmax(0)
    torch.manual_seed(2)
    made = model.complete(x, known.view(1, *spec.shape).expand(n, *spec.shape)).flatten(1)[:, last]
    options = whole[same].flatten(1)[:, last]
    seen = (made[:, None] == options[None]).all(2).double().mean(0)
    assert seen.sum().item() == pytest.approx(1.0)
    assert ((seen - mass).abs() < 5 * (mass * (1 - mass) / n).sqrt() + 1e-3).all()


def test_shares_of_classes() -> None:
    assert [math.exp(share) for share, _ in class_log_shares(Spec((1,), 2, 3, (3, 0, 1)))] == [0.75, 0.0, 0.25]
    assert [math.exp(share) for share, _ in class_log_shares(Spec((1,), 2, 2))] == [0.5, 0.5]
