"""Where every stage's outs are, relative to the repository's root: the one spelling of these paths in Python."""

from __future__ import annotations

from pathlib import Path

LEDGER = Path("ledger.jsonl")
SOURCES = Path("data/sources.json")  # in git: digests of the user's own files and folders, as `fetch` took them
PARAMS = Path("params.yaml")
PLAN = Path("build/plan")
SPEED = Path(".state/speed.json")  # seconds a step, as trainings on this machine measured them
LIMITS = Path(".state/limits.json")  # experiment -> max_minutes: no part of any result
COSTS = Path(".state/costs.json")  # model digest -> what the model cost on this machine
WEIGHTS = Path(".state/weights")  # the ledger's own copies of champions and latest challengers
FOLDER_LISTS = Path(".state/folders")  # what folders in DVC's cache hold, by their md5
INDEX = Path("reports/index.html")
LEADERBOARD = (Path("reports/leaderboard.json"), Path("reports/leaderboard.md"))


def plan(stage: str, name: str = "") -> Path:
    """The plan's file of a unit: settings, inputs and the digest of its code."""
    return PLAN / stage / f"{name}.json" if name else PLAN / f"{stage}.json"


def raw(dataset: str) -> Path:
    return Path("data/raw", dataset)


def inbox(dataset: str) -> Path:
    return Path("data/inbox", dataset)


def dataset(name: str) -> Path:
    """What is made of a data set: its arrays, and its judge where it has one."""
    return Path("data/prepared", name)


def prepared(dataset: str) -> Path:
    return Path("data/prepared", dataset, "arrays")


def verdict(dataset: str) -> Path:
    return Path("reports/validation", f"{dataset}.json")


def docs(dataset: str) -> Path:
    return Path("reports/validation", dataset)


def judge(dataset: str) -> Path:
    return Path("data/prepared", dataset, "judge")


def tuning(experiment: str) -> Path:
    return Path("reports/tuning", experiment)


def model(experiment: str) -> Path:
    return Path("models/experiments", experiment)


def curves(experiment: str) -> Path:
    return Path("reports/training", f"{experiment}.csv")


def scores(dataset: str, experiment: str = "") -> Path:
    return Path("reports/scores", dataset, experiment)


def figures(experiment: str) -> Path:
    return Path("reports/evaluation", f"{experiment}.json")


def panels(experiment: str) -> Path:
    return Path("reports/panels", experiment)


def baselines(task: str) -> Path:
    return Path("reports/baselines", task)


def rankings() -> Path:
    return Path("reports/ranking")


def ranking(task: str) -> Path:
    return Path("reports/ranking", f"{task}.json")


def dataset_page(dataset: str) -> Path:
    return Path("reports/datasets", f"{dataset}.html")


def model_page(experiment: str) -> Path:
    return Path("reports/models", f"{experiment}.html")
