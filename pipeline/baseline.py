"""What a task's models must beat, and what they are shown beside: trivial models, compressors, floor and ceiling."""

from genfoundry import device, experiment, figures, places


def run(name: str) -> None:
    params = experiment.settings()
    device.arm(params)
    task = params.tasks[name]
    figures.of_baselines(
        name,
        places.prepared(task.dataset),
        places.judge(task.dataset),
        out=places.baselines(name),
        levels=task.levels,
        binarise=task.binarise,
        labels=task.labels,
        objective=task.objective,
        samples=params.budgets[params.budget].samples,
        seed=params.seed,
    )
