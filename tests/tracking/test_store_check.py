"""A store that cannot be used is said in one line, within seconds, without credentials, and asked once a run."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import fabricated
import fake_server
import pytest

from genfoundry.tracking import client, store_check, store_errors
from genfoundry.tracking.store_errors import StoreError


@pytest.fixture(autouse=True)
def own_store(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI", "MLFLOW_HTTP_REQUEST_TIMEOUT"):
        monkeypatch.delenv(name, raising=False)


def fault(root: Path, monkeypatch: pytest.MonkeyPatch, uri: str) -> StoreError:
    """What connecting raises."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    began = time.perf_counter()
    with pytest.raises(StoreError) as raised:
        client.connect(root)
    assert time.perf_counter() - began < 10
    assert "\n" not in str(raised.value)
    assert "`make ui` brings it up to date" in str(raised.value)
    return raised.value


SIGN_IN = b"<html><body>Sign in</body></html>"
ANSWERS = [
    (
        401,
        fake_server.JSON,
        b'{"error_code": "PERMISSION_DENIED"}',
        "wants a login (401); set MLFLOW_TRACKING_USERNAME",
    ),
    (401, fake_server.HTML, SIGN_IN, "wants a login (401)"),
    (403, fake_server.HTML, SIGN_IN, "the server refuses (403)"),
    (500, fake_server.JSON, b"{}", "the server fails (500); see the server's log"),
    (503, fake_server.HTML, b"", "the server fails (503)"),
    (200, fake_server.HTML, SIGN_IN, "a web page answers (200), not MLflow: a sign-in page"),
    (200, "text/plain", SIGN_IN, "what answers is not MLflow; correct MLFLOW_TRACKING_URI"),
    (200, fake_server.JSON, b"[1]", "what answers is not MLflow"),
    (404, fake_server.JSON, b"{}", "no MLflow server answers there (404)"),
]


