"""Share of classes that a generator reaches while it trains, by the judge of its data set."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from genfoundry.evaluation.judge import classify_samples, load_judge
from genfoundry.models.abilities import Classifies
from genfoundry.models.base import GenerativeModel, Learner
from genfoundry.seeding import derive_seed
from genfoundry.training.loop import count_interval
from genfoundry.types import Clock

PROBES = 10  # a training: each takes as long as a few steps
SAMPLES = 128  # that a probe draws


@dataclass(frozen=True)
class ClassShare:
    """A probe for `training.loop.fit`: {"class_share"} at some events of the last phase, {} at others.

    1 stands for as many classes as so many real items are expected to reach. Noise is seeded by the event, and the
    model's modes and buffers are put back: a training that is looked at ends with the same bits.

    Args:
        judge: a network that classifies items, in evaluation mode.
        key: what draws are seeded by.
    """

    judge: Any
    key: tuple[object, ...]

    @classmethod
    def read(cls, folder: Path, key: tuple[object, ...], device: str) -> ClassShare | None:
        """Read the judge in a folder; None where it learnt no classes."""
        judge = load_judge(folder, device)
        return cls(judge, key) if isinstance(judge, Classifies) and getattr(judge, "kind", "") == "classes" else None

    def __call__(self, model: Learner, clock: Clock) -> dict[str, float]:
        if not isinstance(model, GenerativeModel) or clock.phase != model.phases[-1] or not _is_due(clock):
            return {}
        modes = [(module, module.training) for module in model.modules()]
        buffers = [(buffer, buffer.clone()) for buffer in model.buffers()]
        devices = [model.device] if model.device.type == "cuda" else []
        with torch.no_grad(), torch.random.fork_rng(devices):
            torch.manual_seed(derive_seed(*self.key, clock.phase, "class share", clock.step))
            x = model.eval().sample(SAMPLES)  # (SAMPLES, C, H, W)
            reached = len(set(classify_samples(self.judge, x, model.spec.levels).tolist()))
        for buffer, before in buffers:
            buffer.copy_(before)
        for module, mode in modes:
            module.training = mode
        return {"class_share": min(1.0, reached / count_expected(model.spec.class_shares, SAMPLES))}


def count_expected(shares: tuple[float, ...], n: int) -> float:
    """Return how many classes n independent items reach on average, given the classes' probabilities."""
    return sum(1 - (1 - share) ** n for share in shares)


def _is_due(clock: Clock) -> bool:
    """Whether the event is the first after another tenth of the phase: a function of the clock, as after a kill."""
    before = (clock.step - 1) // count_interval(clock.total) * count_interval(clock.total)
    return PROBES * clock.step // clock.total > PROBES * before // clock.total
