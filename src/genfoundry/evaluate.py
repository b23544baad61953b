"""A trained model and a split -> answers and scores. What a model is measured by follows from its abilities.

`python -m genfoundry.evaluate --model DIR --data DIR --split gate --samples N --seed S --out FILE.safetensors` writes
what depends on the model alone, so that an old model can be measured anew with the code that it was trained by.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Collection, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from genfoundry import checkpoint, restoration
from genfoundry.abilities import carried, translation
from genfoundry.baselines.base import Answers, batches, chosen
from genfoundry.data.base import Seasonal
from genfoundry.groups import grouped
from genfoundry.metrics import CELLS, DAMAGES, OBJECTIVES, QUANTILES
from genfoundry.models.base import Classifies, Forecasts, GenerativeModel, Learner, Restores, Translates
from genfoundry.types import Batch, Spec, UserError, counted

if TYPE_CHECKING:
    from genfoundry.data.base import Split

Scores = dict[str, NDArray[np.generic]]
SIZE = 200  # items in a batch of evaluation: fixed, since noise is drawn a batch at a time


@runtime_checkable
class Judges(Protocol):
    """A frozen network whose features compare samples with real items; it knows grey values 0..spec.levels-1."""

    spec: Spec
    kind: str  # what it learnt from: "classes" or "rotations"

    def asked(self, batch: Batch) -> Batch:
        """The batch with the labels that it was trained to tell."""

    @property
    def device(self) -> torch.device: ...

    def features(self, x: Tensor) -> Tensor:
        """(B, *shape) integers -> (B, F)."""


@torch.inference_mode()
def answers(model: Learner, split: Split, *, samples: int, seed: int, needs: Collection[str] | None = None) -> Answers:
    """What depends on the model alone, on the CPU; with `needs` what these scores (an objective's) are made of alone.

    "nll" (N,) and whatever else it measures, nats in float64; "nll_carried" (N,) of text whose windows are read one
    after another; "samples" (min(samples, N), C, H, W) of images;
    "forecast" (N, len(QUANTILES), T, D) of each window after its past; "classes" (N,) as it tells them;
    "restored_<damage>" (n, C, H, W) of what `restoration.posed` asks of images; "translated" (n, T) of what
    `translation.asked` asks of pairs.
    """
    model.eval()
    found: Answers = {}
    asked = set(needs if needs is not None else (need for o in OBJECTIVES.values() for need in o.needs))
    if asked & {"nll", "frame"} and isinstance(model, GenerativeModel) and model.likelihood != "none":
        parts = [_seeded(seed, split, "measure", i, model.measure, b) for i, b in enumerate(_batches(model, split))]
        found |= {name: torch.cat([p[name].cpu().double() for p in parts]) for name in parts[0]}
    if "nll_carried" in asked and (nll := carried.nats(model, split)) is not None:
        found["nll_carried"] = nll
    if "features" in asked and isinstance(model, GenerativeModel) and len(split.spec.shape) == 3:
        sizes = [len(part) for part in torch.split(torch.arange(min(samples, len(split))), SIZE)]
        drawn = [_seeded(seed, split, "sample", i, model.sample, n).cpu() for i, n in enumerate(sizes)]
        small = split.spec.levels is not None and split.spec.levels <= 256
        found["samples"] = torch.cat([x.to(torch.uint8) if small else x for x in drawn])
    if asked & {"mae", "mase", "dtw"} and isinstance(model, Forecasts) and split.spec.cond_shape is not None:
        pasts = [b.cond for b in _batches(model, split) if b.cond is not None]
        horizon = split.spec.shape[0]
        found["forecast"] = torch.cat([model.forecast(past, horizon, QUANTILES).cpu().double() for past in pasts])
    if isinstance(model, Restores) and len(split.spec.shape) == 3:
        restored, due = partial(_restored, model, split), [d for d in model.damages if f"restore_{d}_psnr" in asked]
        found |= {f"restored_{d}": _seeded(seed, split, "restore", 0, restored, d) for d in due}
    if "hits" in asked and isinstance(model, Classifies) and split.spec.classes:
        found["classes"] = torch.cat([model.classify(b).argmax(1).cpu() for b in _batches(model, split)])
    if "chrf" in asked and isinstance(model, Translates) and split.spec.cond_levels is not None:
        found["translated"] = translation.translated(model, split, SIZE)
    return found


def _restored(model: Any, split: Split, damage: str) -> Tensor:
    posed = restoration.posed(split, damage)
    known = None if posed.known is None else posed.known.to(model.device)
    restored: Tensor = model.restore(posed.x.to(model.device), known)
    return restored.float().cpu()


def _batches(model: Learner, split: Split) -> Any:
    return (batch.to(model.device) for batch in batches(split, size=SIZE))


def _seeded(seed: int, split: Split, what: str, step: int, call: Callable[..., Any], argument: object) -> Any:
    torch.manual_seed(counted(seed, split.name, what, step))
    return call(argument)


def score(
    found: Mapping[str, Tensor],
    split: Split,
    judge: Learner | None = None,
    real: NDArray[np.generic] | None = None,
) -> Scores:
    """Scores of answers on a split, ready for `metrics`: whoever gave the answers.

    "nll" and other measured names (N,), "frame", the nll a frame of a video (N,), "nll_cells", the values that are
    there, where some are missing (N,); "mae", "mase", "dtw" of the median
    forecast and "covered", the share of values in the 90% interval, of the windows in which a value is seen; "hits" of
    the labelled items (M,); "chrf" and "exact_lines" of translations (n,);
    "restore_<damage>_psnr" and "_ssim" (n,); "features" of the n samples and "real" of n items of the split (n, F)
    where there is a judge (`real`: those of earlier answers on this split, which spares their computation).
    Beside each "<name>" of items that are no groups of their own, "<name>_group" (`groups.grouped`).
    """
    apart = ("samples", "forecast", "classes", "translated", *(f"restored_{damage}" for damage in DAMAGES))
    each: Scores = {k: v.double().numpy() for k, v in found.items() if k not in apart}
    if "nll" in found and len(split.spec.shape) == 4:  # (T, C, H, W)
        each["frame"] = found["nll"].double().numpy() / split.spec.shape[0]
    if "nll" in found and (seen := _seen(split)) is not None:
        each[CELLS] = seen
    out: Scores = grouped(each, split)
    for damage in DAMAGES:
        if f"restored_{damage}" in found:
            out |= restoration.posed(split, damage).scores(damage, found[f"restored_{damage}"])
    if "forecast" in found:
        out |= _forecast(found["forecast"].double().numpy(), split)
    if "translated" in found:
        out |= translation.scores(found["translated"], split)
    if "classes" in found:
        label = torch.cat([b.label for b in batches(split) if b.label is not None]).cpu()
        if (label >= 0).any():
            hits = (found["classes"] == label)[label >= 0].double().numpy()
            out |= grouped({"hits": hits}, split, (label >= 0).nonzero().flatten())
    if "samples" in found and isinstance(judge, Judges):
        out["features"] = features(judge, found["samples"], split.spec.levels)
        index = chosen(split, len(found["samples"]))
        if real is None or len(real) != len(index):
            real = features(judge, items(split, len(index)), split.spec.levels)
        out |= grouped({"real": real}, split, index)
    return out


def _seen(split: Split) -> NDArray[np.float64] | None:
    """(N,) values of each item that are there; None where none is missing."""
    if split.spec.levels is not None or not split.whole.isnan().any():
        return None
    return torch.cat([(~b.x.isnan()).flatten(1).sum(1) for b in batches(split)]).cpu().double().numpy()


def _forecast(bands: NDArray[np.float64], split: Split) -> Scores:
    """Scores of the quantiles (N, Q, T, D) over the values that are there, of windows in which one is."""
    truth = torch.cat([b.x for b in batches(split)]).cpu().double().numpy()  # (N, T, D)
    there = ~np.isnan(truth)
    some, whole = there.any((1, 2)), there.all(2)
    low, middle, high = bands.transpose(1, 0, 2, 3)
    weight = (there / np.maximum(there.sum((1, 2), keepdims=True), 1))[some]
    error = np.abs(middle - np.where(there, truth, middle))[some]
    out: Scores = {"mae": (error * weight).sum((1, 2))}
    if isinstance(split, Seasonal):
        out["mase"] = (error / split.scale.cpu().double().numpy() * weight).sum((1, 2))
    pairs = [(a[w], b[w]) for a, b, w in zip(middle, truth, whole, strict=True) if w.any()]
    out["covered"] = (((low <= truth) & (truth <= high))[some] * weight).sum((1, 2))
    warps = {"dtw": np.array([warped(a, b) for a, b in pairs])}
    return grouped(out, split, _where(some)) | grouped(warps, split, _where(whole.any(1)))


def _where(chosen: NDArray[np.bool_]) -> Tensor:
    return torch.from_numpy(np.flatnonzero(chosen))


def items(split: Split, n: int) -> Tensor:
    """(n, *shape): the real items that n samples are compared with."""
    return torch.cat([b.x for b in batches(split, chosen(split, n))])


def warped(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Dynamic-time-warping distance of two series (T, D): root of the least sum of squares over alignments."""
    from dtaidistance import dtw_ndim

    one, two = (np.ascontiguousarray(x, np.float64) for x in (a, b))
    return float(dtw_ndim.distance_fast(one, two))


@torch.inference_mode()
def features(judge: Judges, x: Tensor, levels: int | None) -> NDArray[np.float32]:
    """(n, F) judge features of images in 0..levels-1, which are spread over the judge's own levels first."""
    parts = []
    for part in torch.split(x, SIZE):
        parts.append(judge.features(spread(part.to(judge.device), levels, judge.spec.levels or 256)).float().cpu())
    return cast("NDArray[np.float32]", torch.cat(parts).numpy())


def spread(x: Tensor, levels: int | None, over: int) -> Tensor:
    """Levels 0..levels-1 (None: grey values) -> int64 0..over-1, black to black and white to white."""
    if levels is None:
        return x.round().clamp(0, over - 1).long()
    return x.long() if levels == over else x.long() * (over - 1) // (levels - 1)


@torch.inference_mode()
def accuracy(judge: Learner, split: Split) -> float | None:
    """How often the judge is right about a split at its own levels (labelled items, or turns); None without any."""
    if not isinstance(judge, Classifies):
        return None
    judge.eval()
    hits = []
    for batch in batches(split, size=SIZE):
        asked = (judge.asked(batch) if isinstance(judge, Judges) else batch).to(judge.device)
        if asked.label is not None:
            hits.append((judge.classify(asked).argmax(1) == asked.label)[asked.label >= 0])
    return float(torch.cat(hits).double().mean()) if hits and len(torch.cat(hits)) else None


def judge(folder: Path | None, device: str = "cpu") -> Learner | None:
    """The judge in a folder; None of a data set that has none."""
    return checkpoint.load(folder, device) if folder else None


def main() -> None:
    """Write the answers of a model on a split to a file."""
    from genfoundry.data.base import Dataset

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
    checkpoint.write_tensors(a.out, found, {"digest": learner.card["digest"], "split": a.split})


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(str(error))
