"""What every evaluation on the same data needs and no model decides: computed by the first, read by the others.

Each value is a pure function of its key, so that a file which is gone, damaged or never written changes seconds alone.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from genfoundry import files, paths

if TYPE_CHECKING:
    from genfoundry.config import Run

LIBRARIES = ("torch", "numpy", "scipy", "scikit-learn", "scikit-image", "pillow")  # that the arrays are computed with
DAYS = 30  # after which a file is removed
Arrays = Mapping[str, NDArray[np.generic]]


@dataclass(frozen=True)
class Shared:
    """Arrays by name, in files under `folder` (None: in memory alone) that are called after a digest of `key`.

    `key` is all that they are functions of: data, judge, levels, code, versions, whatever sets how numbers are rounded.
    """

    folder: Path | None = None
    key: tuple[object, ...] = ()
    _arrays: dict[str, Arrays] = field(default_factory=dict)

    def of(self, *parts: object) -> Shared:
        """The same with more that its arrays are functions of."""
        return Shared(self.folder, (*self.key, *parts))

    def get(self, name: str, compute: Callable[[], Arrays]) -> Arrays:
        """The arrays called `name`: those of before, or else what `compute` gives; others wait for it meanwhile."""
        if name not in self._arrays:
            self._arrays[name] = compute() if self.folder is None else self._read(self.folder, name, compute)
        return self._arrays[name]

    def _read(self, folder: Path, name: str, compute: Callable[[], Arrays]) -> Arrays:
        from safetensors import SafetensorError
        from safetensors.numpy import load, save

        digest = hashlib.sha256("\x1f".join(map(str, (name, *self.key))).encode()).hexdigest()
        path = folder / f"{digest[:32]}.safetensors"
        with files.file_lock(path):  # one computes, the others wait
            with suppress(FileNotFoundError, SafetensorError):  # not there, or cut off by a crash
                return load(path.read_bytes())
            arrays = {key: np.ascontiguousarray(value) for key, value in compute().items()}
            files.write_bytes(path, save(arrays))
            return arrays


def open_cache(root: Path, code: str, run: Run) -> Shared:
    """Open a repository's cache: one set for each version of the code, the libraries and the arithmetic.

    `code` is the digest of what evaluates, less the models.
    """
    folder = root / paths.PREDICTIONS
    for old in folder.glob("*"):
        with suppress(OSError):  # another process removes the same
            if time.time() - old.stat().st_mtime > DAYS * 86400:
                old.unlink()
    return Shared(folder, (code, run.threads, run.arithmetic, run.precision, *map(version, LIBRARIES)))
