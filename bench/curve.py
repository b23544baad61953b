"""Nats (or bits/dim) on val against minutes of training, a curve an experiment: which model is best at which time.

    PYTHONPATH=src python bench/curve.py EXPERIMENT ... [--seconds 60] [--points 3] [--precision bf16] [--out curve.png]
        [--split val]

Each point is a training of its own, to the end of its schedule, of 1/3, 1/9, ... of the seconds before the last: a
model in the middle of a long schedule would look worse than it need. Steps follow from a measured pace, hyperparameters
from the entry, items from val (2,000; `--split test` for a final picture). A machine's own figures: run all curves of a
picture in one go.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import held_out
import torch

from genfoundry import paths
from genfoundry.config import Train
from genfoundry.data import loaders
from genfoundry.data.dataset import Dataset
from genfoundry.data.iterate import iter_batches, sample_indices
from genfoundry.evaluation.context import SplitContext
from genfoundry.evaluation.objectives import find_objective
from genfoundry.evaluation.predict import score
from genfoundry.models.base import GenerativeModel
from genfoundry.splits import Split
from genfoundry.training import device
from genfoundry.training.experiment import Experiment
from genfoundry.training.loop import fit
from pipeline.orchestration import resolve

ITEMS, PACE = 2000, 12  # held-out items; steps by which the pace is measured, after half as many


def train_for(experiment: Experiment, split: Split, train: Train, steps: int) -> tuple[GenerativeModel, float]:
    """A model trained for `steps`, and the seconds that it took."""
    loader = loaders.make_loader(split, experiment.entry.data, train.batch, experiment.key, experiment.entry.dataset, 0)
    model = experiment.build(loader.split.spec).to(split.tensor.device)
    assert isinstance(model, GenerativeModel)
    began = time.perf_counter()
    for _ in fit(model, loader, train.model_copy(update={"steps": {model.phases[0]: steps}}), key=experiment.key):
        pass
    return model.eval(), time.perf_counter() - began


@torch.inference_mode()
def measure(model: GenerativeModel, holdout: Split, objective: str) -> float:
    """The objective on the chosen items of a held-out split."""
    parts = [
        model.measure(batch.to(model.device))["nll"]
        for batch in iter_batches(holdout, sample_indices(holdout, ITEMS), size=200)
    ]
    scores = score({"nll": torch.cat(parts).double()}, SplitContext(split=holdout))
    return find_objective(objective).value(scores, holdout.spec.dims)


def curve(name: str, options: argparse.Namespace) -> list[dict[str, float]]:
    experiment = resolve.load_experiment(name)
    target, data = device.configure_torch(experiment.run), Dataset(paths.prepared(experiment.entry.dataset))
    split, holdout = (
        data.split(part, experiment.task.levels, experiment.task.binarise, target) for part in ("train", options.split)
    )
    train = experiment.train.model_copy(update={"precision": options.precision})
    train_for(experiment, split, train, PACE // 2)
    pace = PACE / train_for(experiment, split, train, PACE)[1]
    points = []
    for place in reversed(range(options.points)):
        steps = max(1, round(options.seconds / 3**place * pace))
        model, seconds = train_for(experiment, split, train, steps)
        value = measure(model, holdout, experiment.task.objective)
        points.append({"steps": steps, "seconds": round(seconds, 1), experiment.task.objective: round(value, 4)})
        print(
            json.dumps({"experiment": name, "split": options.split, "precision": options.precision, **points[-1]}),
            flush=True,
        )
    return points


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("experiments", nargs="+")
    held_out.add_option(parser)
    parser.add_argument("--seconds", type=float, default=60.0, help="of training at the last point")
    parser.add_argument("--points", type=int, default=3)
    parser.add_argument("--precision", default="float32")
    parser.add_argument("--out", type=Path, help="picture of the curves")
    options = parser.parse_args()
    curves = {name: curve(name, options) for name in options.experiments}
    if options.out:
        from matplotlib.figure import Figure

        figure = Figure(figsize=(7, 4.5), dpi=110, layout="constrained")
        axes = figure.subplots()
        for name, points in curves.items():
            unit = list(points[0])[-1]
            axes.plot([p["seconds"] / 60 for p in points], [p[unit] for p in points], marker="o", label=name)
        axes.set(xlabel="minutes of training", ylabel=f"{unit} on {options.split}", xscale="log")
        axes.legend()
        figure.savefig(options.out)


if __name__ == "__main__":
    main()
