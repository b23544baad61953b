"""One experiment at the budget `standard` without tuning: trained, and measured on val.

    PYTHONPATH=src python bench/standard.py EXPERIMENT [--draw I] [--share S] [--set hyper.consistency=0.0 ...]
        [--split val]

Draw 0 is the model of the pipeline, 1, 2, ... its repetitions with other seeds and other labels. `--share` of the steps
trains less. Prints one JSON object: seconds, and every figure of `metrics`, the importance-weighted bound and its
standard error, restorations by classical methods, the Frechet distance where the data set's judge is there. Run arms
that are compared beside each other, on one machine, on val: `--split test` is for the final table of what was chosen.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import held_out
import torch

from genfoundry import files, paths
from genfoundry.config import Bound, yaml_file
from genfoundry.data import loaders
from genfoundry.data.dataset import Dataset
from genfoundry.data.iterate import sample_indices
from genfoundry.evaluation import judge as evaluation_judge
from genfoundry.evaluation import objective_intervals, objectives, predict
from genfoundry.evaluation.baselines import classical_restoration
from genfoundry.evaluation.context import Bench
from genfoundry.evaluation.metrics import bounds
from genfoundry.evaluation.predictions import restoration
from genfoundry.experiment import Experiment
from genfoundry.models import checkpoint
from genfoundry.models.base import Learner
from genfoundry.splits import Split
from genfoundry.training import device
from genfoundry.training.loop import fit
from pipeline.orchestration import resolve


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("experiment")
    held_out.add_option(parser)
    parser.add_argument("--draw", type=int, default=0)
    parser.add_argument("--share", type=float, default=1.0)
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE")
    parser.add_argument("--samples", type=int, default=10_000, help="0: no Frechet distance")
    parser.add_argument("--precision", default="float32")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, help="file of the JSON object")
    parser.add_argument("--model", type=Path, help="folder to keep the model in")
    return parser.parse_args()


def trained(one: Experiment, split: Split, asked: argparse.Namespace) -> tuple[Learner, float]:
    """The model, and the seconds that its training took."""
    key = one.key if not asked.draw else (one.run.seed, f"{one.name}, seed {asked.draw}")
    steps = {phase: round(count * asked.share) for phase, count in one.train.steps.items()}
    train = one.train.model_copy(update={"steps": steps, "precision": asked.precision})
    loader = loaders.make_loader(split, one.entry.data, one.train.batch, key, one.entry.dataset, asked.draw)
    model = one.build(loader.split.spec, key).to(split.tensor.device)
    began = time.perf_counter()
    for event in fit(model, loader, train, key=key):
        clock, took = event.clock, time.perf_counter() - began
        print(f"{one.name} {asked.draw} {clock.phase} {clock.step}/{clock.total} {took:.0f} s", file=sys.stderr)
    return model.eval(), time.perf_counter() - began


@torch.no_grad()
def measured(model: Learner, data: Dataset, one: Experiment, samples: int, name: str) -> dict[str, Any]:
    """Figures on the split called `name`."""
    where = next(model.parameters()).device
    held = data.split(name, one.task.levels, one.task.binarise, where)
    folder, seed = paths.judge(one.entry.dataset), one.run.seed
    judge = evaluation_judge.load(folder, str(where)) if (folder / "model.json").exists() else None
    needs = set(objectives.OBJECTIVES) | {need for o in objectives.OBJECTIVES.values() for need in o.needs}
    if judge is None or not samples:
        needs -= {"features", "real"}
    found = predict.answers(model, held, samples=samples, seed=seed, needs=needs)
    out: dict[str, Any] = objective_intervals.figures(predict.score(found, held, judge), held.spec.dims, data.modality)
    if "nll" in found:
        out["nats_worst"] = float(found["nll"].max())  # a mean hides it
    bench = Bench(data, held, held, judge, found, Bound(k=500, items=2000))
    if len(gap := bounds.tightened(model, bench, seed).get("bound_gap", ())):
        tight = found["nll"][sample_indices(held, len(gap))].numpy() - gap
        out |= {"bound": float(tight.mean()), "bound_items": len(gap), "bound_gap": float(gap.mean())}
        out["bound_stderr"] = float(tight.std(ddof=1)) / len(gap) ** 0.5
    for damage in objectives.DAMAGES:
        if f"restored_{damage}" in found:
            posed = restoration.posed(held, damage)
            train = data.split("train", one.task.levels, one.task.binarise)
            for name, method in classical_restoration.restoration_methods(train, damage).items():
                scores = posed.scores(damage, method(posed.x, posed.known, posed.levels))
                out |= {f"{name} {unit}": float(v.mean()) for unit, v in scores.items()}
    return out


def main() -> None:
    asked = arguments()
    params = resolve.settings().model_copy(update={"budget": "standard", "threads": asked.threads})
    overlay = {key: yaml_file.parse(value) for key, _, value in (pair.partition("=") for pair in asked.set)}
    one = resolve.resolve(params, asked.experiment, overlay)
    target, data = device.configure_torch(one.run), Dataset(paths.prepared(one.entry.dataset))
    model, seconds = trained(one, data.split("train", one.task.levels, one.task.binarise, target), asked)
    if asked.model:
        checkpoint.save(asked.model, model, {})
    began = time.perf_counter()
    figures = measured(model, data, one, asked.samples, asked.split)
    how = {"experiment": one.name, "draw": asked.draw, "share": asked.share, "set": asked.set, "device": target.type}
    how |= {"split": asked.split, "precision": asked.precision, "train_seconds": seconds}
    how |= {"seconds": time.perf_counter() - began}
    line = json.dumps(how | figures, sort_keys=True)
    print(line)
    if asked.out:
        files.write_bytes(asked.out, (line + "\n").encode())


if __name__ == "__main__":
    main()
