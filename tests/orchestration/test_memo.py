"""The plan is made anew when, and only when, something that it was made from may have changed."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from genfoundry import config, paths
from pipeline.orchestration import memo, resolve, sources
from pipeline.stages import plan

FILES = ("params.yaml", "requirements.lock", "src/genfoundry/models/vae.py", "pipeline/stages/train.py",
         "data/inbox/x/a.csv", "data/inbox/x.dvc", "data/sources.json", "build/plan/train/vae.json",
         "build/plan/rank.json", ".state/limits.json", "own/b.csv")  # fmt: skip
MESSAGES = ["x: own differs from the copy"]
Edit = Callable[[Path], object]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A repository whose plan was made."""
    for name in FILES:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("before")
    memo.note(tmp_path, MESSAGES, memo.take_stamps(tmp_path, (*memo.SOURCES, "own")))
    return tmp_path


def later(path: Path) -> None:
    """An edit never has the time of the file before it, however coarse the file system's clock is."""
    os.utime(path, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns + 10**9))


def rewrite(path: Path) -> None:
    path.write_text("edited")  # as long as before
    later(path)


def test_what_was_said_is_said_again(root: Path) -> None:
    assert memo.recall(root) == MESSAGES
    assert memo.recall(root) == MESSAGES


def rewrite_in_place(path: Path) -> None:
    """Of the same size, and the old time put back, as by `cp -p` or within one tick of the clock."""
    times = path.stat().st_atime_ns, path.stat().st_mtime_ns
    time.sleep(0.02)
    path.write_text("edited")
    os.utime(path, ns=times)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("edit", [rewrite, rewrite_in_place, Path.unlink], ids=["edited", "in place", "removed"])
def test_an_edit_is_noticed(name: str, edit: Edit, root: Path) -> None:
    edit(root / name)
    assert memo.recall(root) is None


@pytest.mark.parametrize(
    "name",
    ["data/inbox/x/new.csv", "data/inbox/x/folder/new.csv", "own/new.csv", "src/genfoundry/models/new.py",
     "pipeline/stages/new.py", "build/plan/train/new.json"],
)  # fmt: skip
def test_a_new_file_is_noticed(name: str, root: Path) -> None:
    (root / name).parent.mkdir(exist_ok=True)
    (root / name).touch()
    assert memo.recall(root) is None


@pytest.mark.parametrize("folder", ["build/plan", "data/inbox", "own", "src/genfoundry/models"])
def test_a_folder_that_is_gone_is_noticed(folder: str, root: Path) -> None:
    shutil.rmtree(root / folder)
    assert memo.recall(root) is None


@pytest.mark.parametrize(
    "name",
    ["src/genfoundry/models/__pycache__/vae.pyc", "reports/leaderboard.md", "data/raw/x/a.csv", "dvc.lock",
     "pipeline/dvc.lock", "build/plan/.gitignore"],
)  # fmt: skip
def test_what_the_plan_is_not_made_from_may_change(name: str, root: Path) -> None:
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_text("new")
    assert memo.recall(root) == MESSAGES


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"stamps": {}, "messages": []}', '{"stamps": 1}'])
def test_a_memo_that_is_damaged_is_none(text: str, root: Path) -> None:
    (root / paths.PLAN_STAMPS).write_text(text)
    assert memo.recall(root) is None


def test_an_upgraded_environment_is_noticed(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Installing touches the folder; another environment has another."""
    packages = root / "lib/site-packages"
    (packages / "torch").mkdir(parents=True)
    monkeypatch.setattr(memo, "INSTALLED", (str(packages),))
    monkeypatch.setattr(memo, "WRITTEN", ("build/plan", str(packages)))
    assert memo.recall(root) is None
    memo.note(root, MESSAGES, memo.take_stamps(root, memo.SOURCES))
    (packages / "torch/new.py").touch()  # what pip does not do alone
    assert memo.recall(root) == MESSAGES
    (packages / "torch-2.dist-info").mkdir()
    later(packages)
    assert memo.recall(root) is None


def test_an_edit_while_the_plan_is_made_is_not_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The plan has not seen it, so that the next run must."""
    (tmp_path / "params.yaml").write_text((Path(__file__).parents[1] / "smoke/params.yaml").read_text())
    for name in ("src", "pipeline", "requirements.lock"):
        (tmp_path / name).symlink_to(Path(__file__).parents[2] / name)
    monkeypatch.chdir(tmp_path)
    read = resolve.load_params

    def edited(path: Path) -> object:
        params = read(path)
        later(path)
        return params

    with monkeypatch.context() as patch:
        patch.setattr(resolve, "load_params", edited)
        plan.compile_plan()
    assert memo.recall(Path()) is None
    plan.compile_plan()
    assert memo.recall(Path()) is not None


def test_links_that_lead_back_are_no_maze(tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    for name in "abc":
        (tmp_path / "own" / name).symlink_to(tmp_path / "own")
    assert memo.take_stamps(tmp_path, ["own"]) == memo.take_stamps(tmp_path, ["own"])


def test_every_file_of_the_users_own_is_looked_at() -> None:
    places = ("https://x.org/a.csv", "file:/data/a:b.csv", "file:c.csv", "pypi:x==1/a.csv")
    raw = {"files": [{"name": "a.csv", "sha256": "0" * 64, "places": places}]}
    datasets = {name: config.Dataset(modality="series", raw=value) for name, value in
                (("a", raw), ("b", {"path": "~/own"}), ("c", "sunspots"))}  # fmt: skip
    params = cast(config.Params, SimpleNamespace(datasets=datasets))
    assert sources.list_paths(params) == ["~/own", "/data/a:b.csv", "c.csv"]
