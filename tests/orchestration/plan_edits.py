"""A copy of the repository's sources whose plan is compiled before and after an edit."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from genfoundry.config.skipping import find_skipped
from pipeline.orchestration import compiler, resolve
from pipeline.orchestration.skipped_units import is_skipped
from pipeline.orchestration.unit import Unit

ROOT = Path(__file__).parent.parent.parent
PARAMS = resolve.load_params(ROOT / "params.yaml")
SKIPPED = find_skipped(PARAMS)  # at the chosen budget
SEARCHES = {
    f"train@{name}" for name, entry in PARAMS.experiments.items() if entry.search and name not in SKIPPED["experiments"]
}
LAST = {"rank", "register", "report"}  # what all experiments end in
COPIED = ("src/genfoundry", "pipeline", "params.yaml", "requirements.lock")
Units = Mapping[str, Unit]
Rewrite = Callable[[str], str]


def units(stages: str, dataset: Callable[[str], bool] = lambda name: True) -> set[str]:
    """All units of some stages, separated by blanks; of the data sets that fit, and of what is about them.

    Without those that are skipped, whose plan says nothing but that.
    """
    datasets = list(filter(dataset, PARAMS.datasets))
    entries = {name: entry for name, entry in PARAMS.experiments.items() if name not in SKIPPED["experiments"]}
    experiments = [name for name, entry in entries.items() if dataset(entry.dataset)]
    names = {
        "fetch": datasets,
        "prepare": datasets,
        "validate": datasets,
        "train": experiments,
        "evaluate": experiments,
    }
    names["judge"] = [name for name in PARAMS.judges if dataset(name) and name not in SKIPPED["judges"]]
    tasks = {name: task for name, task in PARAMS.tasks.items() if name not in SKIPPED["tasks"]}
    names["baseline"] = [name for name, task in tasks.items() if dataset(task.dataset)]
    return {f"{stage}@{name}" if name else stage for stage in stages.split() for name in names.get(stage, [""])}


@dataclass(frozen=True)
class Edit:
    """The units of a plan before and after an edit, by key."""

    before: Units
    after: Units

    @cached_property
    def changed(self) -> set[str]:
        """The units whose file is not, byte for byte, that of before; those that are new too."""
        before = {key: unit.dump() for key, unit in self.before.items()}
        return {key for key, unit in self.after.items() if before.get(key) != unit.dump()}

    @cached_property
    def due(self) -> set[str]:
        """`changed`, and the units that read what those write, directly or not: all that DVC may run.

        It runs fewer where outs come out the same. Without those that are skipped, which write nothing.
        """
        due, written, above = set(self.changed), set[Path](), set[Path]()
        for key, unit in self.after.items():  # in the plan's order: what a unit reads is written before
            inputs = [Path(name) for name in unit.inputs]
            if any(path in above or not written.isdisjoint((path, *path.parents)) for path in inputs):
                due.add(key)
            if key in due:
                written |= {Path(out) for out in unit.outputs}
                above |= {parent for out in unit.outputs for parent in Path(out).parents}
        return {key for key in due if not is_skipped(self.after[key])}


@dataclass(frozen=True)
class Copy:
    """A repository's sources, and the units of their plan."""

    root: Path
    units: Units

    def edit(self, patterns: str, rewrite: Rewrite) -> Edit:
        """Rewrite all files that glob patterns, separated by blanks, match; afterwards they are as before."""
        paths = {path for pattern in patterns.split() for path in _matching(self.root, pattern)}
        before = {path: path.read_text(encoding="utf-8") for path in paths}
        try:
            for path, text in before.items():
                path.write_text(rewrite(text), encoding="utf-8")
            return Edit(self.units, compile_plan(self.root))
        finally:
            for path, text in before.items():
                path.write_text(text, encoding="utf-8")


def make_copy(root: Path) -> Copy:
    for name in COPIED:
        target = root / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, target)
    return Copy(root, compile_plan(root))


def compile_plan(root: Path) -> dict[str, Unit]:
    """The units by key, in the plan's order; the digests of data sets' sources are made up."""
    params = resolve.load_params(root / "params.yaml")
    digests = {name: f"digest of {name}" for name in params.datasets}
    return {unit.key: unit for unit in compiler.compile_units(root, params, digests)}


def _matching(root: Path, pattern: str) -> list[Path]:
    paths = [path for path in root.glob(pattern) if path.is_file()]
    assert paths, f"{pattern}: no such file"
    return paths
