"""Train the feature network of a data set: a small classifier, frozen, in whose features samples are compared."""

import shutil
from pathlib import Path

import torch

from genfoundry import config, models, paths
from genfoundry.data.dataset import Dataset
from genfoundry.data.loaders import Loader
from genfoundry.evaluation import random_features
from genfoundry.evaluation.judge import measure_accuracy
from genfoundry.models import checkpoint
from genfoundry.seeding import derive_seed
from genfoundry.training import device
from genfoundry.training.trainer import Trainer
from pipeline.orchestration.engine import Engine
from pipeline.orchestration.unit import Unit


def run(unit: Unit, engine: Engine, state: Path) -> None:
    engine.map(train, [(str(unit.path), str(state))])


def train(path: str, state: str) -> None:
    """Train the judge, from its last checkpoint if an earlier process was killed."""
    unit = Unit.read(path)
    name, kind = unit.name, models.find(unit.settings["model"])
    run = config.Run(**unit.settings["run"])
    settings = config.check(config.Train, unit.settings["train"], "train", name)
    target, data, key = device.configure_torch(run), Dataset(paths.prepared(name)), (run.seed, f"judge-{name}")
    split = data.split("train", device=target)
    torch.manual_seed(derive_seed(*key, "init"))
    model = kind(split.spec, config.check(kind.Config, unit.settings["hyper"], "hyper", name)).to(target)
    Trainer(Loader(split, settings.batch, key), settings, key, Path(state), name=key[-1]).fit(model)
    card = {
        "dataset": name,
        "precision": settings.precision,
        "threads": run.threads,
        "device": target.type,
        "accuracy": {part: measure_accuracy(model, data.split(part)) for part in ("val", "test")},
        "digests": {"data": data.meta["digest"]},
    }
    checkpoint.save(paths.judge(name), model, card)
    # The control of every metric of features: an untrained network of the same shape.
    random_features.save(model, paths.judge(name), split)
    # After the outputs are complete: a kill before this line resumes from the checkpoint.
    shutil.rmtree(state, ignore_errors=True)
