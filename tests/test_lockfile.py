"""dvc.lock written by the stage is DVC's own, byte for byte, whatever was there before."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pipelet
import pytest
from pipelet import good

from genfoundry import graph, lockfile

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


def test_the_order_of_the_lock_is_that_of_dvc_yaml(tmp_path: Path) -> None:
    names = list(graph.stages(pipelet.ROOT))
    lock = "schema: '2.0'\nstages:\n" + "".join(f"  {name}:\n    cmd: {name}\n" for name in reversed(names))
    (tmp_path / "dvc.lock").write_text(lock + "  gone@x:\n    cmd: gone\n")
    for file in ("dvc.yaml", "params.yaml"):
        (tmp_path / file).write_bytes((pipelet.ROOT / file).read_bytes())
    lockfile.order(tmp_path)
    assert list(graph.read(tmp_path / "dvc.lock")["stages"]) == names
