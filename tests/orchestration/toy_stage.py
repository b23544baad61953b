"""A DVC repository of a toy stage behind the real entrance, with a plan of two units that run it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from toy import ENV

from genfoundry import files
from pipeline.orchestration.code_digest import Code
from pipeline.orchestration.unit import Unit

ROOT = Path(__file__).parent.parent.parent
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

from pipeline.orchestration.unit import Unit
from pipeline.stages import helper

def run(unit: Unit) -> None:
    hook = Path("hook.py")  # no dependency: what a test wants to happen while the stage runs
    if hook.exists():
        exec(hook.read_text(), {"unit": unit})
    Path("out").mkdir(exist_ok=True)
    Path("out", unit.name).write_text(Path("data/x").read_text() + unit.name)
"""


def make(root: Path) -> Path:
    """The repository, in which nothing has run: its stage imports a helper and reads a folder."""
    ignored = shutil.ignore_patterns("__pycache__", "stages", "commands", "dvc.*")
    shutil.copytree(ROOT / "pipeline", root / "pipeline", ignore=ignored)
    for path, text in {"stages/__init__": "", "stages/act": ACT, "stages/helper": "X = 1\n"}.items():
        files.write_bytes(root / f"pipeline/{path}.py", text.encode())
    (root / "dvc.yaml").write_text(STAGES)
    files.write_bytes(root / "data/x", b"x")
    shutil.copy(ROOT / ".dvcignore", root)  # bytecode is no dependency
    plan(root)
    return root


def plan(root: Path) -> None:
    """What the stage `plan` would write, by the code as it stands."""
    for one in (unit(root, "a"), unit(root, "b")):
        files.write_bytes(root / one.path, one.dump())


def unit(root: Path, name: str, **settings: Any) -> Unit:
    starts = ("pipeline/stages/act.py",)
    code = Code(root).digest([Path(start) for start in starts])
    return Unit("act", name, ("data",), (f"out/{name}",), starts, (), code, settings)


def set_hook(root: Path, hook: str) -> None:
    """Make every later run of the stage do this: Python source, in which `unit` is the unit."""
    (root / "hook.py").write_text(hook)


def repro(root: Path, *targets: str) -> subprocess.CompletedProcess[str]:
    """`dvc repro`, its output all in stdout."""
    return subprocess.run(
        [sys.executable, "-m", "dvc", "repro", *targets], cwd=root, env=ENV | {"PYTHONPATH": str(ROOT / "src")},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120,
    )  # fmt: skip
