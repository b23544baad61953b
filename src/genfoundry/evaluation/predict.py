"""A trained model and a split -> its outputs -> scores of items. What a model is asked follows from its abilities.

`python -m genfoundry.evaluate --model DIR --data DIR --split gate --samples N --seed S --out FILE.safetensors` writes
the outputs, which depend on the model alone, so that an old model can be measured anew with the code that trained it.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from genfoundry import files
from genfoundry.evaluation.context import SplitContext
from genfoundry.evaluation.metric import Metric
from genfoundry.evaluation.metrics import metrics_on_every_split
from genfoundry.evaluation.scores import Outputs, Scores
from genfoundry.models import checkpoint

if TYPE_CHECKING:
    from genfoundry.models.base import Learner


def predict(model: Learner, context: SplitContext, metrics: Iterable[Metric] | None = None) -> Outputs:
    """Run the model on a split and return its raw outputs (CPU tensors), ready for `score`.

    Args:
        model: is put in evaluation mode.
        context: the split, how many samples, the seed.
        metrics: what is to be computed from the outputs; None: every metric that is measured on every split.
    """
    metrics = list(metrics_on_every_split() if metrics is None else metrics)
    # Metrics may share a function, which is called once
    calls = dict.fromkeys(m.predict for m in metrics if m.predict is not None and m.requires.is_met_by(model))
    model.eval()
    outputs: Outputs = {}
    # Classifiers may be trained on outputs of test-only metrics, which tensors of inference mode forbid.
    with torch.no_grad() if any(m.test_only for m in metrics) else torch.inference_mode():
        for call in calls:
            outputs |= call(model, context)
    return outputs


@torch.no_grad()
def score(outputs: Outputs, context: SplitContext, metrics: Iterable[Metric] | None = None) -> Scores:
    """Score each item by the outputs on it, whether a model or a baseline gave them.

    Beside each "<name>" of items that are no groups of their own is "<name>_group" (`scores.add_groups`).
    """
    scores: dict[str, NDArray[np.generic]] = {}
    for call in dict.fromkeys(m.score for m in (metrics_on_every_split() if metrics is None else metrics)):
        scores |= call(outputs, context)
    return scores


def main() -> None:
    """Write the outputs of a model on a split to a file."""
    from genfoundry.data.dataset import Dataset

    parser = argparse.ArgumentParser(prog="python -m genfoundry.evaluate", description=main.__doc__)
    for name in ("model", "data", "out"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--split", required=True)
    for name in ("samples", "seed"):
        parser.add_argument(f"--{name}", type=int, required=True)
    a = parser.parse_args()
    learner = checkpoint.load(a.model)
    how = {key: learner.card.get("data", {}).get(key) for key in ("levels", "binarise")}
    split = Dataset(a.data).split(a.split, **how)
    outputs = predict(learner, SplitContext(split=split, samples=a.samples, seed=a.seed))
    files.write_tensors(a.out, outputs, {"digest": learner.card["digest"], "split": a.split})
