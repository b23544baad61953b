"""A DVC repository of toy stages behind the real entrance: quick enough to be run for real, several times a test."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from genfoundry import checkpoint
from genfoundry.unit import Unit
from pipeline.orchestration import code_digest
from pipeline.orchestration.integrity import SKIP

ROOT = Path(__file__).parent.parent
ENV = {
    "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    "PYTHONPATH": str(ROOT / "src"),
    "DVC_NO_ANALYTICS": "1",
}
STAGES = """
stages:
  act:
    foreach: [a, b]
    do:
      cmd: python -m pipeline act build/plan/act/${item}.json
      deps: ['build/plan/act/${item}.json', data]
      outs: ['out/${item}']
"""
ACT = """
from pathlib import Path

from genfoundry.unit import Unit
from pipeline.stages import helper

def run(unit: Unit) -> None:
    hook = Path("hook.py")  # no dependency: what a test wants to happen while the stage runs
    if hook.exists():
        exec(hook.read_text(), {"unit": unit})
    Path("out").mkdir(exist_ok=True)
    Path("out", unit.name).write_text(Path("data/x").read_text() + unit.name)
"""


def make(root: Path, hook: str = "") -> Path:
    """The repository, in which nothing has run yet: two units that depend on a file and a helper's code."""
    shutil.copytree(ROOT / "pipeline", root / "pipeline", ignore=shutil.ignore_patterns(*SKIP, "stages", "commands"))
    for path, content in {"stages/__init__": "", "stages/act": ACT, "stages/helper": "X = 1\n"}.items():
        checkpoint.write_bytes(root / f"pipeline/{path}.py", content.encode())
    (root / "dvc.yaml").write_text(STAGES)
    checkpoint.write_bytes(root / "data/x", b"x")
    set_hook(root, hook)
    shutil.copy(ROOT / ".dvcignore", root)  # bytecode is no dependency
    plan(root)
    return root


def plan(root: Path) -> list[Unit]:
    """What the stage `plan` would write: the units, by their code as it stands."""
    units = [unit(root, name) for name in ("a", "b")]
    for one in units:
        checkpoint.write_bytes(root / one.path, one.dump())
    return units


def unit(root: Path, name: str, **settings: Any) -> Unit:
    starts = ("pipeline/stages/act.py",)
    code = code_digest.digest(root, [Path(start) for start in starts])
    return Unit("act", name, ("data",), (f"out/{name}",), starts, (), code, settings)


def set_hook(root: Path, hook: str) -> None:
    """Make every later `act` do this: Python source, in which `unit` is the unit."""
    (root / "hook.py").write_text(hook)


def dvc(root: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """`dvc WORDS`, its output all in stdout."""
    return subprocess.run(
        ["dvc", *words], cwd=root, env=env(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120
    )


def env() -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("DVC_", "GENFOUNDRY_"))}
    return {**kept, **ENV, "PYTHONUNBUFFERED": "1"}


def good(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 0, done.stdout
    return done.stdout


def locked(root: Path) -> set[str]:
    """The stages that dvc.lock has."""
    import yaml

    path = root / "dvc.lock"
    return set(yaml.safe_load(path.read_text())["stages"]) if path.exists() else set()
