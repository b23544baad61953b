"""What a figure is, and how one gets its interval."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from genfoundry.distances import Array
from genfoundry.metrics import RESAMPLES, means
from genfoundry.types import counted

TITLES = {"bits_per_dim": "bits/dim", "nats_per_char": "nats/char", "nats_per_frame": "nats/frame"}
TITLES |= {"nats_per_char_carried": "nats/char, carried", "frechet": "Frechet", "chrf": "chrF"}
TITLES |= {"mae": "MAE", "mase": "MASE", "dtw": "DTW"}
Found = tuple[float, Array | None]  # a figure, and the bootstrap's draws of it


@dataclass(frozen=True)
class Figure:
    """A column of the leaderboard. `needs` is the ability without which a model has no such figure."""

    name: str
    title: str
    direction: Literal["minimize", "maximize", "ideal"]
    unit: str
    says: str
    needs: str
    modalities: tuple[str, ...] = ("images",)
    ideal: float | None = None


def rng(name: str) -> np.random.Generator:
    """The generator of a figure's interval."""
    return np.random.default_rng(counted("interval", name))


def mean(name: str, items: object) -> Found:
    values = np.asarray(items, np.float64)
    return float(values.mean()), means(values, rng(name))


def counts(name: str, n: int) -> Array:
    """(RESAMPLES, n): how often each item is drawn with replacement."""
    return rng(name).multinomial(n, np.full(n, 1 / n), RESAMPLES).astype(np.float64)
