"""The stages' one entrance: `python -m pipeline STAGE [KEY]`.

Sets the environment that must stand before torch is imported, turns a user's mistake into one line and exit status 1,
and notes how long start-up and work took (in the file that GENFOUNDRY_TIMES names).
"""

from __future__ import annotations

import errno
import importlib
import json
import os
import sys
import time
from pathlib import Path

import yaml

from genfoundry.types import UserError

QUIET = {
    "DVC_NO_ANALYTICS": "1",
    "DO_NOT_TRACK": "1",
    "GX_ANALYTICS_ENABLED": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "CUBLAS_WORKSPACE_CONFIG": ":4096:8",
    "MPLBACKEND": "Agg",
}
PORTABLE = {"ATEN_CPU_CAPABILITY": "avx2", "MKL_CBWR": "COMPATIBLE", "OPENBLAS_CORETYPE": "Haswell"}
STATUS = {errno.ENOSPC: "free some space", errno.EACCES: "make it writable", errno.EROFS: "make it writable"}


def environment() -> dict[str, str]:
    """What torch and the BLAS libraries read once, when they are imported."""
    try:
        raw = yaml.safe_load(Path("params.yaml").read_text(encoding="utf-8"))
        threads, portable = str(int(raw["threads"])), raw.get("arithmetic") == "portable"
    except (OSError, yaml.YAMLError, KeyError, TypeError, ValueError, AttributeError):
        return QUIET  # the stage itself says what is wrong with params.yaml
    pools = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), threads)
    return QUIET | pools | (PORTABLE if portable else {})


def born() -> float:
    """Seconds since this process started (Linux; elsewhere since Python did)."""
    try:
        ticks = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
        return time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
    except (OSError, AttributeError, ValueError):
        return time.process_time()


def note(stage: str, startup: float, work: float) -> None:
    """One JSON line a stage, for `pipeline.repro` to add up."""
    if path := os.environ.get("GENFOUNDRY_TIMES"):
        with Path(path).open("a", encoding="utf-8") as file:
            file.write(json.dumps({"stage": stage, "startup": startup, "work": work, "end": time.time()}) + "\n")


def main(argv: list[str]) -> int:
    """Run one stage; 1 on a user's mistake, said in one line."""
    stage, *keys = argv or ["?"]
    stages = sorted(p.stem for p in Path(__file__).parent.glob("[a-z]*.py"))
    if stage not in stages:
        print(f"genfoundry: {stage!r} is no stage; there are {', '.join(stages)}", file=sys.stderr)
        return 2
    os.environ.update(environment())
    os.environ.pop("MLFLOW_RUN_ID", None)  # `mlflow run` sets it, and every stage would join that one run
    name = ":".join(argv)
    try:
        module = importlib.import_module(f"pipeline.{stage}")
        startup, began = born(), time.perf_counter()
        extra = module.run(*keys) or 0.0
        work = time.perf_counter() - began
        note(name, startup + extra, work - extra)
    except UserError as error:
        for line in str(error).splitlines():
            print(f"genfoundry {name}: {line}", file=sys.stderr)
        return 1
    except OSError as error:
        if error.errno not in STATUS:
            raise
        print(f"genfoundry {name}: {error.filename}: {error.strerror}; {STATUS[error.errno]}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"genfoundry {name}: interrupted; run it again to go on from the last checkpoint", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
