"""Ask MLflow's store once, in seconds, whether it can be used: MLflow itself would try for minutes.

A failure is remembered for a while in .state, so that not each of forty trainings waits for it.
"""

from __future__ import annotations

import hashlib
import os
import socket
import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from genfoundry import files
from genfoundry.errors import UserError
from genfoundry.tracking.store_errors import ADDRESS, LOGIN, StoreError, make_store_error, parse_host_and_port

CONNECT = 2.0  # seconds for a TCP connection
ANSWER = 10.0  # seconds for an answer, unless MLFLOW_HTTP_REQUEST_TIMEOUT says otherwise
SLACK = 4.0  # seconds more until the request is dropped: names that resolve slowly, servers that drip
LOCK = 5.0  # seconds that another process may hold a database
MEMORY = 300.0  # seconds that a failure is remembered
API = "/api/2.0/mlflow/experiments/search"
REFUSALS = {401: "the server wants a login (401)", 403: "the server refuses (403)", 407: "the proxy wants a login"}


def check_store(address: str, variable: str = "MLFLOW_TRACKING_URI") -> None:
    """Check within some ten seconds that the store at an address can be used; `variable` is what names it.

    Raises:
        Exception: it cannot; `store_errors.explain_failure` says why.
    """
    if address.startswith("sqlite"):
        _check_sqlite(address)
        return
    timeout = float(os.environ.get("MLFLOW_HTTP_REQUEST_TIMEOUT") or ANSWER)
    _run_within(timeout + SLACK, lambda: _check_server(address, timeout, variable))


def _check_sqlite(address: str) -> None:
    from sqlalchemy.engine import make_url

    path = Path(make_url(address).database or ":memory:")
    if not path.exists():
        folder = next(parent for parent in path.absolute().parents if parent.exists())
        if not os.access(folder, os.W_OK):
            raise PermissionError(f"{folder}: not writable")
        return
    # IMMEDIATE asks for the lock of a writer, which a read alone would not.
    with closing(sqlite3.connect(path, timeout=LOCK, isolation_level=None)) as database:
        for statement in ("BEGIN IMMEDIATE", "SELECT count(*) FROM sqlite_master", "ROLLBACK"):
            database.execute(statement)  # raises where it is locked, read-only or damaged


def _check_server(address: str, timeout: float, variable: str) -> None:
    server, scheme = parse_host_and_port(address), urlsplit(address).scheme
    if server is None:
        return
    # Behind a proxy the server's own address need not be reachable from here.
    if scheme not in getproxies() or proxy_bypass(server[0]):
        socket.create_connection(server, timeout=CONNECT).close()
    if scheme in ("http", "https"):
        from genfoundry.tracking import mlflow_private

        answer = mlflow_private.post(address, API, {"max_results": 1}, timeout=timeout)
        _check_answer(answer, address, variable)
    else:
        from sqlalchemy import create_engine

        create_engine(address).connect().close()


def _check_answer(answer: Any, address: str, variable: str) -> None:
    """An answer of MLflow's is a JSON object; a sign-in page is HTML, with any status."""
    status, page = answer.status_code, "html" in answer.headers.get("Content-Type", "").lower()
    if status in REFUSALS:
        raise make_store_error(address, REFUSALS[status], LOGIN)
    if status >= 500 or status == 429:
        raise make_store_error(address, f"the server fails ({status})", "see the server's log")
    # A sign-in page comes with status 200 as well, so that the type of the content is looked at.
    if page or 300 <= status < 400:
        reason = f"a web page answers ({status}), not MLflow: a sign-in page, or another address"
        raise make_store_error(address, reason, f"{LOGIN}, or correct {variable}")
    reason = "what answers is not MLflow" if status < 400 else f"no MLflow server answers there ({status})"
    with suppress(ValueError):
        if status < 400 and isinstance(answer.json(), dict):
            return
    raise make_store_error(address, reason, ADDRESS.format(variable=variable))


def _run_within(seconds: float, task: Callable[[], None]) -> None:
    """Run a task in a thread, and drop it where it takes longer.

    Raises:
        TimeoutError: it did; or what the task raises.
    """
    raised: list[BaseException] = []

    def work() -> None:
        try:
            task()
        # An exception that ends a thread is only printed: the caller raises it again.
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=work, name="store-check", daemon=True)
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        raise TimeoutError(f"did not answer within {seconds:.0f} s")
    if raised:
        raise raised[0]


def remember_failure(folder: Path, address: str, error: StoreError) -> None:
    """Remember that the store at an address failed; without the address, which may hold a password."""
    with suppress(UserError):
        files.write_json(_memory(folder), {"store": _hash(address), "time": time.time(), "line": str(error)})


def raise_remembered(folder: Path, address: str) -> None:
    """Raise the StoreError that was remembered for an address, if it was a short while ago."""
    with suppress(UserError, KeyError, TypeError):
        failure = files.read_json(_memory(folder))
        if failure["store"] == _hash(address) and 0 <= time.time() - failure["time"] < MEMORY:
            raise StoreError(failure["line"], remembered=True)


def forget_failure(folder: Path) -> None:
    """Forget what was remembered, so that a new run asks the store again."""
    with suppress(OSError):
        _memory(folder).unlink(missing_ok=True)


def _memory(folder: Path) -> Path:
    return folder / "mlflow-failed.json"


def _hash(address: str) -> str:
    return hashlib.sha256(address.encode()).hexdigest()
