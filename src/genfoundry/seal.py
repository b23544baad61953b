"""dvc.lock tells the truth: what a stage depends on is the same after it ran as before, or the stage fails.

DVC hashes a stage's dependencies only when its command is over (iterative/dvc#11058): an edit during the run would be
recorded as what the outs were made from. A stage that fails is not recorded at all.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from genfoundry import graph, imports
from genfoundry.types import UserError

CODE = "reports/code.json"


@contextmanager
def sealed(name: str, root: Path) -> Iterator[None]:
    """Watch over a stage (`train@vae-fashion`) while the block runs; one without outs promises nothing, and is free.

    Raises:
        UserError: a dependency changed meanwhile, or the sources are not those that reports/code.json was made from.
    """
    stage = graph.stages(root).get(name)
    if stage is None or stage.always or not stage.outs:
        yield
        return
    before = inputs(stage, root)
    for key, files in sources(stage, root).items():
        if before[f"{CODE}:{key}"] != json.dumps(imports.digest(root, files)):
            raise UserError(f"the sources of {key} were edited since the stage `code` read them; run it again")
    yield
    after = inputs(stage, root)
    changed = sorted(key for key in before.keys() | after.keys() if before.get(key) != after.get(key))
    if changed:
        more = f" and {len(changed) - 1} more" if len(changed) > 1 else ""
        raise UserError(f"{changed[0]}{more} changed while the stage ran; nothing is recorded, run it again")


def inputs(stage: graph.Stage, root: Path) -> dict[str, str]:
    """What a stage depends on, each with its digest or value, down to the source files that it runs."""
    run = set().union(*sources(stage, root).values())
    own = {path.relative_to(root).as_posix(): graph.file_digest(path) for path in run if path.exists()}
    return graph.contents(stage, root) | own


def sources(stage: graph.Stage, root: Path) -> dict[str, set[Path]]:
    """The files behind each key of reports/code.json that a stage depends on."""
    keys = [key for file, key in stage.params if file == CODE]
    judges = imports.judges(root) if keys else {}
    return {key: imports.files(root, key, judges) for key in keys}
