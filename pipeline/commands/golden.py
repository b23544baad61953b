"""Golden hashes: the smoke pipeline's outputs in portable arithmetic, which every machine must reproduce.

`genfoundry golden` writes tests/golden/smoke.json anew, after a change that is meant to change outputs.
"""

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path

from genfoundry import files
from pipeline.commands import smoke
from pipeline.orchestration import integrity
from pipeline.orchestration.unit import Unit, read_all

FILE = Path("tests/golden/smoke.json")
Hashes = Mapping[str, Mapping[str, str]]  # stage -> path -> sha256, in dvc.yaml's order


def run() -> None:
    """Run the smoke pipeline in a copy, write its hashes and print what differs from those of before."""
    with tempfile.TemporaryDirectory(prefix="genfoundry-golden-") as folder:
        # Only portable arithmetic gives the same bytes on every processor.
        copy = smoke.prepare(Path(), Path(folder), arithmetic="portable")
        smoke.run_pipeline(copy)
        hashes = hash_outputs(copy)
    before = json.loads(FILE.read_text(encoding="utf-8")) if FILE.exists() else {}
    files.write_bytes(FILE, (json.dumps(hashes, indent=1) + "\n").encode())
    print(
        "\n".join(differences(before, hashes)) or "as before",
        f"{FILE}: {sum(map(len, hashes.values()))} outs",
        sep="\n",
    )


def hash_outputs(root: Path) -> dict[str, dict[str, str]]:
    """Hash every file of every output in a repository that has run: stage -> path -> sha256."""
    return {key: hashes for key, unit in read_all(root).items() if (hashes := hash_unit(root, unit))}


def hash_unit(root: Path, unit: Unit) -> dict[str, str]:
    """Hash a unit's outputs: path -> sha256. The plan is not among them: its code digests change with every edit."""
    paths = [path for output in unit.outputs for path in integrity.list_files(root / output)]
    return {path.relative_to(root).as_posix(): files.sha256(path) for path in paths}


def differences(expected: Hashes, actual: Hashes) -> list[str]:
    """Return a line for each file that is new, gone or has other bytes; the first stage comes first."""
    lines = []
    for stage in dict.fromkeys([*actual, *expected]):
        new, old = actual.get(stage, {}), expected.get(stage, {})
        for path in sorted(new.keys() | old.keys()):
            if new.get(path) != old.get(path):
                word = "gone" if path not in new else "new" if path not in old else "other bytes"
                lines.append(f"{stage}: {path}: {word}")
    return lines
