"""dvc.lock in the plan's order, byte for byte what DVC wrote of each stage."""

from __future__ import annotations

from pathlib import Path

import pytest
import toy

from pipeline.orchestration import dvc_lock


def test_the_order_of_runs_does_not_show(tmp_path: Path) -> None:
    """DVC itself writes the file; YAML quotes one of the names."""
    stages: dict[str, list[str]] = {"a": [], "b_x-y": ["a"], "123": [], "z": []}
    one, other = tmp_path / "one", tmp_path / "other"
    for root, runs in ((one, [["z"], ["123"], ["a", "b_x-y"]]), (other, [["a", "b_x-y"], ["z"], ["123"]])):
        root.mkdir()
        toy.make(root, stages)
        for names in runs:
            toy.dvc(root, "repro", "-q", "--single-item", *names)
    before = (one / "dvc.lock").read_text()
    assert before != (other / "dvc.lock").read_text()
    recorded = toy.locked(one)
    for root in (one, other):
        dvc_lock.sort_stages(root, ["gone", *stages])
    assert (one / "dvc.lock").read_bytes() == (other / "dvc.lock").read_bytes()
    assert list(toy.locked(one)) == list(stages)
    assert toy.locked(one) == recorded
    assert sorted(before.splitlines()) == sorted((one / "dvc.lock").read_text().splitlines())
    toy.dvc(one, "repro", "-q")
    assert list(toy.locked(one)) == list(stages)


LOCK = "schema: '2.0'\nstages:\n  b:\n    cmd: x\n  a:\n    cmd: y\n    deps:\n    - path: a\n"


def test_stages_that_are_not_planned_come_last(tmp_path: Path) -> None:
    (tmp_path / "dvc.lock").write_text(LOCK)
    dvc_lock.sort_stages(tmp_path, ["a"])
    assert (tmp_path / "dvc.lock").read_text() == (
        "schema: '2.0'\nstages:\n  a:\n    cmd: y\n    deps:\n    - path: a\n  b:\n    cmd: x\n"
    )


@pytest.mark.parametrize("text", [LOCK.replace("  b", "<<<<<<< HEAD\n  # b\n  b"), LOCK.replace("stages", "other"), ""])
def test_what_dvc_did_not_write_is_left_alone(text: str, tmp_path: Path) -> None:
    (tmp_path / "dvc.lock").write_text(text)
    dvc_lock.sort_stages(tmp_path, ["a", "b"])
    assert (tmp_path / "dvc.lock").read_text() == text


def test_no_lock_yet_is_no_fault(tmp_path: Path) -> None:
    dvc_lock.sort_stages(tmp_path, ["a"])
    assert list(tmp_path.iterdir()) == []
