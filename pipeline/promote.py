"""Make the best of a ranking a version of the registered model, champion only if it beats the present one on gate."""

import time
from pathlib import Path

from genfoundry import promote

HERE = Path()


def run(name: str) -> float:
    if promote.settled(name, HERE):  # before anything else is imported: this runs every time, and mostly for nothing
        print(f"{name}: unchanged")
        return 0.0
    from genfoundry import experiment, publish

    decision = promote.promote(name, experiment.settings().tasks[name], HERE)
    print(f"{name}: {decision}")
    began = time.perf_counter()
    if decision in ("champion", "challenger", "refused"):
        publish.publish(HERE)
    return time.perf_counter() - began
