"""`genfoundry withdraw`: take files out of an inbox for good, and say what was trained on them."""

from collections.abc import Sequence
from pathlib import Path

from genfoundry import paths
from genfoundry.errors import UserError
from genfoundry.selection import ledger
from pipeline.orchestration import inbox, resolve

HERE = Path()


def run(dataset: str, files: Sequence[str]) -> None:
    """Withdraw `files` (paths within the inbox) of a data set.

    Raises:
        UserError: no such data set, or a file that is none of its inbox's.
    """
    params = resolve.load_params()
    if dataset not in params.datasets or not files:
        raise UserError(
            f"expected make withdraw DATASET=name FILES='file ...', got DATASET={dataset!r} FILES={' '.join(files)!r}; "
            f"data sets: {', '.join(params.datasets)}"
        )
    removed = inbox.withdraw(HERE, dataset, files)
    print(f"withdrawn from {paths.inbox(dataset)}: {', '.join(removed)}")
    experiments = [name for name, entry in params.experiments.items() if entry.dataset == dataset]
    print(f"to be trained again without them: {', '.join(experiments) or 'no experiment'}")
    lines = ledger.read_decisions(HERE / paths.LEDGER)
    for task in (name for name, task in params.tasks.items() if task.dataset == dataset):
        if champion := ledger.find_champion(lines, task):
            print(
                f"champion of {task} since {champion['time']}: {champion['experiment']} ({champion['digest'][:12]}), "
                "which may have been trained on them; it serves until another is promoted"
            )
    tracked = paths.inbox(dataset).with_suffix(".dvc")
    print(f"next: git add {tracked} {inbox.withdrawn_path(dataset)} && git commit, then make retrain (or make repro)")
    print("then `dvc gc --workspace --cloud` removes their content, and old models, from DVC's cache and remote")
