"""Training throughput of `fit` against plain loops over the same networks: adversarial models and flows of images.

    PYTHONPATH=src python bench/throughput_images.py [MODEL ...]

Random colour images of 32x32 in batches of 64, on one thread, so that no data have to be there. The plain loop is what
most projects write: a DataLoader over tensors, a pass of the critic for real images and one for generated ones, images
in the usual memory format (N, C, H, W), Adam with its defaults, float32, `.item()` each step, torch and its memory as
they come. Each arm is a process of its own, since settings of memory and determinism are a process's. Rounds are
interleaved and medians compared; on a CPU the clock is the process's own, which others' load moves less than a wall's.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
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
from genfoundry.types import Batch, Spec

ROUNDS, WARM, STEPS, BATCH, ITEMS = 5, 2, 10, 64, 1024  # WARM: steps before the clock starts
SPEC = Spec((3, 32, 32), 256)
HYPER: dict[str, dict[str, Any]] = {
    "dcgan": {"latent": 64, "width": 32, "critic_width": 32},
    "flow_matching": {"width": 32, "components": 0},  # the plain loop has no Gaussian
}
ARMS = ("plain", "float32", "bf16")
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


def time_plain_loop(name: str, images: Tensor, target: torch.device) -> float:
    """Seconds a step of the plain loop."""
    model = build(name, target)
    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            module.register_forward_pre_hook(lambda _, given: (given[0].contiguous(), *given[1:]))
    optimizers = {player: torch.optim.Adam(list(p)) for player, p in model.players().items()}
    loader = DataLoader(TensorDataset(images), batch_size=BATCH, shuffle=True, drop_last=True)
    batches, began = (x for _ in range(STEPS) for (x,) in loader), 0.0
    for step in range(-WARM, STEPS):
        if step == 0:
            began = read_clock(target)
        for player, loss in PLAIN[name](model, next(batches).to(target)):
            optimizers[player].zero_grad()
            loss.backward()
            loss.item()
            optimizers[player].step()
    return (read_clock(target) - began) / STEPS


def time_fit(name: str, images: Tensor, precision: str, target: torch.device) -> float:
    """Seconds a step of `fit`; what a phase begins and ends with does not count."""
    model, split, began = build(name, target), InMemorySplit(Batch(images.to(target)), SPEC), 0.0
    settings = {**model.defaults, "batch": BATCH, "steps": {"fit": WARM + STEPS + 1}, "precision": precision}
    train = config.check(config.Train, settings, name)
    for event in fit(model, Loader(split, BATCH, (name,)), train, key=(name,)):  # an event a step: fewer than 50
        if event.clock.step == WARM:
            began = read_clock(target)
        elif event.clock.step == WARM + STEPS:
            return (read_clock(target) - began) / STEPS
    raise AssertionError("expected an event each step")


def read_clock(target: torch.device) -> float:
    """Seconds of this process on a CPU, else of the wall."""
    return time.process_time() if target.type == "cpu" else time.perf_counter()


def run_arm(name: str, arm: str) -> None:
    """Print the seconds a step of one arm."""
    run = config.check(config.Run, {"seed": 0, "threads": 1, "precision": "float32" if arm == "plain" else arm}, "run")
    torch.set_num_threads(1)
    target = device.find_device(run.device) if arm == "plain" else device.configure_torch(run)
    images = torch.randint(256, (ITEMS, *SPEC.shape), generator=torch.Generator().manual_seed(0))
    print(time_plain_loop(name, images, target) if arm == "plain" else time_fit(name, images, arm, target))


def main(names: list[str]) -> None:
    for name in names:
        times: dict[str, list[float]] = {arm: [] for arm in ARMS}
        for _ in range(ROUNDS):
            for arm in ARMS:
                command = [sys.executable, __file__, "--arm", name, arm]
                times[arm].append(float(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout))
        plain = statistics.median(times["plain"])
        for arm in ARMS:
            seconds = statistics.median(times[arm])
            print(
                f"{name:14} {arm:8} {seconds * 1e3:8.2f} ms a step, {BATCH / seconds:7.0f} images/s, "
                f"{plain / seconds:.2f}x the plain loop",
                flush=True,
            )


if __name__ == "__main__":
    if sys.argv[1:2] == ["--arm"]:
        run_arm(*sys.argv[2:])
    else:
        main(sys.argv[1:] or list(HYPER))
