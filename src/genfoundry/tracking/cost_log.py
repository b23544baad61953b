"""Cost log: time and memory of a model on this machine. Measured, so never part of a DVC output.

.state/costs.json: model digest -> {"parameters", "train_seconds", "train_items_per_second", "samples_per_second",
"passes_per_sample", "evaluate_seconds", "peak_memory_bytes", "device"}, without the keys that were not measured.
"""

from __future__ import annotations

import resource
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genfoundry import files, paths

if TYPE_CHECKING:
    from genfoundry.models.base import Learner


def read_costs(root: Path) -> dict[str, dict[str, Any]]:
    """Model digest -> its measurements on this machine; {} where there are none."""
    path = root / paths.COSTS
    return dict(files.read_json(path)) if path.exists() else {}


def record_costs(root: Path, digest: str, **measured: float | str) -> None:
    """Add measurements of a model, in place of earlier ones of the same names. Safe against other writers."""
    path = root / paths.COSTS
    # Jobs run side by side: without the lock, one that reads before and writes after another drops the other's entry.
    with files.file_lock(path):
        costs = read_costs(root)
        files.write_json(path, {**costs, digest: {**costs.get(digest, {}), **measured}})


def measure_sampling_rate(model: Learner, n: int = 64) -> dict[str, float]:
    """{"samples_per_second"} of a draw of n samples, by a model that has drawn before; {} for one that draws none."""
    from genfoundry.models.base import GenerativeModel

    if not isinstance(model, GenerativeModel):
        return {}
    began = time.perf_counter()
    # A GPU works asynchronously: the copy to main memory waits until the samples are there.
    model.sample(n).cpu()
    return {"samples_per_second": n / (time.perf_counter() - began)}


def measure_peak_memory(device: str) -> int:
    """Peak memory in bytes: of the GPU where `device` is one, else of this process."""
    if device.startswith("cuda"):
        import torch

        return int(torch.cuda.max_memory_allocated(device))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # getrusage counts bytes on macOS and KiB on Linux.
    return peak if sys.platform == "darwin" else peak * 1024
