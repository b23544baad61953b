"""The command `genfoundry`: it runs pipeline/cli.py of the repository in the current folder, with that code alone.

So a clone, a worktree or a copy that `dvc exp run --temp` made runs its own code, whichever one is installed. DVC and
Python are those of its environment, which need not be activated.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path


def main() -> None:
    """Become `python -m pipeline.cli ARGUMENTS`; outside a repository, that of the installed one (for its help)."""
    roots = [path for path in (Path.cwd(), Path(__file__).parents[3]) if (path / "pipeline/cli.py").is_file()]
    if not roots:
        sys.exit(f"genfoundry: expected the root of a GenFoundry repository, got {Path.cwd()}")
    programs = [str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]
    os.environ["PATH"] = os.pathsep.join(programs)
    # First on the path, before an installed version of either package.
    path = [str(roots[0] / "src"), str(roots[0]), os.environ.get("PYTHONPATH", "")]
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, path))
    # exec, not a child: signals and the exit status are the command's own.
    os.execv(sys.executable, [sys.executable, "-m", "pipeline.cli", *sys.argv[1:]])
