"""Log messages of a stage or command on standard error: `genfoundry LABEL: message`, a line each."""

from __future__ import annotations

import logging
import os
import sys
from typing import TextIO

LEVEL = "GENFOUNDRY_LOG"  # WARNING (--quiet), INFO or DEBUG (--verbose): for the stages that a command starts, too
LOGGERS = ("genfoundry", "pipeline")


class _StandardError(logging.StreamHandler[TextIO]):
    """Writes to `sys.stderr` as it is at that moment: a worker's goes to a file while a call runs."""

    def __init__(self, label: str) -> None:
        logging.Handler.__init__(self)
        self._label = label

    @property
    def stream(self) -> TextIO:  # type: ignore[override]
        return sys.stderr

    def format(self, record: logging.LogRecord) -> str:
        lines = super().format(record).splitlines()
        return "\n".join(f"genfoundry {self._label}: {line}" for line in lines)


def configure(label: str) -> None:
    """Print the project's log messages under a label: a stage's unit (`train@vae-fashion`) or a command."""
    for name in LOGGERS:
        logger = logging.getLogger(name)
        # A worker is configured once a call: with the handlers of earlier calls, each line would appear twice.
        for handler in [h for h in logger.handlers if isinstance(h, _StandardError)]:
            logger.removeHandler(handler)
        logger.addHandler(_StandardError(label))
        logger.setLevel(level())


def level() -> int:
    """The level of messages to print, from the environment; INFO unless that names another."""
    return int(logging.getLevelNamesMapping().get(os.environ.get(LEVEL, ""), logging.INFO))
