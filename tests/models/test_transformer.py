"""What the suites of all models do not ask of a transformer: its settings, and texts longer than its windows."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from genfoundry.models.transformer import Transformer
from genfoundry.nn.autoregressive.ancestral import Canvas
from genfoundry.nn.heads import categorical_sampling
from genfoundry.nn.heads.categorical_sampling import sample_categorical
from genfoundry.types import Batch, Draw, Spec

COLOUR, TEXT = Spec((2, 3, 4), 7, classes=2), Spec((6,), 5)
SETTINGS: list[dict[str, Any]] = [
    {"patch": 1, "reach": 1},
    {"patch": 3, "reach": 2, "rows": 2},
    {"patch": 4, "mixtures": 2},
    {"labels": False, "layers": 3, "dropout": 0.5},
]


def build(spec: Spec, **hyper: Any) -> Transformer:
    torch.manual_seed(3)
    model = Transformer(spec, Transformer.Config(**hyper))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return model.double().eval()


class Forced(Canvas):
    """Puts what it is told to, and keeps the log-probability of each value in the order of drawing."""

    def __init__(self, values: Tensor, spec: Spec, monkeypatch: pytest.MonkeyPatch) -> None:
        super().__init__(len(values), spec, values.device, Draw(top_k=99))  # which looks at every level, and cuts none
        self.values, self.scores = values.flatten(1), []  # type: ignore[var-annotated]
        self.seen = torch.empty(0)
        monkeypatch.setattr(categorical_sampling, "apply_draw", self.see)

    def see(self, logits: Tensor, how: Draw) -> Tensor:
        self.seen = logits.log_softmax(-1).view(len(self.x), -1)
        return logits

    def put(self, position: int, value: Tensor) -> Tensor:
        value = self.values[:, position]
        self.scores.append(self.seen.gather(1, value[:, None])[:, 0])
        return super().put(position, value)


@pytest.mark.parametrize("hyper", SETTINGS)
@torch.no_grad()
def test_the_cache_gives_what_a_full_pass_does(hyper: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    model, label = build(COLOUR, **hyper), torch.tensor([0, 1, -1])
    x = torch.randint(7, (3, *COLOUR.shape))
    canvas = Forced(x, COLOUR, monkeypatch)
    model.fill(canvas, label)
    whole = model.nll_per_value(Batch(x, label=label)).flatten(1)[:, model.order()]
    assert torch.allclose(torch.stack(canvas.scores, 1), -whole, atol=1e-10)


@pytest.mark.parametrize("hyper", SETTINGS)
@torch.no_grad()
def test_strictly_causal_without_a_blind_spot(hyper: dict[str, Any]) -> None:
    model = build(COLOUR, **hyper)
    x, order = torch.randint(7, (4, *COLOUR.shape)), model.order()
    before = model.predict(Batch(x)).flatten(1, -2)[:, order]
    for place, position in enumerate(order.tolist()):
        other = x.clone()
        other.view(4, -1)[:, position] = (other.view(4, -1)[:, position] + 3) % 7
        moved = (model.predict(Batch(other)).flatten(1, -2)[:, order] - before).abs().amax((0, 2))
        assert moved[: place + 1].max() == 0
        assert place + 1 == COLOUR.dims or moved[place + 1 :].min() > 0


@pytest.mark.parametrize("begun", [1, 5, 6, 17])
@pytest.mark.parametrize("hyper", [{"patch": 1}, {"patch": 2, "grams": 0}, {"patch": 3, "grams": 4}])
@torch.no_grad()
def test_a_text_is_as_likely_as_its_parts_each_given_what_is_before(
    hyper: dict[str, Any], begun: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """-log p(ab) = -log p(a) - log p(b | a), b as the sampler has it after the prompt a, also beyond the window."""
    model = build(TEXT, **hyper)
    prompt, text = torch.randint(5, (3, begun)), torch.randint(5, (3, 6))
    canvas = Forced(text, TEXT, monkeypatch)
    model.fill(canvas, None, prompt)
    whole = model.nll_per_value(Batch(torch.cat([prompt, text], 1)))
    assert torch.allclose(whole.sum(1), model.nll_per_value(Batch(prompt)).sum(1) - torch.stack(canvas.scores).sum(0))
    assert torch.allclose(whole[:, begun:], -torch.stack(canvas.scores, 1))


@torch.no_grad()
def test_a_prompt_is_continued() -> None:
    model, prompt = build(TEXT), torch.randint(5, (2, 7))
    torch.manual_seed(0)
    drawn = model.sample(2, prompt, draw=Draw(0.8, top_k=4))
    torch.manual_seed(0)
    whole = prompt
    for _ in range(6):
        padded = torch.cat([whole, whole[:, :1]], 1)  # the last character is not looked at
        whole = torch.cat(
            [whole, sample_categorical(model.predict(Batch(padded))[:, -1], Draw(0.8, top_k=4))[:, None]], 1
        )
    assert torch.equal(whole[:, 7:], drawn)


@torch.no_grad()
def test_a_place_does_not_matter_beyond_the_window() -> None:
    """The window slides: what is further back than it reaches through the blocks changes nothing."""
    model = build(TEXT, patch=1, layers=2, grams=2)
    x = torch.randint(5, (1, 30))
    later = model.predict(Batch(x))[:, 20]
    assert torch.allclose(model.predict(Batch(x[:, 8:]))[:, 12], later)
    assert not torch.allclose(model.predict(Batch(x[:, 12:]))[:, 8], later, atol=1e-4)


def test_heads_divide_the_width() -> None:
    with pytest.raises(ValidationError, match="multiple of twice the heads, 6"):
        Transformer.Config(width=8, heads=3)
