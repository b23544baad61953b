"""A small classifier trained on the data set and frozen: its features serve the sample metrics."""

import shutil
from pathlib import Path

import torch

from genfoundry import checkpoint, config, controls, device, models, places, session
from genfoundry.data.base import Dataset, Loader
from genfoundry.judges import accuracy
from genfoundry.types import counted
from genfoundry.unit import Unit
from pipeline.orchestration.engine import Engine


def run(unit: Unit, engine: Engine, state: Path) -> None:
    engine.map(train, [(str(unit.path), str(state))])


def train(path: str, state: str) -> None:
    """The judge's training, in whichever process; from its last checkpoint if an earlier one was killed."""
    unit = Unit.read(path)
    name, kind = unit.name, models.find(unit.settings["model"])
    params = config.Run(**unit.settings["run"])
    how = config.check(config.Train, unit.settings["train"], "train", name)
    target = device.arm(params)
    data = Dataset(places.prepared(name))
    split = data.split("train", device=target)
    key = (params.seed, f"judge-{name}")
    torch.manual_seed(counted(*key, "init"))
    model = kind(split.spec, config.check(kind.Config, unit.settings["hyper"], "hyper", name)).to(target)
    session.session(model, Loader(split, how.batch, key), how, key=key, folder=Path(state))
    right = {part: accuracy(model, data.split(part)) for part in ("val", "test")}
    card = {
        "dataset": name,
        "precision": how.precision,
        "threads": params.threads,
        "device": target.type,
    }
    checkpoint.save(places.judge(name), model, card | {"accuracy": right, "digests": {"data": data.meta["digest"]}})
    controls.save(model, places.judge(name), split)
    shutil.rmtree(state, ignore_errors=True)
