"""dvc.lock by the stage: written without parsing the other stages, and in dvc.yaml's order.

After every stage DVC parses and writes the whole file anew, in Python: at 12,000 lines 4 s, more than all else that it
does for a stage. A stage's lines depend on nothing else in the file, so here they alone are made, by DVC's own writer.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from genfoundry import graph

HEAD = "schema: '2.0'\nstages:\n"


def command(argv: list[str]) -> int:
    """DVC's command line, with the same effects byte for byte (tests/test_lockfile.py); its exit status."""
    from dvc import dvcfile
    from dvc.cli import main
    from dvc.stage import serialize
    from dvc.utils.serialize import dumps_yaml

    class Lockfile(dvcfile.Lockfile):  # type: ignore[misc]
        def dump_stages(self, stages: Any, **kwargs: Any) -> None:
            path = Path(self.path)
            try:
                head, known = blocks(path.read_text(encoding="utf-8"))
            except (OSError, UnicodeDecodeError):
                head, known = "", {}
            if head != HEAD:  # no file yet, or one that only DVC understands
                return super().dump_stages(stages, **kwargs)  # type: ignore[no-any-return]
            made: dict[str, str] = {}
            for stage in stages:
                made |= blocks(dumps_yaml({"stages": serialize.to_lockfile(stage, **kwargs)}))[1]
            write(path, known | made)
            self.repo.scm_context.track_file(self.relpath)

    dvcfile.Lockfile = Lockfile
    return int(main(argv))


def blocks(text: str) -> tuple[str, dict[str, str]]:
    """What stands before the first stage, and every stage's lines by its name."""
    head, *parts = re.split(r"(?m)^(?=  [^\s-])", text)
    return head, {next(iter(yaml.load(part.splitlines()[0], graph.FAST))): part for part in parts}


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
