"""A DVC repository of toy stages behind the real entrance: quick enough to be run for real, several times a test."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from genfoundry import graph

ROOT = Path(__file__).parent.parent
ENV = {
    "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    "PYTHONPATH": str(ROOT / "src"),
    "DVC_NO_ANALYTICS": "1",
}
STAGES = """
stages:
  turn:
    cmd: python -m pipeline turn
    always_changed: true
    deps: [pipeline/turn.py]
  gather:
    cmd: python -m pipeline gather
    deps: [out/a, out/b]
    outs: [all]
  code:
    cmd: python -m pipeline code
    deps: [pipeline, params.yaml]
    outs: [reports/code.json]
  act:
    foreach: ${acts}
    do:
      cmd: python -m pipeline act ${key}
      deps: [data]
      params: ['acts.${key}', reports/code.json: [stages.act]]
      outs: ['out/${key}']
"""
ACT = """
from pathlib import Path

def run(name: str) -> None:
    hook = Path("hook.py")  # no dependency: what a test wants to happen during the stage
    if hook.exists():
        exec(hook.read_text(), {"name": name})
    Path("out").mkdir(exist_ok=True)
    Path("out", name).write_text(Path("data/x").read_text() + name)
"""
GATHER = """
from pathlib import Path

def run() -> None:
    Path("all").write_text(Path("out/a").read_text() + Path("out/b").read_text())
"""


def make(root: Path, hook: str = "") -> Path:
    """The repository, in which nothing has run yet."""
    (root / "pipeline").mkdir(parents=True)
    for name in ("__main__", "code", "dvc", "turn", "warm"):
        shutil.copy(ROOT / f"pipeline/{name}.py", root / "pipeline")
    (root / "pipeline/act.py").write_text(ACT)
    (root / "pipeline/gather.py").write_text(GATHER)
    (root / "dvc.yaml").write_text(STAGES)
    (root / "params.yaml").write_text("threads: 1\nother: 1\ndatasets: {}\nacts: {a: {n: 1}, b: {n: 1}}\n")
    (root / "data").mkdir()
    (root / "data/x").write_text("x")
    hooked(root, hook)
    shutil.copy(ROOT / ".dvcignore", root)  # bytecode is no dependency
    good(dvc(root, "init", "-q", "--no-scm"))
    return root


def hooked(root: Path, hook: str) -> None:
    """What happens during every later `act`: Python source, in which `name` is the key."""
    (root / "hook.py").write_text(hook)


def dvc(root: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """`dvc WORDS`, its output all in stdout."""
    return subprocess.run(
        ["dvc", *words], cwd=root, env=env(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120
    )


def started(root: Path, *command: str) -> subprocess.Popen[str]:
    """A command that goes on meanwhile, its output all in stdout."""
    return subprocess.Popen(
        command, cwd=root, env=env(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, bufsize=1
    )


def env() -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("DVC_", "GENFOUNDRY_"))}
    return {**kept, **ENV, "PYTHONUNBUFFERED": "1"}


def until(process: subprocess.Popen[str], words: str) -> str:
    """What the process says up to the line that holds `words`."""
    assert process.stdout is not None
    said = ""
    for line in process.stdout:
        said += line
        if words in line:
            return said
    raise AssertionError(f"{words!r} was never said:\n{said}")


def good(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 0, done.stdout
    return done.stdout


def locked(root: Path) -> set[str]:
    """The stages that dvc.lock has."""
    return set(graph.read(root / "dvc.lock")["stages"]) if (root / "dvc.lock").exists() else set()
