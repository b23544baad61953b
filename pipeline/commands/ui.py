"""`make ui`: MLflow's store brought up to date from outs and ledger, then its pages, or where they are."""

import socket
import sys
from contextlib import suppress
from pathlib import Path

from genfoundry import shell
from genfoundry.errors import UserError
from genfoundry.tracking import client, publish
from genfoundry.tracking.store_errors import StoreError, redact

HERE = Path()
HOST, PORT = "127.0.0.1", 5000


def run(*argv: str) -> None:
    port = number(argv)
    uri = client.get_tracking_uri(HERE)
    client.forget_failure(HERE)
    try:
        client.connect(HERE)
        if not client.is_server(uri):
            free(port)
        publish.update(HERE)
    except StoreError as error:
        raise UserError(str(error)) from None
    if client.is_server(uri):
        print(f"MLflow is at {redact(uri)}; open it there")
    else:
        serve(uri, port)


def number(argv: tuple[str, ...]) -> int:
    """The port of `--port`."""
    option, text = argv if len(argv) == 2 else (argv[0] if argv else "--port", "" if argv else str(PORT))
    if option != "--port" or not text.isdecimal() or not 0 < int(text) < 2**16:
        raise UserError(f"{' '.join(argv)}: expected --port and a number from 1 to 65535 (make ui PORT=5001)")
    return int(text)


def free(port: int) -> None:
    """Refuse a port that something listens on, before anything is published."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise UserError(
                f"port {port}: {error.strerror}: another `make ui`? end it, or take another: make ui PORT={port + 1}"
            ) from None


def serve(uri: str, port: int) -> None:
    """MLflow's own server, until it is interrupted."""
    env = {"MLFLOW_BACKEND_STORE_URI": uri}  # not an argument: every user of the machine reads those
    if (registry := client.get_registry_uri(HERE)) != uri:
        env["MLFLOW_REGISTRY_STORE_URI"] = registry
    with suppress(KeyboardInterrupt):
        status = shell.show(sys.executable, "-m", "mlflow", "ui", "--port", str(port), root=HERE, env=env)
        if status > 0:
            raise UserError(f"mlflow ui ended with status {status}; see above")
