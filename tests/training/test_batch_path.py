"""The way of a batch, from the stage `train` to a model's loss and back: at most ten files of this project."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from genfoundry import config, files, models, paths
from genfoundry.data.loaders import Loader
from genfoundry.training import device, loop
from genfoundry.training.experiment import Experiment
from genfoundry.training.trainer import Limit
from genfoundry.types import Spec
from pipeline.stages import train

ROOT = Path(__file__).parents[2]
STEPS, TRACED = 4, 2


def make_experiment() -> Experiment:
    """A tiny VAE on a data set of noise, which is written to the current folder."""
    folder, spec = paths.prepared("noise"), Spec((1, 8, 8), 4)
    folder.mkdir(parents=True)
    x = torch.randint(4, (64, 1, 8, 8), dtype=torch.uint8)
    save_file({"x": x, "label": torch.full((64,), -1)}, folder / "train.safetensors")
    files.write_json(folder / "spec.json", {"modality": "images", "spec": spec.to_json(), "digest": "d" * 64})
    kind = models.find("vae")
    settings = config.check(config.Train, {**kind.defaults, "batch": 8, "steps": {"fit": STEPS}}, "train")
    entry = config.Entry(dataset="noise", task="noise-density", model="vae")
    task = config.Task(dataset="noise", objective="bits_per_dim")
    run, budget = config.Run(seed=1, threads=1, device="cpu"), config.Budget(trials=0, trial_share=1.0, samples=2)
    return Experiment("vae-noise", run, budget, entry, task, "images", kind, kind.Config(), settings)


def is_own(path: Path) -> bool:
    """Whether a file is the project's source: an environment may lie inside the project's folder."""
    return any(path.is_relative_to(ROOT / package) for package in ("src", "pipeline"))


def callers(frame: FrameType | None) -> Iterator[str]:
    """The files of a frame and of those that called it, innermost first."""
    while frame is not None:
        yield frame.f_code.co_filename
        frame = frame.f_back


def test_a_batch_passes_through_ten_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(device, "configure_torch", lambda run: torch.device("cpu"))
    monkeypatch.setattr(loop, "EVENTS", 1)  # an event at the end alone, since progress is no part of a batch's way
    experiment, model = make_experiment(), str(ROOT / "src/genfoundry/models/vae.py")
    seen, batches = set[str](), 0

    def trace(frame: FrameType, event: str, argument: Any) -> None:
        nonlocal batches
        if event != "call":
            return
        batches += frame.f_code is Loader.batch.__code__
        if batches == TRACED:  # from one batch to the next; building blocks that a loss calls are the model's own
            way = [name for name in callers(frame) if is_own(Path(name))]
            seen.update(way if model not in way[1:] and "/genfoundry/nn/" not in way[0] else [])

    sys.setprofile(trace)
    try:
        train.train(experiment, 0, tmp_path / "state", Limit())
    finally:
        sys.setprofile(None)
    names = sorted(Path(name).relative_to(ROOT).as_posix() for name in seen)
    assert batches == STEPS
    assert {"pipeline/stages/train.py", "src/genfoundry/training/loop.py", "src/genfoundry/models/vae.py"} <= set(names)
    assert len(names) <= 10, "\n".join(names)
