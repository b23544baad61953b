"""dvc.lock in the plan's order: DVC writes a stage where it finds room, so that the order of runs would show in it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from genfoundry import files

BLOCK = re.compile(r"(?m)^(?=  \S)")  # a stage's lines begin with its name, two spaces in
NAME = re.compile(r"  (?:'([^'\n]+)'|\"([^\"\n]+)\"|([^\s'\"][^\n]*)):\n")  # YAML quotes what is no plain string


def sort_stages(root: Path, names: Iterable[str]) -> None:
    """Put the stages of dvc.lock into the order of `names`, others behind them; every block of lines stays as it is.

    A file that is not as DVC writes it (merge markers, comments) is left alone.
    """
    path = root / "dvc.lock"
    head, *blocks = BLOCK.split(path.read_text(encoding="utf-8")) if path.exists() else [""]
    matches = [NAME.match(block) for block in blocks]
    if not head.endswith("stages:\n") or None in matches:
        return
    keys = [next(filter(None, match.groups())) for match in matches if match]
    rank = {name: number for number, name in enumerate(names)}
    order = sorted(range(len(keys)), key=lambda number: rank.get(keys[number], len(rank)))
    if order != sorted(order):
        files.write_bytes(path, (head + "".join(blocks[number] for number in order)).encode())
