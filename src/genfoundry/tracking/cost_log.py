"""What a model cost on this machine: measured, so never part of an out; the report and MLflow show it.

Kept in .state/costs.json: model digest -> {"parameters", "train_seconds", "train_items_per_second",
"samples_per_second", "evaluate_seconds", "peak_memory_bytes", "device"}; a key that was not measured is not there.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genfoundry import files, paths

if TYPE_CHECKING:
    from genfoundry.models.base import Learner


def read_costs(root: Path) -> dict[str, dict[str, Any]]:
    """Model digest -> what was measured of it on this machine; {} where nothing was."""
    path = root / paths.COSTS
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else {}


def record_costs(root: Path, digest: str, **measured: float | str) -> None:
    """Add measurements of a model; earlier ones of the same name are replaced. Safe against other writers."""
    path = root / paths.COSTS
    with files.file_lock(path):
        known = read_costs(root)
        files.write_json(path, {**known, digest: {**known.get(digest, {}), **measured}})


def measure_sampling_rate(model: Learner, n: int = 64) -> dict[str, float]:
    """{"samples_per_second"} of a draw of n samples, by a model that has drawn before; {} for what draws none."""
    from genfoundry.models.base import GenerativeModel

    if not isinstance(model, GenerativeModel):
        return {}
    began = time.perf_counter()
    model.sample(n).cpu()
    return {"samples_per_second": n / (time.perf_counter() - began)}


def measure_peak_memory(device: str) -> int:
    """Bytes: of the GPU where there is one, else the most that this process has held."""
    if device.startswith("cuda"):
        import torch

        return int(torch.cuda.max_memory_allocated(device))
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024
