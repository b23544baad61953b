"""`python -m pipeline dvc ...`: DVC's command with a quick writer of dvc.lock, for `make repro`."""

import sys

from genfoundry import lockfile


def run(*argv: str) -> None:
    sys.argv = ["dvc", *argv]  # DVC notes who holds its locks by this (src/genfoundry/turns.py)
    sys.exit(lockfile.command(list(argv)))
