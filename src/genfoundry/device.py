"""Which device to work on, and torch made deterministic on it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from genfoundry.types import UserError

if TYPE_CHECKING:
    import torch

    from genfoundry.config import Params

PORTABLE = {"ATEN_CPU_CAPABILITY": "avx2", "MKL_CBWR": "COMPATIBLE", "OPENBLAS_CORETYPE": "Haswell"}


def find(wanted: str) -> torch.device:
    """`auto` is the GPU where there is one, else the CPU.

    Raises:
        UserError: the device that was asked for is not there.
    """
    import torch

    if wanted == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    found = torch.device(wanted)
    there = {"cpu": 1, "cuda": torch.cuda.device_count(), "mps": int(torch.backends.mps.is_available())}[found.type]
    if (found.index or 0) >= there:
        raise UserError(
            f"params.yaml: device: {wanted!r} is not there ({there} {found.type} devices, torch {torch.__version__}); "
            "use auto or cpu, or install torch's CUDA build (README)"
        )
    return found


def arm(params: Params) -> torch.device:
    """Make torch deterministic: threads, algorithms, arithmetic. Returns the device to work on."""
    import torch

    torch.set_num_threads(params.threads)
    torch.use_deterministic_algorithms(True, warn_only=False)
    torch.backends.cudnn.benchmark = False
    if params.arithmetic == "portable":
        missing = [f"{k}={v}" for k, v in PORTABLE.items() if os.environ.get(k) != v]
        if missing:
            raise UserError(f"params.yaml: arithmetic: portable needs {' '.join(missing)} before Python starts")
        torch.backends.mkldnn.enabled = False  # type: ignore[assignment]  # its blocking follows the cache sizes
    return find(params.device)
