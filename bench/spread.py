"""What the seed of a training changes: an experiment's objectives on val, trained with several seeds.

    PYTHONPATH=src:. python bench/spread.py [EXPERIMENT ...] [--seeds 3] [--budget B] [--jobs 2] [--code] [--margins]

Without names: the best candidate of each task, as reports/ranking has them, else every experiment. Writes
bench/spread.json, from which the margins under `tasks:` follow (tests/test_margins.py): entry by entry, so that a run
that was stopped goes on, and an entry that is up to date is skipped. The settings are those of the tuning where there
was one; the pipeline's own model is the first training where models/experiments holds it, so trained, on these data.
What is fitted in closed form is trained once.

An entry is out of date when what params.yaml makes of it, under the tuning's result that it names, is no longer what
was trained ("settings"); with `--code` also when the syntax trees of the model's code are others ("code").
`--margins` measures nothing: it prints what margin each task asks for.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

from spread_entries import (
    BEST,
    BUDGET,
    FILE,
    ROOT,
    SPLIT,
    Entry,
    find_fault,
    format_table,
    hash_code,
    hash_settings,
    load_experiment,
    read_entries,
)

from genfoundry import files, paths
from genfoundry.config.skipping import find_skipped
from genfoundry.data import loaders
from genfoundry.data.dataset import Dataset
from genfoundry.errors import UserError
from genfoundry.evaluation import judge as evaluation_judge
from genfoundry.evaluation.aggregate import aggregate
from genfoundry.evaluation.context import SplitContext
from genfoundry.evaluation.objectives import objectives
from genfoundry.evaluation.predict import predict, score
from genfoundry.models import checkpoint
from genfoundry.models.base import Learner
from genfoundry.selection import ledger
from genfoundry.training import device
from genfoundry.training.experiment import Experiment
from genfoundry.training.loop import fit
from pipeline.orchestration import resolve

SEEDS = 3


def wanted() -> list[str]:
    """The best candidate of every ranking; every experiment where there is no ranking."""
    params = resolve.load_params(ROOT / "params.yaml")
    names = params.experiments.keys() - find_skipped(params)["experiments"].keys()
    rankings = [json.loads(p.read_text(encoding="utf-8")) for p in sorted((ROOT / "reports/ranking").glob("*.json"))]
    best = {c["experiment"] for ranking in rankings for c in ranking["candidates"][:BEST]}
    return [name for name in params.experiments if name in names and (name in best or not best)]


def measure(name: str, budget: str, seeds: int) -> Entry:
    """Train and measure; run in a process of its own, since a device and its threads are set once."""
    overlay = paths.tuning(name) / "overlay.json"
    entry: Entry = {"budget": budget, "overlay": files.read_json(overlay) if overlay.exists() else {}}
    experiment, dataset = load_experiment(name, entry)
    if not (paths.prepared(experiment.entry.dataset) / "spec.json").exists():
        raise UserError(
            f"{paths.prepared(experiment.entry.dataset)}: not there; run `dvc repro judge@{experiment.entry.dataset}`"
        )
    target, data = device.configure_torch(experiment.run), Dataset(paths.prepared(experiment.entry.dataset))
    trained = sum(experiment.train.steps.values()) > 0
    keys = [experiment.key, *((experiment.run.seed, f"{name}, seed {i}") for i in range(1, seeds if trained else 1))]
    rows = [
        _figures(_trained(experiment, data, number, key, target), experiment, data) for number, key in enumerate(keys)
    ]
    values = {o: [row[o] for row in rows] for o in sorted(set.intersection(*map(set, rows)))}
    commit, clean = ledger.get_commit(ROOT)
    entry |= {
        "values": values,
        "split": SPLIT,
        "settings": hash_settings(experiment, dataset),
        "code": hash_code(experiment.entry.model),
    }
    return entry | {"commit": commit, "clean": clean, "data": data.meta["digest"], "device": target.type}


def _trained(experiment: Experiment, data: Dataset, number: int, key: tuple[object, ...], target: Any) -> Learner:
    """The model of one seed: the pipeline's own where it is there, trained by these settings on these data."""
    card = paths.model(experiment.name) / "model.json"
    if number == 0 and card.exists():
        about = files.read_json(card)
        same = about["train"] == experiment.train.model_dump(mode="json")
        same = same and about["data"] == experiment.entry.data.model_dump(mode="json")
        same = same and about["config"] == json.loads(experiment.hyper.model_dump_json())
        if same and about["digests"]["data"] == data.meta["digest"]:
            return checkpoint.load(card.parent, str(target))
    split = data.split("train", experiment.task.levels, experiment.task.binarise, target)
    loader = loaders.make_loader(
        split, experiment.entry.data, experiment.train.batch, key, experiment.entry.dataset, number
    )
    model = experiment.build(loader.split.spec, key).to(target)
    for _ in fit(model, loader, experiment.train, key=key):
        pass
    print(f"{experiment.name}: seed {number} is trained", file=sys.stderr)
    return model.eval()


