"""Stages that start at once: forked from a process that has imported torch and what else takes seconds.

`make repro` keeps such a process for as long as it runs (`kept`). A stage's own process (`python -m pipeline STAGE`)
hands over its arguments, folder, environment and standard streams (`asked`), waits, and ends as the stage ended; where
nobody answers it runs the stage itself. Only other people's libraries are imported beforehand: the project's code is
read by each stage as it stands. The process has one thread, as a process that forks must.
"""

from __future__ import annotations

import gc
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

WHERE = "GENFOUNDRY_WARM"  # the socket's path, for the stages of a run
LIBRARIES = (  # none that starts threads: pandas does, and so whatever imports it
    "torch", "safetensors.torch", "pydantic.main", "pydantic.types", "pydantic.functional_validators",
    "pydantic.json_schema", "yaml", "scipy.stats", "scipy.ndimage",
    "skimage.metrics._structural_similarity", "matplotlib.figure", "matplotlib.backends.backend_agg", "optuna",
)  # fmt: skip
INTERRUPT = b"i"
PATIENCE = 60.0  # seconds that stages may take to end when the run was interrupted
SIZE = 8  # bytes in which a request's length is told


@contextmanager
def kept(root: Path) -> Iterator[dict[str, str]]:
    """The process, which works in `root`, while the block runs; what the stages find in their environment.

    {} where the system cannot: it has no sockets with a path, or no file descriptors of processes.
    """
    if not hasattr(os, "pidfd_open") or not hasattr(socket, "send_fds"):
        yield {}
        return
    with tempfile.TemporaryDirectory(prefix="genfoundry-") as folder:
        where = os.path.join(folder, "warm")
        command = [sys.executable, "-m", "pipeline", "warm", where]
        env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, ("src", os.environ.get("PYTHONPATH"))))}
        # in a session of its own: Ctrl-C reaches a stage through the process that waits for it, once
        process = subprocess.Popen(command, cwd=root, env=env, stdin=subprocess.PIPE, start_new_session=True)
        try:
            yield {WHERE: where}
        finally:
            assert process.stdin is not None
            process.stdin.close()  # then it ends, once its stages have ended
            if not os.path.exists(where):  # it still imports, for nobody
                process.kill()
            try:
                process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def asked(argv: list[str]) -> int | None:
    """The exit status of a stage that was run warm; None where it is to be run here."""
    where = os.environ.pop(WHERE, "")  # what the stage starts is no stage
    if not where:
        return None
    request = json.dumps({"argv": argv, "cwd": os.getcwd(), "env": dict(os.environ)}).encode()
    with socket.socket(socket.AF_UNIX) as server:
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # Ctrl-C is told once the request is
        try:
            server.connect(where)
            socket.send_fds(server, [len(request).to_bytes(SIZE)], [0, 1, 2])
            server.sendall(request)
            signal.signal(signal.SIGINT, partial(_interrupt, server))
        except OSError:  # not there yet, or no more; what is not told whole is not run
            return None
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        said = server.recv(16)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # it ends as the stage has
    if not said:
        print(f"genfoundry {':'.join(argv)}: the process that ran it has ended; run it again", file=sys.stderr)
    return int(said or 1)


def _interrupt(server: socket.socket, *_: object) -> None:
    with suppress(OSError):  # the stage has ended
        server.send(INTERRUPT)


@dataclass
class Stage:
    """A forked process, and the connection of the one that waits for it."""

    pid: int
    end: int  # its file descriptor, readable once it has ended
    peer: socket.socket


def serve(where: str) -> dict[str, Any] | None:
    """Answer at a socket until standard input ends and no stage runs: None. In a forked process: what it is to run."""
    gc.collect()
    gc.freeze()  # else the first collection in each fork would copy all pages
    stages: list[Stage] = []
    with socket.socket(socket.AF_UNIX) as door, selectors.DefaultSelector() as wait:
        door.bind(where)
        door.listen()

        def over() -> None:
            wait.unregister(0)

        def ended(stage: Stage) -> None:
            status = os.waitstatus_to_exitcode(os.waitpid(stage.pid, 0)[1])
            with suppress(OSError):  # nobody waits any more
                stage.peer.send(str(status if status >= 0 else 128 - status).encode())
            wait.unregister(stage.end)
            if stage.peer in wait.get_map():
                wait.unregister(stage.peer)
            os.close(stage.end)
            stage.peer.close()
            stages.remove(stage)

        def told(stage: Stage) -> None:
            try:
                said = stage.peer.recv(1)
            except OSError:
                said = b""
            if not said:  # it was killed, and so must the stage be
                wait.unregister(stage.peer)
            os.kill(stage.pid, signal.SIGINT if said else signal.SIGTERM)

        def called() -> dict[str, Any] | None:
            peer, _ = door.accept()
            request, streams = _received(peer)
            if request is None:
                peer.close()
            elif (pid := os.fork()) == 0:
                for one in (peer, *(stage.peer for stage in stages)):
                    one.close()
                _worn(request, streams)
                return request
            else:
                stage = Stage(pid, os.pidfd_open(pid), peer)
                stages.append(stage)
                wait.register(stage.end, selectors.EVENT_READ, partial(ended, stage))
                wait.register(peer, selectors.EVENT_READ, partial(told, stage))
            for stream in streams:
                os.close(stream)
            return None

        wait.register(0, selectors.EVENT_READ, over)
        wait.register(door, selectors.EVENT_READ, called)
        while stages or 0 in wait.get_map():
            for key, _ in wait.select():
                there = wait.get_map().get(key.fd) is key  # what came before it may have closed it
                if there and (request := key.data()) is not None:
                    return dict(request)
    return None


def _received(peer: socket.socket) -> tuple[dict[str, Any] | None, list[int]]:
    """What is to be run, and its standard streams; None if whoever asked went away."""
    data, streams = b"", list[int]()
    with suppress(OSError):
        size, streams, *_ = socket.recv_fds(peer, SIZE, 3)
        more = size
        while more and len(data) < int.from_bytes(size):
            more = peer.recv(int.from_bytes(size) - len(data))
            data += more
        return (json.loads(data) if more else None), streams
    return None, streams


def _worn(request: dict[str, Any], streams: list[int]) -> None:
    """Become the process that asked, as far as a stage can tell."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for stream, number in zip(streams, (0, 1, 2), strict=True):
        os.dup2(stream, number)
        os.close(stream)
    sys.stdout.reconfigure(line_buffering=os.isatty(1))  # type: ignore[union-attr]
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["env"])
