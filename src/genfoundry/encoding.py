"""Text files as text: UTF-8, or UTF-16 and UTF-32 where the bytes say so. No other encoding is guessed."""

from __future__ import annotations

import codecs
import re
from pathlib import Path

from genfoundry.types import UserError

# UTF-32's mark begins with that of UTF-16 and is looked for first.
MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
KINDS = {
    b"\x1f\x8b": "compressed by gzip (unpack it: gunzip < OLD > NEW)",
    b"PK\x03\x04": "a zip file or a workbook (unpack it, or save the sheet as CSV)",
    b"\xd0\xcf\x11\xe0": "an old workbook or document (save the sheet as CSV)",
    b"%PDF": "a PDF (save its text)",
    b"\x89PNG": "a picture",
    b"\xff\xd8\xff": "a picture",
}
CONTROLS = set(range(32)) - set(b"\t\n\v\f\r\x1a\x1b")  # bytes that stand in no text of one byte a character
SAMPLE = 512  # bytes that tell whether every second one is zero
LINE_END = re.compile(r"\r\n|\r|\n")


def decode(path: Path, content: bytes) -> str:
    """The text of a file, without a byte order mark.

    Raises:
        UserError: the bytes are not UTF-8, UTF-16 or UTF-32, or hold a NUL; says where and how to convert.
    """
    for start, kind in KINDS.items():
        if content.startswith(start):
            raise UserError(f"{path}: {kind}, by its first bytes, but text is right here")
    name = encoding(content)
    try:
        text = content.decode(name)
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        shown = name.upper().removesuffix("-SIG").removesuffix("-LE").removesuffix("-BE")
        if set(content[:SAMPLE]) & CONTROLS:
            raise UserError(
                f"{path}: byte {error.start} is not {shown}, and others are no text; is it binary?"
            ) from None
        raise UserError(
            f"{path}: byte {error.start} is not {shown} (line {line}); convert the file, such as by "
            "`iconv -f LATIN1 -t UTF-8` if it is Latin-1"
        ) from None
    if "\0" in text:
        line = len(lines(text[: text.index("\0")]))
        raise UserError(f"{path}:{line}: a NUL character; a text file holds none (is it binary, or damaged?)")
    return text


def encoding(content: bytes) -> str:
    """The encoding that a file's first bytes show, UTF-8 if none.

    A file without a mark whose every second byte is zero is UTF-16 all the same: its letters are Latin.
    """
    for mark, name in MARKS:
        if content.startswith(mark):
            return name
    even, odd = content[:SAMPLE:2], content[1:SAMPLE:2]
    if len(content) >= 4 and len(content) % 2 == 0:
        if not any(odd) and all(even):
            return "utf-16-le"
        if not any(even) and all(odd):
            return "utf-16-be"
    return "utf-8-sig"


def lines(text: str) -> list[str]:
    """The lines of a text, whichever system's ends they have (LF, CR LF, CR alone)."""
    return LINE_END.split(text)
