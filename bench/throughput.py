"""Training throughput of `fit` against a plain loop over the same network and batch, both arms in one run.

    PYTHONPATH=src python bench/throughput.py EXPERIMENT [STEPS] [float32|bf16] [KEY=VALUE ...]

The plain loop is what most projects write: a DataLoader over tensors, dynamic binarisation of each batch where the task
asks for it, convolutions in the usual memory format (N, C, H, W), Adam with its defaults, float32, `.item()` each
step, torch and its memory as they come: each arm is a process of its own. Rounds are interleaved and medians compared:
machines are noisy. Prepared data must be there (`dvc repro`). Keys are laid over the entry, for example MADE at 2,000
units: `made-fashion-binary 20 bf16 hyper.hidden=2000`, or `pixelcnn-fashion 10 bf16 hyper.width=32 hyper.layers=5`.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace

import torch
from torch.utils.data import DataLoader, TensorDataset

from genfoundry import paths
from genfoundry.config import yaml_file
from genfoundry.data.dataset import Dataset
from genfoundry.data.loaders import Loader
from genfoundry.nn.autoregressive.gated_pixelcnn import GatedStack
from genfoundry.training import device, experiment
from genfoundry.training.loop import fit
from genfoundry.types import Batch, Clock
from pipeline.orchestration import resolve

ROUNDS, WARM = 5, 3  # rounds; steps before the clock starts


def time_plain_loop(resolved: experiment.Experiment, split, steps: int) -> float:  # type: ignore[no-untyped-def]
    """Seconds for `steps` steps of the plain loop."""
    model = resolved.build(split.spec).to(split.tensor.device).train()
    optimizers = {name: torch.optim.Adam(list(p)) for name, p in model.players().items()}
    drawn = getattr(split, "binarise", None) == "dynamic"
    some = torch.arange(min(split.positions, 20_000), device=split.tensor.device)
    items = split.tensor[some].cpu() / (split.native - 1) if drawn else split.train_batch(some).x.cpu()
    loader = DataLoader(TensorDataset(items), batch_size=resolved.train.batch, shuffle=True, drop_last=True)

    def endless() -> Iterator[torch.Tensor]:
        while True:
            yield from (x for (x,) in loader)

    for module in model.modules():
        if isinstance(module, GatedStack | torch.nn.Conv2d):
            module.register_forward_pre_hook(lambda _, given: (given[0].contiguous(), *given[1:]))
    stream, began = endless(), 0.0
    for step in range(-WARM, steps):
        if step == 0:
            began = time.perf_counter()
        x = next(stream).to(split.tensor.device)
        batch = Batch(torch.bernoulli(x).long() if drawn else x)
        for losses in model.losses(batch, Clock(model.phases[0], max(step, 0), steps)):
            for name, loss in losses.items():
                optimizers[name].zero_grad()
                loss.backward(retain_graph=len(losses) > 1)
                loss.item()
                optimizers[name].step()
    return time.perf_counter() - began


def time_fit(resolved: experiment.Experiment, split, steps: int) -> float:  # type: ignore[no-untyped-def]
    """Seconds for `steps` steps of `fit`."""
    model, duration = resolved.build(split.spec).to(split.tensor.device), 0.0
    for count in (WARM, steps):
        train = resolved.train.model_copy(update={"steps": {model.phases[0]: count}})
        began = time.perf_counter()
        for _ in fit(model, Loader(split, train.batch, resolved.key), train, key=resolved.key):
            pass
        duration = time.perf_counter() - began
    return duration


def run_arm(arm: str, words: list[str]) -> None:
    """Print the seconds a step of one arm, and the batch."""
    name, steps, precision = words[0], int((words[1:] or ["30"])[0]), (words[2:] or ["float32"])[0]
    overlay = {key: yaml_file.parse_yaml(value) for key, _, value in (word.partition("=") for word in words[3:])}
    resolved = resolve.load_experiment(name, overlay=overlay)
    resolved = replace(resolved, train=resolved.train.model_copy(update={"precision": precision}))
    torch.set_num_threads(resolved.run.threads)
    target = device.find_device(resolved.run.device) if arm == "plain" else device.configure_torch(resolved.run)
    split = Dataset(paths.prepared(resolved.entry.dataset)).split(
        "train", resolved.task.levels, resolved.task.binarise, target
    )
    print((time_plain_loop if arm == "plain" else time_fit)(resolved, split, steps) / steps, resolved.train.batch)


def main(words: list[str]) -> None:
    times: dict[str, list[float]] = {"plain": [], "fit": []}
    for _ in range(ROUNDS):
        for arm, seconds in times.items():
            run = [sys.executable, __file__, f"--{arm}", *words]
            printed = subprocess.run(run, check=True, stdout=subprocess.PIPE, text=True).stdout.split()
            seconds.append(float(printed[0]))
    middle = {arm: statistics.median(values) for arm, values in times.items()}
    for arm, seconds in middle.items():
        print(f"{' '.join(words)} {arm:6} {seconds * 1e3:8.2f} ms a step, {int(printed[1]) / seconds:8.0f} samples/s")
    print(f"{' '.join(words)}: fit is {middle['plain'] / middle['fit']:.2f}x the plain loop")


if __name__ == "__main__":
    if sys.argv[1].startswith("--"):
        run_arm(sys.argv[1].removeprefix("--"), sys.argv[2:])
    else:
        main(sys.argv[1:])
