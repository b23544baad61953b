"""Imports that import-linter's contracts (pyproject.toml, `make lint`) do not hold: of libraries, and what is lazy."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FILES = {
    path.relative_to(base.parent).with_suffix("").as_posix().replace("/", ".").removesuffix(".__init__"): path
    for base in (ROOT / "src/genfoundry", ROOT / "pipeline")
    for path in sorted(base.rglob("*.py"))
}
HOMES = {  # a library that takes long to import -> the modules or packages that may, where it is needed
    "mlflow": ("genfoundry.tracking",),
    "optuna": ("genfoundry.training.tuning",),
    "great_expectations": ("genfoundry.data.validation.great_expectations",),
    "pooch": ("genfoundry.data.fetch",),
    "rich": ("genfoundry.console",),
}
AT_HEAD = {"genfoundry.tracking.pyfunc"}  # mlflow imports it as a model's code
WITHOUT_TORCH = (
    "genfoundry.config",
    "genfoundry.console.command",
    "genfoundry.data.fetch.catalog",
    "genfoundry.data.preparation",
    "genfoundry.data.validation.great_expectations",
    "genfoundry.evaluation.objectives",
    "genfoundry.evaluation.aggregate",
    "genfoundry.evaluation.metrics",
    "genfoundry.training.experiment",
    "genfoundry.reporting.leaderboard",
    "genfoundry.reporting.site",
    "genfoundry.selection.ledger",
    "genfoundry.selection.promotion",
    "genfoundry.selection.ranking",
    "genfoundry.selection.weight_store",
    "genfoundry.tracking.live",
    "pipeline.cli",
    "pipeline.orchestration.integrity",
    "pipeline.stages.plan",
)


@dataclass(frozen=True)
class Import:
    """An imported name; `lazy` in a function, `typing` under `if TYPE_CHECKING`, so it never runs."""

    target: str
    line: int
    lazy: bool = False
    typing: bool = False


def read_imports(source: str) -> Iterator[Import]:
    """Every import of a source; `from a import b` is `a.b`. The project has no relative ones: they are left out."""

    def visit(node: ast.AST, lazy: bool, typing: bool) -> Iterator[Import]:
        if isinstance(node, ast.Import):
            yield from (Import(alias.name, node.lineno, lazy, typing) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield from (Import(f"{node.module}.{alias.name}", node.lineno, lazy, typing) for alias in node.names)
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            for branch, skipped in ((node.body, True), (node.orelse, typing)):
                for child in branch:
                    yield from visit(child, lazy, skipped)
        else:
            inside = lazy or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            for child in ast.iter_child_nodes(node):
                yield from visit(child, inside, typing)

    return visit(ast.parse(source), False, False)


IMPORTS = {name: list(read_imports(path.read_text(encoding="utf-8"))) for name, path in FILES.items()}


def is_in(name: str, package: str) -> bool:
    return name == package or name.startswith(f"{package}.")


def test_the_files_are_found() -> None:
    assert {"genfoundry", "genfoundry.types", "genfoundry.models.vae", "pipeline.__main__"} <= FILES.keys()
    assert sum(map(len, IMPORTS.values())) > 1000


@pytest.mark.parametrize("library", HOMES)
def test_heavy_libraries_have_one_home_and_are_imported_where_they_are_needed(library: str) -> None:
    found = [(name, one) for name, imports in IMPORTS.items() for one in imports if is_in(one.target, library)]
    assert found
    astray = [f"{name}:{one.line}" for name, one in found if not any(is_in(name, home) for home in HOMES[library])]
    assert not astray, f"{library} belongs to {HOMES[library]}"
    assert not [f"{name}:{one.line}" for name, one in found if not (one.lazy or one.typing or name in AT_HEAD)]


def test_no_one_names_a_model() -> None:
    """Models are found by their file; what two share goes to nn/ or beside them."""
    models = {name for name, path in FILES.items() if path.parent.name == "models" and _is_model(path)}
    assert {"genfoundry.models.vae", "genfoundry.models.made"} <= models
    named = {(name, one.target) for name in FILES for one in IMPORTS[name] for m in models if is_in(one.target, m)}
    assert named == set()


def _is_model(path: Path) -> bool:
    """Whether a file of models/ has a class of its own name, as the finder of models wants it."""
    classes = [node.name for node in ast.parse(path.read_bytes()).body if isinstance(node, ast.ClassDef)]
    return path.stem.replace("_", "") in map(str.lower, classes) and path.stem != "learner"


def test_networks_know_torch_only() -> None:
    allowed = {"torch", "genfoundry", *sys.stdlib_module_names}
    tops = {
        (name, one.target.partition(".")[0]) for name in FILES if is_in(name, "genfoundry.nn") for one in IMPORTS[name]
    }
    assert {(name, top) for name, top in tops if top not in allowed} == set()


def test_light_modules_start_without_torch() -> None:
    """Each in a process of its own would take long: modules are removed between two imports."""
    code = (
        "import importlib, json, sys\nguilty = []\nclean = set(sys.modules)\n"
        "for name in json.loads(sys.argv[1]):\n"
        "    sys.modules['torch'] = None\n"
        "    try:\n        importlib.import_module(name)\n"
        "    except ImportError as error:\n        guilty.append(f'{name}: {error}')\n"
        "    for module in [m for m in sys.modules if m.partition('.')[0] in ('genfoundry', 'pipeline')]:\n"
        "        del sys.modules[module]\n"
        "print(json.dumps(guilty))"
    )
    command = [sys.executable, "-c", code, json.dumps(WITHOUT_TORCH)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == []


def test_nothing_unpickles() -> None:
    runs_code = {"pickle", "cloudpickle", "dill", "joblib", "marshal", "shelve"}
    assert not [(name, one) for name in FILES for one in IMPORTS[name] if one.target.partition(".")[0] in runs_code]


def test_no_drawer_for_everything() -> None:
    drawers = {"utils", "util", "helpers", "helper", "common", "misc"}
    assert not [path for path in FILES.values() if drawers & {path.stem, path.parent.name}]


def test_the_reader_of_imports_reads() -> None:
    source = (
        "from typing import TYPE_CHECKING\nfrom a import m, value\nfrom . import near\n"
        "if TYPE_CHECKING:\n    import t\nelse:\n    import e\ntry:\n    import u\nexcept ImportError:\n    pass\n"
        "class C:\n    import c\n    def f(self):\n        import lazy.deep\n"
    )
    assert [(one.target, one.lazy, one.typing) for one in read_imports(source)][1:] == [
        ("a.m", False, False), ("a.value", False, False), ("t", False, True), ("e", False, False),
        ("u", False, False), ("c", False, False), ("lazy.deep", True, False),
    ]  # fmt: skip
