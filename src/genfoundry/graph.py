"""dvc.yaml's stages, their templates filled in: what a stage depends on, and a digest of all that."""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from genfoundry.types import UserError

FAST = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the same values, several times as fast
FRESH = 50_000_000  # ns
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
    params, declared = read(root / "params.yaml"), read(root / "dvc.yaml")["stages"]
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


def needs(stages: Mapping[str, Stage]) -> dict[str, set[str]]:
    """Stage -> the stages that write what it depends on."""

    def meet(one: str, other: str) -> bool:
        left, right = Path(one), Path(other)
        return left == right or left in right.parents or right in left.parents

    return {
        name: {
            other.name
            for other in stages.values()
            for dep in (*stage.deps, *dict.fromkeys(file for file, _ in stage.params))
            if other.name != name and any(meet(dep, out) for out in other.outs)
        }
        for name, stage in stages.items()
    }


def _lookup(values: Any, dotted: str) -> Any:
    for part in dotted.split("."):
        if not isinstance(values, Mapping) or part not in values:
            raise UserError(f"dvc.yaml: {dotted}: no such key in its parameters")
        values = values[part]
    return values


def contents(stage: Stage, root: Path) -> dict[str, str]:
    """All that a stage depends on: a file's path -> sha256 of its bytes, `params.yaml:dotted.key` -> its value as JSON.

    Raises:
        UserError: a file of parameters cannot be read, or lacks a key.
    """
    found = {}
    sources = {file: read(root / file) for file, _ in stage.params}
    for file, dotted in stage.params:
        found[f"{file}:{dotted}"] = json.dumps(_lookup(sources[file], dotted), sort_keys=True)
    for dep in stage.deps:
        for path in _files(root / dep):
            found[path.relative_to(root).as_posix()] = file_digest(path)
    return found


def digest(stage: Stage, root: Path) -> str:
    """Hex digest of a stage's command, parameters and the bytes of its dependencies: what its outs are functions of."""
    return hashlib.sha256(json.dumps([stage.cmd, contents(stage, root)], sort_keys=True).encode()).hexdigest()


def file_digest(path: Path) -> str:
    """sha256 of a file's bytes; read once a process, unless the file was written to since."""
    status = path.stat()
    version = (status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
    # A file system's clock ticks slowly: another write so soon after the last one could leave the same times.
    fresh = time.time_ns() - status.st_ctime_ns < FRESH
    return (_file_digest.__wrapped__ if fresh else _file_digest)(path.resolve(), version)


@cache
def _file_digest(path: Path, version: tuple[int, ...]) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read(path: Path) -> Any:
    """The value of a YAML (or JSON) file.

    Raises:
        UserError: not there, or not YAML.
    """
    try:
        return parse(path.read_text(encoding="utf-8"), path)
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: not readable as YAML: {' '.join(str(error).split())}") from None


def parse(text: str, path: Path) -> Any:
    """The value of YAML text from the file `path`.

    Raises:
        UserError: not YAML.
    """
    try:
        return yaml.load(text, FAST)
    except yaml.YAMLError as error:
        raise UserError(f"{path}: not readable as YAML: {' '.join(str(error).split())}") from None


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
