"""Ask MLflow's store once, in seconds, whether it can be used: MLflow itself would try for minutes.

What was found to fail is remembered for a while in .state, so that forty trainings do not wait for it each.
"""

from __future__ import annotations

import hashlib
import json
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

from genfoundry.tracking.store_errors import (
    ADDRESS,
    LOGIN,
    StoreError,
    explain_failure,
    make_store_error,
    parse_host_and_port,
)

CONNECT = 2.0  # seconds for a TCP connection
ANSWER = 10.0  # seconds for an answer, unless MLFLOW_HTTP_REQUEST_TIMEOUT says otherwise
SLACK = 4.0  # seconds more until the question is dropped: names that resolve slowly, servers that drip
LOCK = 5.0  # seconds that another process may hold a database
MEMORY = 300.0  # seconds that a failure is remembered
API = "/api/2.0/mlflow/experiments/search"


def check_store(address: str, variable: str = "MLFLOW_TRACKING_URI") -> None:
    """Raise StoreError where the store at an address cannot be used, within some ten seconds."""
    try:
        if address.startswith("sqlite"):
            _check_sqlite(address)
            return
        wait = float(os.environ.get("MLFLOW_HTTP_REQUEST_TIMEOUT") or ANSWER)
        _within(wait + SLACK, lambda: _check_server(address, wait, variable))
    except StoreError:
        raise
    except Exception as error:  # whatever a driver, a plugin or a library below raises
        raise explain_failure(error, address, variable) from error


def _check_sqlite(address: str) -> None:
    from sqlalchemy.engine import make_url

    path = Path(make_url(address).database or ":memory:")
    if not path.exists():
        folder = next(above for above in path.absolute().parents if above.exists())
        if not os.access(folder, os.W_OK):
            raise PermissionError(f"{folder}: not writable")
        return
    with closing(sqlite3.connect(path, timeout=LOCK, isolation_level=None)) as database:
        database.execute("BEGIN IMMEDIATE")  # locked, read-only, damaged: said here
        database.execute("SELECT count(*) FROM sqlite_master")
        database.execute("ROLLBACK")


def _check_server(address: str, wait: float, variable: str) -> None:
    where = parse_host_and_port(address)
    scheme = urlsplit(address).scheme
    if where and not (scheme in getproxies() and not proxy_bypass(where[0])):
        socket.create_connection(where, timeout=CONNECT).close()
    if where and scheme not in ("http", "https"):
        from sqlalchemy import create_engine

        create_engine(address).connect().close()
    elif where:
        from genfoundry.tracking import mlflow_private

        answer = mlflow_private.post(address, API, {"max_results": 1}, timeout=wait)
        _check_answer(answer, address, variable)


def _check_answer(answer: Any, address: str, variable: str) -> None:
    """An answer of MLflow's is a JSON object; a sign-in page is HTML, with any status."""
    status, page = answer.status_code, "html" in answer.headers.get("Content-Type", "").lower()
    reasons = {401: "the server wants a login (401)", 403: "the server refuses (403)", 407: "the proxy wants a login"}
    if status in reasons:
        raise make_store_error(address, reasons[status], LOGIN)
    if status >= 500 or status == 429:
        raise make_store_error(address, f"the server fails ({status})", "see the server's log")
    if page or 300 <= status < 400:
        reason = f"a web page answers ({status}), not MLflow: a sign-in page, or another address"
        raise make_store_error(address, reason, f"{LOGIN}, or correct {variable}")
    if status >= 400:
        raise make_store_error(address, f"no MLflow server answers there ({status})", ADDRESS.format(variable=variable))
    try:
        fine = isinstance(answer.json(), dict)
    except ValueError:
        fine = False
    if not fine:
        raise make_store_error(address, "what answers is not MLflow", ADDRESS.format(variable=variable))


def _within(seconds: float, task: Callable[[], None]) -> None:
    """Run a task in a thread, and drop it where it takes longer.

    Raises:
        TimeoutError: it did; or what the task raises.
    """
    raised: list[BaseException] = []

    def work() -> None:
        try:
            task()
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
    """Note that the store at an address failed; without its address, which may hold a password."""
    note = {"store": _name(address), "time": time.time(), "line": str(error)}
    with suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "mlflow-failed.json").write_text(json.dumps(note), encoding="utf-8")


def raise_remembered(folder: Path, address: str) -> None:
    """Raise the StoreError that was remembered for an address, if it was a short while ago."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        note = json.loads((folder / "mlflow-failed.json").read_text(encoding="utf-8"))
        if note["store"] == _name(address) and 0 <= time.time() - note["time"] < MEMORY:
            raise StoreError(note["line"], remembered=True)


def forget_failure(folder: Path) -> None:
    """A new run asks anew."""
    with suppress(OSError):
        (folder / "mlflow-failed.json").unlink(missing_ok=True)


def _name(address: str) -> str:
    return hashlib.sha256(address.encode()).hexdigest()
