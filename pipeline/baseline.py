"""What a task's models must beat, and what they are shown beside: trivial models, compressors, floor and ceiling."""

from genfoundry import baseline, experiment, places


def run(name: str) -> None:
    params = experiment.settings()
    experiment.arm(params)
    task = params.tasks[name]
    samples = params.budgets[params.budget].samples
    folders = places.prepared(task.dataset), places.judge(task.dataset)
    baseline.baseline(name, task, *folders, places.baselines(name), samples=samples, seed=params.seed)
