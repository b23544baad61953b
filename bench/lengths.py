"""Time a character that ByteNet's translations take, by their length: constant, since every layer keeps a queue.

    PYTHONPATH=src python bench/lengths.py [STREAMS]

Weights are random and the end has no probability, so that a target is as long as it can be; source and target are
equally long. Lengths take turns and the least CPU seconds are compared: machines are busy. The naive arm is one full
pass a character, at the shortest length alone.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

import torch

from genfoundry import models
from genfoundry.config import check
from genfoundry.types import Batch, Draw, Spec

ROUNDS, LENGTHS, LEVELS = 9, (64, 256, 1024), 85
HYPER = {"width": 96, "dilations": [1, 2, 4], "encoder": 2, "decoder": 2}


def build(length: int, unfold: str) -> Any:
    kind = models.find("bytenet")
    torch.manual_seed(0)
    spec = Spec((length,), LEVELS, cond_shape=(length,), cond_levels=LEVELS)
    model = kind(spec, check(kind.Config, {**HYPER, "unfold": unfold}, "bytenet")).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
        model.out.bias[-1] = -1e9
    return model


def seconds(call: Callable[[], object]) -> float:
    began = time.process_time()
    call()
    return time.process_time() - began


@torch.inference_mode()
def naive(model: Any, cond: torch.Tensor) -> torch.Tensor:
    """One full pass a character."""
    x = torch.zeros(len(cond), model.spec.dims, dtype=torch.int64)
    for t in range(model.spec.dims):
        x[:, t] = model.logits(Batch(x, cond))[:, t].argmax(-1)
    return x


@torch.inference_mode()
def main() -> None:
    n = int((sys.argv[1:] or ["16"])[0])
    torch.set_num_threads(1)
    for unfold in ("plain", "follow"):
        arms = {length: build(length, unfold) for length in LENGTHS}
        conds = {length: torch.randint(LEVELS - 1, (n, length)) for length in LENGTHS}
        times: dict[int, list[float]] = {length: [] for length in LENGTHS}
        for turn in range(ROUNDS + 1):
            for length, model in arms.items():
                duration = seconds(lambda model=model, cond=conds[length]: model.sample(n, cond, draw=Draw(0.0)))  # type: ignore[misc]
                if turn:  # the first is for caches to fill
                    times[length].append(duration / length)
        least = {length: min(values) for length, values in times.items()}
        line = ", ".join(f"{length}: {1e6 * s:.0f} us ({s / least[LENGTHS[0]]:.3f})" for length, s in least.items())
        print(f"{unfold}: CPU a character of {n} streams at length {line}", flush=True)
        slow = seconds(lambda: naive(arms[LENGTHS[0]], conds[LENGTHS[0]])) / LENGTHS[0]  # noqa: B023
        print(f"{unfold}: one full pass a character at {LENGTHS[0]}: {slow / least[LENGTHS[0]]:.0f} times as long")


if __name__ == "__main__":
    main()
