"""The table in CONTRIBUTING.md: how many places a new model, modality or stage touches, each tried in a copy."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from genfoundry.console import shell
from genfoundry.files import read_json

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
SMOKE = ROOT / "tests/smoke/params.yaml"


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A committed copy of the repository with the parameters of the smoke run."""
    root = shell.make_working_copy(ROOT, tmp_path / "copy")
    shutil.copy(SMOKE, root / "params.yaml")
    return root


def run(root: Path, *command: str) -> str:
    """Run Python on the code in `root`; the output."""
    env = {**os.environ, "PYTHONPATH": "src", "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, *command], cwd=root, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def commit(root: Path) -> None:
    """Take the files as they are for the state before an extension."""
    shell.ask("git", "add", "-A", root=root)
    shell.ask("git", *shell.IDENTITY, "commit", "-q", "--allow-empty", "-m", "before", root=root)


def touched(root: Path) -> set[str]:
    """The files that were added or edited since `commit`."""
    status = shell.ask("git", "status", "--porcelain", "--untracked-files=all", root=root)
    return {line.split(maxsplit=1)[1] for line in status.splitlines()}


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.M | re.S)


def plan(root: Path) -> dict[str, bytes]:
    """The plan's files as `python -m pipeline plan` writes them."""
    run(root, "-m", "pipeline", "plan")
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in (root / "build/plan").rglob("*.json")}


def test_the_readmes_model_is_one_file_and_one_entry(copy: Path) -> None:
    """It passes the contract suite, and changes no unit but its own and what ranks all experiments."""
    (source,) = [block for block in blocks("python") if "class Mixture" in block]
    (entry,) = [block for block in blocks("yaml") if "model: mixture" in block]
    shutil.copy(ROOT / "params.yaml", copy)
    before = plan(copy)
    commit(copy)
    (copy / "src/genfoundry/models/mixture.py").write_text(source)
    with (copy / "params.yaml").open("a") as file:
        file.write(entry)
    assert touched(copy) == {"src/genfoundry/models/mixture.py", "params.yaml"}
    after = plan(copy)
    new = {f"build/plan/{stage}/mixture-fashion.json" for stage in ("train", "evaluate")}
    assert after.keys() - before.keys() == new
    changed = {path for path in before if before[path] != after[path]}
    assert changed == {f"build/plan/{name}.json" for name in ("index", "rank", "report")}
    run(copy, "-m", "pytest", "-q", "tests/models/test_contract.py", "-k", "mixture", "-p", "no:cacheprovider")
    run(copy, "-m", "ruff", "check", "--ignore", "I001", "src/genfoundry/models/mixture.py")


STAGE = '''"""The number of items in each split of a data set."""

from pathlib import Path

from genfoundry import files, paths
from pipeline.orchestration.unit import Unit


def run(unit: Unit) -> None:
    counts = files.read_json(paths.prepared(unit.name) / "spec.json")["counts"]
    files.write_json(Path(unit.outputs[0]), {"counts": counts, "window": unit.settings["entry"]["window"]})
'''
DECLARED = """
  count:
    foreach: ${datasets}
    do:
      cmd: PYTHONPATH=src python -m pipeline count build/plan/count/${key}.json
      deps:
        - build/plan/count/${key}.json
        - data/prepared/${key}/arrays
      outs:
        - reports/count/${key}.json:
            cache: false
"""


def test_a_stage_is_one_file_and_its_lines_in_dvc_yaml(copy: Path) -> None:
    before = plan(copy)
    commit(copy)
    (copy / "pipeline/stages/count.py").write_text(STAGE)
    with (copy / "dvc.yaml").open("a") as file:
        file.write(DECLARED)
    assert touched(copy) == {"pipeline/stages/count.py", "dvc.yaml"}
    run(copy, "-m", "dvc", "repro", "-q", "count@sunspots")
    written = read_json(copy / "reports/count/sunspots.json")
    assert sum(written["counts"].values()) > 0 and written["window"] == 5
    after = plan(copy)
    assert {f"build/plan/count/{name}.json" for name in ("sunspots", "digits")} == after.keys() - before.keys()
    assert {path for path in before if before[path] != after[path]} == {"build/plan/index.json"}
    (copy / "pipeline/stages/count.py").write_text(STAGE.replace('"counts": counts', '"counts": counts, "more": 1'))
    edited = plan(copy)
    assert {path for path in after if after[path] != edited[path]} == {
        f"build/plan/count/{name}.json" for name in ("sunspots", "digits")
    }


