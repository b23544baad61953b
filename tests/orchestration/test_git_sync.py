"""A retraining's commits: pushed after others', kept where they cannot be, and never in the way of the next run."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from genfoundry.console import shell
from genfoundry.errors import UserError
from genfoundry.selection import ledger
from pipeline.orchestration import git_sync


def git(root: Path, *words: str) -> str:
    done = subprocess.run(
        ["git", "-c", "user.name=a", "-c", "user.email=a@x", *words], cwd=root, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def save(root: Path, message: str, **files: str) -> None:
    for name, text in files.items():
        (root / name).write_text(text)
    git(root, "add", "-A")
    git(root, "commit", "-q", "--allow-empty", "-m", message)


@pytest.fixture
def clones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """Two clones of a bare origin with a ledger of one line."""
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    git(tmp_path, "init", "-q", "--bare", "-b", "main", "origin.git")
    for name in ("a", "b"):
        git(tmp_path, "clone", "-q", "origin.git", name)
    a, b = tmp_path / "a", tmp_path / "b"
    git(a, "checkout", "-q", "-b", "main")
    save(a, "begin", ledger="1\n", code="old\n", **{".gitattributes": "ledger merge=union\n"})
    git(a, "push", "-q", "-u", "origin", "main")
    git(b, "pull", "-q", "origin", "main")
    git(b, "branch", "-q", "-M", "main")
    git(b, "fetch", "-q")
    git(b, "branch", "-q", "-u", "origin/main")
    return a, b


def destination(root: Path, branch: str = "") -> git_sync.Destination:
    found = git_sync.find_destination(root, branch)
    assert found is not None
    return found


def test_a_run_that_lost_the_race_is_merged_and_pushed(clones: tuple[Path, Path]) -> None:
    a, b = clones
    save(a, "somebody's", ledger="1\n2\n", code="new\n")
    git(a, "push", "-q")
    save(b, "Retrain on new data", ledger="1\n3\n")
    git_sync.check_push(b, destination(b))  # that others were first is no reason not to begin
    git_sync.push(b, destination(b))
    git(a, "pull", "-q")
    assert sorted((a / "ledger").read_text().split()) == ["1", "2", "3"]
    assert (a / "code").read_text() == "new\n"


def test_a_run_that_does_not_merge_is_kept_and_the_next_goes_on(
    clones: tuple[Path, Path], caplog: pytest.LogCaptureFixture
) -> None:
    a, b = clones
    save(a, "Retrain on new data", code="theirs\n")
    git(a, "push", "-q")
    save(b, "Retrain on new data", code="ours\n", ledger="1\n3\n")
    with pytest.raises(UserError, match=r"the run is finished, but main could not be pushed .*do not merge") as kept:
        git_sync.push(b, destination(b))
    branch = next(word.strip(":") for word in str(kept.value).split() if word.startswith("retrain-kept-"))
    assert f"git merge origin/{branch}" in str(kept.value)
    assert git(a, "ls-remote", "origin", branch)
    assert (b / "code").read_text() == "ours\n" and git(b, "status", "--porcelain") == ""
    git_sync.update(b, destination(b))  # next week
    assert git(b, "rev-parse", "HEAD") == git(b, "rev-parse", "origin/main")
    assert "begins again from origin/main: they do not merge" in caplog.text
    assert git(b, "show", f"{branch}:ledger") == "1\n3"


def test_what_an_earlier_run_could_not_push_is_ahead(clones: tuple[Path, Path]) -> None:
    _, b = clones
    save(b, "Retrain on new data", ledger="1\n3\n")
    git_sync.update(b, destination(b))
    assert git_sync.count_apart(b, destination(b))[0] == 1
    git_sync.push(b, destination(b))
    assert git_sync.count_apart(b, destination(b))[0] == 0


def test_a_rewritten_history_is_followed(clones: tuple[Path, Path], caplog: pytest.LogCaptureFixture) -> None:
    a, b = clones
    save(a, "one", code="one\n")
    git(a, "push", "-q")
    git(b, "pull", "-q")
    git(a, "commit", "-q", "--amend", "-m", "other")
    git(a, "push", "-q", "-f")
    was = git(b, "rev-parse", "HEAD")
    git_sync.update(b, destination(b))
    assert git(b, "rev-parse", "HEAD") == git(a, "rev-parse", "HEAD")
    said = caplog.text
    assert "the history of origin/main was rewritten" in said
    kept = next(word for word in said.split() if word.startswith("retrain-before-"))
    assert git(b, "rev-parse", kept) == was


def test_commits_of_a_person_are_left_alone(clones: tuple[Path, Path]) -> None:
    a, b = clones
    save(a, "one", code="one\n")
    git(a, "push", "-q")
    save(b, "my work", code="mine\n")
    was = git(b, "rev-parse", "HEAD")
    with pytest.raises(UserError, match=r"have gone apart, and 1 commits here are not a retraining's; join them"):
        git_sync.update(b, destination(b))
    assert git(b, "rev-parse", "HEAD") == was


def test_a_detached_head_wants_a_branch(clones: tuple[Path, Path]) -> None:
    a, _ = clones
    git(a, "checkout", "-q", "--detach")
    with pytest.raises(UserError, match=r"HEAD is detached at .*make retrain BRANCH=name"):
        git_sync.find_destination(a, "")
    to = destination(a, "result")
    assert to == git_sync.Destination("origin", "result")
    git_sync.push(a, to)
    assert git(a, "ls-remote", "origin", "result")
    git(a, "remote", "set-head", "origin", "main")
    with pytest.raises(UserError, match="main branch, which is never overwritten"):
        git_sync.find_destination(a, "main")


def test_a_branch_without_upstream_is_pushed(clones: tuple[Path, Path]) -> None:
    a, _ = clones
    git(a, "checkout", "-q", "-b", "fresh")
    git_sync.update(a, destination(a))
    git_sync.push(a, destination(a))
    assert git(a, "ls-remote", "origin", "fresh")


def test_a_remote_that_takes_nothing_is_said_before(clones: tuple[Path, Path], tmp_path: Path) -> None:
    a, _ = clones
    save(a, "Retrain on new data", ledger="1\n2\n")
    git(a, "remote", "set-url", "origin", str(tmp_path / "nowhere.git"))
    with pytest.raises(UserError, match=r"nothing was run: the result could not be pushed to origin main: .*nowhere"):
        git_sync.check_push(a, destination(a))


def test_a_repository_of_another_user(clones: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """Git's own switch for its tests: every folder is taken for somebody else's."""
    a, _ = clones
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    with pytest.raises(
        UserError, match=r"another user owns it; run: git config --global --add safe.directory "
    ) as said:
        shell.check_repository(a)
    assert "\n" not in str(said.value)
    with pytest.raises(UserError, match=r"--add safe.directory "):
        ledger.get_commit(a)
