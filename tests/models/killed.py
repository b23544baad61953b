"""Trainings to be killed: for each line MODEL<TAB>SPEC<TAB>FILE<TAB>STEPS on stdin, a process that saves every step.

It prints its own id, the phase and the step each time; this process, which imports torch once for all of them, prints
the exit status at the end.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import torch
from tiny import SPECS, Loader, build, settings

from genfoundry import models
from genfoundry.training.loop import State, fit


def train(name: str, example: str, path: Path, steps: int) -> None:
    spec = SPECS[models.find(name).modalities[0]][example]
    model, state = build(name, spec), State()
    for event in fit(model, Loader(spec), settings(model, steps), key=("contract",), state=state):
        state.save(path, model)
        print(os.getpid(), event.clock.phase, event.clock.step, sep="\t", flush=True)
        time.sleep(0.02)  # or it might be done before the signal arrives


def main() -> None:
    torch.set_num_threads(1)
    for line in sys.stdin:
        if not (child := os.fork()):
            name, example, path, steps = line.rstrip("\n").split("\t")
            train(name, example, Path(path), int(steps))
            os._exit(0)
        print("ended", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), sep="\t", flush=True)


if __name__ == "__main__":
    main()
