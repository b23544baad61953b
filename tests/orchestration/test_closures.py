"""What the digest of code must see of the real sources: every import, those by a name made at run time too."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from plan_edits import PARAMS, ROOT, Copy

from pipeline.orchestration import code_starts
from pipeline.orchestration.code_digest import Code, is_machinery

BY_NAME = {  # where a module's name is made at run time: `code_starts` names the module, or nothing is imported
    ("src/genfoundry/__init__.py", "importlib.import_module(f'genfoundry.{_MODULES[name]}')"),
    (
        "src/genfoundry/evaluation/metrics/__init__.py",
        "importlib.import_module(f'genfoundry.evaluation.metrics.{name}')",
    ),
    (
        "src/genfoundry/evaluation/baselines/base.py",
        "importlib.import_module(f'genfoundry.evaluation.baselines.{modality}')",
    ),
    (
        "src/genfoundry/evaluation/baselines/base.py",
        "importlib.util.find_spec(f'genfoundry.evaluation.baselines.{modality}')",
    ),
    ("src/genfoundry/data/dataset.py", "importlib.import_module(f'genfoundry.data.splits.{modality}')"),
    ("src/genfoundry/data/preparation.py", "importlib.import_module(f'genfoundry.data.modalities.{name}')"),
    ("src/genfoundry/models/__init__.py", "importlib.import_module(f'genfoundry.models.{name}')"),
}


def test_every_import_by_a_name_made_at_run_time_is_known() -> None:
    found = set()
    for folder in ("src/genfoundry", "pipeline/stages"):
        for path in (ROOT / folder).rglob("*.py"):
            name = path.relative_to(ROOT).as_posix()
            if not is_machinery(name):
                found |= {(name, call) for call in _calls_by_name(path)}
    assert found == BY_NAME, "code_starts.py must name what such a call imports"


def _calls_by_name(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Call) and node.args and not isinstance(node.args[0], ast.Constant):
            call = ast.unparse(node.func).rpartition(".")[2]
            if call in ("import_module", "find_spec", "__import__", "run_module", "run_path"):
                yield ast.unparse(node)


def test_a_modality_is_a_file_of_splits() -> None:
    names = {path.stem for path in (ROOT / code_starts.SCIENCE / "data/splits").glob("*.py")} - {"__init__"}
    assert names == {dataset.modality for dataset in PARAMS.datasets.values()}


LOAD = """
import importlib, sys
for name in sys.argv[1:]:
    importlib.import_module(name)
names = [name for name in sys.modules if name.partition(".")[0] in ("genfoundry", "pipeline")]
print(*filter(None, (getattr(sys.modules[name], "__file__", None) for name in names)), sep="\\n")
"""


@pytest.mark.parametrize("key", ["prepare@sunspots", "train@vae-fashion", "evaluate@char-shakespeare"])
def test_the_closure_holds_what_python_imports(key: str, copy: Copy) -> None:
    """Against Python itself: every science file that importing the starts loads is in the closure."""
    starts = list(map(Path, copy.units[key].starts))
    names = [path.with_suffix("").as_posix().removeprefix("src/").replace("/", ".") for path in starts]
    done = subprocess.run([sys.executable, "-c", LOAD, *names], cwd=ROOT, capture_output=True, text=True, check=True,
                          env={"PYTHONPATH": f"{ROOT}/src:{ROOT}"})  # fmt: skip
    loaded = {Path(line).resolve().relative_to(ROOT).as_posix() for line in done.stdout.splitlines()}
    closure = {path.as_posix() for path in Code(ROOT).closure(starts)}
    assert {name for name in loaded if not is_machinery(name)} <= closure