@pytest.mark.parametrize(("status", "kind", "body", "line"), ANSWERS)
def test_an_answer_that_is_not_mlflows(
    status: int, kind: str, body: bytes, line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with fake_server.answering(status, kind, body) as address:
        assert f"MLflow at {address} is left out: " in str(raised := fault(tmp_path, monkeypatch, address))
        assert line in str(raised)


def test_a_redirect_to_a_sign_in_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with (
        fake_server.answering(200, fake_server.HTML, SIGN_IN) as login,
        fake_server.answering(302, Location=f"{login}/login") as address,
    ):
        assert "a web page answers (200)" in str(fault(tmp_path, monkeypatch, address))


@pytest.mark.parametrize("drip", [0.0, 0.2])
def test_a_server_that_never_answers(drip: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    monkeypatch.setattr(store_check, "SLACK", 1.0)
    with fake_server.silent(drip) as address:
        line = str(fault(tmp_path, monkeypatch, address))
    assert "the server does not answer in time; see whether it is well (MLFLOW_HTTP_REQUEST_TIMEOUT=60" in line


@pytest.mark.parametrize(
    ("uri", "line"),
    [
        ("http://127.0.0.1:9", "nothing listens there; correct MLFLOW_TRACKING_URI, or start the server"),
        ("http://no-such-host.invalid:5000", "the server's name does not resolve"),
        ("http://127.0.0.1:99999", "the address is not valid"),
        ("./mlruns", "MLflow 3 keeps no runs in a plain folder; set MLFLOW_TRACKING_URI to"),
        ("file:///nowhere/mlruns", "MLflow 3 keeps no runs in a plain folder"),
        ("htp://localhost", "MLflow knows no such kind of store"),
        ("postgresql://me:secret@127.0.0.1:9/runs", "MLflow at postgresql://***@127.0.0.1:9/runs is left out: nothing"),
    ],
)
def test_an_address_that_is_wrong(uri: str, line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert line in str(fault(tmp_path, monkeypatch, uri))


def version(name: str) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        with closing(sqlite3.connect(path)) as database:
            database.execute("UPDATE alembic_version SET version_num = ?", (name,))
            database.commit()

    return change


@pytest.mark.parametrize(
    ("damage", "line"),
    [
        (
            version("451aebb31d03"),
            "another version of MLflow made its tables (found version 451aebb31d03, but expected",
        ),
        (version("ffffffffffff"), "run `mlflow db upgrade` on it where an older MLflow wrote it, else move the file"),
        (lambda path: path.write_bytes(b"garbage" * 999), "the file is damaged or no SQLite database; move the file"),
        (lambda path: path.write_bytes(path.read_bytes()[:50_000]), "the file is damaged or no SQLite database"),
        (lambda path: (path.unlink(), path.mkdir()), "the database cannot be written"),
    ],
)
def test_a_database_that_is_wrong(
    damage: Callable[[Path], None], line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fabricated.database(tmp_path)
    damage(tmp_path / "mlflow.db")
    assert line in str(fault(tmp_path, monkeypatch, ""))


def test_a_database_that_another_process_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fabricated.database(tmp_path)
    monkeypatch.setattr(store_check, "LOCK", 0.2)
    with closing(sqlite3.connect(tmp_path / "mlflow.db")) as database:
        database.execute("BEGIN EXCLUSIVE")
        assert "another process holds the database locked; end" in str(fault(tmp_path, monkeypatch, ""))
    client.forget_failure(tmp_path)
    client.connect(tmp_path)


def test_a_fault_is_remembered_until_a_new_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with fake_server.answering(500) as address:
        assert not fault(tmp_path, monkeypatch, address).remembered
        again = fault(tmp_path, monkeypatch, address)
        assert again.remembered and "the server fails (500)" in str(again)
        assert not fault(tmp_path, monkeypatch, f"{address}/other").remembered
        client.forget_failure(tmp_path)
        assert not fault(tmp_path, monkeypatch, address).remembered
    monkeypatch.setattr(store_check, "MEMORY", 0.0)
    assert not fault(tmp_path, monkeypatch, address).remembered
    (tmp_path / ".state/mlflow-failed.json").write_text("{")
    assert "nothing listens" in str(fault(tmp_path, monkeypatch, address))


def test_no_credential_is_printed_or_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "tok-en-9")
    line = str(fault(tmp_path, monkeypatch, "http://me:p@ss%3Aword@127.0.0.1:9/?access_token=abcdef"))
    assert "http://***@127.0.0.1:9/?access_token=***" in line
    memory = (tmp_path / ".state/mlflow-failed.json").read_text()
    text = store_errors.redact("Bearer tok-en-9 of p@ss:word at mysql+pymysql://me:other@host/db?ssl_key=k1&x=2")
    assert text == "Bearer *** of *** at mysql+pymysql://***@host/db?ssl_key=***&x=2"
    assert not [word for word in ("ss%3A", "ss:word", "abcdef", "me:") if word in line + memory]


@pytest.mark.parametrize(
    ("uri", "line"),
    [("http://127.0.0.1:9", "nothing listens there; correct MLFLOW_"), ("htp://x", "no such kind of store")],
)
def test_a_registry_of_its_own_is_asked_too(
    uri: str, line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fabricated.database(tmp_path)
    client.connect_registry(tmp_path)
    monkeypatch.setenv("MLFLOW_REGISTRY_URI", uri)
    client.connect(tmp_path)
    with pytest.raises(StoreError, match=line) as raised:
        client.connect_registry(tmp_path)
    assert uri in str(raised.value) and "MLFLOW_REGISTRY_URI" in str(raised.value)


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (sqlite3.OperationalError("attempt to write a readonly database"), "the database cannot be written; make the"),
        (PermissionError(13, "Permission denied", "/x/mlartifacts"), "/x/mlartifacts cannot be written; make the file"),
        (OSError(28, "No space left on device"), "the disk is full; free some space"),
        (ValueError(), "ValueError: ValueError; see MLFLOW_TRACKING_URI"),
        (RuntimeError("first\n  second [SQL: SELECT 1]"), "RuntimeError: first second; see MLFLOW_TRACKING_URI"),
    ],
)
def test_what_an_error_says(error: Exception, line: str) -> None:
    assert line in str(store_errors.explain_failure(error, "sqlite:///mlflow.db"))
