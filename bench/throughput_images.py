"""Training throughput of `fit` against plain loops over the same networks: adversarial models and flows of images.

    PYTHONPATH=src python bench/throughput_images.py [MODEL ...] [float32] [bf16]

Random colour images of 32x32 in batches of 64, on one thread, so that no data have to be there. The plain loop is what
most projects write: a DataLoader over tensors, a pass of the critic for real images and one for generated ones (which
serve both players, as in PyTorch's own example), images in the usual memory format (N, C, H, W), Adam with its
defaults, float32, `.item()` each step, torch and its memory as they come. Each arm is a process of its own, since
settings of memory and determinism are a process's; they take turns step by step, and medians are compared, as machines
are noisy. On a CPU the clock is the process's own.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from genfoundry import config, models
from genfoundry.data.in_memory import InMemorySplit
from genfoundry.data.loaders import Loader
from genfoundry.training import device
from genfoundry.training.loop import fit
from genfoundry.types import Batch, Event, Spec

WARM, STEPS, BATCH, ITEMS = 3, 30, 64, 1024  # WARM: steps that do not count
SPEC = Spec((3, 32, 32), 256)
HYPER: dict[str, dict[str, Any]] = {
    "dcgan": {"latent": 64, "width": 32, "critic_width": 32},
    "flow_matching": {"width": 32, "components": 0},  # the plain loop has no Gaussian
}
ARMS = ("float32", "bf16")  # of `fit`
Game = Iterator[tuple[str, Tensor]]


def scale(x: Tensor) -> Tensor:
    """Levels (B, C, H, W) -> [-1, 1), dequantised."""
    return (x + torch.rand(x.shape, device=x.device)) / 128 - 1


def play_dcgan(model: Any, x: Tensor) -> Game:
    """Player and loss, one after the other, as in most implementations of the hinge loss."""
    fake = model.generator(torch.randn(len(x), model.config.latent, device=x.device))
    real_score, fake_score = model.critic(scale(x)), model.critic(fake.detach())
    yield "critic", F.relu(1 - real_score).mean() + F.relu(1 + fake_score).mean()
    yield "generator", -model.critic(fake).mean()


def play_flow_matching(model: Any, x: Tensor) -> Game:
    """The velocity's squared error at a uniform time."""
    x1, t = scale(x), torch.rand(len(x), device=x.device)
    x0 = torch.randn(x.shape, device=x.device)
    at = t.view(-1, 1, 1, 1)
    point = (1 - at) * x0 + at * x1
    # The network reads what a Gaussian expects beside the point
    yield "model", F.mse_loss(model.network(torch.cat([point, point], 1), t), x1 - x0)


PLAIN: dict[str, Callable[[Any, Tensor], Game]] = {"dcgan": play_dcgan, "flow_matching": play_flow_matching}


def build(name: str, target: torch.device) -> Any:
    """The model, in train mode."""
    torch.manual_seed(0)
    kind = models.find(name)
    return kind(SPEC, kind.Config(**HYPER[name])).to(target).train()


def run_plain_loop(name: str, images: Tensor, target: torch.device) -> Iterator[None]:
    """Train by the plain loop; yields after each step."""
    model = build(name, target)
    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            module.register_forward_pre_hook(lambda _, given: (given[0].contiguous(), *given[1:]))
    optimizers = {player: torch.optim.Adam(list(p)) for player, p in model.players().items()}
    loader = DataLoader(TensorDataset(images), batch_size=BATCH, shuffle=True, drop_last=True)
    for _ in range(STEPS):
        for (x,) in loader:
            for player, loss in PLAIN[name](model, x.to(target)):
                optimizers[player].zero_grad()
                loss.backward()
                loss.item()
                optimizers[player].step()
            yield


def run_fit(name: str, images: Tensor, precision: str, target: torch.device) -> Iterator[Event]:
    """Train by `fit`, which yields an event after each of so few steps."""
    model, split = build(name, target), InMemorySplit(Batch(images.to(target)), SPEC)
    settings = {**model.defaults, "batch": BATCH, "steps": {"fit": WARM + STEPS + 1}, "precision": precision}
    train = config.check(config.Train, settings, name)
    return fit(model, Loader(split, BATCH, (name,)), train, key=(name,))


def read_clock(target: torch.device) -> float:
    """Seconds of this process on a CPU, else of the wall."""
    return time.process_time() if target.type == "cpu" else time.perf_counter()


def run_arm(name: str, arm: str) -> None:
    """Take a step for each line of the input, and print its seconds."""
    run = config.check(config.Run, {"seed": 0, "threads": 1, "precision": "float32" if arm == "plain" else arm}, "run")
    torch.set_num_threads(1)
    target = device.find_device(run.device) if arm == "plain" else device.configure_torch(run)
    images = torch.randint(256, (ITEMS, *SPEC.shape), generator=torch.Generator().manual_seed(0))
    steps = run_plain_loop(name, images, target) if arm == "plain" else run_fit(name, images, arm, target)
    for _ in sys.stdin:
        began = read_clock(target)
        next(steps)
        print(read_clock(target) - began, flush=True)


def measure(name: str, arms: Sequence[str]) -> dict[str, float]:
    """Median seconds a step of each arm; each takes a step in turn."""
    command = [sys.executable, __file__, "--arm", name]
    with ExitStack() as stack:
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "bufsize": 1}
        workers = [stack.enter_context(subprocess.Popen([*command, arm], **pipes)) for arm in arms]
        rounds = [[take_step(worker) for worker in workers] for _ in range(WARM + STEPS)]
        for worker in workers:
            worker.stdin.close()
    return dict(zip(arms, map(statistics.median, zip(*rounds[WARM:], strict=True)), strict=True))


def take_step(worker: Any) -> float:
    """Seconds of a worker's next step."""
    worker.stdin.write("\n")
    return float(worker.stdout.readline())


def main(names: Sequence[str], arms: Sequence[str]) -> None:
    for name in names:
        seconds = measure(name, arms)
        for arm in arms:
            gain = seconds["plain"] / seconds[arm]
            rate = f"{seconds[arm] * 1e3:8.2f} ms a step, {BATCH / seconds[arm]:7.0f} images/s"
            print(f"{name:14} {arm:8} {rate}, {gain:.2f}x the plain loop", flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--arm"]:
        run_arm(*sys.argv[2:])
    else:
        named = [word for word in sys.argv[1:] if word in PLAIN]
        main(named or list(PLAIN), ["plain", *([word for word in sys.argv[1:] if word in ARMS] or ARMS)])
