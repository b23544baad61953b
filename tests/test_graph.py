"""Each stage declares what it runs: its dependencies hold the import graph of its file, and its digest follows them."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from genfoundry import graph

ROOT = Path(__file__).parent.parent
STAGES = graph.stages(ROOT)


def module_file(name: str) -> Path | None:
    for base in (ROOT / "src", ROOT):
        path = base / name.replace(".", "/")
        if path.with_suffix(".py").exists():
            return path.with_suffix(".py")
        if (path / "__init__.py").exists():
            return path / "__init__.py"
    return None


def imported(path: Path) -> set[Path]:
    """Files that `path` imports at run time, lazily or not; what only a type checker sees is left out."""
    tree = ast.parse(path.read_text())
    typing = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    names: set[str] = set()
    for node in ast.walk(tree):
        if node in typing:
            continue
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    found = {module_file(name) for name in names if name.split(".")[0] in ("genfoundry", "pipeline")}
    parents = {module_file(n.rpartition(".")[0]) for n in names if n.startswith("genfoundry.")}
    return {file for file in found | parents if file is not None}


def closure(path: Path) -> set[Path]:
    seen, todo = set(), {path}
    while todo:
        one = todo.pop()
        seen.add(one)
        todo |= imported(one) - seen
    return seen


@pytest.mark.parametrize("name", [name for name, stage in STAGES.items() if not stage.always])
def test_dependencies_hold_the_import_graph(name: str) -> None:
    stage = STAGES[name]
    file = ROOT / "pipeline" / f"{name.partition('@')[0]}.py"
    needed = closure(file) | closure(ROOT / "pipeline/__main__.py")
    declared = [ROOT / dep for dep in stage.deps]
    missing = sorted(
        str(path.relative_to(ROOT))
        for path in needed
        if path.stat().st_size and not any(path == dep or dep in path.parents for dep in declared)
    )
    assert not missing, f"dvc.yaml: {name} runs {missing}, which it does not declare"


@pytest.mark.parametrize("name", [n for n in STAGES if n.partition("@")[0] in ("tune", "train", "evaluate")])
def test_an_experiment_depends_on_its_own_model_alone(name: str) -> None:
    models = [dep for dep in STAGES[name].deps if dep.startswith("src/genfoundry/models/")]
    own = [dep for dep in models if Path(dep).stem not in ("base", "__init__")]
    assert len(own) == 1
    assert "src/genfoundry/models" not in STAGES[name].deps


def test_a_stage_depends_on_what_earlier_stages_write() -> None:
    outs = {out for stage in STAGES.values() for out in stage.outs}
    for stage in STAGES.values():
        for dep in stage.deps:
            if dep.startswith(("data/raw", "data/prepared", "models/", "reports/")):
                covered = any(
                    out == dep or Path(dep) in Path(out).parents or Path(out) in Path(dep).parents for out in outs
                )
                assert covered, f"{stage.name}: nothing writes {dep}"


def test_the_digest_follows_dependencies_and_parameters(tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / "src/a.py").write_text("1")
    (tmp_path / "dvc.yaml").write_text(
        "stages: {t: {foreach: '${e}', do: {cmd: 'run ${key} ${item.m}', deps: [src], params: [seed], outs: [o]}}}"
    )

    def digest(seed: int) -> str:
        (tmp_path / "params.yaml").write_text(f"seed: {seed}\nother: {seed}\ne: {{x: {{m: 7}}}}\n")
        return graph.digest(graph.stages(tmp_path)["t@x"], tmp_path)

    first = digest(1)
    assert graph.stages(tmp_path)["t@x"].cmd == "run x 7"
    assert digest(1) == first
    assert digest(2) != first
    (tmp_path / "src/__pycache__").mkdir()
    (tmp_path / "src/__pycache__/a.pyc").write_text("junk")
    assert digest(1) == first
    (tmp_path / "src/a.py").write_text("2")
    assert digest(1) != first
