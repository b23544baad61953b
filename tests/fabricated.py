"""A small repository with a real series, real models and real scores, as the pipeline leaves it behind."""

from __future__ import annotations

import json
import shutil
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from genfoundry import config, files, paths
from genfoundry.data import dataset
from genfoundry.evaluation import run
from genfoundry.models import checkpoint
from genfoundry.models.linear_ar import LinearAr
from genfoundry.selection import ranking as selection_ranking
from genfoundry.tracking import client
from genfoundry.types import Spec

DATA = "waves"
TASK = "waves-density"
WINDOW, CONTEXT = 5, 4
OBJECTIVE = config.Task(dataset=DATA, objective="nats", margin=0.01)


def prepare(root: Path, rows: int = 600) -> None:
    """An AR(2) series, prepared as `data.preparation.prepare` would; a data set without a judge."""
    from safetensors.numpy import save_file

    rng = np.random.default_rng(0)
    x = np.zeros((rows, 1))
    for t in range(2, rows):
        x[t] = 1.2 * x[t - 1] - 0.6 * x[t - 2] + rng.normal()
    folder = root / paths.prepared(DATA)
    folder.mkdir(parents=True)
    ends = dict(zip(("train", "val", "gate", "test"), np.cumsum([0.3, 0.2, 0.3, 0.2]), strict=True))
    start, counts = 0, {}
    for name, end in ends.items():
        stop = round(end * rows)
        past = x[max(start - CONTEXT, 0) : start]
        arrays = {"x": x[start:stop].copy(), "past": past.copy(), "first": np.array([start])}
        arrays |= {"season": np.array([0]), "scale": np.ones(1)}
        save_file(arrays, folder / f"{name}.safetensors")
        counts[name], start = (len(past) + stop - start - CONTEXT) // WINDOW, stop
    spec = Spec((WINDOW, 1), None, cond_shape=(CONTEXT, 1))
    meta = {"modality": "series", "spec": spec.to_json(), "alphabet": None, "names": ["height"], "counts": counts}
    files.write_json(folder / "spec.json", {**meta, "digest": "d" * 64})


def train(root: Path, name: str, order: int, shift: float = 0.0) -> str:
    """An experiment as its stages leave it; `shift` worsens the fitted constant. Returns the model's digest."""
    folder, data = root / "models/experiments" / name, dataset.Dataset(root / paths.prepared(DATA))
    split = data.split("train")
    model = LinearAr(split.spec, LinearAr.Config(order=order))
    model.begin("fit", split)
    with torch.no_grad():
        model.gamma += shift
    meta = {key: data.meta.get(key) for key in ("modality", "alphabet", "names")}
    card = {"experiment": name, "dataset": DATA, "task": TASK, "data": {"levels": None, "binarise": None}, "meta": meta}
    card |= {"device": "cpu", "precision": "float32", "threads": 1, "train": {"batch": 8, "lr": {"model": 0.5}}}
    digest = checkpoint.save(folder, model, {**card, "digests": {"data": data.meta["digest"]}})
    run.evaluate_experiment(
        folder,
        root / paths.prepared(DATA),
        None,
        scores=root / "reports/scores" / DATA / name,
        figures=root / "reports/evaluation" / f"{name}.json",
        pictures=root / "reports/panels" / name,
        objective="nats",
        samples=4,
        seed=0,
    )
    curves = root / "reports/training" / f"{name}.csv"
    curves.parent.mkdir(parents=True, exist_ok=True)
    curves.write_text(
        "phase,step,skipped,loss.model,lr.model\n" + "".join(f"fit,{k},0,{5 / k},\n" for k in range(1, 4))
    )
    trials(root, name)
    return digest


def trials(root: Path, name: str) -> None:
    """A finished study of three trials, the second pruned."""
    folder = root / "reports/tuning" / name
    folder.mkdir(parents=True, exist_ok=True)
    lines: list[dict[str, Any]] = [
        {"number": k, "state": "PRUNED" if k == 1 else "COMPLETE", "value": 2.0 - k / 10, "params": {"hyper.order": k}}
        for k in range(3)
    ]
    lines = [{**line, "reports": [[1, 3.0], [2, 2.5]], "attributes": {}} for line in lines]
    (folder / "trials.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    files.write_json(folder / "overlay.json", {"hyper.order": 2})
    files.write_json(folder / "summary.json", {"objective": "nats", "default": 2.0, "best": 1.8, "gain": 0.2})


def references(root: Path, **values: tuple[str, float | None]) -> None:
    """The task's table: each name's role, and its figure on every split, if it has one."""
    rows = {
        name: {
            **{"role": role, "likelihood": "exact"},
            "figures": dict.fromkeys(("val", "gate", "test"), {} if value is None else {"nats": value}),
        }
        for name, (role, value) in values.items()
    }
    about = {"task": TASK, "dataset": DATA, "levels": None, "binarise": None, "data": "d" * 64, "judge": None}
    files.write_json(root / "reports/baselines" / TASK / "card.json", {**about, "rows": rows})


def register(root: Path, task: config.Task = OBJECTIVE) -> dict[str, Any]:
    """What the stage `register` does."""
    ranking = selection_ranking.rank(TASK, task, root / "reports/scores" / DATA, root / "reports/baselines" / TASK)
    files.write_json(root / "reports/ranking" / f"{TASK}.json", ranking)
    return ranking


@cache
def _database() -> bytes:
    """MLflow's tables, empty: making them takes seconds, so that tests share one copy."""
    with tempfile.TemporaryDirectory() as folder:
        client.connect(Path(folder))
        return (Path(folder) / "mlflow.db").read_bytes()


def database(root: Path) -> None:
    """An empty MLflow store."""
    (root / "mlflow.db").write_bytes(_database())


def forget(root: Path, name: str) -> None:
    """The experiment's outs are gone, as after it was removed from params.yaml."""
    for path in (root / "models/experiments" / name, root / "reports/scores" / DATA / name):
        shutil.rmtree(path)
