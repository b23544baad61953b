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
import numpy as np
import torch

from genfoundry import files, paths
from genfoundry.config import Bound, yaml_file
from genfoundry.data import loaders
from genfoundry.data.dataset import Dataset
from genfoundry.evaluation import judge as evaluation_judge
from genfoundry.evaluation.aggregate import aggregate
from genfoundry.evaluation.context import EvalContext
from genfoundry.evaluation.metrics import importance_weighted_bound, metrics_on_every_split, restoration_ssim
from genfoundry.evaluation.predict import predict, score
from genfoundry.models import checkpoint
from genfoundry.models.base import Learner
from genfoundry.splits import Split
from genfoundry.training import device
from genfoundry.training.experiment import Experiment
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


def train_model(experiment: Experiment, split: Split, options: argparse.Namespace) -> tuple[Learner, float]:
    """The model, and the seconds that its training took."""
    key = experiment.key if not options.draw else (experiment.run.seed, f"{experiment.name}, seed {options.draw}")
    steps = {phase: round(count * options.share) for phase, count in experiment.train.steps.items()}
    train = experiment.train.model_copy(update={"steps": steps, "precision": options.precision})
    loader = loaders.make_loader(
        split, experiment.entry.data, experiment.train.batch, key, experiment.entry.dataset, options.draw
    )
    model = experiment.build(loader.split.spec, key).to(split.tensor.device)
    began = time.perf_counter()
    for event in fit(model, loader, train, key=key):
        clock, seconds = event.clock, time.perf_counter() - began
        print(
            f"{experiment.name} {options.draw} {clock.phase} {clock.step}/{clock.total} {seconds:.0f} s",
            file=sys.stderr,
        )
    return model.eval(), time.perf_counter() - began


@torch.no_grad()
def measure(model: Learner, data: Dataset, experiment: Experiment, samples: int, name: str) -> dict[str, Any]:
    """Figures on the split called `name`."""
    where = next(model.parameters()).device
    holdout = data.split(name, experiment.task.levels, experiment.task.binarise, where)
    folder, seed = paths.judge(experiment.entry.dataset), experiment.run.seed
    judge = evaluation_judge.load_judge(folder, str(where)) if (folder / "model.json").exists() else None
    metrics = [
        m for m in metrics_on_every_split() if (samples and judge is not None) or "judge" not in m.requires.abilities
    ]
    train = data.split("train", experiment.task.levels, experiment.task.binarise)
    context = EvalContext(dataset=data, train=train, split=holdout,
                          judge=judge, samples=samples, seed=seed, bound=Bound(k=500, items=2000))  # fmt: skip
    predictions = predict(model, context, metrics)
    out: dict[str, Any] = aggregate(score(predictions, context), holdout.spec.dims, data.modality, on_test=False)
    if "nll" in predictions:
        out["nats_worst"] = float(predictions["nll"].max())  # a mean hides it
    predictions |= predict(model, context, importance_weighted_bound.METRICS)
    if len(gap := np.asarray(importance_weighted_bound.score_gap(predictions, context).get("bound_gap", ()))):
        tight = predictions["iw_bound"].numpy()
        out |= {"bound": float(tight.mean()), "bound_items": len(gap), "bound_gap": float(gap.mean())}
        out["bound_stderr"] = float(tight.std(ddof=1)) / len(gap) ** 0.5
    for name, scores in restoration_ssim.score_classical_restorations(predictions, context).items():
        out |= {f"{name} {unit}": float(np.mean(v)) for unit, v in scores.items()}
    return out


def main() -> None:
    options = arguments()
    params = resolve.load_params().model_copy(update={"budget": "standard", "threads": options.threads})
    overlay = {key: yaml_file.parse_yaml(value) for key, _, value in (pair.partition("=") for pair in options.set)}
    experiment = resolve.resolve_experiment(params, options.experiment, overlay)
    target, data = device.configure_torch(experiment.run), Dataset(paths.prepared(experiment.entry.dataset))
    model, seconds = train_model(
        experiment, data.split("train", experiment.task.levels, experiment.task.binarise, target), options
    )
    if options.model:
        checkpoint.save(options.model, model, {})
    began = time.perf_counter()
    figures = measure(model, data, experiment, options.samples, options.split)
    how = {
        "experiment": experiment.name,
        "draw": options.draw,
        "share": options.share,
        "set": options.set,
        "device": target.type,
    }
    how |= {"split": options.split, "precision": options.precision, "train_seconds": seconds}
    how |= {"seconds": time.perf_counter() - began}
    line = json.dumps(how | figures, sort_keys=True)
    print(line)
    if options.out:
        files.write_bytes(options.out, (line + "\n").encode())


if __name__ == "__main__":
    main()
