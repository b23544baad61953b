"""A fabricated plan: the paths of the real one, of two data sets with three tasks and five experiments."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.orchestration.unit import Unit

TASKS = {"series-forecast": "series", "photos-density": "photos", "photos-samples": "photos"}
EXPERIMENTS = {
    "linear-series": "series-forecast",
    "bayes-series": "series-forecast",
    "vae-photos": "photos-density",
    "made-photos": "photos-density",
    "dcgan-photos": "photos-samples",
}
DATASETS = ("series", "photos")
JUDGES = ("photos",)


def unit(stage: str, name: str = "", inputs: tuple[str, ...] = (), outputs: tuple[str, ...] = (), **settings: object):  # type: ignore[no-untyped-def]
    return Unit(stage, name, inputs, outputs, (), (), "", settings)


def make() -> dict[str, Unit]:
    """Units by DVC's name, in the order of dvc.yaml."""
    return {one.key: one for one in _units()}


def _units() -> Iterator[Unit]:
    for name in DATASETS:
        yield unit("fetch", name, (), (f"data/raw/{name}",))
    for name in DATASETS:
        yield unit("prepare", name, (f"data/raw/{name}", f"data/inbox/{name}"), (f"data/prepared/{name}/arrays",))
    for name in DATASETS:
        yield unit("validate", name, (f"data/prepared/{name}/arrays",), (f"reports/validation/{name}.json",))
    for name in JUDGES:
        inputs = (f"data/prepared/{name}/arrays", f"reports/validation/{name}.json")
        yield unit("judge", name, inputs, (f"data/prepared/{name}/judge",))
    for name, dataset in TASKS.items():
        yield unit("baseline", name, _data(dataset), (f"reports/baselines/{name}",))
    for name, task in EXPERIMENTS.items():
        outputs = (f"models/experiments/{name}", f"reports/tuning/{name}", f"reports/training/{name}.csv")
        yield unit("train", name, _data(TASKS[task]), outputs)
    for name, task in EXPERIMENTS.items():
        scores = (f"reports/scores/{TASKS[task]}/{name}", f"reports/evaluation/{name}.json")
        yield unit("evaluate", name, (f"models/experiments/{name}", *_data(TASKS[task])), scores)
    tasks = {name: {"dataset": dataset} for name, dataset in sorted(TASKS.items())}
    scored = ("reports/scores", "reports/baselines")
    yield unit("rank", inputs=scored, outputs=("reports/ranking",), tasks=tasks)
    yield unit("register", inputs=("reports/ranking", *scored), tasks=tasks)
    yield unit("report", inputs=(*scored, "reports/ranking"), outputs=("reports/leaderboard.json",))


def _data(dataset: str) -> tuple[str, ...]:
    return (f"data/prepared/{dataset}", f"reports/validation/{dataset}.json")
