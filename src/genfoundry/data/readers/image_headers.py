"""Headers of picture files: size, colour and depth, and what a file is that is no picture."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from genfoundry.errors import UserError

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

PNG = b"\x89PNG\r\n\x1a\n"
GREY = (0, 4)  # PNG's colour types: grey, grey with alpha
PROFILES = (b"Raw profile type", b"XML:com.adobe.xmp")  # texts that may hold a camera's orientation
BITS_PER_SAMPLE, COMPRESSION, ORIENTATION = 258, 259, 274  # tags of a TIFF
LARGE = 1 << 26  # pixels
DEEP = "expected 8 bits a value, got 16 or more bits ({}); convert it to 8 bits, 0 to 255"
SIGNATURES = {PNG: "PNG", b"\xff\xd8": "JPEG", b"GIF8": "GIF", b"RIFF": "WebP", b"BM": "BMP", b"II*\0": "TIFF",
              b"MM\0*": "TIFF"}  # fmt: skip
OTHER_KINDS = {b"\x00\x00\x00": "an HEIC, AVIF or MP4 file", b"%PDF": "a PDF",
               b"PK\x03\x04": "a ZIP archive; unpack it",
               b"version https://git-lfs": "a Git LFS pointer; `git lfs pull` fetches the picture"}  # fmt: skip


def read_png_header(path: Path) -> tuple[tuple[int, int], str, bool] | None:
    """(H, W), "grey" or "rgb" and False of a plain PNG, 20 times as fast as Pillow, which decodes it for its EXIF.

    None for another file, an animation, a PNG whose EXIF may turn it, and one of a size that Pillow may refuse.

    Raises:
        UserError: the file has 16 bits a value.
    """
    try:
        with path.open("rb") as file:
            head = file.read(33)
            if len(head) < 33 or head[:8] != PNG or head[12:16] != b"IHDR":
                return None
            width, height, bits, colour = struct.unpack(">IIBB", head[16:26])
            if bits == 16:
                raise UserError(f"{path}: not readable as an image: {DEEP.format('16-bit PNG')}")
            special = any(name in (b"eXIf", b"acTL") or text.startswith(PROFILES) for name, text in _chunks(file))
            if special or not 0 < width * height < LARGE:
                return None
    except OSError as error:
        raise UserError(f"{path}: not readable as an image: {error.strerror}") from None
    return (height, width), "grey" if colour in GREY else "rgb", False


def _chunks(file: BinaryIO) -> Iterator[tuple[bytes, bytes]]:
    """The name of each chunk, and the beginning of a text chunk."""
    while len(start := file.read(8)) == 8:
        length, name = int.from_bytes(start[:4], "big"), start[4:]
        text = file.read(min(length, 32)) if name in (b"tEXt", b"zTXt", b"iTXt") else b""
        yield name, text
        file.seek(length - len(text) + 4, 1)


def require_8_bits(file: Picture) -> None:
    """Refuse an open picture deeper than 8 bits (which range matters is the user's to say) or of several pages.

    Raises:
        ValueError: what is expected, and what it is.
    """
    image: Any = file  # some attributes exist in some formats only
    if file.mode.startswith(("I", "F")):
        raise ValueError(DEEP.format(f"mode {file.mode}"))
    if file.format == "PNG" and any(str(tile.args).endswith("16B") for tile in image.tile):
        raise ValueError(DEEP.format("16-bit PNG"))  # which Pillow would cut to 8 without a word
    if file.format == "TIFF":
        if max(image.tag_v2.get(BITS_PER_SAMPLE, (1,))) > 8:
            raise ValueError(DEEP.format("deep TIFF"))
        if image.n_frames > 1:
            raise ValueError(f"expected one page, got {image.n_frames}; save each as a file of its own")
        if image.tag_v2.get(ORIENTATION, 1) >= 5 and image.tag_v2.get(COMPRESSION, 1) == 1:
            raise ValueError("a turned TIFF without compression, of which Pillow 13 mixes up the rows; save it upright")


def identify(path: Path) -> str:
    """What a file that Pillow does not know is, and what to do about it."""
    with path.open("rb") as file:
        head = file.read(1 << 16)
    if not head:
        return "an empty file"
    if head.lstrip(b"\xef\xbb\xbf \r\n\t").startswith(b"<"):
        return "a page of HTML or XML, not a picture; fetch it again"
    if (bits := _jpeg_bits(head)) not in (None, 8):
        return f"expected 8 bits a value, got a JPEG of {bits}; convert it to 8 bits, 0 to 255"
    if kind := next((kind for start, kind in OTHER_KINDS.items() if head.startswith(start)), ""):
        return kind
    if kind := next((kind for start, kind in SIGNATURES.items() if head.startswith(start)), ""):
        return f"a {kind} that is damaged, cut off or of an unusual form; fetch it again, or save it as 8-bit PNG"
    if all(byte in b"\t\n\r" or byte >= 32 for byte in head[:512]):
        return f"text, not a picture: {head[:40].decode(errors='replace').splitlines()[0]!r}; fetch it again"
    return "no kind of picture that is known"


def _jpeg_bits(head: bytes) -> int | None:
    """The precision in a JPEG's frame header; None where there is none."""
    at = 2
    while head[:2] == b"\xff\xd8" and at + 5 <= len(head) and head[at] == 0xFF:
        marker, length = head[at + 1], int.from_bytes(head[at + 2 : at + 4], "big")
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            return head[at + 4]
        at += 2 + length
    return None
