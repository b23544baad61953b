"""Inspection of texts and of pairs of texts: alphabet, units of splitting and lengths."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from genfoundry.data.alphabet import UNKNOWN
from genfoundry.data.readers import documents, numerals, times, tsv
from genfoundry.errors import UserError
from genfoundry.onboarding.inspect.result import Inspection, choose_split_shares

DOCUMENTS = 40  # or more are each put into one split: five in each held-out one leave train most of them
LEAST = 8  # lines: an empty split is then unlikely


def inspect_text(folder: Path, paths: list[Path], given: Mapping[str, Any]) -> Inspection:
    """Choose the unit of splitting: of many documents of like size the document, else the paragraph, or else the line.

    Raises:
        UserError: not UTF-8, or more different characters than a code has values.
    """
    texts = [content for _, content in documents.read_documents(folder)]
    lengths = [len(document) for document in texts]
    total = sum(lengths)
    units = {unit: sum(len(documents.cut_units(d, unit)) for d in texts) for unit in ("document", "paragraph", "line")}
    if units["line"] < LEAST:
        raise UserError(
            f"{folder}: {units['line']} lines of text in all; a document, paragraph or line goes to one of four "
            "splits as a whole: break the text into lines"
        )
    enough = {
        "document": units["document"] >= DOCUMENTS and max(lengths) < 0.3 * total,
        "paragraph": units["paragraph"] >= 60,
    }
    # The largest unit that leaves enough of them: what is split within a unit leaks from train into test.
    unit = next((name for name in ("document", "paragraph") if enough[name]), "line")
    alphabet = _make_alphabet(Counter(c for document in texts for c in document), folder, UNKNOWN)
    window = 128 if total >= 200_000 else 64 if total >= 20_000 else 32
    notes = [f"{len(texts)} documents, {total} characters, {len(alphabet)} different ones", *_note_unusual(alphabet),
            f"unit: {unit}: {units[unit]} of them are spread over the splits; window: {window} characters"]  # fmt: skip
    entry = {"split": choose_split_shares(units[unit])} | ({} if unit == "document" else {"unit": unit})
    return Inspection({**entry, "window": window, "alphabet": alphabet}, notes)


def _make_alphabet(counts: Counter[str], where: Path, most: int) -> str:
    if len(counts) > most:
        rare = "".join(character for character, _ in counts.most_common()[: most - 1 : -1])[:20]
        raise UserError(
            f"{where}: {len(counts)} different characters, but up to {most}; replace rare ones such as {rare!r}"
        )
    return "".join(sorted(counts))


def inspect_pairs(folder: Path, paths: list[Path], given: Mapping[str, Any]) -> Inspection:
    """Choose a window and a context that hold the longest target and source, rounded up.

    Raises:
        UserError: a line is no pair, or more different characters than a code has values.
    """
    named = [path for path in paths if _has_names(path)]
    if bare := [path for path in paths if named and path not in named]:
        raise UserError(
            f"{bare[0]}:1: no names of columns, but {named[0].name} has some; give all such a line, or none"
        )
    header, first = bool(named), tsv.read_tsv(paths[0], bool(named)).header
    files = [tsv.read_tsv(path, header, first) for path in paths]
    _refuse_series(paths[0], files[0])
    numbered = [pair for file in files for _, pair in file.pairs]
    if not numbered:
        raise UserError(f"{folder}: no pairs in {paths[0].name}")
    source, target = (max(len(pair[side]) for pair in numbered) for side in (0, 1))
    alphabet = _make_alphabet(Counter(c for pair in numbered for c in "".join(pair)), folder, UNKNOWN - 1)
    headers = dict.fromkeys(file.header for file in files if file.header is not None)
    # One more than the longest target, for its end.
    room = {"window": -(-(target + 1) // 16) * 16, "context": -(-source // 16) * 16}
    notes = [f"{len(numbered)} pairs, sources up to {source} and targets up to {target} characters, "
            f"{len(alphabet)} different ones", *_note_unusual(alphabet),
            *dict.fromkeys(note for file in files for note in file.notes),
            *(f"header: true: {a!r} and {b!r} name the columns and are left out" for a, b in headers),
            f"window: {room['window']}, context: {room['context']}"]  # fmt: skip
    entry = {"split": choose_split_shares(len({source for source, _ in numbered}))}  # pairs of one source share a split
    return Inspection({**entry, **({"header": True} if header else {}), **room, "alphabet": alphabet}, notes)


def _refuse_series(path: Path, file: tsv.Tsv) -> None:
    """Refuse dates and numbers below a header: a series with tabs is no text to be translated."""
    rows = [pair for _, pair in file.pairs[1:]]
    if rows and all(times.is_date(source) and numerals.possible_marks(target) for source, target in rows):
        raise UserError(f"{path}: dates and numbers, a series; .csv files are read as series: rename it")


def _has_names(path: Path) -> bool:
    """Whether the first line of a file of pairs may name the columns."""
    first = tsv.read_tsv(path, False).pairs[:1]
    return bool(first) and tsv.names_columns(first[0][1])


def _note_unusual(alphabet: str) -> list[str]:
    """A line for characters that a person does not see, but a model learns."""
    hidden = [
        f"U+{ord(c):04X}" for c in alphabet if unicodedata.category(c) in ("Cc", "Cf", "Zl", "Zp") and c not in "\n\t"
    ]
    marks = [f"U+{ord(c):04X}" for c in alphabet if unicodedata.combining(c)]
    notes = [f"invisible characters are part of the text: {', '.join(hidden)}; replace them if they are not meant"]
    notes = notes if hidden else []
    if marks:
        notes.append(
            f"letters and their marks are apart ({', '.join(marks[:5])}); normalise the text (NFC) if that is not meant"
        )
    return notes
