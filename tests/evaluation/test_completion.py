"""The likelihood of a completion, against sums over everything; the figures and the picture of one."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
import toys
from torch import Tensor

from genfoundry import models
from genfoundry.config import Bound
from genfoundry.evaluation.aggregate import aggregate
from genfoundry.evaluation.card import explain_absent
from genfoundry.evaluation.metrics import completion
from genfoundry.models.abilities import Autoregressive, Completes
from genfoundry.models.base import GenerativeModel, Hyper
from genfoundry.models.families.ancestral import AncestralModel
from genfoundry.nn.autoregressive.ancestral import Canvas, raster_order
from genfoundry.nn.heads.categorical_sampling import sample_categorical
from genfoundry.types import Batch, Draw, Spec


class Coins(AncestralModel):
    """Pixels on their own, each 1 with a probability that the class says."""

    chance = (0.9, 0.2, 0.5)

    @property
    def conditional(self) -> bool:
        return True

    def order(self) -> Tensor:
        return raster_order(self.spec)

    def predict(self, batch: Batch) -> Tensor:
        assert batch.label is not None
        one = torch.tensor(self.chance, dtype=torch.float64)[batch.label].log()
        zero = torch.log1p(-torch.tensor(self.chance, dtype=torch.float64))[batch.label]
        return torch.stack([zero, one], 1)[:, None, None, None].expand(*batch.x.shape, 2)

    def fill(self, canvas: Canvas, label: Tensor | None = None, prompt: Tensor | None = None) -> None:
        for position in range(self.spec.dims):
            scores = self.predict(Batch(canvas.x, label=label)).flatten(1, -2)
            canvas.put(position, sample_categorical(scores[:, position]))


COINS = Coins(Spec((1, 4, 2), 2, classes=3, class_counts=(1, 3, 4)), Hyper())
UPPER = (torch.arange(4) < 2).view(1, 1, 4, 1)


def test_a_completion_is_told_the_class_by_what_is_known() -> None:
    x = torch.tensor([1, 1, 1, 1, 1, 0, 1, 1]).view(1, 1, 4, 2)
    prior, chance = torch.tensor([1, 3, 4]) / 8, torch.tensor(Coins.chance)
    posterior = prior * chance**4
    posterior /= posterior.sum()
    expected = -(posterior * chance**3 * (1 - chance)).sum().log()
    found = completion.missing_nats(COINS, x, UPPER.expand_as(x))
    assert found.item() == pytest.approx(expected.item(), rel=1e-5)
    torch.manual_seed(0)
    many = x.expand(40_000, -1, -1, -1)
    drawn = COINS.complete(many, UPPER.expand_as(many))
    assert torch.equal(drawn[:, :, :2], many[:, :, :2])
    assert drawn[:, :, 2:].double().mean().item() == pytest.approx((posterior * chance).sum().item(), abs=0.006)


@pytest.mark.parametrize("name", ["fvsbn", "made"])
def test_it_is_what_the_whole_costs_less_what_is_known(name: str) -> None:
    kind, spec = models.find(name), Spec((1, 4, 2), 2)
    torch.manual_seed(0)
    model: Any = kind(spec, kind.Config()).double()
    with torch.no_grad():
        for p in model.parameters():
            p.add_(torch.randn_like(p))
    x = torch.tensor([0, 1, 1, 0, 1, 0, 0, 1]).view(1, 1, 4, 2)
    lower = torch.tensor(list(itertools.product((0, 1), repeat=4))).view(16, 1, 2, 2)
    every = torch.cat([x[:, :, :2].expand(16, -1, -1, -1), lower], 2)
    with torch.no_grad():
        upper = -model.measure(Batch(every))["nll"].neg().logsumexp(0)
        assert completion.missing_nats(model, x, UPPER.expand_as(x)).item() == pytest.approx(
            (model.measure(Batch(x))["nll"] - upper).item(), abs=1e-6
        )


class Zeros(GenerativeModel):
    """Completes by black."""

    likelihood = "none"

    def complete(self, x: Tensor, known: Tensor) -> Tensor:
        return torch.where(known, x, 0)


class Mute(GenerativeModel):
    """Completes nothing."""

    likelihood = "none"

    def sample(self, n: int, cond: Tensor | None = None, label: Tensor | None = None, draw: Draw = Draw()) -> Tensor:
        return torch.zeros(n, *self.spec.shape)


def test_what_a_completion_leaves_behind() -> None:
    context = toys.context()
    seen = toys.examine_outputs(completion.complete(Zeros(toys.SPEC, Hyper()), context), context)
    assert set(seen.scores) == {"complete_psnr", "complete_ssim"}
    assert set(seen.beside) == {"mean image", "gaussian conditional mean", "nearest item", "k nearest items"}
    sheet = torch.from_numpy(seen.plots["completed"].keywords["images"])
    given, made, truth = sheet.unflatten(0, (-1, 3)).unbind(1)
    assert torch.equal(given, made)
    assert not given[:, :, 4:].any()
    assert truth[:, :, 4:].any()
    assert torch.equal(truth[:, :, :4], given[:, :, :4])
    why = explain_absent({}, "images", Zeros(toys.SPEC, Hyper()), None)
    assert why["complete_nats"] == "no likelihood of a part"
    assert "completed" not in toys.examine(Mute(toys.SPEC, Hyper()), context).outputs


def test_a_likelihood_gives_nats_that_are_less_than_the_whole() -> None:
    kind = models.find("made")
    torch.manual_seed(0)
    model = kind(toys.SPEC, kind.Config())
    assert isinstance(model, Completes) and isinstance(model, Autoregressive)
    context = toys.context(bound=Bound(k=2, items=20))
    with torch.no_grad():
        outputs = completion.complete(model, context)
    found = aggregate(completion.score_completions(outputs, context), 64, "images")
    assert found["complete_nats_low"] < found["complete_nats"] < found["complete_nats_high"]
    with torch.no_grad():
        whole = model.measure(context.split.eval_batch(torch.arange(100)))["nll"].mean()
    assert 0.3 * whole < found["complete_nats"] < 0.7 * whole
