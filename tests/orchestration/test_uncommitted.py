"""What a retraining does with edits that are not committed: its own make way, a person's are refused by name."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from genfoundry.console import shell
from genfoundry.errors import UserError
from pipeline.orchestration import git_sync, uncommitted


def git(root: Path, *words: str) -> str:
    done = subprocess.run(
        ["git", "-c", "user.name=a", "-c", "user.email=a@x", *words], cwd=root, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture
def behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A clone whose upstream has another dvc.lock and another README."""
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    git(tmp_path, "init", "-q", "--bare", "-b", "main", "origin.git")
    for name, text in (("a", "1\n"), ("b", "2\n")):
        git(tmp_path, "clone", "-q", "origin.git", name)
        git(tmp_path / name, "checkout", "-q", "-B", "main")
        for file in ("dvc.lock", "README.md", "params.yaml"):
            (tmp_path / name / file).write_text("same\n" if file == "params.yaml" else text)
        git(tmp_path / name, "add", "-A")
        git(tmp_path / name, "commit", "-q", "-m", text.strip())
        git(tmp_path / name, "push", "-q", "-u", "origin", "main")
    git(tmp_path / "a", "fetch", "-q")
    return tmp_path / "a"


def update(root: Path) -> None:
    to = git_sync.find_destination(root, "")
    assert to is not None
    git_sync.update(root, to)


def test_what_a_run_left_makes_way_and_is_kept(behind: Path, caplog: pytest.LogCaptureFixture) -> None:
    (behind / "dvc.lock").write_text("of a run that was stopped\n")
    (behind / "params.yaml").write_text("a person's, not in the way\n")
    update(behind)
    assert (behind / "dvc.lock").read_text() == "2\n"
    assert (behind / "params.yaml").read_text() == "a person's, not in the way\n"
    assert git(behind, "show", "stash@{0}:dvc.lock") == "of a run that was stopped"
    assert "dvc.lock: an earlier run's edits, not committed, make way for origin/main" in caplog.text


def test_a_persons_edit_in_the_way_is_named_and_stays(behind: Path) -> None:
    (behind / "dvc.lock").write_text("edited\n")
    (behind / "README.md").write_text("mine\n")
    with pytest.raises(UserError, match=r"in the way of origin/main.*files: README.md; commit them, or put them aside"):
        update(behind)
    assert (behind / "README.md").read_text() == "mine\n"
    assert (behind / "dvc.lock").read_text() == "edited\n"


def test_edits_that_a_result_would_be_made_from_are_refused(behind: Path) -> None:
    (behind / "README.md").write_text("no stage reads it\n")
    uncommitted.check_committed(behind, "params.yaml", "src")
    (behind / "params.yaml").write_text("seed: 1\n")
    (behind / "src").mkdir()
    (behind / "src/new model.py").write_text("")
    with pytest.raises(
        UserError, match=r"nothing was run: params.yaml, src/new model.py: edits that are not committed"
    ):
        uncommitted.check_committed(behind, "params.yaml", "src")


def test_a_commit_takes_its_own_paths_alone(behind: Path) -> None:
    (behind / "README.md").write_text("staged by a person\n")
    git(behind, "add", "README.md")
    assert not shell.commit(behind, "nothing of its own", "dvc.lock", "reports")
    (behind / "dvc.lock").write_text("3\n")
    (behind / "reports").mkdir()
    (behind / "reports/a [1].md").write_text("")
    assert shell.commit(behind, "its own", "dvc.lock", "reports")
    assert git(behind, "show", "--name-only", "--format=", "HEAD").splitlines() == ["dvc.lock", "reports/a [1].md"]
    assert git(behind, "diff", "--cached", "--name-only") == "README.md"


def test_a_folder_without_git_is_refused_with_what_helps(tmp_path: Path) -> None:
    (tmp_path / ".dvc").mkdir()
    with pytest.raises(UserError, match=r"is no git repository, which DVC needs: clone the project, or .*git init"):
        shell.check_versioned(tmp_path)


def test_the_line_that_tells_why_is_shown() -> None:
    dvc = "Collecting\nERROR: unexpected error - [Errno 13] Permission denied: '/r'\n\nHaving any troubles? Hit us up\n"
    assert shell.find_reason(dvc) == "ERROR: unexpected error - [Errno 13] Permission denied: '/r'"
    assert shell.find_reason("error: local changes\n\tREADME.md\nAborting\n") == "error: local changes"
    assert shell.find_reason("one\ntwo\n") == "two"
    assert shell.find_reason("") == "no reason given"
