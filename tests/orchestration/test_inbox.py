"""An inbox: files come back with a word, are missed where they vanish, and are withdrawn for good."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from dvc_toy import dvc

from genfoundry.console import shell
from genfoundry.errors import UserError
from pipeline.orchestration import inbox, sources


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A DVC repository whose inbox `mine` has two files, which the data set was prepared from."""
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("DVC_NO_ANALYTICS", "1")
    dvc(tmp_path, "init", "-q", "--no-scm")
    folder = tmp_path / "data/inbox/mine"
    folder.mkdir(parents=True)
    (folder / "a.csv").write_text("a")
    (folder / "b.csv").write_text("b")
    shell.ask("dvc", "add", "-q", "data/inbox/mine", root=tmp_path)
    tracked = inbox.read_tracked(tmp_path, "mine")
    deps = [{"path": "data/inbox/mine", "hash": "md5", "md5": tracked["md5"], "nfiles": 2}]
    lock = {"schema": "2.0", "stages": {"prepare@mine": {"cmd": "x", "deps": deps}}}
    (tmp_path / "dvc.lock").write_text(yaml.safe_dump(lock, sort_keys=False))
    return tmp_path


def folder(root: Path) -> Path:
    return root / "data/inbox/mine"


def test_a_deleted_file_comes_back_with_a_word(root: Path) -> None:
    assert inbox.restore(root, "mine") == ""
    (folder(root) / "a.csv").unlink()
    (folder(root) / "new.csv").write_text("new")
    said = inbox.restore(root, "mine")
    assert "brought back 1 files that DVC tracks" in said and "a.csv" in said and "make withdraw DATASET=mine" in said
    assert inbox.list_files(root, "mine") == ["a.csv", "b.csv", "new.csv"]
    assert (folder(root) / "a.csv").read_text() == "a"


def test_files_that_no_cache_has_are_an_error(root: Path) -> None:
    shutil.rmtree(root / ".dvc/cache")
    shutil.rmtree(folder(root))
    with pytest.raises(UserError, match=r"mine.dvc: neither DVC's cache nor its remote has|dvc fetch"):
        inbox.restore(root, "mine")


