"""Inspection of a user's file or folder: what it holds, and the data set entry that reads it; `init` begins here."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from genfoundry.data.readers import grey_csv, image_folder
from genfoundry.data.readers.image_folder import ARRAYS, KINDS
from genfoundry.data.readers.images import SUFFIXES
from genfoundry.data.readers.listing import Listing, filter_suffixes, scan_folder
from genfoundry.data.readers.nifti import VOLUMES
from genfoundry.errors import UserError
from genfoundry.onboarding.inspect import images, series, text, volumes
from genfoundry.onboarding.inspect.result import Inspection

READ = {
    "images": tuple(suffix for suffix in KINDS if suffix not in VOLUMES),
    "volumes": VOLUMES,
    "text": (".txt",),
    "series": (".csv", ".csv.gz"),
    "pairs": (".tsv",),
}
INSPECTORS: dict[str, Callable[[Path, list[Path], Mapping[str, Any]], Inspection]] = {
    "images": images.inspect_images,
    "volumes": volumes.inspect_volumes,
    "text": text.inspect_text,
    "series": series.inspect_series,
    "pairs": text.inspect_pairs,
}
NO_DATA = ("README", "LICENSE", "LICENCE", "NOTICE", "COPYING", "CHANGELOG", "CITATION")  # beside others
PACKED = (".zip", ".tar", ".tar.gz", ".tgz", ".7z", ".rar")
HINTS = {
    **dict.fromkeys((".heic", ".heif", ".avif", ".jp2", ".jxl", ".psd", ".svg", ".ico", ".cr2", ".nef", ".dng", ".raw"),
                    "convert them to PNG or JPEG"),
    **dict.fromkeys((".mp4", ".avi", ".mov", ".mkv", ".webm"), "save the frames that matter as PNG or JPEG"),
    **dict.fromkeys(PACKED, "unpack them"),
    ".npy": "np.savez('x.npz', images=np.load('x.npy')) makes an .npz of one",
}  # fmt: skip


def inspect_data(folder: Path, given: Mapping[str, Any] = {}) -> Inspection:
    """Choose the modality by the kind of most files, and the keys that read them; `given` are keys that the user chose.

    Raises:
        UserError: no file of a kind that is read, a damaged one, or one whose meaning is ambiguous.
    """
    listing = scan_folder(folder)
    by_kind = {kind: paths for kind, suffixes in READ.items() if (paths := filter_suffixes(listing.files, *suffixes))}
    if not by_kind:
        suffixes = ", ".join(suffix for suffixes in READ.values() for suffix in suffixes)
        rest = "".join(f"; {line}" for line in _note_unread(folder, listing, []))
        raise UserError(f"{folder}: no file of a kind that is read; {suffixes} are{rest}")
    # A README.txt beside pictures does not make a data set of text.
    data = {kind: paths for kind, paths in by_kind.items() if not all(path.stem.upper() in NO_DATA for path in paths)}
    by_kind = data or by_kind
    # The first of equals, in the order of READ.
    kind = max(by_kind, key=lambda k: len(by_kind[k]))
    if kind != "images" and "images" in by_kind and _are_captions(by_kind["images"], by_kind[kind]):
        kind = "images"
    # Fashion-MNIST and the like come as CSV, a row of grey values an image.
    if kind == "series" and any(map(grey_csv.is_grey, by_kind[kind])):
        kind = "images"
    if kind in ("images", "volumes"):
        _require_one_kind(folder, listing.files)
    read = image_folder.image_files(listing.files) if kind == "images" else by_kind[kind]
    inspection = INSPECTORS[kind](folder, read, given)
    notes = [*inspection.notes, *_note_unread(folder, listing, read)]
    return Inspection({"modality": kind, **inspection.entry}, notes)


def _are_captions(pictures: list[Path], others: list[Path]) -> bool:
    """Whether most of the others belong to pictures of the same names, such as captions and boxes."""
    names = {path.with_suffix("").name for path in pictures}
    return 2 * sum(path.with_suffix("").name in names for path in others) > len(others)


def _require_one_kind(folder: Path, paths: list[Path]) -> None:
    """Refuse pictures, files of arrays and volumes in one folder: all would be read, as one data set."""
    kinds = {"pictures": SUFFIXES, ".npz or IDX files": ARRAYS, "NIfTI volumes": VOLUMES}
    present = {kind: files for kind, suffixes in kinds.items() if (files := filter_suffixes(paths, *suffixes))}
    if len(present) > 1:
        several = " and ".join(
            f"{len(files)} {kind} (e.g. {files[0].relative_to(folder).as_posix()})" for kind, files in present.items()
        )
        raise UserError(f"{folder}: {several}; one kind makes a data set: move the others out of this folder")


def _note_unread(folder: Path, listing: Listing, used: list[Path]) -> Iterator[str]:
    """A line a kind of file that is not read, and one for links that lead nowhere."""
    taken, kinds = set(map(str, used)), dict[str, list[Path]]()
    for path in listing.files if len(taken) < len(listing.files) else ():
        if str(path) not in taken:
            kinds.setdefault(_suffix(path.name), []).append(path)
    for suffix, paths in sorted(kinds.items(), key=lambda item: -len(item[1])):
        hint = f" ({HINTS[suffix]})" if suffix in HINTS else ""
        files = "file" if len(paths) == 1 else "files"
        yield f"left out: {len(paths)} {suffix} {files}, e.g. {paths[0].relative_to(folder).as_posix()}{hint}"
    read = {parent for at in {os.path.dirname(name) for name in taken} for parent in (Path(at), *Path(at).parents)}
    lost = sorted({path.parent.relative_to(folder).as_posix() for paths in kinds.values() for path in paths
                   if path.parent not in read})  # fmt: skip
    if used and lost:
        yield f"folders without a file that is read: {len(lost)}, e.g. {lost[0]}"
    if links := listing.dangling:
        what = "1 symbolic link" if len(links) == 1 else f"{len(links)} symbolic links"
        yield f"left out: {what} without a target, e.g. {links[0].relative_to(folder).as_posix()}"


def _suffix(name: str) -> str:
    ends = Path(name.lower()).suffixes
    return "".join(ends[-2:] if ends[-1:] == [".gz"] else ends[-1:]) or "nameless"
