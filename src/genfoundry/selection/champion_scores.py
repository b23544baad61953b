"""The champion's scores on today's `gate`: from the workspace where that model is in it, else measured again.

An old champion predicts by the code of its own commit, in a subprocess: a `genfoundry` that is imported already would
otherwise stand in for the one that trained it. Today's code scores the predictions.
"""

from __future__ import annotations

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
from genfoundry.files import read_json, read_tensors
from genfoundry.seeding import derive_seed
from genfoundry.selection import weight_store

if TYPE_CHECKING:
    from genfoundry.config import Task
    from genfoundry.evaluation.scores import Scores
    from genfoundry.selection.ledger import Decision


class NotMeasurable(Exception):
    """The champion's weights are at hand, but no code measures them on today's gate."""


def load_candidate_scores(root: Path, task: Task, experiment: str, digest: str) -> tuple[dict[str, Any], Scores]:
    """Card and per-item scores on `gate` of an experiment in the workspace.

    Raises:
        UserError: the scores are of another model than that of `digest`.
    """
    folder = root / paths.scores(task.dataset, experiment)
    card: dict[str, Any] = read_json(folder / "card.json")
    if card["digest"] != digest:
        raise UserError(f"{folder}: scores of model {card['digest'][:12]}, not {digest[:12]}; run `dvc repro register`")
    return card, _load_scores(folder, "gate/")


def load_reference_scores(root: Path, task_name: str, row: str) -> Scores:
    """Per-item scores on `gate` of a row of a task's table; {} where it has none."""
    return _load_scores(root / paths.baselines(task_name), f"{row}/gate/")


def _load_scores(folder: Path, prefix: str) -> Scores:
    from safetensors import safe_open

    path = folder / "scores.safetensors"
    if not path.exists():
        return {}
    # One file has the scores of every split: only those of this one are read.
    with safe_open(path, "numpy") as file:
        return {key.removeprefix(prefix): file.get_tensor(key) for key in file.keys() if key.startswith(prefix)}  # noqa: SIM118


def measure_champion(
    root: Path, task: Task, champion: Decision, card: Mapping[str, Any], scores: Scores
) -> Scores | None:
    """The champion's per-item scores on today's gate; None where it models other levels, binarisation or labels.

    `card` and `scores` are the candidate's: scores in the workspace must be of the same data and judge.

    Raises:
        WeightsLost: its weights are nowhere.
        NotMeasurable: no code could measure it.
    """
    from genfoundry.evaluation.objectives import find_objective

    # Distances between features compare within one feature network only; a likelihood does not depend on it.
    about = ("data", "judge") if "judge" in find_objective(task.objective).requires.abilities else ("data",)
    settings = (task.levels, task.binarise, task.labels)
    # The champion is mostly an experiment of this workspace still, evaluated on today's data: nothing is run then.
    for path in sorted((root / paths.scores(task.dataset)).glob("*/card.json")):
        other = read_json(path)
        same = other["digest"] == champion["digest"] and all(other.get(key) == card.get(key) for key in about)
        if same and _data_settings(other) == settings:
            return load_candidate_scores(root, task, other["experiment"], champion["digest"])[1]
    folder = weight_store.find(root, champion["weights"])
    # Asked before any code runs: nats at other levels are another quantity, and no comparison would mean anything.
    if _data_settings(read_json(folder / "model.json")["data"]) != settings:
        return None
    faults = []
    for source in _find_sources(root, champion):
        try:
            return remeasure(root, task, folder, source, scores)
        except NotMeasurable as error:
            faults.append(str(error))
    raise NotMeasurable("; ".join(faults))


def _data_settings(data: Mapping[str, Any]) -> tuple[Any, ...]:
    """Levels and binarisation of a model's data, and the number of labels that it saw: models differ in them."""
    return tuple(data.get(key) for key in ("levels", "binarise", "labels"))


def _find_sources(root: Path, champion: Decision) -> Iterator[Path]:
    """Folders with a `genfoundry` that may load the champion: its commit's, first if that was clean, and today's."""
    today = Path(__file__).resolve().parents[2]
    with tempfile.TemporaryDirectory() as folder:
        original = extract_source(root, champion.get("commit"), Path(folder))
        # With edits that were not committed, the commit's code is not what trained it: today's is the better guess.
        order = [original, today] if champion.get("clean") else [today, original]
        yield from filter(None, order)


def extract_source(root: Path, commit: str | None, into: Path) -> Path | None:
    """`src` as `commit` had it, below `into`; None when the commit is unknown here."""
    if not commit:
        return None
    # An archive, not a checkout: the working tree, which may be edited, stays as it is.
    done = subprocess.run(["git", "-C", str(root), "archive", "--format=zip", commit, "src"], capture_output=True)
    if done.returncode:
        return None
    with zipfile.ZipFile(BytesIO(done.stdout)) as archive:
        archive.extractall(into)
    return into / "src"


def remeasure(root: Path, task: Task, folder: Path, source: Path, scores: Scores) -> Scores:
    """Scores on today's gate of the model in `folder`: predictions by the code in `source`, scored by today's.

    `scores` are the candidate's: a sample metric compares equal numbers of samples with the same real items.

    Raises:
        NotMeasurable: the code failed, or its predictions cannot be scored or are about other items: the code of
            another time may split the same data differently, into as many by chance.
    """
    from genfoundry.data.dataset import Dataset
    from genfoundry.evaluation import judge as evaluation_judge
    from genfoundry.evaluation.context import SplitContext
    from genfoundry.evaluation.predict import score
    from genfoundry.selection import split_items

    prepared, network = root / paths.prepared(task.dataset), root / paths.judge(task.dataset)
    samples = len(scores["features"]) if "features" in scores else 2  # else hardly any: none is compared
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch) / "predictions.safetensors"
        # Passed as text by -c: run as a file of today's package, it would import today's `genfoundry`.
        program = Path(split_items.__file__).read_text(encoding="utf-8")
        command = [sys.executable, "-c", program, "--model", folder, "--data", prepared]
        command += ["--split", "gate", "--samples", samples, "--seed", derive_seed("gate"), "--out", out]
        # PYTHONPATH is replaced, and the working folder (first on sys.path) is empty: today's package is not found.
        environment = {**os.environ, "PYTHONPATH": str(source)}
        done = subprocess.run(list(map(str, command)), capture_output=True, text=True, cwd=scratch, env=environment)
        if done.returncode or not out.exists():
            raise NotMeasurable((done.stderr.strip().splitlines() or ["no message"])[-1])
        predictions = read_tensors(out)
    split = Dataset(prepared).split("gate", task.levels, task.binarise)
    if done.stdout.split()[-1:] != [split_items.hash_items(split)]:
        raise NotMeasurable("its code takes other items out of gate than today's")
    judge = evaluation_judge.load_judge(network if (network / "model.json").exists() else None)
    try:
        return score(predictions, SplitContext(split=split, judge=judge, real=scores.get("real")))
    # Predictions by old code may lack a key, or have other shapes than today's scores expect.
    except (UserError, ValueError, RuntimeError, KeyError) as error:
        raise NotMeasurable(str(error)) from None
