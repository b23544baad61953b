from __future__ import annotations

import pytest
import torch

from genfoundry.data.splits import text
from genfoundry.evaluation import objective_intervals, objectives, predict, yardstick
from genfoundry.evaluation.predictions import stateful_likelihood
from genfoundry.models.char_rnn import CharRnn
from genfoundry.types import Batch, Spec


def setting(n: int = 83) -> tuple[CharRnn, text.TextSplit]:
    torch.manual_seed(0)
    model = CharRnn(Spec((8,), 5), CharRnn.Config(cell="lstm", width=6))
    with torch.no_grad():
        model.w_hy.weight.mul_(4)
    tensors = {"x": torch.randint(5, (n,), dtype=torch.uint8), "start": torch.zeros(1)}
    return model.eval(), text.TextSplit("test", tensors, model.spec)


@torch.no_grad()
def test_one_lane_reads_the_text_as_a_whole() -> None:
    model, split = setting()
    nll = stateful_likelihood.nats(model, split, lanes=1)
    assert nll is not None
    whole, _ = model.stream(Batch(split.tensor[None, :80].long()), None)
    assert nll.sum().item() == pytest.approx(whole.item(), rel=1e-5)
    windows = torch.cat([model.measure(b)["nll"] for b in [split.eval_batch(torch.arange(len(split)))]])
    assert nll[0].item() == pytest.approx(windows[0].item(), rel=1e-5)
    assert (nll[1:] - windows[1:]).abs().min() > 1e-3


@pytest.mark.parametrize("lanes", [2, 3, 4, 10, 99])
@torch.no_grad()
def test_each_lane_is_read_on_its_own(lanes: int) -> None:
    model, split = setting()
    nll = stateful_likelihood.nats(model, split, lanes)
    assert nll is not None
    each = -(-len(split) // min(lanes, len(split)))
    expected = []
    for first in range(0, len(split), each):
        part, state = range(first, min(first + each, len(split))), None
        for item in part:
            value, state = model.stream(split.eval_batch(torch.tensor([item])), state)
            expected.append(value.double())
    assert torch.allclose(nll, torch.cat(expected), atol=1e-5)


def test_the_figure_stands_beside_the_windowed_one() -> None:
    model, split = setting()
    found = predict.answers(model, split, samples=2, seed=0)
    scores = predict.score(found, split)
    for figures in (objective_intervals.figures(scores, 8, "text"), yardstick.figures(scores, 8, "text")):
        assert figures["nats_per_char_carried"] == pytest.approx(found["nll_carried"].mean().item() / 8)
        assert figures["nats_per_char"] == pytest.approx(found["nll"].mean().item() / 8)
    assert "nll_carried" not in predict.answers(model, split, samples=2, seed=0, needs=("nll",))
    assert "nats_per_char_carried" in objectives.objectives(CharRnn, "text")
    assert "nats_per_char_carried" in yardstick.FIGURES
