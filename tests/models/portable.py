"""What every model and every stage comes to on this processor: a line each, `name<TAB>SHA-256`.

`python -m pipeline verify_portable` runs it on several processors and compares the lines.
"""

from __future__ import annotations

import hashlib
import os
import sys
import tempfile
from collections.abc import Iterator
from functools import partial
from itertools import chain
from pathlib import Path

import torch
import yaml
from tiny import Loader, build, settings, specs
from torch import Tensor

from genfoundry import models
from genfoundry.config import load
from genfoundry.evaluation.judge import Judges
from genfoundry.evaluation.metric import QUANTILES
from genfoundry.models.abilities import Classifies, Embeds, Forecasts
from genfoundry.models.base import GenerativeModel, Learner
from genfoundry.training import device
from genfoundry.training.loop import fit
from pipeline.__main__ import call_stage
from pipeline.commands import golden, smoke
from pipeline.commands.verify_portable import THREADS
from pipeline.orchestration import engine, resolve
from pipeline.orchestration.unit import read_all
from pipeline.stages import plan

STEPS = 4
ROOT = Path(__file__).parent.parent.parent


def tensors(model: Learner, loader: Loader) -> Iterator[Tensor]:
    """A trained model's weights, and what it answers."""
    yield from model.state_dict().values()
    batch = loader.batch("answers", 0)
    torch.manual_seed(0)
    if isinstance(model, GenerativeModel):
        for answers in (model.measure(batch), model.panels(batch)):
            yield from (answers[name] for name in sorted(answers))
    if isinstance(model, Judges):
        yield model.features(batch.x)
    if isinstance(model, Classifies):
        yield model.classify(batch)
    if isinstance(model, Embeds):
        yield model.embed(batch)
    if isinstance(model, Forecasts) and batch.cond is not None:
        yield model.forecast(batch.cond, batch.x.shape[1], QUANTILES)


def of_models() -> Iterator[tuple[str, str]]:
    """Every file in models/, on every kind of tiny data that it takes."""
    for name in models.names():
        for label, spec in specs(models.find(name)).items():
            model, loader = build(name, spec), Loader(spec)
            for _ in fit(model, loader, settings(model, STEPS), key=("portable",)):
                pass
            model.eval()
            total = hashlib.sha256()
            with torch.no_grad():
                for tensor in tensors(model, loader):
                    total.update(tensor.contiguous().numpy().tobytes())
            yield f"{name} on {label}", total.hexdigest()


def of_stages(folder: Path, arithmetic: str) -> Iterator[tuple[str, str]]:
    """Every file of every out of the smoke pipeline with a few steps, its stages run in this process."""
    copy = smoke.prepare(ROOT, folder, arithmetic=arithmetic)
    params = yaml.safe_load((copy / "params.yaml").read_text())
    params["threads"] = THREADS
    for entry in (*params["experiments"].values(), *params["judges"].values()):
        if steps := entry.get("steps"):
            phases = steps["smoke"]
            entry["steps"] = {"smoke": dict.fromkeys(phases, STEPS) if isinstance(phases, dict) else 2 * STEPS}
    (copy / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    os.chdir(copy)
    plan.compile_plan()
    for key, unit in read_all(copy).items():
        if unit.outputs:
            call_stage(unit.stage, [unit], {"engine": engine.Local, "state": partial(Path, ".state", key)})
            yield from golden.hash_unit(copy, unit).items()


def main(*words: str) -> None:
    """`portable.py [--models] native|portable`; `--models` leaves the stages out."""
    arithmetic = words[-1]
    params = load.read_params(ROOT / smoke.PARAMS).model_copy(update={"arithmetic": arithmetic, "threads": THREADS})
    device.configure_torch(resolve.select_run(params))
    with tempfile.TemporaryDirectory() as folder:
        stages = () if "--models" in words else of_stages(Path(folder), arithmetic)
        for name, digest in chain(of_models(), stages):
            print(f"{name}\t{digest}", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
