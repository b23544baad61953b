"""A small classifier trained on the data set and frozen: its features serve the sample metrics."""

import shutil

import torch

from genfoundry import checkpoint, controls, device, experiment, graph, places, session
from genfoundry.data.base import Dataset, Loader
from genfoundry.evaluate import accuracy
from genfoundry.types import counted

HERE = places.Path()


def run(name: str) -> None:
    params = experiment.settings()
    found = experiment.judge(params, name)
    if found is None:
        with checkpoint.fresh(places.judge(name)) as folder:
            checkpoint.write_json(folder / "model.json", {"judge": None})
        return
    kind, hyper, train = found
    target = device.arm(params)
    data = Dataset(places.prepared(name))
    split = data.split("train", device=target)
    key = (params.seed, f"judge-{name}")
    torch.manual_seed(counted(*key, "init"))
    state = graph.state(f"judge@{name}", HERE)
    model = kind(split.spec, hyper).to(target)
    session.session(model, Loader(split, train.batch, key), train, key=key, folder=state)
    right = {part: accuracy(model, data.split(part)) for part in ("val", "test")}
    source = checkpoint.read_json(places.CODE)["judges"][name]  # who uses the features depends on their code too
    card = {
        "source": source,
        "dataset": name,
        "precision": train.precision,
        "threads": params.threads,
        "device": target.type,
    }
    checkpoint.save(places.judge(name), model, card | {"accuracy": right, "digests": {"data": data.meta["digest"]}})
    controls.save(model, places.judge(name), split)
    shutil.rmtree(state, ignore_errors=True)
