"""Where everything of a repository is, relative to its root. No other module spells these paths."""

from __future__ import annotations

from pathlib import Path

PARAMS = Path("params.yaml")
LEDGER = Path("ledger.jsonl")
INBOXES = Path("data/inbox")
SOURCES = Path("data/sources.json")  # in git: digests of the user's own files and folders, as `fetch` took them
PLAN = Path("build/plan")
PLAN_INDEX = PLAN / "index.json"
MODELS = Path("models/experiments")
RANKINGS = Path("reports/ranking")
INDEX = Path("reports/index.html")
LEADERBOARD = (Path("reports/leaderboard.json"), Path("reports/leaderboard.md"))
RETRAIN_SUMMARY = Path("reports/retrain.md")
# What the stages of units write: a glob pattern each.
UNIT_OUTPUTS = (
    "reports/scores/*/*",
    "reports/evaluation/*.json",
    "reports/training/*.csv",
    "reports/baselines/*",
    "reports/tuning/*",
    "reports/panels/*",
    "reports/validation/*",
    "data/prepared/*/*",
)

# What one process keeps for the next on this machine; no part of any result.
STATE = Path(".state")
COSTS = STATE / "costs.json"
DOWNLOADS = STATE / "downloads"
DVC_FOLDERS = STATE / "folders"  # what folders in DVC's cache hold, by their md5
ENGINE_LOGS = STATE / "engine"
LIMITS = STATE / "limits.json"  # experiment -> max_minutes
PLAN_STAMPS = STATE / "plan.json"
PREDICTIONS = STATE / "shared"
RUN_LOCK = STATE / "run.lock"
SLURM = STATE / "slurm"
SOURCE_STAMPS = STATE / "sources"
SPEED = STATE / "speed.json"  # seconds a step, as trainings on this machine measured them
STAGE_TIMES = STATE / "times.jsonl"
SYNTAX = STATE / "syntax.json"
WEIGHTS = STATE / "weights"


def plan(stage: str, name: str = "") -> Path:
    """The plan file of a unit: settings, inputs and the digest of its code."""
    return PLAN / stage / f"{name}.json" if name else PLAN / f"{stage}.json"


def raw(dataset: str) -> Path:
    return Path("data/raw", dataset)


def inbox(dataset: str) -> Path:
    return INBOXES / dataset


def dataset(name: str) -> Path:
    """The folder of a prepared data set: its arrays, and its judge where it has one."""
    return Path("data/prepared", name)


def prepared(dataset: str) -> Path:
    return Path("data/prepared", dataset, "arrays")


def judge(dataset: str) -> Path:
    return Path("data/prepared", dataset, "judge")


def verdict(dataset: str) -> Path:
    return Path("reports/validation", f"{dataset}.json")


def docs(dataset: str) -> Path:
    """The page of a verdict."""
    return Path("reports/validation", dataset)


def tuning(experiment: str) -> Path:
    return Path("reports/tuning", experiment)


def model(experiment: str) -> Path:
    return MODELS / experiment


def curves(experiment: str) -> Path:
    return Path("reports/training", f"{experiment}.csv")


def scores(dataset: str, experiment: str = "") -> Path:
    return Path("reports/scores", dataset, experiment)


def evaluation(experiment: str) -> Path:
    return Path("reports/evaluation", f"{experiment}.json")


def panels(experiment: str) -> Path:
    return Path("reports/panels", experiment)


def baselines(task: str) -> Path:
    return Path("reports/baselines", task)


def ranking(task: str) -> Path:
    return RANKINGS / f"{task}.json"


def dataset_page(dataset: str) -> Path:
    return Path("reports/datasets", f"{dataset}.html")


def model_page(experiment: str) -> Path:
    return Path("reports/models", f"{experiment}.html")
