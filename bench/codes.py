"""Training throughput of the vector-quantised models: `fit` in bfloat16 against a plain loop in float32, in one run.

    PYTHONPATH=src python bench/codes.py [STEPS]

32x32 colour images, 128 channels, batch 128, each phase on its own. The plain loop is what most projects write: a
DataLoader over tensors, Adam with its defaults, float32, `.item()` each step, on the same network. Times are of the
process (one thread): machines are busy. What `fit` does before its first step is in them.
"""

from __future__ import annotations

import statistics
import sys
import time

import torch
from torch.utils.data import DataLoader, TensorDataset

from genfoundry import models
from genfoundry.config import Train, check
from genfoundry.data.loaders import Loader
from genfoundry.data.splits.images import ImageSplit
from genfoundry.models.base import Learner
from genfoundry.training.loop import fit
from genfoundry.types import Batch, Clock, Spec

ROUNDS, BATCH, SPEC = 3, 128, Spec((3, 32, 32), 256, classes=10, class_counts=(100,) * 10)
HYPER = {"codes": 256, "dimension": 32, "width": 128, "blocks": 2, "mixtures": 5, "prior_width": 128}


def build(name: str) -> Learner:
    kind = models.find(name)
    torch.manual_seed(0)
    return kind(SPEC, check(kind.Config, {**HYPER, "prior_layers": 4}, name)).train()


def time_plain_loop(name: str, phase: str, data: ImageSplit, steps: int) -> float:
    """Seconds for `steps` steps of the plain loop."""
    model = build(name)
    optimizers = {player: torch.optim.Adam(p) for player, p in model.players().items()}
    loader = iter(DataLoader(TensorDataset(data.tensor, data.label), batch_size=BATCH, shuffle=True))
    began = time.process_time()
    for step in range(steps):
        x, label = next(loader)
        for losses in model.losses(Batch(x.long(), label=label), Clock(phase, step, steps)):
            for player, loss in losses.items():
                optimizers[player].zero_grad()
                loss.backward()
                loss.item()
                optimizers[player].step()
    return time.process_time() - began


def time_fit(name: str, phase: str, data: ImageSplit, steps: int, precision: str) -> float:
    """Seconds for `steps` steps of `fit`."""
    model = build(name)
    total = {**dict.fromkeys(model.phases, 0), phase: steps}
    settings = {**model.defaults, "batch": BATCH, "precision": precision, "steps": total}
    began = time.process_time()
    for _ in fit(model, Loader(data, BATCH, ()), check(Train, settings, name), key=()):
        pass
    return time.process_time() - began


def main() -> None:
    steps = int((sys.argv[1:] or ["4"])[0])
    draw = torch.Generator().manual_seed(0)
    x = torch.randint(256, (steps * BATCH, *SPEC.shape), dtype=torch.uint8, generator=draw)
    data = ImageSplit("train", {"x": x, "label": torch.arange(len(x)) % 10}, SPEC)
    torch.set_num_threads(1)
    for name in ("vq_vae", "vq_vae2"):
        for phase in models.find(name).phases:
            times: dict[str, list[float]] = {"plain": [], "float32": [], "bf16": []}
            for _ in range(ROUNDS):
                times["plain"].append(time_plain_loop(name, phase, data, steps))
                for precision in ("float32", "bf16"):
                    times[precision].append(time_fit(name, phase, data, steps, precision))
            middle = {arm: statistics.median(seconds) / steps for arm, seconds in times.items()}
            summary = ", ".join(
                f"{arm} {1e3 * s:.0f} ms a step ({middle['plain'] / s:.2f}x)" for arm, s in middle.items()
            )
            print(f"{name} {phase}: {summary}", flush=True)


if __name__ == "__main__":
    main()
