"""Encoding of characters as codes of an alphabet, and back."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from genfoundry.errors import UserError

UNKNOWN = 255  # the code of a character outside the alphabet: validation refuses it before any training


def check_alphabet(alphabet: str, most: int) -> None:
    """Refuse an alphabet of more than `most` characters, or with one of them twice."""
    if len(alphabet) > most or len(set(alphabet)) < len(alphabet):
        raise UserError(f"alphabet: expected up to {most} characters, all different, got {len(alphabet)}")


def encode(text: str, alphabet: str) -> np.ndarray:
    """Codes (L,) uint8; UNKNOWN for what is outside the alphabet."""
    return _code_table(alphabet)[np.frombuffer(text.encode("utf-32-le"), np.uint32)]


@lru_cache(4)
def _code_table(alphabet: str) -> np.ndarray:
    """The code of every Unicode character: cached, since lines are short and many."""
    table = np.full(0x110000, UNKNOWN, np.uint8)
    table[[ord(c) for c in alphabet]] = np.arange(len(alphabet))
    return table


def pad_codes(texts: list[str], alphabet: str, width: int, end: int) -> np.ndarray:
    """Codes (N, width) uint8 of texts, filled up with the code `end`."""
    codes = np.full((len(texts), width), end, np.uint8)
    for row, text in zip(codes, texts, strict=True):
        row[: len(text)] = encode(text, alphabet)
    return codes


def decode(codes: np.ndarray, alphabet: str) -> str:
    """The text of codes (T,)."""
    return "".join(alphabet[c] if c < len(alphabet) else "�" for c in codes.tolist())
