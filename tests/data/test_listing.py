"""The files of a folder: links are followed, loops end, and names that are not UTF-8 are one line."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from genfoundry.data.readers.listing import list_files, require_suffixes, scan_folder
from genfoundry.errors import UserError


def write(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def test_links_to_folders_and_files_are_followed(tmp_path: Path) -> None:
    write(tmp_path / "store/b/1.png", tmp_path / "in/a/0.PNG", tmp_path / "elsewhere.png")
    (tmp_path / "in/b").symlink_to(tmp_path / "store/b")
    (tmp_path / "in/a/2.png").symlink_to(tmp_path / "elsewhere.png")
    listing = scan_folder(tmp_path / "in")
    assert [p.relative_to(tmp_path / "in").as_posix() for p in listing.files] == ["a/0.PNG", "a/2.png", "b/1.png"]
    assert listing.dangling == [] and list_files(tmp_path / "in", ".png") == listing.files


def test_loops_and_links_without_a_target(tmp_path: Path) -> None:
    write(tmp_path / "a/0.png")
    (tmp_path / "a/self").symlink_to(tmp_path)
    (tmp_path / "b").symlink_to(tmp_path / "b")
    (tmp_path / "gone.png").symlink_to(tmp_path / "nowhere.png")
    listing = scan_folder(tmp_path)
    assert listing.files == [tmp_path / "a/0.png"]
    assert [p.name for p in listing.dangling] == ["self", "b", "gone.png"]
    with pytest.raises(UserError, match="self: expected a regular file, got a link to nothing or to its own folder"):
        require_suffixes(tmp_path, ".png")


def test_hidden_files_and_what_is_no_file_are_left_out(tmp_path: Path) -> None:
    write(tmp_path / ".home/a.png", tmp_path / ".home/.cache/b.png", tmp_path / ".home/.c.png")
    os.mkfifo(tmp_path / ".home/pipe.png")
    assert [p.name for p in list_files(tmp_path / ".home", ".png")] == ["a.png"]
    assert scan_folder(tmp_path / "nowhere").files == []


@pytest.mark.parametrize("name", [b"caf\xe9.png", b"\xff/a.png"])
def test_a_name_that_is_not_utf8_is_one_line(tmp_path: Path, name: bytes) -> None:
    path = os.path.join(os.fsencode(tmp_path / "in"), name)
    os.makedirs(os.path.dirname(path))
    Path(os.fsdecode(path)).touch()
    with pytest.raises(UserError, match=r"in: the file name b'.*\\x.*' is not UTF-8; rename it") as refused:
        list_files(tmp_path / "in", ".txt")
    assert str(refused.value).encode().count(b"\n") == 0


def test_names_in_other_scripts_are_read(tmp_path: Path) -> None:
    write(tmp_path / "猫/ö.png")
    assert [p.name for p in list_files(tmp_path, ".png")] == ["ö.png"]


def test_files_and_folders_of_a_systems_own_are_left_out(tmp_path: Path) -> None:
    write(tmp_path / "cat/1.png", tmp_path / "cat/@eaDir/1.png/SYNO.png", tmp_path / "__MACOSX/cat/2.png")
    write(tmp_path / "cat/Thumbs.db", tmp_path / "desktop.ini")
    require_suffixes(tmp_path, ".png")
    assert scan_folder(tmp_path).files == [tmp_path / "cat/1.png"]
