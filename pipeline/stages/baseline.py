"""What a task's models must beat, and what they are shown beside: trivial models, compressors, floor and ceiling."""

from genfoundry import device, experiment, figures, places


def run(name: str) -> None:
    params = experiment.settings()
    device.arm(params)
    task, budget = params.tasks[name], params.budgets[params.budget]
    figures.of_baselines(
        name,
        places.prepared(task.dataset),
        places.judge(task.dataset),
        out=places.baselines(name),
        levels=task.levels,
        binarise=task.binarise,
        labels=task.labels,
        objective=task.objective,
        samples=budget.samples,
        test_items=budget.test_items,
        seed=params.seed,
    )
