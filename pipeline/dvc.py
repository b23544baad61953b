"""`python -m pipeline dvc ...`: DVC's command with less parsing, for `make repro`."""

import sys

from genfoundry import hooks


def run(*argv: str) -> None:
    sys.argv = ["dvc", *argv]  # DVC notes who holds its locks by this (src/genfoundry/turns.py)
    sys.exit(hooks.command(list(argv)))
