"""The digest of the science code that a unit of work runs: what stands in its plan file, so that an edit re-runs it.

It covers every science file in the import closure of the files that the unit starts from (its stage file, its model,
its modality), and the versions of the numeric libraries that these import. Machinery is neither counted nor followed. A
module whose name is made at run time (`import_module(f"genfoundry.models.{name}")`) is not followed either: the plan
names it among the starts.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from genfoundry import files
from genfoundry import paths as paths_module
from genfoundry.errors import UserError
from pipeline.orchestration import libraries, syntax

HOMES = {"genfoundry": ("src", "genfoundry"), "pipeline": ("pipeline",)}
MACHINERY = {
    *(f"src/genfoundry/{name}" for name in ("console", "tracking", "serving", "onboarding", "reporting", "data/fetch")),
    *(f"pipeline/{name}" for name in ("orchestration", "commands", "__main__.py", "__init__.py")),
}
CACHE_SIZE = 2000  # parsed files, the oldest of which go first


class Code:
    """The source files of a repository, each as it is when it is first read.

    One object reads a file once, however many digests it computes; a new one sees later edits. Syntax trees are kept
    in .state by the digest of a file's content, since parsing takes most of a second.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._sources: dict[str, syntax.Source | None] = {}
        self._targets: dict[str, frozenset[str]] = {}
        self._imported_libraries: dict[str, set[str]] = {}
        self._pins = libraries.locked(root)
        self._parsed = _Cache(root / paths_module.SYNTAX)

    def digest(self, starts: Collection[Path], leave_out: Collection[Path] = ()) -> str:
        """Hash the files in the closure (path and syntax tree) and the versions of their numeric libraries.

        Raises:
            UserError: a start is no science file, or a file cannot be parsed.
        """
        # Sorted: sets of strings have another order in every process.
        closure = sorted(path.as_posix() for path in self.closure(starts, leave_out))
        sources = {path: source for path in closure if (source := self._source(path)) is not None}
        imported = set[str]().union(*(self._libraries(path) for path in sources))
        lines = [f"{path} {source.tree}" for path, source in sources.items()]
        # An upgrade of a library changes numbers as an edit of the code does.
        lines += libraries.versions(imported, self._pins)
        self._parsed.save()
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()

    def closure(self, starts: Collection[Path], leave_out: Collection[Path] = ()) -> set[Path]:
        """Return `starts` and the science files that they import, directly or not, relative to the root.

        Imports in functions count, those under `if TYPE_CHECKING:` do not. Files in `leave_out` are neither counted
        nor followed.

        Raises:
            UserError: a start is no science file, or a file cannot be parsed.
        """
        without = {self._relative(path) for path in leave_out}
        todo = {self._relative(path) for path in starts}
        for path in sorted(todo):
            if is_machinery(path) or self._source(path) is None:
                raise UserError(f"{path}: expected a file of science code, got none of that name")
        # Importing a.b.c runs the __init__ of a and of a.b.
        todo |= {package for path in todo for package in self._files(_module(path))}
        todo, seen = todo - without, set[str]()
        while todo:
            seen.add(path := todo.pop())
            todo |= self._imported(path) - without - seen
        return set(map(Path, seen))

    def _relative(self, path: Path) -> str:
        return (path.relative_to(self.root) if path.is_absolute() else path).as_posix()

    def _imported(self, path: str) -> frozenset[str]:
        """Return the science files that a file imports."""
        if path not in self._targets:
            source = self._source(path)
            names = [_absolute(name, path) for name in source.imports] if source else []
            self._targets[path] = frozenset(file for name in names for file in self._files(name))
        return self._targets[path]

    def _libraries(self, path: str) -> set[str]:
        """Return the numeric libraries that a file imports."""
        if path not in self._imported_libraries:
            source = self._source(path)
            names = {name.partition(".")[0] for name in source.imports} if source else set()
            self._imported_libraries[path] = names & libraries.LIBRARIES.keys()
        return self._imported_libraries[path]

    def _files(self, name: str) -> Iterator[str]:
        """Yield the science files that importing a dotted name runs: importing a.b runs a's __init__ too."""
        parts = name.split(".")
        for end in range(1, len(parts) + 1) if parts[0] in HOMES else ():
            base = "/".join((*HOMES[parts[0]], *parts[1:end]))
            paths = (path for path in (f"{base}/__init__.py", f"{base}.py") if not is_machinery(path))
            yield from (path for path in paths if self._source(path) is not None)

    def _source(self, path: str) -> syntax.Source | None:
        """Return a file's source; None where there is no such file."""
        if path not in self._sources:
            # Absence is remembered, too: the last part of most dotted names is a value, not a file.
            self._sources[path] = None
            with suppress(FileNotFoundError, NotADirectoryError, IsADirectoryError):
                content = (self.root / path).read_bytes()
                try:
                    self._sources[path] = self._parsed.parse(content)
                except (SyntaxError, ValueError) as error:
                    raise UserError(f"{path}: not Python: {error}") from None
        return self._sources[path]


def is_machinery(path: str) -> bool:
    """Return whether a file, relative to the root, is machinery: an edit of it re-runs nothing."""
    return any(path == part or path.startswith(f"{part}/") for part in MACHINERY)


def _module(path: str) -> str:
    """Return the dotted name of a file's module (of a package's `__init__`, with that as its last part)."""
    return path.removeprefix("src/").removesuffix(".py").replace("/", ".")


def _absolute(name: str, path: str) -> str:
    """Resolve a name that begins with dots, as it is meant in the file `path`."""
    bare = name.lstrip(".")
    dots = len(name) - len(bare)
    return ".".join((*_module(path).split(".")[:-dots], bare)) if dots else name


class _Cache:
    """Content of a file -> its parsed source, on disk; what cannot be read or written is parsed again."""

    def __init__(self, path: Path) -> None:
        self._path, self._new = path, False
        self._version = hashlib.sha256(Path(syntax.__file__).read_bytes()).hexdigest()  # a new parser, a new cache
        self._sources: dict[str, syntax.Source] = {}
        with suppress(OSError, ValueError, TypeError, KeyError):
            content = json.loads(path.read_bytes())
            if content["version"] == self._version:
                self._sources = {key: syntax.Source(**value) for key, value in content["files"].items()}

    def parse(self, content: bytes) -> syntax.Source:
        key = hashlib.sha256(content).hexdigest()
        if key not in self._sources:
            self._sources[key], self._new = syntax.parse(content), True
        return self._sources[key]

    def save(self) -> None:
        if not self._new:
            return
        parsed = {key: asdict(source) for key, source in list(self._sources.items())[-CACHE_SIZE:]}
        with suppress(UserError):
            files.write_bytes(self._path, json.dumps({"version": self._version, "files": parsed}).encode())
            self._new = False
