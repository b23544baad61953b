"""`make ui` opens a database's pages, says where a server is, and ends in one line where there is neither."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import fabricated
import fake_server
import pytest

from genfoundry.errors import UserError
from pipeline.commands import ui


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[tuple[str, ...], dict[str, Any]]]:
    """In an empty repository: the commands that were started, and what they were told."""
    calls: list[tuple[tuple[str, ...], dict[str, Any]]] = []

    def show(*command: str, **how: Any) -> int:
        calls.append((command[1:], how["env"]))
        return 0

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(ui.shell, "show", show)
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"):
        monkeypatch.delenv(name, raising=False)
    fabricated.database(tmp_path)
    return calls


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as one:
        return int(one.getsockname()[1])


def test_a_database_is_shown_and_not_named_on_the_command_line(served: Any, tmp_path: Path) -> None:
    port = str(free_port())
    ui.run(int(port))
    command = ("-m", "mlflow", "ui", "--port", port)
    assert served == [(command, {"MLFLOW_BACKEND_STORE_URI": f"sqlite:///{tmp_path / 'mlflow.db'}"})]


def test_a_port_in_use_is_one_line(served: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match=rf"port {port}: Address already in use.*make ui PORT={port + 1}"):
            ui.run(port)
    assert not served


def test_a_servers_address_is_said(
    served: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with fake_server.answering(200) as address:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address.replace("//", "//me:secret@"))
        ui.run()
        assert capsys.readouterr().out == f"MLflow is at {address.replace('//', '//***@')}; open it there\n"
    assert not served
    with pytest.raises(UserError, match="is left out: nothing listens there"):
        ui.run()


@pytest.mark.parametrize("uri", ["./mlruns", "htp://x"])
def test_what_is_no_store_is_one_line(served: Any, uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    with pytest.raises(UserError, match=r"is left out: MLflow .*; set MLFLOW_TRACKING_URI to a server"):
        ui.run()
    assert not served


def test_a_damaged_database_is_not_served(served: Any, tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").write_bytes(b"garbage" * 999)
    with pytest.raises(UserError, match="the file is damaged or no SQLite database; move the file aside"):
        ui.run(free_port())
    assert not served
