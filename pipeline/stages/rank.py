"""Rank every model on a task's data that can compute its objective, on val; all tasks in one stage."""

from genfoundry import checkpoint, config, places, rank
from genfoundry.unit import Unit


def run(unit: Unit) -> None:
    with checkpoint.fresh(places.rankings()) as folder:
        for name in unit.settings["tasks"]:
            checkpoint.write_json(folder / f"{name}.json", rank_task(unit, name))


def rank_task(unit: Unit, name: str) -> dict[str, object]:
    """The ranking of one task, from the scores that are there."""
    task = config.check(config.Task, unit.settings["tasks"][name], f"tasks.{name}")
    return rank.rank(name, task, places.scores(task.dataset), places.baselines(name), unit.settings["experiments"])
