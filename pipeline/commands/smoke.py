"""`make smoke`: the whole pipeline at a tiny budget on data that installed packages carry, in a throw-away copy."""

import shutil
import sys
import tempfile
from pathlib import Path

from genfoundry import paths, shell
from genfoundry.errors import UserError
from pipeline.commands import configure

PARAMS = Path("tests/smoke/params.yaml")


def run() -> None:
    with tempfile.TemporaryDirectory(prefix="genfoundry-smoke-") as folder:
        copy = prepare(Path(), Path(folder))
        if shell.show(sys.executable, "-m", "pipeline", "repro", root=copy, env={"PYTHONPATH": "src"}):
            raise UserError("the smoke run failed, see above")


def prepare(root: Path, folder: Path, arithmetic: str = "native") -> Path:
    """A committed copy of the working tree whose params.yaml is the smoke run's."""
    copy = shell.make_working_copy(root, folder)
    shutil.copy(copy / PARAMS, copy / paths.PARAMS)
    configure.change(copy, "arithmetic", arithmetic)
    shell.commit(copy, "smoke parameters", str(paths.PARAMS))
    return copy
