"""A DVC repository of toy stages: quick enough to be run for real, several times a test."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Collection, Mapping
from pathlib import Path

import plans
import yaml

from pipeline.orchestration.unit import Unit

ENV = {key: value for key, value in os.environ.items() if not key.startswith(("DVC_", "GENFOUNDRY_"))} | {
    "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    "DVC_NO_ANALYTICS": "1",
    "PYTHONUNBUFFERED": "1",
}
ACT = """
import sys
from pathlib import Path

name, *needs = sys.argv[1:]
hook = Path("hook.py")  # no dependency: what a test wants to happen during a stage
if hook.exists():
    exec(hook.read_text(), {"name": name})
Path("out").mkdir(exist_ok=True)
Path("out", name).write_text(name + "".join(Path("out", need).read_text() for need in needs))
"""


def make(root: Path, stages: Mapping[str, Collection[str]], always: Collection[str] = (), hook: str = "") -> Path:
    """A repository in which nothing has run: each stage writes out/NAME from the outs of those that it needs."""
    (root / "act.py").write_text(ACT)
    (root / "hook.py").write_text(hook)
    declared = {
        name: {
            "cmd": " ".join(["python act.py", name, *needs]),
            "deps": [f"out/{need}" for need in needs],
            "outs": [f"out/{name}"],
            "always_changed": name in always,
        }
        for name, needs in stages.items()
    }
    (root / "dvc.yaml").write_text(yaml.safe_dump({"stages": declared}, sort_keys=False))
    dvc(root, "init", "-q", "--no-scm")
    return root


def units(stages: Mapping[str, Collection[str]]) -> dict[str, Unit]:
    """The same stages as units of a plan."""
    return {
        name: plans.unit(name, "", tuple(f"out/{need}" for need in needs), (f"out/{name}",))
        for name, needs in stages.items()
    }


def dvc(root: Path, *words: str) -> str:
    """What `dvc WORDS` prints, which has to succeed."""
    command = [sys.executable, "-m", "dvc", *words]
    done = subprocess.run(command, cwd=root, env=ENV, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def locked(root: Path) -> dict[str, object]:
    """What dvc.lock records, by stage."""
    path = root / "dvc.lock"
    return dict(yaml.safe_load(path.read_text())["stages"]) if path.exists() else {}
