"""Frechet distance against steps: of samples that become real items as the steps become many."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import toys
from torch import Tensor

from genfoundry.evaluation import plots
from genfoundry.evaluation.metrics import sampling_steps
from genfoundry.evaluation.metrics.sampling_steps import FEW, METRICS, STEPS
from genfoundry.evaluation.predict import predict, score
from genfoundry.models.base import GenerativeModel, Hyper
from genfoundry.types import Batch, Draw


class Nearing(GenerativeModel):
    """Items whose error is halved by twice the steps."""

    def sample(self, n: int, cond: Tensor | None = None, label: Tensor | None = None, draw: Draw = Draw()) -> Tensor:
        return self.sample_in(n, 8)

    def sample_in(self, n: int, steps: int, label: Tensor | None = None) -> Tensor:
        x, _ = toys.images(n, int(torch.randint(1000, ())))
        return (x + 16 // steps - 1).clamp(max=16)  # exact in 16 steps


class Judge(toys.Reads):
    kind, device = "classes", torch.device("cpu")

    def prepare_batch(self, batch: Batch) -> Batch:
        return batch

    def features(self, x: Tensor) -> Tensor:
        return x.float().flatten(2).mean(2).repeat(1, 2) + x[:, 0, :2, 0].float()


def test_the_curve_falls_to_the_line_of_real_items(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, context = Nearing(toys.SPEC, Hyper()), toys.context(Judge(toys.SPEC, Hyper()), samples=200)
    outputs = predict(model, context, METRICS)
    assert [len(x) for x in outputs["samples_in"].values()] == [200] * len(STEPS)
    scores = score(outputs, context, METRICS)
    assert scores["features_few"].shape == scores["real_few"].shape == (200, 2)
    drawn = {}
    monkeypatch.setattr(plots, "plot_lines", lambda path, curves, **more: drawn.update(curves))
    for draw in sampling_steps.plot_steps(outputs, context).values():
        draw(tmp_path / "curve.png")
    (steps, values), (_, line) = drawn["samples"], drawn[sampling_steps.REAL]
    assert tuple(steps) == STEPS and values == sorted(values, reverse=True)
    assert values[0] > 10 * line[0] and values[-1] < 4 * line[0] + 0.1
    few = sampling_steps.compute_few(scores, toys.SPEC.dims)["frechet_few_steps"]
    assert few.value == pytest.approx(values[STEPS.index(FEW)])


def test_models_that_integrate_nothing_have_none() -> None:
    assert not METRICS[0].requires.is_met_by(GenerativeModel(toys.SPEC, Hyper()))
    context = toys.context(toys.Reads(toys.SPEC, Hyper()))
    assert predict(Nearing(toys.SPEC, Hyper()), context, METRICS) == {}, "a judge without features"
