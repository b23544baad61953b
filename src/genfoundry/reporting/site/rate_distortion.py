"""Rate against distortion: what the models' codes cost, and what an item still costs once they are known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from genfoundry.evaluation.yardstick import FIGURES
from genfoundry.reporting.site.chart import Chart, chart
from genfoundry.reporting.site.results import Facts, Model


@dataclass(frozen=True)
class Point:
    """A model's rate and distortion in the unit of its figure, which is their sum; PSNR of what it reconstructs."""

    model: str
    rate: float
    distortion: float
    psnr: float | None


@dataclass(frozen=True)
class Plane:
    """The models of a data set at one number of levels and one binarisation."""

    title: str
    unit: str
    chart: Chart
    points: Sequence[Point]


def planes(facts: Facts, name: str) -> list[Plane]:
    """A plane a table of the leaderboard that has a model with a rate."""
    homes: dict[tuple[str, str], list[Model]] = {}
    for model in facts.of(name):
        if {"rate", "distortion", "nats_per_sample"} <= model.figures.keys():
            homes.setdefault((str(model.card.get("levels")), str(model.card.get("binarise"))), []).append(model)
    return [plane(levels, binarise, models) for (levels, binarise), models in sorted(homes.items())]


def plane(levels: str, binarise: str, models: Sequence[Model]) -> Plane:
    """Models on the same data."""
    unit = next((u for u in ("bits_per_dim", "nats_per_char") if u in models[0].figures), "nats_per_sample")
    points = [_point(model, unit) for model in models]
    points.sort(key=lambda p: p.rate + p.distortion)
    dots = [(p.rate, p.distortion, p.model) for p in points]
    said = FIGURES[unit].title
    drawn = chart(f"distortion by rate, {said}", (), x="rate", dots=dots, named=True)
    assert drawn is not None
    how = [f"{levels} levels"] if levels != "None" else []
    how += [f"binarised ({binarise})"] if binarise != "None" else []
    return Plane(", ".join(how), said, drawn, points)


def _point(model: Model, unit: str) -> Point:
    figures = model.figures
    factor = figures[unit] / figures["nats_per_sample"] if figures["nats_per_sample"] else 0.0
    rate, distortion = factor * figures["rate"], factor * figures["distortion"]
    return Point(model.name, rate, distortion, figures.get("reconstruct_psnr"))
