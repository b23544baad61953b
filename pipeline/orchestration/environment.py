"""Environment variables of stages and commands, which libraries read once, when they are imported."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from genfoundry.training.device import PORTABLE

ENGINE = "GENFOUNDRY_ENGINE"  # names the engine to a run's stages
ENGINES = ("local", "ray", "slurm")
QUIET = {
    "DVC_NO_ANALYTICS": "1",
    "DO_NOT_TRACK": "1",
    "GX_ANALYTICS_ENABLED": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "CUBLAS_WORKSPACE_CONFIG": ":4096:8",
    "OMP_DYNAMIC": "FALSE",  # as many threads as params.yaml says, always: their number is part of the result
    "MKL_DYNAMIC": "FALSE",
    "MPLBACKEND": "Agg",
}


def environment(settings: Mapping[str, Any]) -> dict[str, str]:
    """Return what torch and the BLAS libraries read when they are imported; `settings` are a unit's `run`."""
    if "threads" not in settings:
        return QUIET
    threads, portable = str(settings["threads"]), settings.get("arithmetic") == "portable"
    pools = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), threads)
    return QUIET | pools | (PORTABLE if portable else {})
