"""Start and end of every process of the pipeline: environment, log messages, exit status."""

from __future__ import annotations

import errno
import getpass
import logging
import os
import sys
from collections.abc import Callable

from genfoundry.console import messages
from genfoundry.errors import UserError
from pipeline.orchestration.environment import QUIET

ADVICE = {errno.ENOSPC: "free some space", errno.EDQUOT: "free some space"}
ADVICE |= dict.fromkeys((errno.EACCES, errno.EPERM, errno.EROFS), "make it writable")
logger = logging.getLogger(__name__)


def run(label: str, action: Callable[[], int | None]) -> int:
    """Run a stage or command and return the exit status: its own, or 1 after the one-line message of a user's error.

    Args:
        label: names it in messages, `genfoundry LABEL: ...`.
        action: what to run; it returns an exit status, or None for success.
    """
    _name_user()
    os.environ.pop("DVC_STAGE", None)  # not for what the stage itself starts
    os.environ.pop("MLFLOW_RUN_ID", None)  # `mlflow run` sets it, and every stage would join that one run
    os.environ.update(QUIET)
    messages.configure(label)
    try:
        return action() or 0
    except UserError as error:
        logger.error("%s", error)
        return 1
    except BrokenPipeError:  # whoever read the output (`| head`) has seen enough; what is left of it goes nowhere
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except OSError as error:
        if error.errno not in ADVICE:
            raise
        where = f"{error.filename}: " if error.filename else ""  # a failed write does not know its file
        logger.error("%s%s; %s", where, error.strerror, ADVICE[error.errno])
        return 1
    except KeyboardInterrupt:
        logger.error("interrupted; run it again to go on from the last checkpoint")
        return 130


def _name_user() -> None:
    """Set USER for a user id without a name, as in a container: DVC and MLflow need one."""
    try:
        getpass.getuser()
    except (KeyError, OSError):
        os.environ["USER"] = f"uid-{os.getuid()}"
