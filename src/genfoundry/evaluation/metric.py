"""What a figure is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

TITLES = {"bits_per_dim": "bits/dim", "nats_per_char": "nats/char", "nats_per_frame": "nats/frame"}
TITLES |= {"nats_per_char_carried": "nats/char, carried", "frechet": "Frechet", "chrf": "chrF"}
TITLES |= {"mae": "MAE", "mase": "MASE", "dtw": "DTW"}


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
