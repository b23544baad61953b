"""Headers of pictures: depth, pages and what is no picture, told from a few bytes and said in one line."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from genfoundry.data.readers import image_headers
from genfoundry.data.readers.images import read_header, read_picture
from genfoundry.errors import UserError

GREY = (np.arange(6, dtype=np.uint8) * 40).reshape(2, 3)


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(x: np.ndarray, bits: int, size: tuple[int, int] | None = None) -> bytes:
    """(H, W, C) as a PNG of so many bits a value; `size` is what its header says of (W, H)."""
    kind = {1: 0, 2: 4, 3: 2, 4: 6}[x.shape[2]]
    rows = b"".join(b"\0" + row.astype(f">u{bits // 8}").tobytes() for row in x)
    head = struct.pack(">IIBBBBB", *(size or x.shape[1::-1]), bits, kind, 0, 0, 0)
    body = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return image_headers.PNG + body


def tiff(x: np.ndarray) -> bytes:
    """(H, W, 3) as a TIFF of 16 bits a value."""
    tags = {256: (3, x.shape[1]), 257: (3, x.shape[0]), 258: (3, 134), 259: (3, 1), 262: (3, 2), 273: (4, 140)}
    tags |= {277: (3, 3), 278: (3, x.shape[0]), 279: (4, 2 * x.size), 284: (3, 1)}
    entries = b"".join(struct.pack("<HHII", t, kind, 3 if t == 258 else 1, value) for t, (kind, value) in tags.items())
    return (
        b"II*\0"
        + struct.pack("<IH", 8, len(tags))
        + entries
        + bytes(4)
        + struct.pack("<3H", 16, 16, 16)
        + (x.astype("<u2").tobytes())
    )


def refused(path: Path, says: str) -> None:
    for read in (read_header, read_picture):
        with pytest.raises(UserError, match=f"{path.name}: not readable as an image: {says}") as error:
            read(path)
        assert "\n" not in str(error.value)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_a_png_of_16_bits_a_value(channels: int, tmp_path: Path) -> None:
    x = np.full((4, 5, channels), 900)
    (tmp_path / "deep.png").write_bytes(png(x, 16))
    refused(tmp_path / "deep.png", "expected 8 bits a value, got 16 or more bits .*convert it to 8 bits, 0 to 255")
    (tmp_path / "deep.jpg").write_bytes(png(x, 16))  # by another name
    refused(tmp_path / "deep.jpg", "expected 8 bits a value, got 16 or more bits")
    (tmp_path / "plain.png").write_bytes(png(x % 256, 8))
    assert read_header(tmp_path / "plain.png") == ((4, 5), "grey" if channels < 3 else "rgb", False)


def test_deep_tiffs(tmp_path: Path) -> None:
    (tmp_path / "rgb.tif").write_bytes(tiff(np.full((4, 4, 3), 900)))
    Image.fromarray(np.full((4, 4), 900, np.uint16)).save(tmp_path / "grey.tif")
    Image.fromarray(np.full((4, 4), 0.5, np.float32)).save(tmp_path / "float.tif")
    for name in ("rgb", "grey", "float"):
        refused(tmp_path / f"{name}.tif", "expected 8 bits a value, got 16 or more bits")


def test_pages_are_refused_and_animations_give_their_first_frame(tmp_path: Path) -> None:
    other = [Image.fromarray(255 - GREY)]
    Image.fromarray(GREY).save(tmp_path / "a.tif", save_all=True, append_images=other)
    refused(tmp_path / "a.tif", "expected one page, got 2")
    for name in ("a.gif", "a.png", "a.webp"):
        how = {"lossless": True} if name == "a.webp" else {}
        Image.fromarray(GREY).save(tmp_path / name, save_all=True, append_images=other, **how)
        assert read_header(tmp_path / name)[2] and (read_picture(tmp_path / name)[0] == GREY).all()


@pytest.mark.parametrize("kind", ["png", "tif", "jpg", "webp"])
@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_a_header_has_the_size_of_the_upright_picture(kind: str, orientation: int, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    large = np.kron(GREY, np.ones((8, 8), np.uint8))
    how = {"tif": {"compression": "tiff_lzw"}, "webp": {"lossless": True}, "jpg": {"quality": 100}}.get(kind, {})
    Image.fromarray(large).save(tmp_path / f"a.{kind}", exif=exif, **how)
    x = read_picture(tmp_path / f"a.{kind}")
    assert read_header(tmp_path / f"a.{kind}")[0] == x.shape[1:]
    upright = np.rot90(large, {1: 0, 3: 2, 6: -1, 8: 1}[orientation])
    assert x.shape[1:] == upright.shape and abs(x[0].astype(int) - upright).max() <= 2


def test_a_turned_tiff_without_compression_is_refused(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(GREY).save(tmp_path / "a.tif", exif=exif)
    refused(tmp_path / "a.tif", "a turned TIFF without compression")


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr"])
def test_a_tiff_of_every_mode_of_8_bits(mode: str, tmp_path: Path) -> None:
    Image.fromarray(GREY).convert("RGB").convert(mode).save(tmp_path / "a.tif")
    assert read_header(tmp_path / "a.tif") == ((2, 3), "grey" if mode in ("1", "L", "LA") else "rgb", False)
    assert read_picture(tmp_path / "a.tif").shape == (1 if mode in ("1", "L", "LA") else 3, 2, 3)


def test_what_is_no_picture_says_what_it_is(tmp_path: Path) -> None:
    Image.fromarray(GREY).save(tmp_path / "a.jpg")
    jpeg = (tmp_path / "a.jpg").read_bytes()
    at = jpeg.index(b"\xff\xc0") + 4
    files = {
        b"\r\n<!DOCTYPE html><html>": "a page of HTML or XML, not a picture",
        b"": "an empty file",
        b"version https://git-lfs.github.com/spec/v1\n": "a Git LFS pointer; `git lfs pull`",
        jpeg[:at] + b"\x0c" + jpeg[at + 1 :]: "expected 8 bits a value, got a JPEG of 12; convert it to 8 bits",
        b"hello": "text, not a picture: 'hello'; fetch it again",
        png(np.zeros((2, 2, 1)), 8)[:30]: "a PNG that is damaged, cut off or of an unusual form",
        b"\x01\x02\x03": "no kind of picture that is known",
    }
    for content, says in files.items():
        (tmp_path / "b.jpg").write_bytes(content)
        refused(tmp_path / "b.jpg", says)


def test_a_picture_too_large_to_hold(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png(np.zeros((2, 2, 1)), 8, (30_000, 30_000)))
    refused(tmp_path / "a.png", "over 178,956,970 pixels; shrink or cut it")
