"""Seeds of random draws, derived by hashing what a draw is for."""

from __future__ import annotations

import hashlib


def derive_seed(*parts: object) -> int:
    """Derive a 63-bit seed by hashing `parts`.

    Every random draw is seeded from (seed, experiment, phase, step), so that no state of a generator has to be saved.
    """
    text = "\x1f".join(map(str, parts)).encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big") >> 1
