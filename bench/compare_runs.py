"""Compare the numbers of two finished runs: `python bench/compare_runs.py BEFORE AFTER` (two repositories' roots).

Every figure of every experiment, baseline and ranking, and every tuned setting: for changes of the machinery, which
must not change a number. A line a difference; exit status 1 if there is any.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

CARDS = ("reports/scores/*/*/card.json", "reports/baselines/*/card.json", "reports/ranking/*.json",
         "reports/tuning/*/overlay.json", "reports/tuning/*/summary.json", "reports/leaderboard.json")  # fmt: skip


def numbers(value: Any, path: str = "") -> Iterator[tuple[str, float]]:
    """Dotted path and value of every number in a JSON value."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from numbers(inner, f"{path}.{key}")
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from numbers(inner, f"{path}[{index}]")
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield path, float(value)


def read(root: Path) -> dict[str, float]:
    """Every number of a run, by file and key."""
    files = [path for pattern in CARDS for path in sorted(root.glob(pattern))]
    return {f"{path.relative_to(root)}:{key}": value for path in files for key, value in numbers(_content(root, path))}


def _content(root: Path, path: Path) -> Any:
    """The value of a file; of an experiment's card of old, with the anchors that stood in reports/evaluation then."""
    content = json.loads(path.read_text(encoding="utf-8"))
    old = root / "reports/evaluation" / f"{path.parent.name}.json"
    if path.match("reports/scores/*/*/card.json") and "anchors" not in content and old.exists():
        flat = json.loads(old.read_text(encoding="utf-8"))
        content["anchors"] = {name: value for name, value in flat.items() if name not in content["figures"]["test"]}
    return content


def main(before: str, after: str) -> int:
    old, new = read(Path(before)), read(Path(after))
    lines = [f"{key}: {old.get(key, 'none')} -> {new.get(key, 'none')}" for key in sorted(old.keys() | new.keys())
             if old.get(key) != new.get(key)]  # fmt: skip
    print("\n".join([*lines, f"{len(old)} numbers before, {len(new)} after, {len(lines)} differ"]))
    return bool(lines)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:3]))
