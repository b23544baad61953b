"""DVC's command line in a toy repository."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def dvc(root: Path, *words: str | Path) -> str:
    """What a command of DVC's prints; one that fails is an error of the test."""
    environment = {**os.environ, "DVC_NO_ANALYTICS": "1"}
    command = [sys.executable, "-m", "dvc", *map(str, words)]
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout
