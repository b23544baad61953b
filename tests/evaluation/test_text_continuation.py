"""What a continuation costs, against sums over everything that might have followed; and the text that shows one."""

from __future__ import annotations

import itertools
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from genfoundry.data.iterate import sample_indices
from genfoundry.data.splits import lines, text
from genfoundry.evaluation.aggregate import aggregate
from genfoundry.evaluation.context import EvalContext
from genfoundry.evaluation.metrics import text_continuation
from genfoundry.evaluation.scores import Outputs
from genfoundry.models.char_rnn import CharRnn
from genfoundry.types import Batch, Draw, Spec

ALPHABET = "\nab"


def setting(n: int = 40) -> tuple[CharRnn, EvalContext]:
    torch.manual_seed(0)
    model = CharRnn(Spec((4,), 3), CharRnn.Config(cell="gru", width=6))
    with torch.no_grad():
        model.w_hy.weight.mul_(4)
    tensors = {"x": torch.randint(3, (n,), dtype=torch.uint8), "start": torch.zeros(1)}
    split = text.TextSplit("test", tensors, model.spec)
    dataset = SimpleNamespace(meta={"alphabet": ALPHABET})
    return model.eval(), EvalContext(dataset=dataset, train=split, split=split)  # type: ignore[arg-type]


def continue_text(model: CharRnn, context: EvalContext) -> Outputs:
    with torch.no_grad():
        return text_continuation.continue_text(model, context)


def test_its_cost_is_that_of_the_whole_less_all_that_begins_so() -> None:
    model, context = setting()
    scores = text_continuation.score_continuations(continue_text(model, context), context)
    found = np.asarray(scores["continue_nats_per_char"], np.float64)
    ends = torch.tensor(list(itertools.product(range(3), repeat=2)))
    expected = []
    for item in sample_indices(context.split, len(context.split)):
        x = context.split.eval_batch(item[None]).x
        all_of_them = Batch(torch.cat([x[:, :2].expand(9, 2), ends], 1))
        mass = model.measure(all_of_them)["nll"].neg().double()
        expected.append((mass.logsumexp(0) + model.measure(Batch(x))["nll"][0].double()).item() / 2)
    assert found == pytest.approx(expected, abs=1e-5)
    assert found.std() > 0.01
    shown = aggregate({"continue_nats_per_char": found}, 4, "text")
    assert shown["continue_nats_per_char"] == pytest.approx(found.mean())
    assert shown["continue_nats_per_char_low"] < found.mean() < shown["continue_nats_per_char_high"]


def test_a_text_shows_what_is_given_drawn_and_true(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, context = setting()
    plain = model.sample
    monkeypatch.setattr(model, "sample", lambda n, cond: plain(n, cond, draw=Draw(temperature=0.0)))
    outputs = continue_text(model, context)
    text_continuation.plot_continuations(outputs, context)["continued"](tmp_path / "continued.png")
    first = (tmp_path / "continued.txt").read_text().split("\n" + "-" * 72 + "\n")[0]
    x = context.split.eval_batch(sample_indices(context.split, len(context.split))[:1]).x
    written = plain(1, x[:, :2], draw=Draw(temperature=0.0))[0, :2]
    given, true, drawn = ("".join(ALPHABET[i] for i in part) for part in (x[0, :2], x[0, 2:], written))
    assert first == f"[given]\n{given}\n[continued]\n{drawn}\n[as it was]\n{true}"


def test_what_is_no_stream_is_not_continued() -> None:
    model, context = setting()
    context.split = lines.LineSplit("test", {"x": torch.zeros(9, 4, dtype=torch.uint8)}, model.spec)
    assert continue_text(model, context) == {}
