"""CSV of images: the label first, last, named or absent is told by the file, or the key that decides is named."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from genfoundry.data.readers import grey_csv
from genfoundry.errors import UserError

LABEL = np.arange(60) % 5
SIDE = 8


def pictures(n: int = 60) -> np.ndarray:
    """(n, 64): a bright column whose place is the class, black corners."""
    x = np.zeros((n, SIDE, SIDE), int)
    x[np.arange(n), :, 1 + np.arange(n) % 5] = np.random.default_rng(0).integers(150, 256, (n, SIDE))
    return x.reshape(n, -1)


def write(path: Path, rows: np.ndarray, head: list[str] | None = None, separator: str = ",") -> Path:
    lines = [separator.join(map(str, row)) for row in ([head] if head else []) + rows.tolist()]
    path.write_text("\n".join(lines) + "\n")
    return path


PIXELS = [f"pixel{i}" for i in range(SIDE * SIDE)]
LAYOUTS = {
    "last": (lambda x: np.column_stack([x, LABEL]), None, "last"),
    "first": (lambda x: np.column_stack([LABEL, x]), None, "first"),
    "from 1": (lambda x: np.column_stack([1 + LABEL, x]), None, "first"),
    "named first": (lambda x: np.column_stack([LABEL, x]), ["label", *PIXELS], None),
    "named last": (lambda x: np.column_stack([x, LABEL]), [*PIXELS, "class"], None),
    "cells by row and column": (
        lambda x: np.column_stack([LABEL, x]),
        ["label", *(f"{i}x{j}" for i in range(1, 9) for j in range(1, 9))],
        None,
    ),
    "an index in front": (lambda x: np.column_stack([range(60), LABEL, x]), ["", "label", *PIXELS], None),
    "numbers for a header": (lambda x: np.column_stack([LABEL, x]), [str(i) for i in range(65)], "first"),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_the_images_and_their_labels(layout: str, separator: str, tmp_path: Path) -> None:
    rows, head, column = LAYOUTS[layout]
    path = write(tmp_path / "a.csv", rows(pictures()), head, separator)
    assert grey_csv.is_grey(path)
    part, found = grey_csv.read_grey_csv(path)
    assert (part.x.reshape(60, -1) == pictures()).all() and part.x.shape == (60, 1, SIDE, SIDE)
    assert part.label.tolist() == (LABEL + (layout == "from 1")).tolist() and found == column


def test_no_label(tmp_path: Path) -> None:
    for head in (None, PIXELS):
        path = write(tmp_path / "test.csv", pictures(), head)
        assert grey_csv.is_grey(path) and set(grey_csv.read_grey_csv(path)[0].label) == {-1}


def test_quotes_and_a_byte_order_mark(tmp_path: Path) -> None:
    text = "\n".join(",".join(f'"{v}"' for v in row) for row in np.column_stack([LABEL, pictures()]).tolist())
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(b"\xef\xbb\xbf" + text.encode()))
    assert grey_csv.read_grey_csv(tmp_path / "a.csv.gz")[0].label.tolist() == LABEL.tolist()


def test_two_columns_that_could_be_labels_need_the_key(tmp_path: Path) -> None:
    x = pictures()
    x[:, -1] = np.arange(60) % 3  # a corner with a few values that follow each other
    path = write(tmp_path / "a.csv", np.column_stack([LABEL, x]))
    with pytest.raises(UserError, match=r"the first holds 0, 1, 2, 3, \.\.\. \(5 values\), the last 0, 1, 2; declare"):
        grey_csv.read_grey_csv(path)
    assert grey_csv.read_grey_csv(path, "first")[0].label.tolist() == LABEL.tolist()
    assert grey_csv.read_grey_csv(path, "last")[0].label.tolist() == x[:, -1].tolist()


def test_one_class_shows_no_column(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", np.column_stack([np.full(60, 3), pictures()]))
    with pytest.raises(UserError, match="the label's column is ambiguous"):
        grey_csv.read_grey_csv(path)


def test_labels_with_gaps_beside_a_constant_corner(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", np.column_stack([np.array([0, 2, 5])[np.arange(60) % 3], pictures()]))
    assert set(grey_csv.read_grey_csv(path)[0].label) == {0, 2, 5}


REFUSED = {
    "0 to 1": (
        np.column_stack([LABEL, pictures() / 255]),
        "a.csv:1: expected whole numbers from 0 to 255, got .*multiply by 255",
    ),
    "above 255": (np.column_stack([LABEL, pictures() * 9]), r"expected grey values from 0 to 255, got 0 to \d+"),
    "colour": (
        np.zeros((9, 3 * 64 + 1), int),
        r"got 193 values; .*colour images: save them as .npz, \(N, H, W, 3\)",
    ),
    "not square": (np.zeros((9, 67), int), "expected rows of a square image and one label, got 67 values"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused_in_one_line(case: str, tmp_path: Path) -> None:
    rows, says = REFUSED[case]
    path = write(tmp_path / "a.csv", rows)
    assert grey_csv.is_grey(path), "or its times would be said not to grow"
    with pytest.raises(UserError, match=says) as refused:
        grey_csv.read_grey_csv(path)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("1," * 64 + "x", "could not convert string 'x'"),
        ("1,2", "columns changed from 65 to 2"),
        ("1," * 64, "could not convert string an empty cell"),
    ],
)
def test_a_bad_row_is_named(line: str, says: str, tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", np.column_stack([pictures(), LABEL]))
    path.write_text(path.read_text() + "\n" + line + "\n")
    number = len(path.read_text().splitlines())
    with pytest.raises(UserError, match=rf"a.csv:{number}: .*{says}"):
        grey_csv.read_grey_csv(path)


@pytest.mark.parametrize(
    "text",
    [
        "date," + ",".join(f"x{i}" for i in range(24)) + "\n2020-01-01" + ",1" * 24,
        "time,a,b\n1,2,3",
        "country," + ",".join(map(str, range(1960, 2024))) + "\nA" + ",1" * 64,
        "1,2,3\n4,5,6",
    ],
)
def test_a_series_is_no_image(text: str, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(text + "\n")
    assert not grey_csv.is_grey(tmp_path / "a.csv")