def _figures(model: Learner, experiment: Experiment, data: Dataset) -> dict[str, float]:
    """Every objective that the model can compute, on val."""
    val = data.split(SPLIT, experiment.task.levels, experiment.task.binarise)
    folder = paths.judge(experiment.entry.dataset)
    judge = evaluation_judge.load_judge(folder) if (folder / "model.json").exists() else None
    context = SplitContext(
        split=val, judge=judge, samples=min(experiment.budget.samples, len(val)), seed=experiment.run.seed
    )
    entries = aggregate(score(predict(model, context), context), val.spec.dims, data.modality, on_test=False)
    return {name: value for name, value in entries.items() if name in objectives()}


def work(name: str, options: argparse.Namespace) -> Entry:
    """`measure` in a process of its own.

    Raises:
        CalledProcessError: it failed; what it said is on standard error.
    """
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch) / "entry.json"
        command = [sys.executable, __file__, name, "--budget", options.budget, "--seeds", str(options.seeds)]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join((str(ROOT / "src"), str(ROOT)))}
        subprocess.run([*command, "--entry", out], check=True, cwd=ROOT, env=environment)
        return dict(json.loads(out.read_text(encoding="utf-8")))


def run(names: Iterable[str], options: argparse.Namespace) -> int:
    """Measure what is out of date; the exit status."""
    entries, failed = read_entries(), []

    def due(name: str) -> bool:
        entry = entries.get(name)
        if find_fault(name, entry) or entry is None:
            return True
        few = 1 < len(next(iter(entry["values"].values()))) < options.seeds
        return few or bool(options.code and hash_code(load_experiment(name, entry)[0].entry.model) != entry["code"])

    jobs = [name for name in names if due(name)]
    with ThreadPoolExecutor(options.jobs) as pool:
        futures = {pool.submit(work, name, options): name for name in jobs}
        for future in as_completed(futures):
            name = futures[future]
            try:
                entry = future.result()
            except subprocess.CalledProcessError:
                failed.append(name)
                continue
            _write({**read_entries(), name: entry})
            print(f"{name}: {', '.join(f'{o} {len(v)}' for o, v in entry['values'].items())}", flush=True)
    print("\n".join(format_table(resolve.load_params(), read_entries())))
    if failed:
        print(f"spread: failed: {', '.join(failed)}", file=sys.stderr)
    return int(bool(failed))


def _write(entries: dict[str, Entry]) -> None:
    files.write_json(FILE, dict(sorted(entries.items())))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("experiments", nargs="*")
    parser.add_argument("--seeds", type=int, default=SEEDS, help="trainings of an experiment")
    parser.add_argument("--budget", default=BUDGET)
    parser.add_argument("--jobs", type=int, default=1, help="experiments at once")
    parser.add_argument("--code", action="store_true", help="measure anew also what has other code now")
    parser.add_argument("--margins", action="store_true", help="only print what margins are asked for")
    parser.add_argument("--entry", type=Path, help=argparse.SUPPRESS)  # of the one experiment: measured in this process
    options = parser.parse_args()
    os.chdir(ROOT)
    if options.entry:
        files.write_json(options.entry, measure(options.experiments[0], options.budget, options.seeds))
        return 0
    if options.margins:
        print("\n".join(format_table(resolve.load_params(), read_entries())))
        return 0
    return run(options.experiments or wanted(), options)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except UserError as error:
        sys.exit(f"spread: {error}")
