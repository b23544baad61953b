"""Rate against distortion (Alemi et al. 2018): the cost of latent codes, and of items given their codes."""

from __future__ import annotations

from collections.abc import Iterator

from genfoundry.reporting import leaderboard
from genfoundry.reporting.metric_info import METRICS
from genfoundry.reporting.site.charts import chart
from genfoundry.reporting.site.results import Json, ModelResult, Results


def planes(results: Results, dataset: str) -> Iterator[Json]:
    """A plane per table of the leaderboard that has a model with a rate: its chart, and its points by their bound."""
    tables: dict[tuple[str, str], list[ModelResult]] = {}
    for model in results.models_of(dataset):
        if {"rate", "distortion", "nats_per_sample"} <= model.metrics.keys():
            tables.setdefault((str(model.card.get("levels")), str(model.card.get("binarise"))), []).append(model)
    for _, models in sorted(tables.items()):
        card = {key: models[0].card.get(key) for key in ("levels", "binarise")}
        unit = next((u for u in ("bits_per_dim", "nats_per_char") if u in models[0].metrics), "nats_per_sample")
        points = sorted((_point(model, unit) for model in models), key=lambda p: p["rate"] + p["distortion"])
        dots = [(p["rate"], p["distortion"], p["model"]) for p in points]
        drawn = chart(f"distortion by rate, {METRICS[unit].title}", x="rate", dots=dots, labelled=True)
        yield {"title": leaderboard.title(card), "chart": drawn, "points": points}


def _point(model: ModelResult, unit: str) -> Json:
    """Rate and distortion in the unit of the model's bound, which is their sum; PSNR of its reconstructions."""
    metrics = model.metrics
    # The bound is known both in nats and in the unit: their ratio converts its two parts as well.
    factor = metrics[unit] / metrics["nats_per_sample"] if metrics["nats_per_sample"] else 0.0
    scaled = {key: factor * metrics[key] for key in ("rate", "distortion")}
    return {"model": model.name, **scaled, "psnr": metrics.get("reconstruct_psnr")}
