"""Which files a stage or a model runs: the import graph, read off the sources, lazy imports included."""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Collection, Iterator, Mapping
from functools import cache
from pathlib import Path

from genfoundry import graph

HOMES = {"genfoundry": "src/genfoundry", "pipeline": "pipeline"}
STATEMENTS = (ast.stmt, ast.ExceptHandler, ast.match_case)


def closure(root: Path, *starts: Path) -> set[Path]:
    """`starts` and all that they import, directly or not; what only a type checker sees is left out.

    A package whose modules are imported by a name made at run time (`data`: a modality) counts whole. Models do not:
    which one a stage runs is for params.yaml to say.
    """
    seen: set[Path] = set()
    todo = set(starts)
    while todo:
        path = todo.pop()
        seen.add(path)
        todo |= _imported(root, path) - seen
    return seen


def files(root: Path, key: str, judges: Mapping[str, str | None]) -> set[Path]:
    """What a key of reports/code.json stands for: `stages.train`, `models.vae`, `judges.fashion`.

    `judges` has the model that judges each data set; there are no files where there is none.
    """
    kind, _, name = key.partition(".")
    if kind == "stages":
        return closure(root, root / f"pipeline/{name}.py", root / "pipeline/__main__.py")
    model = judges.get(name) if kind == "judges" else name
    path = root / f"src/genfoundry/models/{model}.py"
    return closure(root, path) if model and path.exists() else set()


def judges(root: Path) -> dict[str, str | None]:
    """Data set -> the model of its judge, if it has one."""
    datasets = graph.read(root / "params.yaml").get("datasets", {})
    return {name: (entry.get("judge") or {}).get("model") for name, entry in datasets.items()}


def digest(root: Path, files: Collection[Path]) -> str:
    """Hex digest of the files' names and bytes; "none" of no files."""
    if not files:
        return "none"
    total = hashlib.sha256()
    for path in sorted(files):
        total.update(f"{path.relative_to(root).as_posix()}\0".encode() + hashlib.sha256(path.read_bytes()).digest())
    return total.hexdigest()


@cache
def _imported(root: Path, path: Path) -> set[Path]:
    found: set[Path] = set()
    text = path.read_text(encoding="utf-8")
    for name in _names(ast.parse(text), STATEMENTS if "import_module" not in text else (ast.AST,)):
        if name.endswith(".*"):
            found |= set((root / HOMES["genfoundry"] / name.split(".")[1]).glob("*.py"))
        parts = name.split(".")
        for end in range(1, len(parts) + 1):  # importing a.b runs a's __init__ too
            if (file := _file(root, parts[:end])) is not None:
                found.add(file)
    return found


def _names(tree: ast.AST, into: tuple[type[ast.AST], ...]) -> Iterator[str]:
    """Dotted names of the project's modules that a tree may import; `genfoundry.x.*` for one made at run time.

    `into` are the nodes worth looking into: most of a tree is expressions, which import nothing.
    """
    if isinstance(tree, ast.If) and _name(tree.test) == "TYPE_CHECKING":
        tree = ast.Module(tree.orelse, [])
    if isinstance(tree, ast.Import):
        yield from (alias.name for alias in tree.names if alias.name.split(".")[0] in HOMES)
    elif isinstance(tree, ast.ImportFrom) and tree.module and tree.module.split(".")[0] in HOMES:
        yield from (f"{tree.module}.{alias.name}" for alias in tree.names)
    elif isinstance(tree, ast.Call) and _name(tree.func) == "importlib.import_module":
        made = ast.unparse(tree.args[0]).strip("f'\"")
        if made.startswith("genfoundry.") and not made.startswith("genfoundry.models."):
            yield f"{made.partition('{')[0]}*"
    for child in ast.iter_child_nodes(tree):
        if isinstance(child, into):
            yield from _names(child, into)


def _name(tree: ast.AST) -> str:
    """A name as it is written, `a.b` included (ast.unparse takes far longer)."""
    if isinstance(tree, ast.Attribute):
        return f"{_name(tree.value)}.{tree.attr}"
    return tree.id if isinstance(tree, ast.Name) else ""


def _file(root: Path, parts: list[str]) -> Path | None:
    path = root / HOMES[parts[0]] if parts[0] in HOMES else root / parts[0]
    path = path.joinpath(*parts[1:])
    if (path / "__init__.py").exists():
        return path / "__init__.py"
    module = path.with_suffix(".py")
    return module if module.exists() else None
