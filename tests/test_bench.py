"""Nothing is chosen on test: no bench measures on it, but for a final table that asks for it by name."""

from __future__ import annotations

import argparse
import ast
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).parent.parent / "bench"
ALLOWED = "held_out.py"  # declares `--split`
RUNS = "compare_runs.py"  # holds one run against another: every number, and no arms
sys.path.append(str(BENCH))


def mentions(text: str) -> list[int]:
    """Lines of a script that name the split: a string that is "test" or begins with "test/", an option's default."""
    return [
        node.lineno
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and (f"{node.value}/").startswith("test/")
    ]


@pytest.mark.parametrize("path", sorted(BENCH.glob("*.py")), ids=lambda path: path.name)
def test_no_bench_measures_on_test(path: Path) -> None:
    found = mentions(path.read_text(encoding="utf-8"))
    assert path.name in (ALLOWED, RUNS) or not found, f"{path}:{found}: arms are compared on val; see bench/{ALLOWED}"


def test_a_mention_is_found() -> None:
    assert mentions('split = data.split("test")\nx = scores["test/nll"]\ny = "a nearest-neighbour test"\n') == [1, 2]


def test_a_final_table_is_asked_for_by_name() -> None:
    import held_out

    parser = argparse.ArgumentParser()
    held_out.add_option(parser)
    assert parser.parse_args([]).split == "val"
    assert parser.parse_args(["--split", "test"]).split == "test"


@pytest.mark.parametrize("name", ["standard.py", "curve.py"])
def test_what_compares_arms_takes_its_split_from_that_option(name: str) -> None:
    text = (BENCH / name).read_text(encoding="utf-8")
    assert "held_out.add_option(parser)" in text and "options.split" in text
