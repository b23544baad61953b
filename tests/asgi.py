"""Ask an ASGI application (MLflow's scoring server) in this process: no port, no further package."""

from __future__ import annotations

import asyncio
from typing import Any


def post(app: Any, path: str, body: bytes, content_type: str) -> tuple[int, bytes]:
    """Status and body of the answer."""
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [(b"content-type", content_type.encode()), (b"content-length", str(len(body)).encode())],
    }
    sent: list[dict[str, Any]] = []

    async def ask() -> None:
        asked = asyncio.Event()

        async def receive() -> dict[str, Any]:
            if asked.is_set():
                await asyncio.sleep(3600)  # the client stays
            asked.set()
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        await app(scope, receive, send)

    asyncio.run(ask())
    return sent[0]["status"], b"".join(message.get("body", b"") for message in sent)
