"""The ledger is append-only, whole lines only, and says who serves a task."""

from __future__ import annotations

import multiprocessing
from pathlib import Path
from typing import Any

import pytest

from genfoundry.console import shell
from genfoundry.errors import UserError
from genfoundry.selection import ledger


def line(task: str = "t", decision: str = "champion", digest: str = "a", **more: Any) -> ledger.Decision:
    base = dict.fromkeys(ledger.REQUIRED, "x")
    return {**base, "task": task, "decision": decision, "digest": digest, "weights": {}, **more}


def test_appending_keeps_what_is_there(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    assert ledger.read_decisions(path) == []
    ledger.append_decision(path, line(digest="a"))
    before = path.read_bytes()
    ledger.append_decision(path, line(digest="é"))
    assert path.read_bytes().startswith(before)
    assert [decision["digest"] for decision in ledger.read_decisions(path)] == ["a", "é"]


def test_a_lost_last_newline_joins_no_lines(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    ledger.append_decision(path, line(digest="a"))
    path.write_bytes(path.read_bytes().rstrip(b"\n"))
    ledger.append_decision(path, line(digest="b"))
    assert [decision["digest"] for decision in ledger.read_decisions(path)] == ["a", "b"]


def _many(path: Path, who: str) -> None:
    for number in range(50):
        ledger.append_decision(path, line(digest=f"{who}{number}", reason="r" * 5000))


def test_parallel_writers_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=_many, args=(path, who)) for who in "ab"]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert sorted(decision["digest"] for decision in ledger.read_decisions(path)) == sorted(
        f"{w}{n}" for w in "ab" for n in range(50)
    )


@pytest.mark.parametrize("text", ["<<<<<<< HEAD\n", '{"task": "t"}\n', "[]\n"])
def test_a_damaged_line_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "ledger.jsonl"
    ledger.append_decision(path, line())
    path.write_text(path.read_text() + text)
    with pytest.raises(UserError, match=r"ledger\.jsonl:2: "):
        ledger.read_decisions(path)


def test_an_unknown_decision_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="'winner' is none of champion, challenger, refused"):
        ledger.append_decision(tmp_path / "ledger.jsonl", line(decision="winner"))
    assert not (tmp_path / "ledger.jsonl").exists()


def test_who_serves() -> None:
    lines = [
        line(digest="a"),
        line(task="other", digest="z"),
        line(decision="challenger", digest="b"),
        line(decision="refused", digest="c"),
    ]
    assert ledger.find_champion(lines, "t")["digest"] == "a"  # type: ignore[index]
    assert ledger.find_challenger(lines, "t")["digest"] == "b"  # type: ignore[index]
    assert ledger.find_last(lines, "t")["digest"] == "c"  # type: ignore[index]
    lines.append(line(digest="d"))
    assert ledger.find_champion(lines, "t")["digest"] == "d"  # type: ignore[index]
    assert ledger.find_challenger(lines, "t") is None
    assert ledger.find_champion(lines, "none") is None


def test_who_decides_is_gits_user_or_the_systems(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", "/dev/null")
    monkeypatch.setenv("USER", "somebody")
    assert ledger.get_user_name(tmp_path) == "somebody"
    assert ledger.get_commit(tmp_path) == (None, False)
    (tmp_path / "gitconfig").write_text("[user]\n name = Ada L\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "gitconfig"))
    assert ledger.get_user_name(tmp_path) == "Ada L"


def test_without_git_installed_a_decision_has_no_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("USER", "somebody")
    assert ledger.get_user_name(tmp_path) == "somebody"
    assert ledger.get_commit(tmp_path) == (None, False)
    with pytest.raises(UserError, match=r"^expected the program git on the PATH, got none$"):
        shell.ask("git", "status", root=tmp_path)