def test_a_clone_whose_empty_inbox_dvc_has_added(root: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    remote = tmp_path_factory.mktemp("remote")
    shell.ask("dvc", "remote", "add", "-d", "store", remote, root=root)
    shell.ask("dvc", "push", root=root)
    for words in (("init", "-q"), ("add", "data/inbox/mine.dvc"), (*shell.IDENTITY, "commit", "-qm", "begin")):
        shell.ask("git", *words, root=root)
    shutil.rmtree(root / ".dvc/cache")
    shutil.rmtree(folder(root))
    folder(root).mkdir()
    shell.ask("dvc", "add", "data/inbox/mine", root=root)  # as `dvc repro` does before any stage runs
    assert "brought back 2 files" in inbox.restore(root, "mine")
    assert inbox.list_files(root, "mine") == ["a.csv", "b.csv"]


def test_withdrawn_content_is_refused_by_a_stage_that_always_runs(root: Path) -> None:
    params: Any = SimpleNamespace(datasets={"mine": SimpleNamespace(raw="sunspots")})
    sources.check_all(root, params)
    inbox.withdraw(root, "mine", ["a.csv"])
    (folder(root) / "again.csv").write_text("a")
    with pytest.raises(UserError, match=r"again.csv: was withdrawn on 20"):
        sources.check_all(root, params)


def test_a_file_that_vanished_is_missed(root: Path) -> None:
    inbox.check_complete(root, "mine")
    (folder(root) / "a.csv").rename(folder(root) / "c.csv")  # another name, the same content
    inbox.check_complete(root, "mine")
    (folder(root) / "c.csv").unlink()
    shell.ask("dvc", "add", "-q", "data/inbox/mine", root=root)  # as `dvc repro` does before any stage runs
    with pytest.raises(
        UserError, match=r"data/inbox/mine: .*missing: a.csv; .*brings them back, `make withdraw DATASET="
    ):
        inbox.check_complete(root, "mine")


def test_a_clone_without_the_files_is_not_taken_for_an_empty_inbox(root: Path) -> None:
    shutil.rmtree(root / ".dvc/cache")
    for path in folder(root).iterdir():
        path.unlink()
    with pytest.raises(UserError, match=r"missing: 2 of 2 files; .*dvc pull data/inbox/mine.dvc"):
        inbox.check_complete(root, "mine")


def test_the_same_name_with_other_content(root: Path) -> None:
    inbox.check_names(root, "mine")
    (folder(root) / "a.csv").write_text("other")
    with pytest.raises(UserError, match=r"a.csv: an earlier batch has this name and other content"):
        inbox.check_names(root, "mine")


@pytest.mark.parametrize("spelling", ["a.csv", "data/inbox/mine/a.csv", "{root}/data/inbox/mine/a.csv", "./a.csv"])
def test_a_withdrawn_file_stays_away(spelling: str, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root)
    assert inbox.withdraw(root, "mine", [spelling.format(root=root)]) == ["a.csv"]
    assert inbox.list_files(root, "mine") == ["b.csv"]
    assert inbox.read_tracked(root, "mine")["nfiles"] == 1
    assert inbox.restore(root, "mine") == ""
    inbox.check_complete(root, "mine")  # the data set may be prepared without it
    line = json.loads((root / "data/inbox/mine.withdrawn.jsonl").read_text())
    assert (line["file"], line["md5"]) == ("a.csv", "0cc175b9c0f1b6a831c399e269772661")
    (folder(root) / "again.csv").write_text("a")
    with pytest.raises(UserError, match=r"again.csv: was withdrawn on 20"):
        inbox.check_complete(root, "mine")


def test_a_clone_made_after_a_withdrawal_misses_the_files_that_stayed(root: Path) -> None:
    inbox.withdraw(root, "mine", ["a.csv"])
    shutil.rmtree(root / ".dvc/cache")
    (folder(root) / "b.csv").unlink()
    with pytest.raises(UserError, match="missing: 1 of 1 files"):
        inbox.check_complete(root, "mine")


def test_a_name_with_spaces_may_come_as_words(root: Path) -> None:
    (folder(root) / "of the 3rd.csv").write_text("c")
    shell.ask("dvc", "add", "data/inbox/mine", root=root)
    (folder(root) / "of the 3rd.csv").unlink()  # as in a new clone
    assert inbox.withdraw(root, "mine", ["of", "the", "3rd.csv"]) == ["of the 3rd.csv"]
    assert inbox.list_files(root, "mine") == ["a.csv", "b.csv"]


def test_a_file_that_was_deleted_first_can_be_withdrawn(root: Path) -> None:
    (folder(root) / "a.csv").unlink()
    shell.ask("dvc", "add", "-q", "data/inbox/mine", root=root)
    assert inbox.withdraw(root, "mine", ["a.csv"]) == ["a.csv"]
    assert inbox.list_files(root, "mine") == ["b.csv"]


def test_what_the_inbox_does_not_have_cannot_be_withdrawn(root: Path) -> None:
    (root / "elsewhere.csv").write_text("x")
    for file in ("c.csv", "elsewhere.csv", "../../../elsewhere.csv"):
        with pytest.raises(UserError, match=r"data/inbox/mine: no file .*; it has a.csv, b.csv"):
            inbox.withdraw(root, "mine", [file])
    assert (root / "elsewhere.csv").exists()


def test_make_setup_touches_no_environment_that_it_did_not_make(tmp_path: Path) -> None:
    makefile = Path(__file__).parents[2] / "Makefile"
    for name in ("requirements.lock", "pyproject.toml"):
        (tmp_path / name).touch()
    shutil.copy(makefile, tmp_path)
    own = tmp_path / "own/lib"
    own.mkdir(parents=True)
    for made in ("link", "folder"):
        if made == "link":
            (tmp_path / ".venv").symlink_to(tmp_path / "own")
        else:
            (tmp_path / ".venv").unlink()
            (tmp_path / ".venv/lib").mkdir(parents=True)
        done = subprocess.run(["make", "setup"], cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode != 0
        assert "make setup did not make" in done.stderr and "venv module" not in done.stderr
        assert own.is_dir() and (tmp_path / ".venv/lib").is_dir()
