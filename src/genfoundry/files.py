"""Files written whole or not at all: canonical JSON, atomic replacement of files and folders, a lock, digests."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from genfoundry.types import UserError


def canonical(value: object) -> str:
    """JSON with one spelling for one value; NaN and infinity are errors."""
    return json.dumps(value, sort_keys=True, indent=2, allow_nan=False, ensure_ascii=False) + "\n"


def write_json(path: Path, value: object) -> None:
    """Write canonical JSON atomically."""
    write_bytes(path, canonical(value).encode())


def write_bytes(path: Path, content: bytes) -> None:
    """Write beside, then rename: a reader sees the old bytes or the new ones, never half.

    Raises:
        UserError: no space left, or the folder cannot be written to; the old file stays.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        beside.write_bytes(content)
        beside.replace(path)
    except OSError as error:
        raise UserError(_unwritten(path, error)) from None
    finally:
        with suppress(OSError):
            beside.unlink(missing_ok=True)


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """The only one of this machine's processes to change `path` while the block runs; the others wait."""
    import fcntl

    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _unwritten(path: Path, error: Exception) -> str:
    return f"{path}: {getattr(error, 'strerror', None) or error}; free space or make the folder writable"


def read_json(path: Path) -> Any:
    """The value of a JSON file.

    Raises:
        UserError: not there, or not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from None
    except ValueError as error:
        raise UserError(f"{path}: not JSON: {error}") from None


@contextmanager
def fresh(folder: Path) -> Iterator[Path]:
    """An empty folder to fill, which replaces `folder` only when all went well.

    Raises:
        UserError: no space left, or the folder cannot be written to; the old folder stays.
    """
    beside = folder.with_name(f".{folder.name}.{os.getpid()}")
    try:
        shutil.rmtree(beside, ignore_errors=True)
        beside.mkdir(parents=True)
        yield beside
        remove_tree(folder)
        beside.replace(folder)
    except UserError as error:  # a user knows the folder, not what stands beside it meanwhile
        raise UserError(str(error).replace(str(beside), str(folder))) from None
    except (OSError, SafetensorError) as error:
        raise UserError(_unwritten(folder, error)) from None
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def remove_tree(folder: Path) -> None:
    """Remove a folder if there is one, also where folders in it are read-only, as copies of others may be.

    Raises:
        OSError: it cannot be removed.
    """
    if not folder.is_dir() or folder.is_symlink():
        folder.unlink(missing_ok=True)
        return
    for parent, _, _ in os.walk(folder):
        if not os.access(parent, os.W_OK | os.X_OK):
            os.chmod(parent, stat.S_IRWXU)
    shutil.rmtree(folder)


def sha256(path: Path) -> str:
    """Hex digest of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
