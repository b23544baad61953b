"""The argument parser of every command."""

from __future__ import annotations

import argparse
from functools import partial
from typing import Any, NoReturn

LAYOUT = partial(argparse.HelpFormatter, max_help_position=22, width=80)


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line, with exit status 2; its subcommands' parsers are of this class, too."""

    def __init__(self, prog: str | None = None, **options: Any) -> None:
        super().__init__(prog, formatter_class=LAYOUT, **options)

    def error(self, message: str) -> NoReturn:
        """Print the error, and end the process."""
        self.exit(2, f"{self.prog}: {message}; see {self.prog} --help\n")
