"""Files written completely or not at all: canonical JSON, atomic replacement of files and folders, a lock, digests."""

from __future__ import annotations

import codecs
import hashlib
import json
import os
import re
import shutil
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError

from genfoundry.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

# UTF-32's mark begins with that of UTF-16 and is looked for first.
BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
SIGNATURES = {
    b"\x1f\x8b": "a file compressed by gzip (unpack it: gunzip < OLD > NEW)",
    b"PK\x03\x04": "a zip file or a workbook (unpack it, or save the sheet as CSV)",
    b"\xd0\xcf\x11\xe0": "an old workbook or document (save the sheet as CSV)",
    b"%PDF": "a PDF (save its text)",
    b"\x89PNG": "a picture",
    b"\xff\xd8\xff": "a picture",
}
CONTROLS = set(range(32)) - set(b"\t\n\v\f\r\x1a\x1b")  # bytes that stand in no text of one byte a character
SAMPLE = 512  # bytes that show whether every second one is zero
LINE_END = re.compile(r"\r\n|\r|\n")


def to_canonical_json(value: object) -> str:
    """JSON with one spelling for one value; NaN and infinity are errors."""
    return json.dumps(value, sort_keys=True, indent=2, allow_nan=False, ensure_ascii=False) + "\n"


def write_json(path: Path, value: object) -> None:
    """Write canonical JSON atomically."""
    write_bytes(path, to_canonical_json(value).encode())


def write_bytes(path: Path, content: bytes) -> None:
    """Write beside, then rename: a reader sees the old bytes or the new ones, never half.

    Raises:
        UserError: no space left, or the folder cannot be written to; the old file stays.
    """
    # In the same folder, since a rename is atomic within one file system only; hidden, so that no glob takes it.
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        beside.write_bytes(content)
        beside.replace(path)
    except OSError as error:
        raise _write_error(path, error) from None
    finally:
        with suppress(OSError):
            beside.unlink(missing_ok=True)


@contextmanager
def file_lock(path: Path) -> Iterator[None]:
    """Make other processes of this machine that lock `path` wait while the block runs."""
    import fcntl

    path.parent.mkdir(parents=True, exist_ok=True)
    # A file beside it: `path` itself is replaced by renames, and a lock on it would stay with the old one.
    with path.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _write_error(path: Path, error: Exception) -> UserError:
    reason = getattr(error, "strerror", None) or error
    return UserError(f"{path}: {reason}; free space or make the folder writable")


def read_json(path: Path) -> Any:
    """Read a JSON file.

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
def replace_dir(folder: Path) -> Iterator[Path]:
    """Yield an empty folder to fill, which replaces `folder` only when the block succeeds.

    Raises:
        UserError: no space left, or the folder cannot be written to; the old folder stays.
    """
    beside = folder.with_name(f".{folder.name}.{os.getpid()}")
    try:
        shutil.rmtree(beside, ignore_errors=True)
        beside.mkdir(parents=True)
        yield beside
        # A rename does not replace a folder with content. A kill between these lines leaves none: its stage runs again.
        remove_tree(folder)
        beside.replace(folder)
    except UserError as error:  # a user knows the folder, not what stands beside it meanwhile
        raise UserError(str(error).replace(str(beside), str(folder))) from None
    except (OSError, SafetensorError) as error:
        raise _write_error(folder, error) from None
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def remove_tree(folder: Path) -> None:
    """Remove a folder if it exists, also where folders in it are read-only, as copies of others may be.

    Raises:
        OSError: it cannot be removed.
    """
    if not folder.is_dir() or folder.is_symlink():
        folder.unlink(missing_ok=True)
        return
    for parent, _, _ in os.walk(folder):
        # Removing a file needs permission to write its folder, not the file.
        if not os.access(parent, os.W_OK | os.X_OK):
            os.chmod(parent, stat.S_IRWXU)
    shutil.rmtree(folder)


def sha256(path: Path) -> str:
    """Hex digest of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Read a safetensors file.

    Raises:
        UserError: not there, truncated, or something else.
    """
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise UserError(f"{path}: not readable as safetensors: {error}") from None


def write_tensors(path: Path, tensors: Mapping[str, Tensor], note: object) -> None:
    """Write tensors and one JSON note to one file, atomically: weights and counters cannot come apart."""
    from safetensors.torch import save

    # One metadata key only: with two, safetensors writes them in another order every process.
    write_bytes(path, save(copy_tensors(tensors), metadata={"note": json.dumps(note, sort_keys=True)}))


def copy_tensors(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Copy tensors to main memory: safetensors refuses those that share memory, as tied weights do."""
    return {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}


def read_note(path: Path) -> Any:
    """Read the JSON note of a file that `write_tensors` wrote."""
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        return json.loads((file.metadata() or {})["note"])


def decode_text(path: Path, content: bytes) -> str:
    """Decode the text of a file, without a byte order mark.

    Raises:
        UserError: the bytes are not UTF-8, UTF-16 or UTF-32, or hold a NUL; says where and how to convert.
    """
    for start, kind in SIGNATURES.items():
        if content.startswith(start):
            raise UserError(f"{path}: expected text, got {kind}, by its first bytes")
    encoding = detect_encoding(content)
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        shown = encoding.upper().removesuffix("-SIG").removesuffix("-LE").removesuffix("-BE")
        where = f"{path}: byte {error.start} is not {shown}"
        # Control characters tell a binary file from a text in an old encoding, which can be converted.
        if set(content[:SAMPLE]) & CONTROLS:
            raise UserError(f"{where}, and others are no text; is it binary?") from None
        line = content.count(b"\n", 0, error.start) + 1
        hint = "convert the file, such as by `iconv -f LATIN1 -t UTF-8` if it is Latin-1"
        raise UserError(f"{where} (line {line}); {hint}") from None
    if "\0" in text:
        line = len(split_lines(text[: text.index("\0")]))
        raise UserError(f"{path}:{line}: a NUL character; a text file holds none (is it binary, or damaged?)")
    return text


def detect_encoding(content: bytes) -> str:
    """Detect the encoding of a file by its first bytes; UTF-8 by default.

    A file without a mark whose every second byte is zero is UTF-16 all the same: its letters are Latin.
    """
    for mark, encoding in BYTE_ORDER_MARKS:
        if content.startswith(mark):
            return encoding
    even, odd = content[:SAMPLE:2], content[1:SAMPLE:2]
    if len(content) >= 4 and len(content) % 2 == 0:
        if not any(odd) and all(even):
            return "utf-16-le"
        if not any(even) and all(odd):
            return "utf-16-be"
    # Decodes UTF-8 without a byte order mark as well, and drops a mark that is there.
    return "utf-8-sig"


def split_lines(text: str) -> list[str]:
    """Split a text at any system's line ends (LF, CR LF, CR)."""
    return LINE_END.split(text)
