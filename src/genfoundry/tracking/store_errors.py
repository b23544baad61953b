"""Errors of MLflow's store in one line without credentials: the reason, and what the user can do."""

from __future__ import annotations

import os
import re
from urllib.parse import unquote, urlsplit

LOGIN = "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN"
ADDRESS = "correct {variable}, or start the server"
REBUILD = "move the file aside"
OTHER_VERSION = "another version of MLflow made its tables"
SCHEMA = "run `mlflow db upgrade` on it where an older MLflow wrote it, else move the file aside"
DATABASE = "set {variable} to a server or a database such as sqlite:///mlflow.db, or unset it"
SECRETS = ("MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN", "DATABRICKS_TOKEN", "DATABRICKS_CLIENT_SECRET")
WRITABLE = "make the file and its folder writable"
PATIENCE = "see whether it is well (MLFLOW_HTTP_REQUEST_TIMEOUT=60 waits longer)"
SHOWN = 200  # characters of an error that no pattern explains

# A pattern in the text of an error, the reason to give (`{}`: the pattern's group), the remedy.
# The first pattern that matches counts, so that the special ones stand before the general.
FAULTS = [
    (r"no module named '?([\w.]+)", "it needs the Python package {}", "install it"),
    (r"filesystem tracking backend", "MLflow 3 keeps no runs in a plain folder", DATABASE),
    (r"unsupported uri|could not parse|load plugin", "MLflow knows no such kind of store", DATABASE),
    (r"databricks credential", "there are no credentials for Databricks", "run `databricks configure`"),
    (r"file is not a database|malformed", "the file is damaged or no SQLite database", REBUILD),
    (r"(found version \w+, but expected \w+)", f"{OTHER_VERSION} ({{}})", SCHEMA),
    (r"locate revision|no such (?:table|column)|table \w+ already", OTHER_VERSION, SCHEMA),
    (r"is locked", "another process holds the database locked", "end that process"),
    (r"disk is full|no space left", "the disk is full", "free some space"),
    (r"permission denied: '([^']+)'|read-only file system", "{} cannot be written", WRITABLE),
    (r"readonly database|unable to open|not writable|no such file", "the database cannot be written", WRITABLE),
    (r"authentication failed|access denied for", "the database refuses the user", "correct {variable}"),
    (r"name or service|name resolution|failed to resolve|nodename", "the server's name does not resolve", ADDRESS),
    (r"certificate", "the server's TLS certificate is not trusted", "set MLFLOW_TRACKING_SERVER_CERT_PATH"),
    (r"connection refused", "nothing listens there", ADDRESS),
    (r"unreachable|no route", "there is no way to the server", ADDRESS),
    (r"\bssl\b", "the TLS connection fails", "correct {variable} (http:// or https://)"),
    (r"invalid (?:sqlite )?url|port (?:could|out)|label (?:empty|too long)|ipv6", "the address is not valid", ADDRESS),
    (r"redirects", "the server redirects without end", ADDRESS),
    (r"timed out|timeout|did not answer", "the server does not answer in time", PATIENCE),
    (r"reset by peer|aborted|remotedisconnected", "the server closed the connection", ADDRESS),
    (r"unauthenticated|\b401\b", "the server wants a login (401)", LOGIN),
    (r"permission_denied|\b403\b", "the server refuses (403)", LOGIN),
    (r"not in a valid json", "a web page answers, not MLflow", LOGIN + ", or correct {variable}"),
    (r"too many (\d+) error|error code (5\d\d)", "the server fails ({})", "see the server's log"),
]


class StoreError(Exception):
    """MLflow's store cannot be used: the message is one line. `remembered`: the failure of a short while ago."""

    def __init__(self, line: str, *, remembered: bool = False) -> None:
        super().__init__(line)
        self.remembered = remembered


def redact(text: str) -> str:
    """Replace user names, passwords and tokens in a text by asterisks."""
    # Messages of drivers and plugins repeat the address, and with it the password.
    secrets = [os.environ.get(name, "") for name in SECRETS]
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"):
        user = os.environ.get(name, "").partition("://")[2].rpartition("@")[0].rpartition("/")[2]
        secrets += [user.partition(":")[2], unquote(user.partition(":")[2])]
    # The longest first, since one may be part of another; short ones would blank out ordinary words.
    for secret in sorted((s for s in secrets if len(s) > 3), key=len, reverse=True):
        text = text.replace(secret, "***")
    text = re.sub(r"(?<=://)[^\s/?#]*@", "***@", text)
    return re.sub(r"(?i)([?&;][^=\s&;]*(?:pass|pwd|token|secret|key)[^=\s&;]*=)[^&;\s]+", r"\1***", text)


def explain_failure(error: BaseException, address: str, variable: str = "MLFLOW_TRACKING_URI") -> StoreError:
    """Turn any error of the store at an address into a StoreError; `variable` is the setting that names the address."""
    if isinstance(error, StoreError):
        return error
    texts: list[str] = []
    cause: BaseException | None = error
    while cause is not None and len(texts) < 8:  # the error and those that led to it
        texts.append(f"{type(cause).__name__} {cause}\n")
        cause = cause.__cause__ or cause.__context__
    for pattern, reason, remedy in FAULTS:
        if match := re.search(pattern, "\n".join(texts), re.IGNORECASE):
            group = next(filter(None, match.groups()), "it")
            return make_store_error(address, reason.format(group), remedy.format(variable=variable))
    # SQLAlchemy appends the statement and its values, which may be long and may be secret.
    first = " ".join(str(error).partition("[SQL")[0].split()) or type(error).__name__
    return make_store_error(address, f"{type(error).__name__}: {first[:SHOWN]}", f"see {variable}")


def make_store_error(address: str, reason: str, remedy: str) -> StoreError:
    """The error that names a store's address, why it is not used, and what the user can do."""
    return StoreError(
        f"MLflow at {redact(address)} is left out: {redact(reason)}; {redact(remedy)}, "
        "then `make ui` brings it up to date (nothing is lost: the outs and the ledger have it all)"
    )


def parse_host_and_port(address: str) -> tuple[str, int] | None:
    """Host and port of a server; None for a file, a plugin, or what needs no socket.

    Raises:
        ValueError: the port is no number from 0 to 65535.
    """
    parts = urlsplit(address)
    ports = {"http": 80, "https": 443, "postgresql": 5432, "mysql": 3306, "mssql": 1433}
    scheme = parts.scheme.partition("+")[0]
    if not parts.hostname or scheme not in ports:
        return None
    return parts.hostname, parts.port or ports[scheme]
