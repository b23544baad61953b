"""Small raw folders of every modality, and data set entries that fit them."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from genfoundry import config


def idx_bytes(x: NDArray[np.uint8], magic: int | None = None) -> bytes:
    """An IDX file, gzipped."""
    head = struct.pack(f">I{x.ndim}I", 0x800 + x.ndim if magic is None else magic, *x.shape)
    return gzip.compress(head + x.tobytes(), mtime=0)


def grey(n: int, seed: int = 0, size: int = 4) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (n, size, size), np.uint8)


def write_idx(raw: Path, train: int = 200, test: int = 20, *, seed: int = 0) -> None:
    """A published train and test pair of three classes."""
    raw.mkdir(parents=True, exist_ok=True)
    for stem, n, at in (("train", train, seed), ("t10k", test, seed + 1)):
        (raw / f"{stem}-images-idx3-ubyte.gz").write_bytes(idx_bytes(grey(n, at)))
        (raw / f"{stem}-labels-idx1-ubyte.gz").write_bytes(idx_bytes((np.arange(n) % 3).astype(np.uint8)))


def images(**more: object) -> config.Dataset:
    shares = config.Shares(val=0.15, gate=0.15, test=0.2)
    return config.Dataset.model_validate({"modality": "images", "raw": "fashion", "split": shares, **more})


def text(**more: object) -> config.Dataset:
    about = {"modality": "text", "raw": "shakespeare", "window": 8, "alphabet": "\n abcdefghij0123456789"}
    return config.Dataset.model_validate({**about, "split": config.Shares(val=0.2, gate=0.2, test=0.2), **more})


def series(**more: object) -> config.Dataset:
    about = {"modality": "series", "raw": "sunspots", "window": 5, "context": 4}
    return config.Dataset.model_validate({**about, "split": config.Shares(val=0.2, gate=0.2, test=0.2), **more})


def pairs(**more: object) -> config.Dataset:
    about = {"modality": "pairs", "raw": {"path": "mine"}, "window": 16, "context": 16}
    about |= {"alphabet": " 0123456789abcdelo", "split": config.Shares(val=0.2, gate=0.2, test=0.2)}
    return config.Dataset.model_validate({**about, **more})
