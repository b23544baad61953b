"""The champion's scores on today's `gate`: from the workspace where that model is there, else measured again.

An old champion answers by the code of its own commit, in a subprocess: a `genfoundry` that is imported already would
otherwise stand in for the one that it was trained by. Today's code scores the answers.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genfoundry import paths
from genfoundry.errors import UserError
from genfoundry.seeding import derive_seed
from genfoundry.selection import weight_store

if TYPE_CHECKING:
    from genfoundry.config import Task
    from genfoundry.evaluation.scores import Scores
    from genfoundry.selection.ledger import Decision


class NotMeasurable(Exception):
    """The champion is there, but no code measures it on today's gate."""


def load_candidate_scores(root: Path, task: Task, experiment: str, digest: str) -> tuple[dict[str, Any], Scores]:
    """Card and per-item scores on `gate` of an experiment in the workspace.

    Raises:
        UserError: the scores are of another model than the one asked for.
    """
    from safetensors.numpy import load_file

    folder = root / paths.scores(task.dataset) / experiment
    card = json.loads((folder / "card.json").read_text(encoding="utf-8"))
    if card["digest"] != digest:
        raise UserError(f"{folder}: scores of model {card['digest'][:12]}, not {digest[:12]}; run `dvc repro register`")
    tensors = load_file(folder / "scores.safetensors")
    return card, {name.removeprefix("gate/"): v for name, v in tensors.items() if name.startswith("gate/")}


def load_reference_scores(root: Path, task_name: str, row: str) -> Scores:
    """Per-item scores on `gate` of a row of a task's table; {} where they are not there."""
    from safetensors import safe_open

    path, start = root / "reports" / "baselines" / task_name / "scores.safetensors", f"{row}/gate/"
    if not path.exists():
        return {}
    with safe_open(path, "numpy") as file:
        return {key.removeprefix(start): file.get_tensor(key) for key in file.keys() if key.startswith(start)}  # noqa: SIM118


def measure_champion(
    root: Path, task: Task, champion: Decision, card: Mapping[str, Any], ours: Scores
) -> Scores | None:
    """The champion's per-item scores on today's gate; None when it answers another question.

    Raises:
        WeightsLost: its weights are nowhere.
        NotMeasurable: no code could measure it.
    """
    from genfoundry.evaluation.objectives import find_objective

    about = ("data", "judge") if "judge" in find_objective(task.objective).requires.abilities else ("data",)
    for path in sorted((root / paths.scores(task.dataset)).glob("*/card.json")):
        other = json.loads(path.read_text(encoding="utf-8"))
        here = other["digest"] == champion["digest"] and all(other.get(key) == card.get(key) for key in about)
        if here and _asked(other) == (task.levels, task.binarise, task.labels):
            return load_candidate_scores(root, task, other["experiment"], champion["digest"])[1]
    folder = weight_store.find(root, champion["weights"])
    settings = json.loads((folder / "model.json").read_text(encoding="utf-8"))["data"]
    if _asked(settings) != (task.levels, task.binarise, task.labels):
        return None
    faults = []
    for source in _sources(root, champion):
        try:
            return remeasure(root, task, folder, source, ours)
        except NotMeasurable as error:
            faults.append(str(error))
    raise NotMeasurable("; ".join(faults))


def _asked(data: Mapping[str, Any]) -> tuple[Any, ...]:
    """Which question a model answers: the levels and binarisation of its data, the number of labels that it saw."""
    return tuple(data.get(key) for key in ("levels", "binarise", "labels"))


def _sources(root: Path, champion: Decision) -> Iterator[Path]:
    """Folders with a `genfoundry` that may know the champion: its own commit's, if clean the first, and today's."""
    today = Path(__file__).resolve().parents[2]
    with tempfile.TemporaryDirectory() as folder:
        own = extract_source(root, champion.get("commit"), Path(folder))
        order = [own, today] if champion.get("clean") else [today, own]
        yield from (source for source in order if source)


def extract_source(root: Path, commit: str | None, into: Path) -> Path | None:
    """`src` as `commit` had it, below `into`; None when the commit is unknown here."""
    if not commit:
        return None
    done = subprocess.run(["git", "-C", str(root), "archive", "--format=zip", commit, "src"], capture_output=True)
    if done.returncode:
        return None
    with zipfile.ZipFile(BytesIO(done.stdout)) as archive:
        archive.extractall(into)
    return into / "src"


def remeasure(root: Path, task: Task, folder: Path, source: Path, ours: Scores) -> Scores:
    """Scores on today's gate of the model in `folder`: its answers by the code in `source`, scored by today's.

    Raises:
        NotMeasurable: the code failed, or its answers cannot be scored or are about other items: code of another time
            may cut the same data into others, as many by chance.
    """
    from genfoundry.data.dataset import Dataset
    from genfoundry.evaluation import judge as evaluation_judge
    from genfoundry.evaluation.context import SplitContext
    from genfoundry.evaluation.predict import score
    from genfoundry.files import read_tensors
    from genfoundry.selection import items_seen

    prepared, network = root / paths.prepared(task.dataset), root / paths.judge(task.dataset)
    samples = len(ours["features"]) if "features" in ours else 2  # a sample metric compares equal numbers
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch) / "answers.safetensors"
        program = Path(items_seen.__file__).read_text(encoding="utf-8")
        command = [sys.executable, "-c", program, "--model", folder, "--data", prepared]
        command += ["--split", "gate", "--samples", str(samples), "--seed", str(derive_seed("gate")), "--out", out]
        environment = {**os.environ, "PYTHONPATH": str(source)}
        done = subprocess.run(list(map(str, command)), capture_output=True, text=True, cwd=scratch, env=environment)
        if done.returncode or not out.exists():
            raise NotMeasurable((done.stderr.strip().splitlines() or ["no message"])[-1])
        answers = read_tensors(out)
    split = Dataset(prepared).split("gate", task.levels, task.binarise)
    if done.stdout.split()[-1:] != [items_seen.hash_items(split)]:
        raise NotMeasurable("its code takes other items out of gate than today's")
    judge = evaluation_judge.load_judge(network if (network / "model.json").exists() else None)
    try:
        return score(answers, SplitContext(split=split, judge=judge, real=ours.get("real")))
    except (UserError, ValueError, RuntimeError, KeyError) as error:
        raise NotMeasurable(str(error)) from None
