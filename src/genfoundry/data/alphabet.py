"""Encoding of characters as codes of an alphabet, and back."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

UNKNOWN = 255  # the code of a character outside the alphabet: validation refuses it before any training


def encode(text: str, alphabet: str) -> np.ndarray:
    """Codes (L,) uint8; UNKNOWN for what is outside the alphabet."""
    return _code_table(alphabet)[np.frombuffer(text.encode("utf-32-le"), np.uint32)]


@lru_cache(4)
def _code_table(alphabet: str) -> np.ndarray:
    """The code of every Unicode character: cached, since lines are short and many."""
    table = np.full(0x110000, UNKNOWN, np.uint8)
    table[[ord(c) for c in alphabet]] = np.arange(len(alphabet))
    return table


def decode(codes: np.ndarray, alphabet: str) -> str:
    """The text of codes (T,)."""
    return "".join(alphabet[c] if c < len(alphabet) else "�" for c in codes.tolist())
