"""A server that is not MLflow, or is not well: what `make repro` meets when a tracking server has changed."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

HTML, JSON = "text/html", "application/json"


@contextmanager
def answering(status: int, kind: str = JSON, body: bytes = b"{}", **headers: str) -> Iterator[str]:
    """The address of a server that gives every request the same answer."""

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self.send_response(status)
            for name, value in {"Content-Type": kind, "Content-Length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = answer

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@contextmanager
def silent(drip: float = 0.0) -> Iterator[str]:
    """The address of a server that accepts and never answers; with `drip`, one byte in so many seconds."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        accepted = []  # a connection that nobody refers to is closed

        def serve() -> None:
            with suppress(OSError):
                while True:
                    accepted.append(server.accept()[0])
                    threading.Thread(target=answer, args=(accepted[-1],), daemon=True).start()

        def answer(connection: socket.socket) -> None:
            with suppress(OSError):
                connection.recv(9999)
                while drip:
                    connection.send(b"H")
                    time.sleep(drip)

        threading.Thread(target=serve, daemon=True).start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
