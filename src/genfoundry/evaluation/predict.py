"""A trained model and a split -> answers and scores. What a model is measured by follows from its abilities.

`python -m genfoundry.evaluate --model DIR --data DIR --split gate --samples N --seed S --out FILE.safetensors` writes
what depends on the model alone, so that an old model can be measured anew with the code that it was trained by.
"""

from __future__ import annotations

import argparse
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from genfoundry import files
from genfoundry.evaluation.predictions import KINDS, OF_ANSWERS, Answers, Scores, kind, kinds, kinds_of
from genfoundry.models import checkpoint

if TYPE_CHECKING:
    from genfoundry.models.base import Learner
    from genfoundry.splits import Split


@torch.inference_mode()
def answers(model: Learner, split: Split, *, samples: int, seed: int, needs: Collection[str] | None = None) -> Answers:
    """What depends on the model alone, on the CPU; with `needs` what these scores (an objective's) are made of alone.

    "nll" (N,) and whatever else it measures, nats in float64; "nll_carried" (N,) of text whose windows are read one
    after another; "samples" (min(samples, N), C, H, W) of images;
    "forecast" (N, len(QUANTILES), T, D) of each window after its past; "classes" (N,) as it tells them;
    "restored_<damage>" (n, C, H, W) of what `answers.restoration.posed` asks of images; "translated" (n, T) of what
    `answers.translation.asked` asks of pairs.
    """
    model.eval()
    found: Answers = {}
    asked = set(needs) if needs is not None else {need for given in KINDS.values() for need in given}
    for name in kinds(asked):
        found |= kind(name).answers(model, split, asked, samples, seed)
    return found


def score(
    found: Mapping[str, Tensor],
    split: Split,
    judge: Learner | None = None,
    real: NDArray[np.generic] | None = None,
) -> Scores:
    """Scores of answers on a split, ready for `objectives`: whoever gave the answers.

    "nll" and other measured names (N,), "frame", the nll a frame of a video (N,), "nll_cells", the values that are
    there, where some are missing (N,); "mae", "mase", "dtw" of the median
    forecast and "covered", the share of values in the 90% interval, of the windows in which a value is seen; "hits" of
    the labelled items (M,); "chrf" and "exact_lines" of translations (n,);
    "restore_<damage>_psnr" and "_ssim" (n,); "features" of the n samples and "real" of n items of the split (n, F)
    where there is a judge (`real`: those of earlier answers on this split, which spares their computation).
    Beside each "<name>" of items that are no groups of their own, "<name>_group" (`groups.grouped`).
    """
    out: Scores = {}
    for name in kinds_of(found):
        own = {key: value for key, value in found.items() if OF_ANSWERS.get(key, "likelihood") == name}
        out |= kind(name).scores(own, split, judge, real)
    return out


def main() -> None:
    """Write the answers of a model on a split to a file."""
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
    found = answers(learner, Dataset(a.data).split(a.split, **how), samples=a.samples, seed=a.seed)
    files.write_tensors(a.out, found, {"digest": learner.card["digest"], "split": a.split})
