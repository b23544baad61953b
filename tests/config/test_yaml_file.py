"""One reader for what people write into params.yaml and for what DVC writes into it; every slip is one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from dvc.utils.serialize import dumps_yaml

from genfoundry import config
from genfoundry.config import yaml_file
from genfoundry.errors import UserError
from pipeline.orchestration import resolve

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "params.yaml").read_text()


def test_the_projects_own_is_read_as_before() -> None:
    assert yaml_file.parse_yaml(TEXT) == yaml.safe_load(TEXT)


@pytest.mark.parametrize(
    "value", [1e-5, 0.0001, 1e20, 2.5, 1e-12, 3, "1e-5", "no such", "2020-01-01", "010", None, True]
)
def test_what_dvc_writes_is_read_as_it_was_set(value: Any) -> None:
    """`dvc exp run -S key=0.00001` writes 1e-05, which is a string to YAML 1.1."""
    assert yaml_file.parse_yaml(dumps_yaml({"key": value}), "params.yaml") == {"key": value}


@pytest.mark.parametrize("value", ["1e-5", "1e5", "2020-01-01", "no", "010", "a: b", "0x1", "é\n"])
def test_what_init_writes_is_read_as_it_was(value: str) -> None:
    assert yaml_file.parse_yaml(yaml_file.to_flow_yaml({"key": [value]})) == {"key": [value]}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-05", 1e-5),
        ("1e4", 1e4),
        ("-2E+3", -2000.0),
        (".5e1", 5.0),
        ("-.5", -0.5),
        ("+.5", 0.5),
        ("'1e-05'", "1e-05"),
        ("2020-01-01", "2020-01-01"),
    ],
)
def test_numbers(text: str, value: object) -> None:
    assert yaml_file.parse_yaml(f"a: {text}") == {"a": value}


SLIPS = {
    "a key twice": ("seed: 1\nseed: 2\n", ":2: seed appears twice, in lines 1 and 2"),
    "deep": ("tasks:\n  a:\n    margin: 1\n    margin: 2\n", ":4: tasks.a.margin appears twice, in lines 3 and 4"),
    "in braces": ("a: {b: 1, c: 2,\n b: 3}", ":2: a.b appears twice, in lines 1 and 2"),
    "quoted and not": ("'a': 1\na: 2\n", ":2: a appears twice"),
    "a merge twice": ("a: &a {x: 1}\nb:\n  <<: *a\n  <<: *a\n", ":4: b.<< appears twice"),
    "a number as a name": ("datasets:\n  2020: {}\n", ":2: datasets.2020: YAML reads this name as a number; rename it"),
    "in quotes": ("datasets: {'2020': {}}\n", ":1: datasets.2020: YAML reads this name as a number"),
    "no": ("tasks: {no: {}}\n", ":1: tasks.no: YAML reads this name as true or false; rename it, such as data-no"),
    "a date": ("datasets: {2020-01-01: {}}", "YAML reads this name as a date"),
    "1e3": ("experiments: {1e3: {}}", "YAML reads this name as a number"),
    "null": ("experiments: {null: {}}", "YAML reads this name as nothing"),
    "a dot": ("datasets: {a.b: {}}", "expected a name of letters, digits, - and _"),
    "octal or not": ("a:\n  window: 010\n", ":2: a.window: 010 is read as octal by YAML 1.1 and as decimal by 1.2"),
    "base 60": ("a: 1:30\n", ":1: a: 1:30 is read as a number to the base 60; put it in quotes"),
    "a decimal comma": ("a: {b: 0,5}\n", ":1: a.5: expected a decimal point, got a comma"),
    "too large": ("a: 1e400\n", ":1: a: expected a finite number, got 1e400"),
    "an odd name": ("tasks: {~: {}}\n", ":1: tasks.~: YAML reads this name as nothing; rename it, such as data-mine"),
    "base 60 as a name": ("tasks:\n  1:30: {}\n", ":2: tasks.1:30: .* such as data-1-30"),
    "infinite": ("a: .inf\n", ":1: a: expected a finite number, got .inf"),
    "a tab": ("a:\n\tb: 1\n", ":2: not YAML: .* a tab; indent with spaces"),
    "indentation": ("a: 1\n b: 2\n", ":2: not YAML: .* in 'b: 2'; check the indentation"),
    "an object": ("a: !!python/object:os.system {}\n", ":1: not YAML: could not determine a constructor"),
    "an anchor that is not there": ("a: *b\n", ":1: not YAML: found undefined alias"),
    "an alias of itself": ("a: &a\n  b: *a\n", "a.b: expected no alias inside what it names"),
    "two documents": ("a: 1\n---\nb: 1\n", ":2: not YAML: .*another document"),
}


@pytest.mark.parametrize("slip", SLIPS)
def test_a_slip_is_one_line(slip: str) -> None:
    text, says = SLIPS[slip]
    with pytest.raises(UserError, match=f"^params.yaml{says if says.startswith(':') else '.*' + says}") as refused:
        yaml_file.parse_yaml(text)
    assert "\n" not in str(refused.value)


def test_an_experiment_that_stands_twice(tmp_path: Path) -> None:
    """Never a plan that shows the second one only."""
    path = tmp_path / "params.yaml"
    entry = "  linear-sunspots: {dataset: sunspots, task: sunspots-forecast, model: linear_ar}\n"
    path.write_text(TEXT + entry)
    first, second = (
        number for number, line in enumerate(path.read_text().splitlines(), 1) if "linear-sunspots:" in line
    )
    says = rf"params.yaml:{second}: experiments.linear-sunspots appears twice, in lines {first} and {second}"
    with pytest.raises(UserError, match=says):
        resolve.load_params(path)


def test_a_file_of_another_encoding(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    for code in ("utf-8-sig", "utf-8"):
        path.write_bytes(TEXT.replace("\n", "\r\n").encode(code))
        assert resolve.load_params(path).seed == 20
    for code, says in (("utf-16", "got UTF-16; save it as UTF-8"), ("latin-1", "is not UTF-8")):
        path.write_bytes(TEXT.replace("# Read", "# é").encode(code))
        with pytest.raises(UserError, match=says):
            resolve.load_params(path)


WRONG = {
    "raw": ({"pth": "x"}, ["raw.pth: unknown key; did you mean 'path'? allowed: path"]),
    "raw of nothing": (5, ["raw: expected a valid string, got 5"]),
    "raw of files": ({"files": [{"name": "a"}]}, ["raw.files.0.sha256: missing", "raw.files.0.places: missing"]),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_union_says_what_was_meant(case: str) -> None:
    """Not what each of its other members would miss."""
    value, says = WRONG[case]
    with pytest.raises(UserError) as refused:
        config.check(config.Dataset, {"modality": "text", "raw": value}, "datasets.x")
    lines = str(refused.value).splitlines()
    assert len(lines) == len(says), lines
    assert all(f"datasets.x.{words}" in line for words, line in zip(says, lines, strict=True))
    assert not any("Folder" in line or "Files" in line for line in lines)


def test_steps_of_another_type() -> None:
    entry = {"dataset": "d", "task": "t", "model": "m", "steps": {"smoke": {"fit": "x"}, "quick": 1.5}}
    with pytest.raises(UserError) as refused:
        config.check(config.Entry, entry, "experiments.x")
    first, second = str(refused.value).splitlines()
    assert (
        "experiments.x.steps.smoke.fit: expected a valid integer, got 'x'" in first
        and "experiments.x.steps.quick: expected a valid integer" in second
    )


VALUES = {
    "negative steps": (
        "steps: {smoke: 120}",
        "steps: {smoke: -1}",
        "steps.smoke: expected a number greater than or equal to 0, got -1",
    ),
    "a float": ("threads: 1\n", "threads: 1e1\n", "threads: expected a valid integer, got 10.0; write 10$"),
    "not quoted": ("threads: 1\n", "threads: inf\n", "threads: expected a valid integer, got 'inf'$"),
    "too many threads": ("threads: 1\n", "threads: 99999999999999999999\n", "less than or equal to 1024"),
    "one bound": ("values: [0, 400]", "values: [0]", "sunspots.expect.values: expected a list of 2, got 1 values"),
    "bounds swapped": (
        "values: [0, 400]",
        "values: [400, 0]",
        r"values: expected \[lowest, highest\], got \[400.0, 0.0\]",
    ),
    "shares": ("test: 0.2}", "test: 0.9}", "sunspots.split: expected shares below 1 in all, .*, got 1.2"),
}


@pytest.mark.parametrize("case", VALUES)
def test_a_value_that_cannot_be_is_one_line(case: str, tmp_path: Path) -> None:
    old, new, says = VALUES[case]
    path = tmp_path / "params.yaml"
    path.write_text((ROOT / "tests/smoke/params.yaml").read_text().replace(old, new, 1))
    with pytest.raises(UserError, match=says) as refused:
        resolve.load_params(path)
    assert "\n" not in str(refused.value)
