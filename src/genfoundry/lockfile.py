"""dvc.lock in blocks, a stage's lines each: what the file says of a stage depends on nothing else in it."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

import yaml

from genfoundry import graph

HEAD = "schema: '2.0'\nstages:\n"


def blocks(text: str) -> tuple[str, dict[str, str]]:
    """What stands before the first stage, and every stage's lines by its name; nothing of a file not so made."""
    head, *parts = re.split(r"(?m)^(?=  [^\s-])", text)
    try:
        known = {next(iter(yaml.load(part.splitlines()[0], graph.FAST).keys())): part for part in parts}
    except (yaml.YAMLError, AttributeError):  # a comment, a merge marker
        return "", {}
    return (head, known) if len(known) == len(parts) else ("", {})


def write(path: Path, stages: Mapping[str, str]) -> None:
    """Replace the file at once: a run that is killed leaves the old stages or the new ones."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    beside.write_text(HEAD + "".join(stages.values()), encoding="utf-8")
    beside.replace(path)


def order(root: Path) -> None:
    """Put dvc.lock into dvc.yaml's order: DVC's own depends on which stages were run in which order."""
    path = root / "dvc.lock"
    if not path.exists():
        return
    head, known = blocks(path.read_text(encoding="utf-8"))
    stages = {name: known[name] for name in graph.stages(root) if name in known}
    if head == HEAD and list(stages) != list(known):
        write(path, stages)
