"""`python -m pipeline warm SOCKET`: what `make repro` has its stages forked from (src/genfoundry/warm.py)."""

import importlib
import os
import runpy
import sys
from pathlib import Path

from genfoundry import warm
from pipeline.__main__ import environment, parameters


def run(where: str) -> None:
    started, root = environment(parameters()), Path.cwd()  # the libraries read it once
    for name in warm.LIBRARIES:
        importlib.import_module(name)
    if (request := warm.serve(where)) is None:
        return
    argv = request["argv"]
    if environment(parameters()) != started or Path.cwd() != root:
        os.execv(sys.executable, [sys.executable, "-m", "pipeline", *argv])
    for name in [name for name in sys.modules if name.partition(".")[0] in ("genfoundry", "pipeline")]:
        del sys.modules[name]  # read anew, as it stands now
    sys.argv[1:] = argv
    runpy.run_module("pipeline", run_name="__main__", alter_sys=True)
