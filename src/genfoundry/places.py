"""Where every stage's outs are, relative to the repository's root: the one spelling of these paths in Python."""

from __future__ import annotations

from pathlib import Path

LEDGER = Path("ledger.jsonl")
CODE = Path("reports/code.json")
SOURCES = Path("reports/sources.json")
INDEX = Path("reports/index.html")


def raw(dataset: str) -> Path:
    return Path("data/raw", dataset)


def inbox(dataset: str) -> Path:
    return Path("data/inbox", dataset)


def prepared(dataset: str) -> Path:
    return Path("data/prepared", dataset)


def verdict(dataset: str) -> Path:
    return Path("reports/validation", f"{dataset}.json")


def docs(dataset: str) -> Path:
    return Path("reports/validation", dataset)


def judge(dataset: str) -> Path:
    return Path("models/judges", dataset)


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


def ranking(task: str) -> Path:
    return Path("reports/ranking", f"{task}.json")


def dataset_page(dataset: str) -> Path:
    return Path("reports/datasets", f"{dataset}.html")


def model_page(experiment: str) -> Path:
    return Path("reports/models", f"{experiment}.html")
