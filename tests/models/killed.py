"""A training process to be killed: `python killed.py MODEL SPEC FILE STEPS` saves after every step, and says so."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import torch
from tiny import SPECS, Loader, build, settings

from genfoundry import models
from genfoundry.training.loop import State, fit


def main(name: str, example: str, path: Path, steps: int) -> None:
    torch.set_num_threads(1)
    spec = SPECS[models.find(name).modalities[0]][example]
    model, state = build(name, spec), State()
    for event in fit(model, Loader(spec), settings(model, steps), key=("contract",), state=state):
        state.save(path, model)
        print(event.clock.phase, event.clock.step, flush=True)
        time.sleep(0.02)  # or it might be done before the signal arrives


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]), int(sys.argv[4]))
