"""`genfoundry verify`: run the pipeline in two fresh clones; per stage, whether both ended with the same bytes."""

import logging
import os
import shutil
import tempfile
from pathlib import Path

from genfoundry.config import yaml_file
from genfoundry.console import shell
from genfoundry.errors import UserError
from pipeline.commands import configure, smoke

logger = logging.getLogger(__name__)


def run(budget: str = "") -> None:
    """Compare dvc.lock of two runs at a budget, by default that of params.yaml.

    Raises:
        UserError: a run failed, or stages differ; the clones are kept.
    """
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # a run must not be saved by bytecode that was never written
    if shell.ask("git", "status", "--porcelain", "--untracked-files=no", root=Path()):
        logger.warning("what is not committed is not part of the clones")
    folder = Path(tempfile.mkdtemp(prefix="genfoundry-verify-"))
    try:
        compare(*[run_clone(folder / name, budget) for name in ("one", "two")])
    except UserError as error:
        raise UserError(f"{error}; the clones are kept in {folder}") from None
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    shutil.rmtree(folder)


def run_clone(clone: Path, budget: str) -> bytes:
    """Run the pipeline in a new clone and return its dvc.lock."""
    shell.ask("git", "clone", "-q", Path().resolve(), clone, root=Path())
    # Both locks are made anew: a committed one could stand in for a stage that was not run.
    (clone / "dvc.lock").unlink(missing_ok=True)
    shell.set_up_clone(Path(), clone)
    if budget:
        configure.change(clone, "budget", budget)
    # Each clone tracks in a database of its own: a shared server would mix the two.
    smoke.run_pipeline(clone, MLFLOW_TRACKING_URI="")
    return (clone / "dvc.lock").read_bytes()


def compare(first: bytes, second: bytes) -> None:
    """Print a line for each stage of two dvc.lock files.

    Raises:
        UserError: any differs.
    """
    left, right = (yaml_file.parse_generated(text.decode())["stages"] for text in (first, second))
    names = list(dict.fromkeys([*left, *right]))
    differ = [name for name in names if left.get(name) != right.get(name)]
    for name in names:
        print(f"{'DIFFERS   ' if name in differ else 'reproduced'} {name}")
    if differ or first != second:
        raise UserError(f"{len(differ)} of {len(names)} stages differ: {', '.join(differ) or 'order of dvc.lock'}")
    print(f"{len(names)} stages, dvc.lock byte-identical")
