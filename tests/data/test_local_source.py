"""Sources of the user's own: what is copied, what is left out, when one is read again, and what is never removed."""

from __future__ import annotations

import http.server
import os
import shutil
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from genfoundry import config
from genfoundry.data.fetch import catalog, check, local
from genfoundry.errors import UserError


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Two files in two folders, and what a person's folder may hold besides."""
    folder = tmp_path / "source"
    for name in ("a", "b"):
        (folder / name).mkdir(parents=True)
        (folder / name / "1.txt").write_text(name)
    return folder


def own(path: Path) -> config.Dataset:
    return config.Dataset(modality="images", raw=config.Folder(path=str(path)))


def files(folder: Path) -> dict[str, str]:
    return {p.relative_to(folder).as_posix(): p.read_text() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_links_are_followed_and_what_cannot_be_is_counted(
    source: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shutil.move(source / "b", tmp_path / "store")
    (source / "b").symlink_to(tmp_path / "store")
    (source / "a/loop").symlink_to(source)
    (source / "gone.txt").symlink_to(tmp_path / "nowhere")
    os.mkfifo(source / "pipe")
    catalog.fetch(own(source), tmp_path / "out")
    assert files(tmp_path / "out") == {"a/1.txt": "a", "b/1.txt": "b"}
    assert not [p for p in (tmp_path / "out").rglob("*") if p.is_symlink()]
    said = caplog.text
    assert said.count("\n") == 1
    assert "left out: a/loop and 2 more: a link whose target is missing or holds the link, or no regular file" in said


def test_a_copy_of_read_only_folders_can_be_replaced(source: Path, tmp_path: Path) -> None:
    for path in (source / "a/1.txt", source / "a"):
        path.chmod(stat.S_IRUSR | stat.S_IXUSR)
    catalog.fetch(own(source), tmp_path / "out")
    modes = {path: path.stat().st_mode & stat.S_IRWXU for path in (tmp_path / "out/a", tmp_path / "out/a/1.txt")}
    assert all(mode & stat.S_IWUSR for mode in modes.values()), modes
    (source / "a").chmod(stat.S_IRWXU)
    catalog.fetch(own(source), tmp_path / "out")


def test_a_file_that_cannot_be_read_is_named(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = Path.open

    def refuse(path: Path, *args: object, **kwargs: object) -> object:
        if path.name == "1.txt" and path.parent.name == "a" and "source" in path.parts:
            raise PermissionError(13, "Permission denied", str(path))
        return real(path, *args, **kwargs)  # type: ignore[call-overload]

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(UserError, match=r"a/1.txt: cannot be read: Permission denied$"):
        catalog.fetch(own(source), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_files_that_nothing_else_has_are_not_removed(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    catalog.fetch(own(source), out)
    (out / "mine.txt").write_text("mine")
    with pytest.raises(UserError, match=r"1 files in it would be lost.*out/mine.txt\); move them elsewhere"):
        catalog.fetch(own(source), out)
    assert files(out) == {"a/1.txt": "a", "b/1.txt": "b", "mine.txt": "mine"}
    catalog.fetch(own(source), out, recoverable=lambda paths: {p for p in paths if p.name == "mine.txt"})
    assert files(out) == {"a/1.txt": "a", "b/1.txt": "b"}


def test_files_beside_downloaded_ones_are_not_removed(tmp_path: Path) -> None:
    digits = config.Dataset(modality="images", raw="digits")
    catalog.fetch(digits, tmp_path / "out", downloads=tmp_path / "downloads")
    (tmp_path / "out/digits.csv.gz").write_text("rot")  # has a checksum, so it can be had again
    catalog.fetch(digits, tmp_path / "out", downloads=tmp_path / "downloads")
    (tmp_path / "out/mine.csv").write_text("mine")
    with pytest.raises(UserError, match=r"would be lost.*mine.csv"):
        catalog.fetch(digits, tmp_path / "out", downloads=tmp_path / "downloads")


def test_a_copy_stays_where_the_source_is_away(source: Path, tmp_path: Path) -> None:
    digest = catalog.fetch(own(source), tmp_path / "out")
    away = own(tmp_path / "away")
    assert catalog.fetch(away, tmp_path / "out", expected=digest) == digest
    with pytest.raises(UserError, match=r"raw.path: .*away is not there; .*dvc pull"):
        catalog.fetch(away, tmp_path / "out", expected="0" * 64)
    assert files(tmp_path / "out") == {"a/1.txt": "a", "b/1.txt": "b"}


def test_a_source_that_changes_meanwhile_is_not_recorded(source: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="changed while it was copied"):
        catalog.fetch(own(source), tmp_path / "out", expected="0" * 64)
    assert not (tmp_path / "out").exists()


def status(source: Path, tmp_path: Path, recorded: str | None) -> check.Status:
    return check.check_source(tmp_path, "mine", own(source), recorded)


def test_a_change_is_noticed_and_said(source: Path, tmp_path: Path) -> None:
    new = status(source, tmp_path, None)
    assert (new.state, new.message) == ("new", "")
    assert status(source, tmp_path, new.digest).state == "same"
    local.Record(tmp_path, "mine").note_taken(new.digest)
    (source / "a/1.txt").write_text("b")  # as many bytes
    (source / "c.txt").write_text("c")
    changed = status(source, tmp_path, new.digest)
    assert changed.state == "changed" and changed.digest != new.digest
    assert "(1 files added, 1 changed, 0 removed); it is taken anew" in changed.message
    assert "differs from the copy of 20" in changed.message
    (source / "a/1.txt").write_text("a")
    (source / "c.txt").unlink()
    assert status(source, tmp_path, new.digest).state == "same", "the content counts, not the time"


def test_the_name_of_a_file_counts(source: Path, tmp_path: Path) -> None:
    before = status(source, tmp_path, None).digest
    (source / "a/1.txt").rename(source / "a/2.txt")
    assert status(source, tmp_path, before).state == "changed"


def test_an_unchanged_source_is_not_read_again(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    digest = status(source, tmp_path, None).digest

    def refuse(path: Path) -> str:
        raise AssertionError(f"{path} was read again")

    monkeypatch.setattr(local, "sha256", refuse)
    assert status(source, tmp_path, digest).state == "same"


@pytest.mark.parametrize("how", ["gone", "empty"])
def test_a_source_that_is_away(how: str, source: Path, tmp_path: Path) -> None:
    """A share that is not mounted is an empty folder, or none; the data that DVC has are used, and a line says so."""
    digest = status(source, tmp_path, None).digest
    shutil.rmtree(source)
    if how == "empty":
        source.mkdir()
    away = status(source, tmp_path, digest)
    assert (away.state, away.digest) == ("away", digest)
    assert f"is {'empty' if how == 'empty' else 'not there'}; the copy that DVC has" in away.message
    local.Record(tmp_path, "mine").note_taken(digest)
    assert "; the copy of 20" in status(source, tmp_path, digest).message
    assert status(source, tmp_path, None).state == "absent"


def test_a_local_file_with_another_checksum_is_said(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("a")
    file = config.File(name="a.csv", sha256="0" * 64, places=(f"file:{tmp_path}/a.csv",))
    pinned = config.Dataset(modality="series", raw=config.Files(files=(file,)))
    found = check.check_source(tmp_path, "mine", pinned, None)
    assert (found.state, found.digest) == ("pinned", check.PINNED)
    assert "has changed: its sha256 is ca978112ca1b" in found.message and "datasets.mine.raw.files" in found.message


def test_names_that_are_not_utf8_are_refused(tmp_path: Path) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/source/caf\xe9.txt"))
    path.parent.mkdir()
    path.write_text("x")
    for source in (path.parent, path):
        with pytest.raises(UserError, match=r"the file name b'caf\\xe9.txt' is not UTF-8; rename it"):
            status(source, tmp_path, None)
        with pytest.raises(UserError, match="is not UTF-8"):
            catalog.fetch(own(source), tmp_path / "out")


def test_hidden_files_do_not_count(source: Path, tmp_path: Path) -> None:
    before = status(source, tmp_path, None).digest
    (source / ".DS_Store").write_text("x")
    assert status(source, tmp_path, before).state == "same"
    catalog.fetch(own(source), tmp_path / "out")
    assert files(tmp_path / "out") == {"a/1.txt": "a", "b/1.txt": "b"}


@pytest.fixture
def server() -> Iterator[str]:
    """A web server that says that its file has 5 bytes and is of 1990."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.send_response(200 if self.path == "/a.csv" else 404)
            self.send_header("Content-Length", "5")
            self.send_header("Last-Modified", "Mon, 01 Jan 1990 00:00:00 GMT")
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as one:
        threading.Thread(target=one.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{one.server_port}"
        one.shutdown()


@pytest.mark.parametrize(
    ("content", "age", "place", "line"),
    [
        ("12345", 0, "a.csv", ""),
        ("1234", 0, "a.csv", "has changed (5 bytes, of Mon, 01 Jan 1990"),
        ("12345", 10**9, "a.csv", "has changed"),  # fetched before the server's file was written
        ("12345", 0, "b.csv", "could not be looked at (HTTP 404"),
    ],
)
def test_a_web_server_is_asked_whether_it_has_the_same(
    content: str, age: float, place: str, line: str, server: str, tmp_path: Path
) -> None:
    copy = tmp_path / "downloads" / ("0" * 64)
    copy.parent.mkdir()
    copy.write_text(content)
    os.utime(copy, (1_600_000_000 - age, 1_600_000_000 - age))
    file = config.File(name="a.csv", sha256="0" * 64, places=(f"{server}/{place}",))
    dataset = config.Dataset(modality="series", raw=config.Files(files=(file,)))
    said = list(check.check_remote("mine", dataset, tmp_path / "raw", copy.parent))
    assert len(said) == bool(line)
    assert all(line in one and "sha256 000000000000 is used" in one for one in said)
