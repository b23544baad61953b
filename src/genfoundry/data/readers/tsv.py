"""Files of pairs: a source, a tab and a target a line, as editors and spreadsheets write them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from genfoundry.errors import UserError
from genfoundry.files import decode_text, split_lines

Pair = tuple[str, str]
LANGUAGES = (
    "ar|bg|bn|ca|cs|cy|da|de|el|en|es|et|eu|fa|fi|fr|ga|gl|gu|he|hi|hr|hu|hy|id|is|it|ja|ka|ko|la|lt|lv|mk|mr|ms|mt|nl|"
    "no|pl|pt|ro|ru|sk|sl|sq|sr|sv|sw|ta|te|th|tr|uk|ur|vi|zh|english|german|french|spanish|italian|dutch|russian|"
    "chinese|japanese|portuguese|deutsch|englisch|francais|latin|greek|arabic|hebrew|turkish|polish|korean|hindi|swedish"
)
WORDS = (
    "source|target|src|tgt|trg|input|output|question|answer|query|response|prompt|completion|original|translation|"
    "translated|reference|hypothesis|text|sentence|label|article|summary|complex|simple|simplified|noisy|clean|"
    "incorrect|correct|informal|formal|premise|quelle|ziel"
)
NAME = re.compile(rf"(?:{WORDS})(?:[ _-]?\d|[ _-]\w+)?|(?:{LANGUAGES})(?:[-_]\w+)?", re.IGNORECASE)


@dataclass(frozen=True)
class Tsv:
    """(line number, (source, target)) of each pair, the line of names if it is left out, and what is unusual."""

    pairs: list[tuple[int, Pair]]
    header: Pair | None = None
    notes: tuple[str, ...] = ()


def read_tsv(path: Path, header: bool | None = None, expected: Pair | None = None) -> Tsv:
    """Read the pairs of a file, blanks around either side cut off; empty lines are none.

    Args:
        path: .tsv, in UTF-8 or UTF-16, with line ends of any system.
        header: whether the first line names the columns; None: a line that may do so is refused.
        expected: the names that another file of the data set has; a line that may not be names is then refused.

    Raises:
        UserError: not text, a line that is not two texts with a tab between, or a first line of two meanings.
    """
    rows = []
    for number, line in enumerate(split_lines(decode_text(path, path.read_bytes())), start=1):
        if line.strip():
            rows.append((number, _split_line(path, number, line)))
    rows, notes = _strip_quotes(path, rows)
    for number, sides in rows:
        if not all(sides):
            raise UserError(f"{path}:{number}: expected a {'source' if not sides[0] else 'target'}, got an empty one")
    # After the quotes are off: a spreadsheet may quote its header, too
    first = rows[0][1] if rows else None
    if first is not None and header is None and names_columns(first):
        raise UserError(
            f"{path}:{rows[0][0]}: {first[0]!r} and {first[1]!r} may name the columns; header: true in the data set's "
            "entry leaves the line out, header: false takes it as a pair"
        )
    if not header or first is None:
        return Tsv(rows, None, notes)
    # A file with its columns swapped would train a model on targets as sources
    if expected is not None and first == expected[::-1] != expected:
        raise UserError(
            f"{path}:{rows[0][0]}: expected {first[1]!r} before {first[0]!r}, as in another file, got the reverse"
        )
    if expected is not None and first != expected and not names_columns(first):
        raise UserError(
            f"{path}:{rows[0][0]}: expected the names {expected[0]!r} and {expected[1]!r}, got {first[0]!r}"
        )
    return Tsv(rows[1:], first, notes)


def names_columns(pair: Pair) -> bool:
    """Whether both sides are words that name columns, such as `source` and `target`, or two languages."""
    return pair[0] != pair[1] and all(NAME.fullmatch(side) for side in pair)


def _split_line(path: Path, number: int, line: str) -> Pair:
    # The csv module would take a lone quote for the start of a cell of many lines
    sides = [side.strip() for side in line.split("\t")]
    if len(sides) == 2:
        return sides[0], sides[1]
    hint = ""
    if len(sides) > 2:
        hint = f"; choose two of the {len(sides)} columns, such as by `cut -f1,2`"
    elif "," in line or ";" in line:
        hint = "; a tab, not a comma or semicolon, goes between the two"
    raise UserError(f"{path}:{number}: expected a source, one tab and a target, got {len(sides) - 1} tabs{hint}")


def _strip_quotes(path: Path, rows: list[tuple[int, Pair]]) -> tuple[list[tuple[int, Pair]], tuple[str, ...]]:
    """Without the quotes that a spreadsheet puts around a text with quotes or commas in it, doubling those within.

    Quotes are a text's own unless the whole file is written so.
    """
    cells = [side for _, pair in rows for side in pair]
    quoted = [cell for cell in cells if _is_quoted(cell)]
    if not quoted:
        return rows, ()
    bare = [cell for cell in cells if '"' in cell and not _is_quoted(cell)]
    doubled = [cell for cell in quoted if '""' in cell[1:-1]]
    if doubled and bare:
        number = next(number for number, pair in rows if doubled[0] in pair)
        raise UserError(
            f"{path}:{number}: expected a spreadsheet's quotes in all or none, got {doubled[0]!r} and {bare[0]!r}"
        )
    # Spreadsheets quote what holds a comma and nothing else: quotes on exactly these cells are theirs
    commas = all("," in cell for cell in quoted) and len(quoted) == sum("," in cell for cell in cells)
    if bare or not (doubled or commas or len(quoted) == len(cells)):
        return rows, (f"{len(quoted)} sides stand in quotes, which are taken as part of the text",)
    plain = [(number, (_unquote(pair[0]), _unquote(pair[1]))) for number, pair in rows]
    return plain, (f"{len(quoted)} sides stand in a spreadsheet's quotes, which are taken off",)


def _is_quoted(cell: str) -> bool:
    return len(cell) > 1 and cell[0] == cell[-1] == '"' and '"' not in cell[1:-1].replace('""', "")


def _unquote(cell: str) -> str:
    return cell[1:-1].replace('""', '"').strip() if _is_quoted(cell) else cell
