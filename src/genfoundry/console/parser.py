"""The argument parser of every command."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from functools import partial
from typing import Any, NoReturn

LAYOUT = partial(argparse.HelpFormatter, max_help_position=22, width=80)


class StoreOnce(argparse.Action):
    """Store an option's value; the option may stand once in a command, where argparse would keep its last value."""

    namespace: argparse.Namespace | None = None  # of the command in which the option stood last

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,
    ) -> None:
        if option_string and namespace is self.namespace:
            raise argparse.ArgumentError(self, f"expected once, got {getattr(namespace, self.dest)} and {values}")
        self.namespace = namespace
        setattr(namespace, self.dest, values)


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line, with exit status 2; its subcommands' parsers are of this class, too.

    An option with a value may be given once, but for those declared with `action="append"`.
    """

    def __init__(self, prog: str | None = None, **options: Any) -> None:
        super().__init__(prog, formatter_class=LAYOUT, **options)
        for action in (None, "store"):  # None: an argument declared without an action
            self.register("action", action, StoreOnce)

    def error(self, message: str) -> NoReturn:
        """Print the error, and end the process."""
        self.exit(2, f"{self.prog}: {message}; see {self.prog} --help\n")
