"""Rank: every model on a task's data that can compute its objective, on val; all tasks in one stage."""

from genfoundry import config, files, paths
from genfoundry.selection import ranking
from pipeline.orchestration.unit import Unit


def run(unit: Unit) -> None:
    """Write the rankings of all tasks."""
    # All at once, so that the ranking of a task that params.yaml has no more goes, too.
    with files.replace_dir(paths.RANKINGS) as folder:
        for name in unit.settings["tasks"]:
            files.write_json(folder / f"{name}.json", rank_task(unit, name))


def rank_task(unit: Unit, name: str) -> dict[str, object]:
    """Return the ranking of one task, from the scores on disk."""
    task = config.check(config.Task, unit.settings["tasks"][name], f"tasks.{name}")
    return ranking.rank(name, task, paths.scores(task.dataset), paths.baselines(name), unit.settings["experiments"])
