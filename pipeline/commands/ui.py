"""`genfoundry ui`: bring MLflow's store up to date, then serve its pages, or say where they are."""

import socket
import sys
from contextlib import suppress
from pathlib import Path

from genfoundry.console import shell
from genfoundry.errors import UserError
from genfoundry.tracking import client, publish
from genfoundry.tracking.store_errors import StoreError, redact

HERE = Path()
HOST = "127.0.0.1"


def run(port: int = 5000) -> None:
    """Publish, then serve MLflow's pages on `port`; of a server, print the address."""
    uri = client.get_tracking_uri(HERE)
    # A person who asks wants the store asked now, not the failure of five minutes ago.
    client.forget_failure(HERE)
    try:
        client.connect(HERE)
        if not client.is_server(uri):
            check_port(port)
        publish.update(HERE)
    except StoreError as error:
        raise UserError(str(error)) from None
    if client.is_server(uri):
        print(f"MLflow is at {redact(uri)}; open it there")
    else:
        serve(uri, port)


def check_port(port: int) -> None:
    """Refuse a port that something listens on, before anything is published.

    Raises:
        UserError: names another.
    """
    with socket.socket() as probe:
        # A port that was closed a moment ago is free for the server, and so for this test.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise UserError(
                f"port {port}: {error.strerror}: another `make ui`? end it, or take another: make ui PORT={port + 1}"
            ) from None


def serve(uri: str, port: int) -> None:
    """Run MLflow's own server until it is interrupted.

    Raises:
        UserError: it failed.
    """
    env = {"MLFLOW_BACKEND_STORE_URI": uri}  # not an argument: every user of the machine reads those
    if (registry := client.get_registry_uri(HERE)) != uri:
        env["MLFLOW_REGISTRY_STORE_URI"] = registry
    with suppress(KeyboardInterrupt):
        status = shell.show(sys.executable, "-m", "mlflow", "ui", "--port", str(port), root=HERE, env=env)
        if status > 0:
            raise UserError(f"mlflow ui ended with status {status}; see above")
