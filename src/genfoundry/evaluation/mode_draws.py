"""How many samples the modes of a model are counted in: more than other metrics have where classes are many."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from genfoundry.types import Spec

MANY = 100  # classes from which other metrics' samples are too few
PER_CLASS = 26  # samples drawn then, as Srivastava et al. 2017 (26,000 of 1,000 classes)
MOST = 52  # times as many as other metrics have, so that a small budget stays one


def count_draws(spec: Spec, samples: int) -> int:
    """Number of samples whose classes are counted, where other metrics have `samples`."""
    return min(PER_CLASS * spec.classes, MOST * samples) if has_many_classes(spec) else samples


def has_many_classes(spec: Spec) -> bool:
    """Whether modes are counted in samples of their own, "mode_samples"."""
    return spec.classes >= MANY


def draw_samples(draw: Callable[[int], Tensor], spec: Spec, n: int) -> dict[str, Tensor]:
    """Return n "samples", as a model's metrics have, and the "mode_samples" of many classes; `draw` takes a number."""
    more = {"mode_samples": draw(count_draws(spec, n))} if has_many_classes(spec) else {}
    return {"samples": draw(n), **more}
