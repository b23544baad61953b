"""Ordinary differential equations by steps of Euler and of Heun, at a fixed number of evaluations.

A state is a tuple of tensors that move together: x alone, or x and the log-density that its path gains.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Literal, TypeAlias

from torch import Tensor

Solver = Literal["euler", "heun"]
State: TypeAlias = tuple[Tensor, ...]
Field: TypeAlias = Callable[[State, float], State]  # (state, time) -> its derivative by time
PASSES = {"euler": 1, "heun": 2}  # evaluations of the field a step; also the order of the method's error


def time_grid(steps: int, start: float = 0.0, end: float = 1.0) -> list[float]:
    """Return steps + 1 equally spaced times from `start` to `end`, which may be the earlier one."""
    return [start + (end - start) * i / steps for i in range(steps)] + [end]


def integrate(field: Field, state: State, times: Sequence[float], solver: Solver) -> State:
    """Return the state at the last of `times`, from that at the first.

    The error shrinks as the length of a step with "euler", as its square with "heun" (the explicit trapezoidal rule).
    """
    for now, then in itertools.pairwise(times):
        slope = field(state, now)
        ahead = _advance(state, slope, then - now)
        if solver == "heun":
            mean = tuple((a + b) / 2 for a, b in zip(slope, field(ahead, then), strict=True))
            ahead = _advance(state, mean, then - now)
        state = ahead
    return state


def _advance(state: State, slope: State, length: float) -> State:
    return tuple(value + length * change for value, change in zip(state, slope, strict=True))
