"""Training throughput of `fit` against a plain loop over the same network and batch, both arms in one run.

    PYTHONPATH=src python bench/throughput.py EXPERIMENT [STEPS] [float32|bf16] [KEY=VALUE ...]

The plain loop is what most projects write: a DataLoader over tensors, Adam with its defaults, float32, `.item()` each
step. Rounds are interleaved and medians compared: machines are noisy. Prepared data must be there (`dvc repro`).
Keys are laid over the entry, for example MADE at 2,000 units: `made-fashion-binary 20 bf16 hyper.hidden=2000`.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Iterator

import torch
import yaml
from torch.utils.data import DataLoader, TensorDataset

from genfoundry import device, experiment, places
from genfoundry.data.base import Dataset, Loader
from genfoundry.train import fit
from genfoundry.types import Batch, Clock

ROUNDS = 5


def plain(one: experiment.Experiment, split, steps: int) -> float:  # type: ignore[no-untyped-def]
    """Seconds for `steps` steps of the plain loop."""
    model = one.build(split.spec).to(split.whole.device).train()
    optimizers = {name: torch.optim.Adam(list(p)) for name, p in model.players().items()}
    items = split.crop(torch.arange(min(split.positions, 20_000), device=split.whole.device)).x.cpu()
    loader = DataLoader(TensorDataset(items), batch_size=one.train.batch, shuffle=True, drop_last=True)

    def endless() -> Iterator[torch.Tensor]:
        while True:
            yield from (x for (x,) in loader)

    stream, began = endless(), time.perf_counter()
    for step in range(steps):
        for losses in model.losses(Batch(next(stream).to(split.whole.device)), Clock(model.phases[0], step, steps)):
            for name, loss in losses.items():
                optimizers[name].zero_grad()
                loss.backward(retain_graph=len(losses) > 1)
                loss.item()
                optimizers[name].step()
    return time.perf_counter() - began


def ours(one: experiment.Experiment, split, steps: int, precision: str) -> float:  # type: ignore[no-untyped-def]
    """Seconds for `steps` steps of `fit`."""
    model = one.build(split.spec).to(split.whole.device)
    train = one.train.model_copy(update={"steps": {model.phases[0]: steps}, "precision": precision})
    loader = Loader(split, train.batch, one.key)
    began = time.perf_counter()
    for _ in fit(model, loader, train, key=one.key):
        pass
    return time.perf_counter() - began


def main() -> None:
    name, steps, precision = sys.argv[1], int((sys.argv[2:] or ["30"])[0]), (sys.argv[3:] or ["float32"])[0]
    overlay = {key: yaml.safe_load(value) for key, _, value in (word.partition("=") for word in sys.argv[4:])}
    one = experiment.load(name, overlay=overlay)
    target = device.arm(one.params)
    split = Dataset(places.prepared(one.entry.dataset)).split("train", one.task.levels, one.task.binarise, target)
    arms = {"plain": lambda: plain(one, split, steps), "fit": lambda: ours(one, split, steps, precision)}
    times: dict[str, list[float]] = {arm: [] for arm in arms}
    for _ in range(ROUNDS):
        for arm, run in arms.items():
            times[arm].append(run() / steps)
    middle = {arm: statistics.median(values) for arm, values in times.items()}
    for arm, seconds in middle.items():
        print(f"{name} {arm:6} {seconds * 1e3:8.2f} ms a step, {one.train.batch / seconds:8.0f} samples/s")
    ratio = middle["plain"] / middle["fit"]
    print(f"{name} fit ({precision}) is {ratio:.2f}x the plain loop, {one.params.threads} threads")


if __name__ == "__main__":
    main()
