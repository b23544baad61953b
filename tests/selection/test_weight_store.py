"""Weights of a ledger line: found in workspace, store, DVC's cache or a remote, and lost or unreachable otherwise.

Every repository here is a real one of DVC's, and content gets into its cache and remotes by `dvc add` and `dvc push`.
"""

from __future__ import annotations

import http.server
import shutil
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from dvc_toy import dvc

from genfoundry import paths
from genfoundry.selection import dvc_store, weight_store

Line = dict[str, Any]


@pytest.fixture(scope="module")
def pushed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with a model in its cache and in two remotes, the second by default; paths in it are relative."""
    base = tmp_path_factory.mktemp("pushed")
    root = base / "root"
    root.mkdir()
    folder = root / "models/experiments/one"
    folder.mkdir(parents=True)
    (folder / "weights.safetensors").write_bytes(b"tensors")
    (folder / "model.json").write_text("{}")
    commands = (
        "init -q --no-scm",
        "config cache.dir ../elsewhere",
        "remote add a.b ../first",
        "remote add -d second ../second",
        "add models/experiments/one",
        "push -r a.b",
        "push",
    )
    for command in commands:
        dvc(root, *command.split())
    return base


@pytest.fixture
def root(pushed: Path, tmp_path: Path) -> Path:
    shutil.copytree(pushed, tmp_path, dirs_exist_ok=True)
    return tmp_path / "root"


def taken(root: Path) -> Line:
    """What a ledger line says of the model, which is removed from the workspace."""
    described = weight_store.describe(root / "models/experiments/one", root)
    shutil.rmtree(root / "models")
    return described


def drop(root: Path, *folders: str) -> None:
    """Empty a cache or a remote."""
    for folder in folders:
        shutil.rmtree(root.parent / folder)
        (root.parent / folder).mkdir()


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


FILES = {"weights.safetensors": b"tensors", "model.json": b"{}"}


def test_the_cache_has_them_and_what_was_found_stands_in_the_store(root: Path) -> None:
    line = taken(root)
    with pytest.raises(weight_store.WeightsLost, match=r"neither the workspace nor .state/weights has sha256"):
        weight_store.find(root, line, farthest="store")
    folder = weight_store.find(root, line, farthest="cache")
    assert folder.parent == root / paths.WEIGHTS and content(folder) == FILES
    drop(root, "elsewhere", "first", "second")
    assert weight_store.find(root, line) == folder


@pytest.mark.parametrize("emptied", ["first", "second"])
def test_either_remote_has_them(root: Path, emptied: str) -> None:
    line = taken(root)
    drop(root, "elsewhere", emptied)
    with pytest.raises(weight_store.WeightsLost, match=r"nor the DVC cache has sha256"):
        weight_store.find(root, line, farthest="cache")
    assert content(weight_store.find(root, line)) == FILES


def test_files_may_come_from_different_places(root: Path) -> None:
    line = taken(root)
    md5s = {name: entry["md5"] for name, entry in line["files"].items()}
    for place, name in (("elsewhere", "model.json"), ("second", "weights.safetensors")):
        (server,) = (p for p in (root.parent / place).rglob("*") if p.is_file() and dvc_store.hash_md5(p) == md5s[name])
        server.chmod(0o600)
        server.write_bytes(b"damaged")
    assert content(weight_store.find(root, line)) == FILES


def test_lost_is_what_every_place_answered(root: Path) -> None:
    line = taken(root)
    drop(root, "elsewhere", "first", "second")
    with pytest.raises(
        weight_store.WeightsLost, match=r"^models/experiments/one: weights not found: .* cache and remotes have"
    ):
        weight_store.find(root, line)


def test_a_remote_s_folder_that_is_not_there_answers_nothing(root: Path) -> None:
    line = taken(root)
    drop(root, "elsewhere", "second")
    shutil.rmtree(root.parent / "first")
    with pytest.raises(
        weight_store.RemoteUnreachable, match=r"^DVC remote a.b: .*/first is not there; mount it"
    ) as caught:
        weight_store.find(root, line)
    assert "\n" not in str(caught.value)
    shutil.copytree(root.parent / "second", root.parent / "first")
    with pytest.raises(weight_store.WeightsLost):
        weight_store.find(root, line)


@pytest.fixture
def server() -> Iterator[str]:
    """A web server with nothing but /first/...; it fails at /broken/..."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.send_error(500 if self.path.startswith("/broken") else 404)

        do_GET = do_HEAD

        def log_message(self, *_: object) -> None: ...

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_a_web_server_says_no_or_says_nothing(root: Path, server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """DVC's own answer is the same for all three."""
    monkeypatch.setenv("no_proxy", "*")
    line, address = taken(root), partial(dvc, root, "remote", "modify", "a.b", "url")
    drop(root, "elsewhere", "second")
    address(f"{server}/first")
    with pytest.raises(weight_store.WeightsLost):
        weight_store.find(root, line)
    address(f"{server}/broken")
    with pytest.raises(weight_store.RemoteUnreachable, match=r"^DVC remote a.b: HTTPError: HTTP Error 500"):
        weight_store.find(root, line)
    address("http://127.0.0.1:9/none")
    with pytest.raises(weight_store.RemoteUnreachable, match=r"^DVC remote a.b: URLError: .*refused"):
        weight_store.find(root, line)


def test_a_remote_that_needs_a_plug_in_is_named(root: Path) -> None:
    line = taken(root)
    drop(root, "elsewhere", "second")
    dvc(root, "remote", "modify", "a.b", "url", "s3://bucket/path")
    with pytest.raises(weight_store.RemoteUnreachable, match=r"a.b: .*requires 'dvc-s3' to be installed"):
        weight_store.find(root, line)


def test_what_differs_from_the_line_is_not_taken(root: Path) -> None:
    line = weight_store.describe(root / "models/experiments/one", root)
    (root / "models/experiments/one/model.json").write_text("[]")
    folder = weight_store.find(root, line)
    assert content(folder) == FILES
    (folder / "model.json").write_text("[]")
    assert content(weight_store.find(root, line)) == FILES
    with pytest.raises(weight_store.WeightsLost, match=r"expected the weights that were decided on"):
        weight_store.keep(root, {**line, "files": {**line["files"], "none": line["files"]["model.json"]}})


def test_what_the_cache_has_and_the_list_of_a_folder(root: Path) -> None:
    import yaml

    tracked = yaml.safe_load((root / "models/experiments/one.dvc").read_text())["outs"][0]["md5"]
    files = {name: entry["md5"] for name, entry in taken(root)["files"].items()}
    assert dvc_store.find_cached(root, [*files.values(), "0" * 32]) == set(files.values())
    assert dvc_store.list_folder(root, "0" * 32 + ".dir") is None
    assert dvc_store.list_folder(root, tracked) == files
    drop(root, "elsewhere")
    assert dvc_store.find_cached(root, files.values()) == set()
    assert dvc_store.list_folder(root, tracked) == files, "a list that was read is remembered"


def test_dvc_s_own_cache_is_read_alone(root: Path) -> None:
    line = taken(root)
    drop(root, "elsewhere")
    weight_store.find(root, line)
    assert not list((root.parent / "elsewhere").rglob("*"))
