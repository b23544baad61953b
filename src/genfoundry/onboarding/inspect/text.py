"""Alphabet and lengths of texts and of pairs of texts."""

from __future__ import annotations

import unicodedata
from collections import Counter
from pathlib import Path

from genfoundry.data.alphabet import UNKNOWN
from genfoundry.data.readers import documents, numerals, times, tsv
from genfoundry.errors import UserError
from genfoundry.onboarding.inspect.result import Inspection, choose_split_shares

DOCUMENTS = 40  # or more go to splits as wholes: five to each held-out one leave train most of them
LEAST = 8  # lines: a split with nothing in it is then unlikely


def inspect_text(folder: Path, paths: list[Path]) -> Inspection:
    """Many documents of like size go to splits as wholes; a few are cut into paragraphs, or else lines.

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
    unit = next((name for name in ("document", "paragraph") if enough[name]), "line")
    alphabet = _alphabet(Counter(c for document in texts for c in document), folder, UNKNOWN)
    window = 128 if total >= 200_000 else 64 if total >= 20_000 else 32
    said = [f"{len(texts)} documents, {total} characters, {len(alphabet)} different ones", *_unusual(alphabet),
            f"unit: {unit}: {units[unit]} of them are spread over the splits; window: {window} characters"]  # fmt: skip
    more = {} if unit == "document" else {"unit": unit}
    return Inspection({"split": choose_split_shares(units[unit]), **more, "window": window, "alphabet": alphabet}, said)


def _alphabet(counts: Counter[str], where: Path, most: int) -> str:
    if len(counts) > most:
        rare = "".join(character for character, _ in counts.most_common()[: most - 1 : -1])[:20]
        raise UserError(
            f"{where}: {len(counts)} different characters, but up to {most}; replace rare ones such as {rare!r}"
        )
    return "".join(sorted(counts))


def inspect_pairs(folder: Path, paths: list[Path]) -> Inspection:
    """Room for the longest source and target, rounded up.

    Raises:
        UserError: a line is no pair, or more different characters than a code has values.
    """
    named = [path for path in paths if _named(path)]
    if bare := [path for path in paths if named and path not in named]:
        raise UserError(
            f"{bare[0]}:1: no names of columns, but {named[0].name} has some; give all such a line, or none"
        )
    header, first = bool(named), tsv.read_tsv(paths[0], bool(named)).header
    read = [tsv.read_tsv(path, header, first) for path in paths]
    _no_series(paths[0], read[0])
    found = [pair for file in read for _, pair in file.pairs]
    if not found:
        raise UserError(f"{folder}: no pairs in {paths[0].name}")
    source, target = (max(len(pair[side]) for pair in found) for side in (0, 1))
    alphabet = _alphabet(Counter(c for pair in found for c in "".join(pair)), folder, UNKNOWN - 1)
    room = {"window": -(-(target + 1) // 16) * 16, "context": -(-source // 16) * 16}
    said = [f"{len(found)} pairs, sources up to {source} and targets up to {target} characters, "
            f"{len(alphabet)} different ones", *_unusual(alphabet),
            *dict.fromkeys(note for file in read for note in file.notes),
            *(f"header: true: {a!r} and {b!r} name the columns and are left out" for a, b in _headers(read)),
            f"window: {room['window']}, context: {room['context']}"]  # fmt: skip
    more = {"header": True} if header else {}
    return Inspection(
        {"split": choose_split_shares(len({source for source, _ in found})), **more, **room, "alphabet": alphabet}, said
    )


def _no_series(path: Path, file: tsv.Tsv) -> None:
    """Refuse dates and numbers below whatever names them: a series with tabs is no text to be translated."""
    rows = [pair for _, pair in file.pairs[1:]]
    if rows and all(times.is_date(source) and numerals.possible_marks(target) for source, target in rows):
        raise UserError(f"{path}: dates and numbers, a series; .csv files are read as series: rename it")


def _named(path: Path) -> bool:
    """Whether the first line of a file of pairs may name the columns."""
    first = tsv.read_tsv(path, False).pairs[:1]
    return bool(first) and tsv.names_columns(first[0][1])


def _headers(files: list[tsv.Tsv]) -> list[tsv.Pair]:
    return list(dict.fromkeys(file.header for file in files if file.header is not None))


def _unusual(alphabet: str) -> list[str]:
    """What a person does not see in a text, but a model learns."""
    hidden = [
        f"U+{ord(c):04X}" for c in alphabet if unicodedata.category(c) in ("Cc", "Cf", "Zl", "Zp") and c not in "\n\t"
    ]
    marks = [f"U+{ord(c):04X}" for c in alphabet if unicodedata.combining(c)]
    said = [f"invisible characters are part of the text: {', '.join(hidden)}; replace them if they are not meant"]
    said = said if hidden else []
    if marks:
        said.append(
            f"letters and their marks are apart ({', '.join(marks[:5])}); normalise the text (NFC) if that is not meant"
        )
    return said