READER = '''"""Tables: the rows of CSV files with a header, each a sample of real values."""

import hashlib

import numpy as np
import pandas as pd

from genfoundry.data.preparation import Prepared
from genfoundry.data.readers.listing import list_files
from genfoundry.data.split_assignment import assign_split
from genfoundry.splits import SPLITS
from genfoundry.types import Spec


def prepare(raw, inbox, dataset, seed):
    paths = [*list_files(raw, ".csv"), *list_files(inbox, ".csv")]
    x = np.concatenate([np.loadtxt(path, delimiter=",", skiprows=1, dtype=np.float32) for path in paths])
    digests = [hashlib.sha256(row.tobytes()).digest() for row in x]
    where = np.array([assign_split(seed, digest, dataset, published=False) for digest in digests])
    rows = {
        "split": where.astype(object), "label": -1, "min": x.min(1), "max": x.max(1), "mean": x.mean(1),
        "spread": x.std(1), "length": x.shape[1], "distinct": x.shape[1], "unknown": 0, "time": np.nan,
        "finite": np.isfinite(x).all(1), "digest": [digest.hex() for digest in digests], "source": paths[0].name,
    }
    counts = {split: int((where == split).sum()) for split in SPLITS}
    arrays = {split: {"x": x[where == split]} for split in SPLITS}
    return Prepared(arrays, Spec((x.shape[1],), None), (), counts, pd.DataFrame(rows))
'''
SPLIT = '''"""Rows of a table on a device."""

from genfoundry.data.splits.base import TensorSplit
from genfoundry.types import Batch


class TableSplit(TensorSplit):
    """Rows (N, D) of real values."""

    def eval_batch(self, index):
        return Batch(self.tensor[index])
'''
TABLE_ENTRY = """
  points:
    modality: tables
    raw: {path: PATH}
    split: {val: 0.2, gate: 0.2, test: 0.2}
    expect: {values: [-100, 100]}
"""
BATCH = """
import torch
from genfoundry import paths
from genfoundry.data.dataset import Dataset
data = Dataset(paths.prepared("points"))
split = data.split("train")
print(len(split), *split.eval_batch(torch.arange(len(split))).x.mean(0).tolist())
"""


def test_a_modality_is_a_reader_and_a_split(copy: Path, tmp_path: Path) -> None:
    """Then a data set of it is fetched, prepared and validated, and its splits give batches."""
    rows = np.random.default_rng(0).normal(3.0, 2.0, (200, 4))
    (tmp_path / "own").mkdir()
    np.savetxt(tmp_path / "own/points.csv", rows, delimiter=",", header="a,b,c,d", comments="")
    commit(copy)
    sources = {"src/genfoundry/data/modalities/tables.py": READER, "src/genfoundry/data/splits/tables.py": SPLIT}
    for path, source in sources.items():
        (copy / path).write_text(source)
    assert touched(copy) == set(sources)
    entry = TABLE_ENTRY.replace("PATH", str(tmp_path / "own"))
    (copy / "params.yaml").write_text(SMOKE.read_text().replace("\ndatasets:", "\ndatasets:" + entry.rstrip()))
    (copy / "data/inbox/points").mkdir()
    run(copy, "-m", "dvc", "add", "-q", "data/inbox/points")
    run(copy, "-m", "dvc", "repro", "-q", "validate@points")
    assert read_json(copy / "reports/validation/points.json")["success"]
    count, *means = map(float, run(copy, "-c", BATCH).split())
    assert 80 <= count <= 160 and means == pytest.approx([3.0] * 4, abs=0.7)
