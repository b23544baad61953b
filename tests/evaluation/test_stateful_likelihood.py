from __future__ import annotations

import pytest
import torch

from genfoundry.data.splits import text
from genfoundry.evaluation.aggregate import aggregate
from genfoundry.evaluation.context import SplitContext
from genfoundry.evaluation.metrics.likelihood import stream_nats
from genfoundry.evaluation.objectives import computable_objectives, find_objective
from genfoundry.evaluation.predict import predict, score
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
    nll = stream_nats(model, split, lanes=1)
    whole, _ = model.stream(Batch(split.tensor[None, :80].long()), None)
    assert nll.sum().item() == pytest.approx(whole.item(), rel=1e-5)
    windows = torch.cat([model.measure(b)["nll"] for b in [split.eval_batch(torch.arange(len(split)))]])
    assert nll[0].item() == pytest.approx(windows[0].item(), rel=1e-5)
    assert (nll[1:] - windows[1:]).abs().min() > 1e-3


@pytest.mark.parametrize("lanes", [2, 3, 4, 10, 99])
@torch.no_grad()
def test_each_lane_is_read_on_its_own(lanes: int) -> None:
    model, split = setting()
    nll = stream_nats(model, split, lanes)
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
    found = predict(model, SplitContext(split=split, samples=2, seed=0))
    scores = score(found, SplitContext(split=split))
    for figures in (aggregate(scores, 8, "text", on_test=False), aggregate(scores, 8, "text")):
        assert figures["nats_per_char_carried"] == pytest.approx(found["nll_carried"].mean().item() / 8)
        assert figures["nats_per_char"] == pytest.approx(found["nll"].mean().item() / 8)
    assert "nll_carried" not in predict(model, SplitContext(split=split), [find_objective("nats")])
    assert "nats_per_char_carried" in computable_objectives(CharRnn, "text")
