"""Train an experiment with its tuned settings, from the last checkpoint if an earlier process was killed."""

import shutil
import time

from genfoundry import checkpoint, device, experiment, graph, places, session, tracking
from genfoundry.data.base import Dataset, Loader

HERE = places.Path()


def run(name: str) -> float:
    one = experiment.load(name, overlay=checkpoint.read_json(places.tuning(name) / "overlay.json"))
    target = device.arm(one.params)
    data = Dataset(places.prepared(one.entry.dataset))
    split = data.split("train", one.task.levels, one.task.binarise, target)
    model = one.build(split.spec).to(target)
    state = graph.state(f"train@{name}", HERE)
    card = {
        "experiment": name,
        "dataset": one.entry.dataset,
        "task": one.entry.task,
        "data": one.entry.data.model_dump(),
        "meta": {key: data.meta.get(key) for key in ("modality", "alphabet", "names")},
        "train": one.train.model_dump(mode="json"),
        "device": target.type,
        "precision": one.params.precision,
        "threads": one.params.threads,
        "digests": {"data": data.meta["digest"]},
    }
    with tracking.Live(HERE, name, one.entry.task, state.name) as live:
        began, resumed = time.perf_counter(), state.exists()
        loader = Loader(split, one.train.batch, one.key)
        events = session.session(model, loader, one.train, key=one.key, folder=state, watch=live.log)
        if not resumed and (steps := sum(one.train.steps.values())):
            session.remember_speed(experiment.SPEED, name, (time.perf_counter() - began) / steps)
        live.done(checkpoint.save(places.model(name), model, card))
    checkpoint.write_bytes(places.curves(name), session.curves(events).encode())
    shutil.rmtree(state, ignore_errors=True)
    return float(live.overhead)
