"""DVC's command with less parsing, for `make repro`.

DVC parses dvc.lock before it runs a stage and writes it anew after, in Python: at 12,000 lines 4 s, more than all else
that it does for a stage. Here the stage's own lines alone are read and made, by DVC's own reader and writer. For each
stage it also parses params.yaml anew, and walks through all of it for each key. Here it is parsed once, and keys are
looked up: together that makes a run of 200 stages that finds nothing to do three or four times as quick.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from genfoundry import lockfile


def command(argv: list[str]) -> int:
    """DVC's command line, with the same effects byte for byte (tests/test_hooks.py); its exit status."""
    import dpath
    from dvc import dvcfile
    from dvc.cli import main
    from dvc.dependency import param
    from dvc.exceptions import DvcException
    from dvc.stage.serialize import to_lockfile
    from dvc.utils import serialize

    class Lockfile(dvcfile.Lockfile):  # type: ignore[misc]
        def _load_yaml(self, **kwargs: Any) -> tuple[Any, str]:
            whole = partial(super()._load_yaml, **kwargs)
            try:
                with self.repo.fs.open(self.path, encoding="utf-8") as file:
                    text = file.read()
                head, known = lockfile.blocks(text)
            except UnicodeDecodeError:
                head, known, text = "", {}, ""
            if kwargs or head != lockfile.HEAD:  # to change it, or one that only DVC understands
                return whole()  # type: ignore[no-any-return]

            def read(name: str, part: str) -> Any:
                try:
                    return self.validate(serialize.parse_yaml(lockfile.HEAD + part, self.path))["stages"][name]
                except DvcException:
                    return whole()[0]["stages"][name]  # DVC says what is wrong, and where

            return {"schema": "2.0", "stages": Stages(known, read)}, text

        def dump_stages(self, stages: Any, **kwargs: Any) -> None:
            path = Path(self.path)
            try:
                head, known = lockfile.blocks(path.read_text(encoding="utf-8"))
            except (OSError, UnicodeDecodeError):
                head, known = "", {}
            if head != lockfile.HEAD:  # no file yet, or one that only DVC understands
                return super().dump_stages(stages, **kwargs)  # type: ignore[no-any-return]
            made: dict[str, str] = {}
            for stage in stages:
                made |= lockfile.blocks(serialize.dumps_yaml({"stages": to_lockfile(stage, **kwargs)}))[1]
            lockfile.write(path, known | made)
            self.repo.scm_context.track_file(self.relpath)

    dvcfile.Lockfile = Lockfile
    dpath.get = looked_up(dpath.get)
    serialize.load_path = param.load_path = kept(serialize.load_path)
    return int(main(argv))


class Stages(Mapping[str, Any]):
    """A lock's stages, each read from its lines when it is asked for."""

    def __init__(self, parts: Mapping[str, str], read: Callable[[str, str], Any]) -> None:
        self._parts, self._read, self._known = parts, read, dict[str, Any]()

    def __getitem__(self, name: str) -> Any:
        if name not in self._known:
            self._known[name] = self._read(name, self._parts[name])
        return self._known[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._parts)

    def __len__(self) -> int:
        return len(self._parts)


def kept(load: Callable[..., Any]) -> Callable[..., Any]:
    """DVC's `load_path`, by which a file of the disk is parsed once, as long as it is not written anew."""
    known: dict[tuple[str, int, int, int], Any] = {}

    def load_path(path: str, fs: Any, **kwargs: Any) -> Any:
        if kwargs or fs.protocol != "local" or not os.path.exists(path):
            return load(path, fs, **kwargs)
        there = os.stat(path)
        stamp = (path, there.st_ino, there.st_size, there.st_mtime_ns)
        if stamp not in known:
            known[stamp] = load(path, fs)
        return copy.deepcopy(known[stamp])  # anew each time: what DVC does with one reaches no other

    return load_path


def looked_up(search: Callable[..., Any]) -> Callable[..., Any]:
    """`dpath.get`, by which a plain path of keys is looked up, and only what is not so found is searched."""

    def get(obj: Any, glob: Any, separator: str = "/", **kwargs: Any) -> Any:
        found = obj
        for key in glob.split(separator) if isinstance(glob, str) else [None]:
            if not isinstance(found, dict) or key not in found:
                return search(obj, glob, separator=separator, **kwargs)
            found = found[key]
        return found

    return get
