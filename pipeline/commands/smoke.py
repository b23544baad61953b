"""The smoke run: the whole pipeline at a tiny budget, on data of installed packages, in a throw-away copy."""

import shutil
import sys
import tempfile
from pathlib import Path

from genfoundry import paths
from genfoundry.console import shell
from genfoundry.errors import UserError
from pipeline.commands import configure

PARAMS = Path("tests/smoke/params.yaml")


def run() -> None:
    """Run the smoke pipeline in a copy of the working tree."""
    with tempfile.TemporaryDirectory(prefix="genfoundry-smoke-") as folder:
        run_pipeline(prepare(Path(), Path(folder)))


def prepare(root: Path, folder: Path, arithmetic: str = "native") -> Path:
    """Make a committed copy of the working tree whose params.yaml is the smoke run's."""
    # A copy of the files, not a clone: what is not committed yet is what needs the test.
    copy = shell.make_working_copy(root, folder)
    shutil.copy(copy / PARAMS, copy / paths.PARAMS)
    configure.change(copy, "arithmetic", arithmetic)
    shell.commit(copy, "smoke parameters", str(paths.PARAMS))
    return copy


def run_pipeline(root: Path, **env: str) -> None:
    """Run `genfoundry repro` with the code of another copy of the repository.

    Raises:
        UserError: it failed; its output says why.
    """
    # -m from the copy's root takes its `pipeline`, and PYTHONPATH its `src`: neither is the one that runs now.
    command = (sys.executable, "-m", "pipeline.cli", "repro")
    if shell.show(*command, root=root, env={"PYTHONPATH": "src", **env}):
        raise UserError(f"the run in {root} failed, see above")
