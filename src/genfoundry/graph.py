"""dvc.yaml's stages, their templates filled in: what a stage depends on, and a digest of all that."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from genfoundry.types import UserError

SKIP = {"__pycache__", ".gitignore"}


@dataclass(frozen=True)
class Stage:
    """One stage: `name` is DVC's (`train@vae-fashion`), paths are relative to the repository's root."""

    name: str
    cmd: str
    deps: tuple[str, ...]
    params: tuple[tuple[str, str], ...]  # (file, dotted key)
    outs: tuple[str, ...]
    always: bool


def stages(root: Path) -> dict[str, Stage]:
    """Every stage by name, in dvc.yaml's order."""
    params = yaml.safe_load((root / "params.yaml").read_text(encoding="utf-8"))
    declared = yaml.safe_load((root / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    found = {}
    for name, body in declared.items():
        items: Mapping[str, Any] = {"": None}
        if "foreach" in body:
            items = params[body["foreach"].strip("${}")]
        for key, item in items.items():
            full = f"{name}@{key}" if key else name
            found[full] = _stage(full, body.get("do", body), {**params, "key": key, "item": item})
    return found


def _stage(name: str, body: Mapping[str, Any], values: Mapping[str, Any]) -> Stage:
    def fill(text: str) -> str:
        return re.sub(r"\$\{([^}]+)\}", lambda match: str(_lookup(values, match[1])), text)

    def paths(key: str) -> tuple[str, ...]:
        return tuple(fill(entry if isinstance(entry, str) else next(iter(entry))) for entry in body.get(key, ()))

    params: list[tuple[str, str]] = []
    for entry in body.get("params", ()):
        named = {"params.yaml": [entry]} if isinstance(entry, str) else entry
        params += [(fill(file), fill(key)) for file, keys in named.items() for key in keys]
    outs = paths("outs") + paths("metrics") + paths("plots")
    return Stage(name, fill(body["cmd"]), paths("deps"), tuple(params), outs, bool(body.get("always_changed")))


def _lookup(values: Any, dotted: str) -> Any:
    for part in dotted.split("."):
        if not isinstance(values, Mapping) or part not in values:
            raise UserError(f"dvc.yaml: {dotted}: no such key in its parameters")
        values = values[part]
    return values


def digest(stage: Stage, root: Path) -> str:
    """Hex digest of a stage's command, parameters and the bytes of its dependencies: what its outs are functions of."""
    sources = {file: yaml.safe_load((root / file).read_text(encoding="utf-8")) for file, _ in stage.params}
    chosen = {f"{file}:{dotted}": _lookup(sources[file], dotted) for file, dotted in stage.params}
    total = hashlib.sha256(json.dumps([stage.cmd, chosen], sort_keys=True).encode())
    for dep in stage.deps:
        for path in _files(root / dep):
            total.update(path.relative_to(root).as_posix().encode())
            with path.open("rb") as file:
                total.update(hashlib.file_digest(file, "sha256").digest())
    return total.hexdigest()


def _files(path: Path) -> Iterator[Path]:
    if path.is_dir():
        for child in sorted(path.iterdir()):
            if child.name not in SKIP:
                yield from _files(child)
    elif path.exists():
        yield path


def state(name: str, root: Path) -> Path:
    """The folder for a stage's in-flight state: its own again after a kill, and never that of other inputs."""
    return root / ".state" / f"{name.replace('@', '-')}-{digest(stages(root)[name], root)[:16]}"
