"""The smoke pipeline's outs in portable arithmetic, as hashes that every machine must reproduce (tests/golden/).

`python -m pipeline golden` writes them anew, after a change that is meant to change outs.
"""

import json
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from genfoundry import files as files_module
from genfoundry.console import shell
from genfoundry.errors import UserError
from genfoundry.files import sha256
from pipeline.commands import smoke
from pipeline.orchestration import libraries
from pipeline.orchestration.integrity import files
from pipeline.orchestration.unit import Unit, read_all

FILE = Path("tests/golden/smoke.json")
Hashes = Mapping[str, Mapping[str, str]]  # stage -> path -> sha256, in dvc.yaml's order


def run() -> None:
    with tempfile.TemporaryDirectory(prefix="genfoundry-golden-") as folder:
        copy = smoke.prepare(Path(), Path(folder), arithmetic="portable")
        if shell.show(sys.executable, "-m", "pipeline", "repro", root=copy, env={"PYTHONPATH": "src"}):
            raise UserError("the smoke run failed, see above")
        found = hashes(copy)
    known = json.loads(FILE.read_text(encoding="utf-8")) if FILE.exists() else {}
    files_module.write_bytes(FILE, (json.dumps(found, indent=1) + "\n").encode())
    print(
        "\n".join(differences(known, found)) or "as before", f"{FILE}: {sum(map(len, found.values()))} outs", sep="\n"
    )


def hashes(root: Path) -> dict[str, dict[str, str]]:
    """Every file of every out in a repository that has run: stage -> path -> sha256."""
    found = {key: of_unit(root, unit) for key, unit in read_all(root).items()}
    return {key: hashed for key, hashed in found.items() if hashed}


def of_unit(root: Path, unit: Unit) -> dict[str, str]:
    """Path -> sha256 of a unit's outputs; the plan is none: its digests of code change with every edit."""
    return {path.relative_to(root).as_posix(): sha256(path) for out in unit.outputs for path in files(root / out)}


def differences(known: Hashes, found: Hashes) -> list[str]:
    """A line a file that is new, gone or has other bytes; none where all are equal. The first stage comes first."""
    stages = [*found, *(name for name in known if name not in found)]
    lines = []
    for stage in stages:
        ours, theirs = found.get(stage, {}), known.get(stage, {})
        for path in sorted(ours.keys() | theirs.keys()):
            if ours.get(path) != theirs.get(path):
                word = "gone" if path not in ours else "new" if path not in theirs else "other bytes"
                lines.append(f"{stage}: {path}: {word}")
    return lines


def explained(lines: list[str], root: Path) -> str:
    """What to make of differences: the first stage, packages that are not requirements.lock's, the way to renew."""
    first = lines[0].partition(": ")[0]
    said = [f"{len(lines)} outs are not those of {FILE}; the first stage with a difference is {first}:", *lines[:20]]
    said += [f"... and {len(lines) - 20} more"] if len(lines) > 20 else []
    said += libraries.mismatches(root)
    return "\n".join([*said, "if the change is meant: python -m pipeline golden, and commit the file"])
