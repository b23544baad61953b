"""DVC with less parsing does what DVC does: dvc.lock is the same byte for byte, whatever was there before."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

import dpath
import pipelet
import pytest
from pipelet import good

from genfoundry import graph, hooks, lockfile

LONG = "a value of many words, such as DVC's writer breaks over lines: " + "'quoted' \"twice\" # and: more " * 4


@pytest.fixture
def twins(tmp_path: Path) -> tuple[Path, Path]:
    """Two equal repositories."""
    one = pipelet.make(tmp_path / "one")
    with (one / "params.yaml").open("a") as file:
        file.write(f"long: {json.dumps(LONG)}\n")
    text = (one / "dvc.yaml").read_text()
    (one / "dvc.yaml").write_text(text.replace("params: ['acts.${key}',", "params: ['acts.${key}', long,"))
    shutil.copytree(one, tmp_path / "other")
    return one, tmp_path / "other"


def ours(root: Path, *words: str) -> str:
    process = pipelet.started(root, sys.executable, "-m", "pipeline", "dvc", *words)
    said, _ = process.communicate(timeout=120)
    assert process.returncode == 0, said
    return said


def both(twins: tuple[Path, Path], *words: str) -> str:
    """What is in dvc.lock after a command of DVC's and of ours."""
    good(pipelet.dvc(twins[0], *words))
    ours(twins[1], *words)
    text, other = ((root / "dvc.lock").read_text() for root in twins)
    assert text == other
    return text


def test_lock_is_dvcs_own(twins: tuple[Path, Path]) -> None:
    both(twins, "repro", "code", "act@b")  # from nothing
    first = both(twins, "repro")  # stages that are new
    assert "many words" in first
    for root in twins:
        (root / "data/x").write_text("changed")
    assert both(twins, "repro", "act@a") != first  # a stage in the middle
    both(twins, "repro", "-f", "-s", "act@a", "act@b")  # nothing to change
    both(twins, "repro")


def test_a_lock_of_another_layout_is_dvcs_to_write(twins: tuple[Path, Path]) -> None:
    both(twins, "repro")
    for root in twins:
        text = (root / "dvc.lock").read_text()
        (root / "dvc.lock").write_text("# a comment\n" + text)
        (root / "data/x").write_text("changed")
    assert both(twins, "repro").startswith("# a comment\n")


def test_fault_is_dvcs_own(twins: tuple[Path, Path]) -> None:
    process = pipelet.started(twins[1], sys.executable, "-m", "pipeline", "dvc", "repro", "nothing")
    said, _ = process.communicate(timeout=120)
    assert process.returncode == 255
    assert "'nothing'" in said
    assert "Traceback" not in said


def test_blocks_are_the_stages(twins: tuple[Path, Path]) -> None:
    good(pipelet.dvc(twins[0], "repro"))
    text = (twins[0] / "dvc.lock").read_text()
    head, known = lockfile.blocks(text)
    assert head + "".join(known.values()) == text
    assert list(known) == list(graph.read(twins[0] / "dvc.lock")["stages"])


@pytest.mark.parametrize("odd", ["  # a comment\n", "  <<<<<<< HEAD\n", "  [a\n", "  b@x:\n    cmd: again\n"])
def test_what_is_no_stage_leaves_the_file_to_dvc(odd: str) -> None:
    assert lockfile.blocks(lockfile.HEAD + "  b@x:\n    cmd: x\n" + odd) == ("", {})


def test_the_order_of_the_lock_is_that_of_dvc_yaml(tmp_path: Path) -> None:
    names = list(graph.stages(pipelet.ROOT))
    lock = "schema: '2.0'\nstages:\n" + "".join(f"  {name}:\n    cmd: {name}\n" for name in reversed(names))
    (tmp_path / "dvc.lock").write_text(lock + "  gone@x:\n    cmd: gone\n")
    for file in ("dvc.yaml", "params.yaml"):
        (tmp_path / file).write_bytes((pipelet.ROOT / file).read_bytes())
    lockfile.order(tmp_path)
    assert list(graph.read(tmp_path / "dvc.lock")["stages"]) == names


def test_only_the_stage_that_runs_is_read(twins: tuple[Path, Path]) -> None:
    both(twins, "repro")
    for root in twins:
        lock = root / "dvc.lock"
        lock.write_text(lock.read_text().replace("  act@b:\n    cmd:", "  act@b:\n    cmd: [\n"))
    said = ours(twins[1], "repro", "-s", "act@a")
    assert "didn't change" in said


def test_what_is_wrong_with_a_stage_is_said_by_dvc(twins: tuple[Path, Path]) -> None:
    both(twins, "repro")
    text = (twins[0] / "dvc.lock").read_text()
    twice = "  act@b:\n    cmd: x\n  act@b:\n    cmd:"
    for fault in ("  act@b:\n    cmd: [\n", "  act@b:\n    colour: blue\n    cmd:", twice):
        said = []
        for root, words in zip(twins, (["dvc"], [sys.executable, "-m", "pipeline", "dvc"]), strict=True):
            (root / "dvc.lock").write_text(text.replace("  act@b:\n    cmd:", fault))
            process = pipelet.started(root, *words, "repro", "-s", "act@b")
            said.append(process.communicate(timeout=120)[0])
            assert process.returncode == 255
        assert said[0] == said[1]
        assert "dvc.lock" in said[0]


def test_a_file_is_parsed_once_as_long_as_it_stands(tmp_path: Path) -> None:
    path, loads = tmp_path / "params.yaml", list[str]()
    disk = SimpleNamespace(protocol="local")

    def load(path: str, fs: object) -> dict[str, list[int]]:
        loads.append(path)
        return {"a": json.loads(Path(path).read_text())}

    quick = hooks.kept(load)
    path.write_text("[1]")
    quick(str(path), disk)["a"].append(5)
    assert quick(str(path), disk) == {"a": [1]}
    assert len(loads) == 1
    path.write_text("[1, 2]")
    assert quick(str(path), disk) == {"a": [1, 2]}
    quick(str(path), SimpleNamespace(protocol="git"))
    quick(str(path), SimpleNamespace(protocol="git"))
    assert len(loads) == 4
    path.unlink()
    with pytest.raises(FileNotFoundError):
        quick(str(path), disk)


def test_a_key_is_looked_up_as_dpath_finds_it() -> None:
    tree = {"a": {"b-1": {"c": [1, 2]}, "2": None, 3: "three"}, "d": 0.5}
    asked = list[str]()

    def search(obj: object, glob: str, **kwargs: str) -> object:
        asked.append(glob)
        return dpath.get(obj, glob, **kwargs)

    quick = hooks.looked_up(search)
    for glob in ("a", "a.b-1", "a.b-1.c", "a.2", "d", "a.3", "a.b-1.c.1", "a.b*.c", ".d"):
        assert quick(tree, glob, separator=".") == dpath.get(tree, glob, separator=".")
    assert asked == ["a.3", "a.b-1.c.1", "a.b*.c", ".d"]
    for glob in ("x", "a.x", "d.x", "a.2.x", ""):
        with pytest.raises(KeyError):
            dpath.get({"a": tree}, glob or "y", separator=".")
        with pytest.raises(KeyError):
            quick({"a": tree}, glob or "y", separator=".")
