"""Rank every model on a task's data that can compute its objective, on val."""

from genfoundry import checkpoint, experiment, places, rank


def run(name: str) -> None:
    task = experiment.settings().tasks[name]
    ranking = rank.rank(name, task, places.scores(task.dataset), places.baselines(name))
    checkpoint.write_json(places.ranking(name), ranking)
