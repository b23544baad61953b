"""A small classifier trained on the data set and frozen: its features serve the sample metrics."""

import shutil
from pathlib import Path

import torch

from genfoundry import config, models, paths
from genfoundry.data.dataset import Dataset
from genfoundry.data.loaders import Loader
from genfoundry.evaluation import random_features
from genfoundry.evaluation.judge import accuracy
from genfoundry.models import checkpoint
from genfoundry.seeding import derive_seed
from genfoundry.training import device, session
from pipeline.orchestration.engine import Engine
from pipeline.orchestration.unit import Unit


def run(unit: Unit, engine: Engine, state: Path) -> None:
    engine.map(train, [(str(unit.path), str(state))])


def train(path: str, state: str) -> None:
    """The judge's training, in whichever process; from its last checkpoint if an earlier one was killed."""
    unit = Unit.read(path)
    name, kind = unit.name, models.find(unit.settings["model"])
    params = config.Run(**unit.settings["run"])
    how = config.check(config.Train, unit.settings["train"], "train", name)
    target = device.configure_torch(params)
    data = Dataset(paths.prepared(name))
    split = data.split("train", device=target)
    key = (params.seed, f"judge-{name}")
    torch.manual_seed(derive_seed(*key, "init"))
    model = kind(split.spec, config.check(kind.Config, unit.settings["hyper"], "hyper", name)).to(target)
    session.session(model, Loader(split, how.batch, key), how, key=key, folder=Path(state))
    right = {part: accuracy(model, data.split(part)) for part in ("val", "test")}
    card = {
        "dataset": name,
        "precision": how.precision,
        "threads": params.threads,
        "device": target.type,
    }
    checkpoint.save(paths.judge(name), model, card | {"accuracy": right, "digests": {"data": data.meta["digest"]}})
    random_features.save(model, paths.judge(name), split)
    shutil.rmtree(state, ignore_errors=True)
