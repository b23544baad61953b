"""Make the best of each ranking a version of the registered model, its champion if it beats the present one on gate."""

import time
from pathlib import Path

from genfoundry import promote

HERE = Path()


def run(*names: str) -> float:
    tasks = names or tuple(sorted(path.stem for path in Path("reports/ranking").glob("*.json")))
    due = [name for name in tasks if not promote.settled(name, HERE)]
    if not due:  # before anything else is imported: this runs every time, and mostly for nothing
        print(f"promote: nothing to decide for {', '.join(tasks)}")
        return 0.0
    from genfoundry import experiment
    from genfoundry.tracking import publish

    settings = experiment.settings()
    for name in (name for name in due if name in settings.tasks):
        print(f"{name}: {promote.promote(name, settings.tasks[name], HERE)}")
    began = time.perf_counter()
    publish.publish(HERE)
    return time.perf_counter() - began
