"""`make verify`: two fresh clones, two runs from nothing; per stage, whether both ended with the same bytes."""

import os
import shutil
import sys
import tempfile
from pathlib import Path

from genfoundry import shell
from genfoundry.config import yaml_file
from genfoundry.errors import UserError
from pipeline.commands import configure


def run(*argv: str) -> None:
    budget = argv[argv.index("--budget") + 1] if "--budget" in argv else ""
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # a run must not be saved by bytecode that was never written
    if shell.ask("git", "status", "--porcelain", "--untracked-files=no", root=Path()):
        print("verify: what is not committed is not part of the clones", file=sys.stderr)
    folder = Path(tempfile.mkdtemp(prefix="genfoundry-verify-"))
    try:
        compare(*[lock(folder / name, budget) for name in ("one", "two")])
    except UserError as error:
        raise UserError(f"{error}; the clones are kept in {folder}") from None
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    shutil.rmtree(folder)


def lock(clone: Path, budget: str) -> bytes:
    """dvc.lock of a run in a new clone."""
    shell.ask("git", "clone", "-q", Path().resolve(), clone, root=Path())
    (clone / "dvc.lock").unlink(missing_ok=True)
    shell.set_up_clone(Path(), clone)
    if budget:
        configure.change(clone, "budget", budget)
    env = {"PYTHONPATH": "src", "MLFLOW_TRACKING_URI": ""}
    if shell.show(sys.executable, "-m", "pipeline", "repro", root=clone, env=env):
        raise UserError(f"the run in {clone.name} failed, see above")
    return (clone / "dvc.lock").read_bytes()


def compare(one: bytes, two: bytes) -> None:
    """One line a stage; a UserError when any differs."""
    left, right = (yaml_file.parse_generated(text.decode())["stages"] for text in (one, two))
    names = [*left, *(name for name in right if name not in left)]
    differ = [name for name in names if left.get(name) != right.get(name)]
    for name in names:
        print(f"{'DIFFERS   ' if name in differ else 'reproduced'} {name}")
    if differ or one != two:
        raise UserError(f"{len(differ)} of {len(names)} stages differ: {', '.join(differ) or 'order of dvc.lock'}")
    print(f"{len(names)} stages, dvc.lock byte-identical")
