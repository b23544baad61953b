"""The cover picture of a data set on the index page, chosen by a rule.

1. The champions of its tasks come first, then the best-ranked models of its tasks, each with the panel that its task is
   about: the forecast plot, translations, restored images, else samples.
2. Among them, models of data as they are come before those of binarised data, tasks about samples before others, and
   the lower Frechet distance before the higher.
3. Samples that are further from real ones than those of a trivial model (a table's "ceiling") are noise: no cover.
4. Where no panel is left, real items are shown, or a plot of the series.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

from genfoundry import paths
from genfoundry.reporting.metric_info import METRICS
from genfoundry.reporting.site import charts, panels
from genfoundry.reporting.site.rendering import Panel, Text
from genfoundry.reporting.site.results import ModelResult, Results

PANELS = {"forecasts": "forecast", "translations": "translations"}  # a group of metrics -> what its tasks are about
MAX_LINES, MAX_PAIRS = 14, 3  # of a text


def cover(results: Results, dataset: str) -> Panel | charts.Chart | None:
    """The picture, text or chart that stands for a data set; None where there is nothing to show."""
    for task, model in sorted(_candidates(results, dataset), key=lambda pair: _rank(results, *pair)):
        name = _panel_name(results.objective(task) or "")
        shown = panels.panel(results.root / paths.panels(model.name), name, title=f"{model.name}, {name}")
        if shown and not (name == "samples" and _is_noise(results, task, model)):
            return _shorten(shown)
    return real_items(results, dataset) or _series(results, dataset)


def real_items(results: Results, dataset: str) -> Panel | None:
    """Items of the data set, as the table of a task shows them."""
    folders = (results.root / paths.baselines(task) for task in results.tasks(dataset))
    shown = (panels.panel(folder, "real-against-real", "Real items", "of test") for folder in folders)
    return next((panel for panel in shown if panel), None)


def _candidates(results: Results, dataset: str) -> Iterator[tuple[str, ModelResult]]:
    """Task and model: champions first, then the best-ranked, then the others."""
    yield from ((task, model) for task, _, model in results.champions(dataset) if model)
    yield from results.ranked(dataset)
    yield from ((model.task, model) for model in results.models_of(dataset))


def _rank(results: Results, task: str, model: ModelResult) -> tuple[bool, bool, bool, float]:
    champion = (results.champion(task) or ({}, None))[1]
    # Tuples of truth values sort False first: what is to come first answers False.
    return (
        bool(model.card.get("binarise")),
        champion is not model,
        results.objective(task) != "frechet",
        model.metrics.get("frechet", math.inf),
    )


def _panel_name(objective: str) -> str:
    if objective.startswith("restore_"):
        return f"{panels.RESTORED}{objective.removeprefix('restore_').rpartition('_')[0]}"
    return PANELS.get(METRICS[objective].group, "samples") if objective in METRICS else "samples"


def _is_noise(results: Results, task: str, model: ModelResult) -> bool:
    rows = results.references.get(task, {}).get("rows", {}).values()
    trivial = [row["figures"].get("test", {}).get("frechet", math.inf) for row in rows if row["role"] == "ceiling"]
    # Where no distance was measured, nothing says that the samples are noise.
    return model.metrics.get("frechet", -math.inf) >= min(trivial, default=math.inf)


def _shorten(panel: Panel) -> Panel:
    if not isinstance(panel, Text):
        return panel
    return replace(panel, text="\n".join(panel.text.splitlines()[:MAX_LINES]), pairs=panel.pairs[:MAX_PAIRS])


def _series(results: Results, dataset: str) -> charts.Chart | None:
    """The first column of a time series' test split, where the prepared data are on this machine."""
    path = results.root / paths.prepared(dataset) / "test.safetensors"
    if results.spec(dataset).get("modality") != "series" or not path.exists():
        return None
    from safetensors.numpy import load_file

    points = list(enumerate(load_file(path)["x"][:, 0].tolist()))
    return charts.chart(f"{dataset}: the test split", {"value": points}, x="row")
