"""Imports go down only: pipeline -> the middle -> models -> nn, held over every file that there is."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from pipeline.orchestration.code_digest import is_machinery

ROOT = Path(__file__).resolve().parents[1]
PACKAGE, STAGES = "genfoundry", "pipeline"
VALUES = {"genfoundry.types", "genfoundry.files", "genfoundry.config"}
HEAVY = {
    "mlflow": {
        f"tracking.{m}"
        for m in ("live", "store", "store_check", "publish", "runs", "package", "pyfunc", "mlflow_private")
    },
    "optuna": {"tune"},
    "great_expectations": {"validate", "gx_private"},
}
WITHOUT_TORCH = (
    "config",
    "experiment",
    "ledger",
    "metrics",
    "objectives",
    "places",
    "promote",
    "rank",
)
WITHOUT_TORCH += ("rules", "tracking.live", "reporting.report", "reporting.site", "types", "validate", "weights")
WITHOUT_TORCH += ("answers", "data.fetch.catalog", "data.preparation")


@dataclass(frozen=True)
class Import:
    """One imported module. `lazy`: inside a function; `typing`: under `if TYPE_CHECKING`, so it never runs."""

    target: str
    line: int
    lazy: bool = False
    typing: bool = False


def modules() -> dict[str, Path]:
    """Dotted name -> file of every module of the package and every stage."""
    found = {}
    for base in (ROOT / "src" / PACKAGE, ROOT / STAGES):
        for path in sorted(base.rglob("*.py")):
            parts = path.relative_to(base.parent).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = modules()


def imports(source: str, name: str, known: frozenset[str], package: bool = False) -> list[Import]:
    """What the module `name` imports; `from p import m` is `p.m` where that is a known module, else `p`."""

    def visit(node: ast.AST, lazy: bool, typing: bool) -> Iterator[Import]:
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(alias.name, node.lineno, lazy, typing)
        elif isinstance(node, ast.ImportFrom):
            base = _absolute(node, name, package)
            for target in dict.fromkeys(
                f"{base}.{a.name}" if f"{base}.{a.name}" in known else base for a in node.names
            ):
                yield Import(target, node.lineno, lazy, typing)
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            for child in node.body:
                yield from visit(child, lazy, True)
            for child in node.orelse:
                yield from visit(child, lazy, typing)
        else:
            inside = lazy or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            for child in ast.iter_child_nodes(node):
                yield from visit(child, inside, typing)

    return list(visit(ast.parse(source), False, False))


def _absolute(node: ast.ImportFrom, name: str, package: bool) -> str:
    if not node.level:
        return node.module or ""
    parents = name.split(".")
    parents = parents[: len(parents) - node.level + package]
    return ".".join([*parents, *filter(None, [node.module])])


IMPORTS = {
    name: imports(path.read_text(encoding="utf-8"), name, frozenset(MODULES), path.name == "__init__.py")
    for name, path in MODULES.items()
}


def own(name: str, *, typing: bool = True) -> set[str]:
    """The modules of this project that a module imports, at its head or in a function."""
    return {i.target for i in IMPORTS[name] if _top(i.target) in {PACKAGE, STAGES} and (typing or not i.typing)}


def _top(target: str) -> str:
    return target.partition(".")[0]


def _under(name: str, package: str) -> bool:
    return name == package or name.startswith(f"{package}.")


def _model(name: str) -> bool:
    shared = {"genfoundry.models.base", "genfoundry.models.abilities", "genfoundry.models.checkpoint"}
    return name.startswith("genfoundry.models.") and name not in shared and ".families" not in name


def allowed(name: str) -> set[str] | None:
    """What a module of a low layer may import from this project; None: anything but what `forbidden` says."""
    nn = {m for m in MODULES if _under(m, "genfoundry.nn")}
    data = {m for m in MODULES if _under(m, "genfoundry.data")}
    config = {m for m in MODULES if _under(m, "genfoundry.config")}
    answers = {m for m in MODULES if _under(m, "genfoundry.evaluation.predictions")}
    if name in {"genfoundry", "genfoundry.types", "genfoundry.data.cgroup", "genfoundry.nn.torch_private"}:
        return set()
    if name == "genfoundry.training.optimizer":
        return {"genfoundry.nn.torch_private"}
    if name == "genfoundry.files":
        return {"genfoundry.types"}
    if name in config:
        return {"genfoundry.types", "genfoundry.files", *config}
    if name in nn:
        return nn | {"genfoundry.types", "genfoundry.nn.torch_private"}
    if name == "genfoundry.models":
        return {"genfoundry.types", "genfoundry.models.base"}
    if name == "genfoundry.models.base":
        return {"genfoundry.types", "genfoundry.data.dataset", "genfoundry.models.abilities"}
    if _model(name):
        return {"genfoundry.types", "genfoundry.models.base", "genfoundry.data.dataset", *nn}
    if name == "genfoundry.training.loop":
        below = {
            "genfoundry.training.optimizer",
            "genfoundry.models.checkpoint",
            "genfoundry.models.base",
            "genfoundry.data.dataset",
        }
        return VALUES | below
    if name == "genfoundry.evaluation.frechet":
        return {"genfoundry.types"}
    if name == "genfoundry.evaluation.objectives":
        return {"genfoundry.types", "genfoundry.evaluation.frechet", "genfoundry.models.base"}
    if _under(name, "genfoundry.evaluation.predictions"):  # no metric, no interval, no trivial model: tuning runs these
        beside = {
            "genfoundry.evaluation.objectives",
            "genfoundry.evaluation.groups",
            "genfoundry.evaluation.judge",
            "genfoundry.evaluation.chrf",
            "genfoundry.evaluation.damage",
        }
        return {"genfoundry.types", "genfoundry.models.base", *beside, *data, *answers}
    if _under(name, "genfoundry.data.fetch"):  # machinery, which notes in .state what it has fetched
        return {*VALUES, "genfoundry.data.cgroup", "genfoundry.models.checkpoint", "genfoundry.paths", *data}
    if name in data:
        return {*VALUES, "genfoundry.data.cgroup", "genfoundry.models.checkpoint", *data}
    return None


def test_the_files_are_found() -> None:
    assert {"genfoundry.types", "genfoundry.models.base", "genfoundry.training.loop", "pipeline.__main__"} <= set(
        MODULES
    )
    assert any(map(_model, MODULES)) and sum(map(len, IMPORTS.values())) > 100


@pytest.mark.parametrize("name", MODULES)
def test_imports_go_down(name: str) -> None:
    limit = allowed(name)
    if limit is not None:
        assert own(name) <= limit, f"{name} may import {sorted(limit)} only"
    if _top(name) == PACKAGE:
        assert not [m for m in own(name) if _top(m) == STAGES], "the package knows no stage"


@pytest.mark.parametrize("name", MODULES)
def test_no_one_names_a_model(name: str) -> None:
    assert not [m for m in own(name) if _model(m)], "models are found by their file; what two share goes to nn/"


@pytest.mark.parametrize("name", [n for n in MODULES if n == "genfoundry.models.base" or _model(n)])
def test_models_know_data_as_a_type_only(name: str) -> None:
    assert not [m for m in own(name, typing=False) if _under(m, "genfoundry.data")]


def test_science_imports_no_machinery() -> None:
    """The wall between the halves: an edit of machinery re-runs nothing."""
    behind = {name for name, path in MODULES.items() if is_machinery(path.relative_to(ROOT).as_posix())}
    science = {name for name in MODULES if _top(name) == PACKAGE} - behind
    assert {(name, target) for name in science for target in own(name) & behind} == set()


def test_train_imports_data_lazily() -> None:
    for one in IMPORTS["genfoundry.training.loop"]:
        assert not _under(one.target, "genfoundry.data") or one.lazy or one.typing, one


def test_no_circle() -> None:
    graph = {name: own(name, typing=False) - {name} for name in MODULES}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


@pytest.mark.parametrize("name", MODULES)
def test_heavy_libraries_have_one_home(name: str) -> None:
    module = name.removeprefix("genfoundry.")
    for one in IMPORTS[name]:
        homes = HEAVY.get(_top(one.target))
        if homes is None:
            continue
        assert module in homes, f"{name}:{one.line}: {one.target} belongs to {sorted(homes)}"
        assert one.lazy or one.typing or module == "tracking.pyfunc", (
            f"{name}:{one.line}: import {one.target} where it is needed"
        )


@pytest.mark.parametrize("name", [n for n in MODULES if _under(n, "genfoundry.nn")])
def test_networks_know_torch_only(name: str) -> None:
    from sys import stdlib_module_names as standard

    outside = {_top(i.target) for i in IMPORTS[name] if not i.typing} - standard - {PACKAGE}
    assert outside <= {"torch"}, f"{name} imports {sorted(outside)}"


@pytest.mark.parametrize("name", [n for n in WITHOUT_TORCH if f"genfoundry.{n}" in MODULES])
def test_light_modules_start_without_torch(name: str) -> None:
    queue, seen = [f"genfoundry.{name}"], set[str]()
    while queue:
        module = queue.pop()
        seen.add(module)
        for one in IMPORTS[module]:
            if one.lazy or one.typing:
                continue
            assert _top(one.target) != "torch", f"genfoundry.{name} gets torch through {module}:{one.line}"
            parents = {one.target.rsplit(".", n)[0] for n in range(one.target.count(".") + 1)}
            queue += [m for m in parents if m in MODULES and m not in seen]


@pytest.mark.parametrize("name", MODULES)
def test_nothing_unpickles(name: str) -> None:
    runs_code = {"pickle", "cloudpickle", "dill", "joblib", "marshal", "shelve"}
    assert not [i for i in IMPORTS[name] if _top(i.target) in runs_code]


def test_no_drawer_for_everything() -> None:
    drawers = {"utils", "util", "helpers", "helper", "common", "misc"}
    assert not [path for path in MODULES.values() if drawers & {path.stem, path.parent.name}]


def test_the_reader_of_imports_reads() -> None:
    source = (
        "from typing import TYPE_CHECKING\nfrom a import m, value\nfrom . import near\nfrom ..up import x\n"
        "if TYPE_CHECKING:\n    import t\nelse:\n    import e\ntry:\n    import u\nexcept ImportError:\n    pass\n"
        "class C:\n    import c\n    def f(self):\n        import lazy.deep\n"
    )
    found = imports(source, "a.b.c", frozenset({"a.m", "a.b.near"}))
    assert [(i.target, i.lazy, i.typing) for i in found[1:]] == [
        ("a.m", False, False), ("a", False, False), ("a.b.near", False, False), ("a.up", False, False),
        ("t", False, True), ("e", False, False), ("u", False, False), ("c", False, False), ("lazy.deep", True, False),
    ]  # fmt: skip
    assert imports("from . import near", "a.b", frozenset({"a.b.near"}), package=True)[0].target == "a.b.near"
