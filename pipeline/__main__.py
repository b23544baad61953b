"""The stages' one entrance: `python -m pipeline STAGE [KEY]`.

Sets the environment that must stand before torch is imported, turns a user's mistake into one line and exit status 1,
and notes how long start-up and work took (in the file that GENFOUNDRY_TIMES names).
"""

from __future__ import annotations

import errno
import getpass
import importlib
import inspect
import json
import os
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

from genfoundry import warm
from genfoundry.device import PORTABLE
from genfoundry.types import UserError

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
STATUS = {errno.ENOSPC: "free some space", errno.EDQUOT: "free some space"}
STATUS |= dict.fromkeys((errno.EACCES, errno.EPERM, errno.EROFS), "make it writable")
KEYED = {"datasets": ("fetch", "prepare", "validate", "judge"), "tasks": ("baseline", "register", "promote")}
KEYED |= {"experiments": ("tune", "train", "evaluate")}


def parameters() -> Any:
    """params.yaml as it stands; None where it cannot be read: the stage itself says what is wrong with it."""
    from genfoundry.config import yaml_file  # here: a stage that is run warm needs no schemas in this process

    try:
        return yaml_file.load(Path("params.yaml"))
    except UserError:
        return None


def environment(raw: Any) -> dict[str, str]:
    """What torch and the BLAS libraries read once, when they are imported."""
    try:
        threads, portable = str(int(raw["threads"])), raw.get("arithmetic") == "portable"
    except (KeyError, TypeError, ValueError, AttributeError):
        return QUIET
    pools = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), threads)
    return QUIET | pools | (PORTABLE if portable else {})


def misuse(run: Callable[..., Any], keys: list[str]) -> str:
    """What is wrong with the number of a stage's keys."""
    try:
        inspect.signature(run).bind(*keys)
    except TypeError as error:
        return f"{error}; usage: python -m pipeline STAGE [KEY]"
    return ""


def misnamed(stage: str, keys: list[str], raw: Any) -> str:
    """What is wrong with a stage's key; nothing where params.yaml is too broken to tell."""
    for section in (section for section, stages in KEYED.items() if stage in stages):
        known = raw.get(section) if isinstance(raw, dict) else None
        if isinstance(known, dict) and keys and keys[0] not in known:
            return f"{keys[0]!r} is not there; params.yaml has the {section} {', '.join(map(str, known))}"
    return ""


def born() -> float:
    """Seconds since this process started (Linux; elsewhere since Python did)."""
    try:
        ticks = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
        return time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
    except (OSError, AttributeError, ValueError):
        return time.process_time()


def name_user() -> None:
    """Name a user id that the system has no name for, as in a container: DVC and MLflow fail without one."""
    try:
        getpass.getuser()
    except (KeyError, OSError):
        os.environ["USER"] = f"uid-{os.getuid()}"


def note(stage: str, startup: float, work: float) -> None:
    """One JSON line a stage, for `pipeline.repro` to add up."""
    if path := os.environ.get("GENFOUNDRY_TIMES"):
        with Path(path).open("a", encoding="utf-8") as file:
            file.write(json.dumps({"stage": stage, "startup": startup, "work": work, "end": time.time()}) + "\n")


def watched() -> AbstractContextManager[None]:
    """For a stage that DVC runs and records: its dependencies must not change meanwhile."""
    name = os.environ.pop("DVC_STAGE", "").rpartition(":")[2]  # not for what the stage itself starts
    if not name:
        return nullcontext()
    from genfoundry import seal

    return seal.sealed(name, Path())


def main(argv: list[str]) -> int:
    """Run one stage; 1 on a user's mistake, said in one line."""
    stage, *keys = argv or ["?"]
    stages = sorted(p.stem for p in Path(__file__).parent.glob("[a-z]*.py"))
    if stage not in stages:
        print(f"genfoundry: {stage!r} is no stage; there are {', '.join(stages)}", file=sys.stderr)
        return 2
    raw = parameters()
    os.environ.update(environment(raw))
    name_user()
    os.environ.pop("MLFLOW_RUN_ID", None)  # `mlflow run` sets it, and every stage would join that one run
    name = ":".join(argv)
    try:
        with watched():  # from before the stage's modules are read
            module = importlib.import_module(f"pipeline.{stage}")
            if wrong := misuse(module.run, keys) or misnamed(stage, keys, raw):
                print(f"genfoundry {name}: {wrong}", file=sys.stderr)
                return 2
            startup, began = born(), time.perf_counter()
            extra = module.run(*keys) or 0.0
            work = time.perf_counter() - began
        note(name, startup + extra, work - extra)
    except UserError as error:
        for line in str(error).splitlines():
            print(f"genfoundry {name}: {line}", file=sys.stderr)
        return 1
    except BrokenPipeError:  # whoever read the output (`| head`) has seen enough; what is left of it goes nowhere
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except OSError as error:
        if error.errno not in STATUS:
            raise
        where = f"{error.filename}: " if error.filename else ""  # a failed write does not know its file
        print(f"genfoundry {name}: {where}{error.strerror}; {STATUS[error.errno]}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"genfoundry {name}: interrupted; run it again to go on from the last checkpoint", file=sys.stderr)
        return 130
    return 0


def entered(argv: list[str]) -> int:
    """Run one stage; one that DVC runs, in a process that has imported torch, where there is such a process."""
    status = warm.asked(argv) if "DVC_STAGE" in os.environ else None
    return main(argv) if status is None else status


if __name__ == "__main__":
    sys.exit(entered(sys.argv[1:]))
