"""Pairs as editors and spreadsheets write them: read right, or one line that says what decides."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from raw_folders import pairs

from genfoundry.data.dataset import Dataset
from genfoundry.data.readers import tsv
from genfoundry.errors import UserError

PAIRS = [("olde", "old"), ("fame, he", 'he "said" no'), ("b", "a b")]


def written(path: Path, content: str | bytes) -> Path:
    (path / "a.tsv").write_bytes(content if isinstance(content, bytes) else content.encode())
    return path / "a.tsv"


def joined(cells: list[tuple[str, str]], end: str = "\n") -> str:
    return "".join(f"{a}\t{b}{end}" for a, b in cells)


def excel(text: str) -> str:
    """As a spreadsheet writes it."""
    return '"' + text.replace('"', '""') + '"' if "," in text or '"' in text else text


FORMS: dict[str, str | bytes] = {
    "plain": joined(PAIRS),
    "Windows": joined(PAIRS, "\r\n"),
    "carriage returns": joined(PAIRS, "\r"),
    "UTF-16": joined(PAIRS).encode("utf-16"),
    "mark": b"\xef\xbb\xbf" + joined(PAIRS).encode(),
    "a spreadsheet's quotes": joined([(excel(a), excel(b)) for a, b in PAIRS]),
    "all quoted": joined([('"' + a.replace('"', '""') + '"', '"' + b.replace('"', '""') + '"') for a, b in PAIRS]),
}


@pytest.mark.parametrize("form", FORMS)
def test_the_same_pairs_in_many_forms(form: str, tmp_path: Path) -> None:
    assert [pair for _, pair in tsv.read_tsv(written(tmp_path, FORMS[form])).pairs] == PAIRS


def test_quotes_of_the_text_stay(tmp_path: Path) -> None:
    own = [('"Yes."', '"Oui."'), ('He said "no".', "Non."), ("a", "b")]
    assert [pair for _, pair in tsv.read_tsv(written(tmp_path, joined(own))).pairs] == own
    some = [('"Yes."', '"Oui."'), ("a, b", "c")]
    read = tsv.read_tsv(written(tmp_path, joined(some)))
    assert [pair for _, pair in read.pairs] == some and "taken as part of the text" in read.notes[0]
    with pytest.raises(
        UserError, match=r"a.tsv:1: expected a spreadsheet's quotes in all or none, got .* and .*He said"
    ):
        tsv.read_tsv(written(tmp_path, joined([('"a ""b"" c"', "d"), *own[1:]])))


@pytest.mark.parametrize(
    "names", [("source", "target"), ("en", "de"), ("English", "German"), ("sentence1", "sentence2")]
)
def test_a_line_of_names_is_never_a_pair_in_silence(names: tuple[str, str], tmp_path: Path) -> None:
    path = written(tmp_path, joined([names, *PAIRS]))
    with pytest.raises(UserError, match=r"a.tsv:1: .* may name the columns; header: true .*, header: false"):
        tsv.read_tsv(path)
    assert [pair for _, pair in tsv.read_tsv(path, True).pairs] == PAIRS
    assert [pair for _, pair in tsv.read_tsv(path, False).pairs] == [names, *PAIRS]


@pytest.mark.parametrize("first", [("olde", "old"), ("textile", "text"), ("en", "en"), ("the source", "target")])
def test_words_that_are_no_names(first: tuple[str, str], tmp_path: Path) -> None:
    assert tsv.read_tsv(written(tmp_path, joined([first]))).pairs[0][1] == first


def test_an_inbox_has_the_same_first_line(tmp_path: Path, prepare: Callable[..., Dataset]) -> None:
    for folder in ("raw", "inbox"):
        (tmp_path / folder).mkdir()
    body = [(f"olde {i}", f"old {i}") for i in range(60)]
    written(tmp_path / "raw", joined([("olde spelling", "new spelling"), *body]))
    with pytest.raises(UserError, match=r"raw/a.tsv:1: expected a (source|target) of up to"):
        prepare(pairs(window=9, context=9))
    written(tmp_path / "inbox", joined([("b", "a")]))
    with pytest.raises(
        UserError, match=r"inbox/a.tsv:1: expected the names 'olde spelling' and 'new spelling', got 'b'"
    ):
        prepare(pairs(header=True))
    written(tmp_path / "inbox", joined([("olde spelling", "new spelling"), ("b", "a")]))
    assert sum(prepare(pairs(header=True)).meta["counts"].values()) == 61


REFUSED = {
    "three columns": ("a\tb\tc\n", r"a.tsv:1: .*got 2 tabs; .*two of the 3 columns"),
    "commas": ("a,b\n", r"a.tsv:1: .*got 0 tabs; .*not a comma"),
    "NUL": ("a\tb\nc\0\td\n", r"a.tsv:2: a NUL character"),
    "Latin-1": (b"a\t\xe9\n", r"a.tsv: byte 2 is not UTF-8 \(line 1\)"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_no_pair(case: str, tmp_path: Path) -> None:
    content, says = REFUSED[case]
    with pytest.raises(UserError, match=says) as refused:
        tsv.read_tsv(written(tmp_path, content))
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("a", r"expected 4 different sources or more, got 1 in 60 pairs; pairs of one source go to one split"),
        ("{i}", "got line numbers in the first column"),
    ],
)
def test_sources_that_are_none(source: str, says: str, tmp_path: Path, prepare: Callable[..., Dataset]) -> None:
    (tmp_path / "raw").mkdir()
    written(tmp_path / "raw", joined([(source.format(i=i), f"a {i}") for i in range(1, 61)]))
    with pytest.raises(UserError, match=says):
        prepare(pairs())
