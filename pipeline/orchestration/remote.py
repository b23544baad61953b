"""Remote calls: functions run in another process, on a machine that shares the folder."""

from __future__ import annotations

import os
import sys
import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from genfoundry import config, paths
from genfoundry.console import messages
from genfoundry.errors import UserError
from pipeline.orchestration import environment as base
from pipeline.orchestration.environment import ENGINE
from pipeline.orchestration.unit import Unit

EVERY = 0.2  # seconds between two looks at what calls have written
PASSED = "MLFLOW_"  # so begin variables of the stage's process that its calls have, too


@dataclass(frozen=True)
class Call:
    """A call of a module's function, to be run with `root` as the working folder; what it prints goes to `log`."""

    root: Path
    log: Path
    function: Callable[..., Any]
    arguments: tuple[Any, ...]


Answer = tuple[Any, str]  # the result and "", or None and what a UserError says: a user's mistake has no traceback


def execute(call: Call) -> Answer:
    """Run a call in this process."""
    os.chdir(call.root)
    with _redirect_output(call.log):
        messages.configure(call.function.__module__.rpartition(".")[2])
        try:
            return call.function(*call.arguments), ""
        except UserError as error:
            # A value, not an exception: the engines wrap what a call raises into their own, with a traceback.
            return None, str(error)


def unpack(answers: Sequence[Answer]) -> list[Any]:
    """Return the results, in order.

    Raises:
        UserError: the first that a call raised.
    """
    for _, mistake in answers:
        if mistake:
            raise UserError(mistake)
    return [result for result, _ in answers]


def read_run(calls: Sequence[tuple[Any, ...]]) -> config.Run:
    """Read what the calls are run with: the first argument of each is the path of its unit's file in the plan."""
    return config.Run(**Unit.read(calls[0][0]).settings["run"])


def environment(run: config.Run) -> dict[str, str]:
    """Return what has to stand in a worker's environment before it imports torch, and where its modules are."""
    root = Path.cwd()
    variables = {key: value for key, value in os.environ.items() if key.startswith(PASSED)}
    variables |= base.environment(run.model_dump())
    # A worker works itself: with the engine's name in its environment it would send the work on.
    return variables | {"PYTHONPATH": f"{root / 'src'}{os.pathsep}{root}", ENGINE: "local"}


@contextmanager
def prepare(function: Callable[..., Any], calls: Sequence[tuple[Any, ...]]) -> Iterator[list[Call]]:
    """Yield the calls as workers get them; while the block runs, what they print is printed here, line by line."""
    root, name = Path.cwd(), uuid.uuid4().hex[:12]
    (root / paths.ENGINE_LOGS).mkdir(parents=True, exist_ok=True)
    logs = [root / paths.ENGINE_LOGS / f"{name}-{number}.log" for number in range(len(calls))]
    for log in logs:
        log.touch()  # the follower opens it before a worker does
    over = threading.Event()
    follower = threading.Thread(target=_follow, args=(logs, over), daemon=True)
    follower.start()
    try:
        yield [Call(root, log, function, arguments) for log, arguments in zip(logs, calls, strict=True)]
    finally:
        over.set()
        follower.join()
        for log in logs:
            log.unlink(missing_ok=True)


@contextmanager
def _redirect_output(path: Path) -> Iterator[None]:
    """Send all output of this process into a file, that of libraries in C too, until the block ends."""
    saved = [os.dup(number) for number in (1, 2)]
    with path.open("a", buffering=1, encoding="utf-8", errors="replace") as log:
        try:
            for number in (1, 2):
                os.dup2(log.fileno(), number)
            with redirect_stdout(log), redirect_stderr(log):
                yield
        finally:
            for number, old in zip((1, 2), saved, strict=True):
                os.dup2(old, number)
                os.close(old)


def _follow(logs: Sequence[Path], over: threading.Event) -> None:
    """Print complete lines of the logs as they come, and what is left at the end."""
    files: list[IO[str]] = [log.open(encoding="utf-8", errors="replace") for log in logs]
    begun = [""] * len(files)
    last = False
    while not last:
        last = over.wait(EVERY)
        for number, file in enumerate(files):
            # The last piece has no line end yet: it waits for the rest.
            *lines, begun[number] = (begun[number] + file.read()).split("\n")
            lines += [begun[number]] if last and begun[number] else []
            for line in lines:
                sys.stderr.write(f"{line}\n")
        sys.stderr.flush()
    for file in files:
        file.close()
