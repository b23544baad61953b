"""Inputs and operations as people have them: does each end as it should?

    python bench/cases.py FOLDER [NAME ...] [--logs FOLDER] [--limit SECONDS]

FOLDER holds a folder a case, each with a `run.sh` that clones the checkout named by PROJECT, uses the environment named
by VENV, works below RUNS, and prints each command and its exit status. Prints a row a case: its seconds, and "ok" or
what is wrong: a pattern of cases.yaml that the output lacks or must not have, a Python traceback, the time limit.
Exit status 1 where a case is wrong.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]
EXPECTED = Path(__file__).with_name("cases.yaml")
TRACEBACK = "Traceback"  # of a Python program's: none is expected unless a case says so


def main() -> int:
    """Run the cases and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("names", nargs="*", help="cases whose names contain one of these (default: all)")
    parser.add_argument("--logs", type=Path, help="folder to keep each case's output in")
    parser.add_argument("--limit", type=float, default=900.0, help="seconds that a case may take")
    options = parser.parse_args()
    expected = yaml.safe_load(EXPECTED.read_text(encoding="utf-8"))
    cases = [path.parent for path in sorted(options.folder.resolve().glob("*/run.sh"))]
    cases = [case for case in cases if not options.names or any(name in case.name for name in options.names)]
    wrong = 0
    for case in cases:
        began = time.perf_counter()
        output, finished = run(case, options.limit)
        if options.logs:
            options.logs.mkdir(parents=True, exist_ok=True)
            (options.logs / f"{case.name}.log").write_text(output, encoding="utf-8")
        faults = find_faults(output, expected.get(case.name, {}))
        faults += [] if finished else [f"not finished after {options.limit:.0f} s"]
        wrong += bool(faults)
        print(f"{case.name:34} {time.perf_counter() - began:6.0f} s  {'; '.join(faults) or 'ok'}", flush=True)
    print(f"{len(cases) - wrong} of {len(cases)} cases end as they should")
    return int(bool(wrong))


def run(case: Path, limit: float) -> tuple[str, bool]:
    """What a case prints, and whether it ended in time."""
    with tempfile.TemporaryDirectory(prefix="genfoundry-cases-") as runs:
        environment = {**os.environ, "PROJECT": str(ROOT), "VENV": sys.prefix, "RUNS": runs}
        output = Path(runs, "output")
        with output.open("w") as file:
            command = ["timeout", "--kill-after=30", str(limit), "bash", str(case / "run.sh")]
            status = subprocess.run(command, env=environment, stdout=file, stderr=subprocess.STDOUT).returncode
        return output.read_text(encoding="utf-8", errors="replace"), status not in (124, 137)


def find_faults(output: str, expected: dict[str, Any]) -> list[str]:
    """What is wrong with a case's output: `must` and `never` are regular expressions, `times` how often one occurs."""
    faults = [
        f"lacks /{pattern}/" for pattern in expected.get("must", []) if not re.search(pattern, output, re.MULTILINE)
    ]
    faults += [f"has /{pattern}/" for pattern in expected.get("never", []) if re.search(pattern, output, re.MULTILINE)]
    for pattern, times in {TRACEBACK: 0, **expected.get("times", {})}.items():
        if (count := len(re.findall(pattern, output))) != times:
            faults.append(f"has /{pattern}/ {count} times, not {times}")
    return faults


if __name__ == "__main__":
    sys.exit(main())
