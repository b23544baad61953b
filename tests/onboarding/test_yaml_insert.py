"""New entries in params.yaml: comments and layout stay, and what cannot be put in safely is said, not written."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from genfoundry.errors import UserError
from genfoundry.onboarding.yaml_insert import insert_entries

ROOT = Path(__file__).parents[2]
NEW = {
    "datasets": {
        "mine": {"modality": "text", "raw": {"path": "a: b"}, "alphabet": "\n \"'{}#:é", "rates": [1e-4, 0.5]}
    },
    "tasks": {"mine-density": {"dataset": "mine", "levels": None}},
    "experiments": {"x-mine": {"hyper": {"first": {"low": 1}, "second": {"low": 1}}, "long": "x" * 99}},
}


@pytest.mark.parametrize("file", ["params.yaml", "tests/smoke/params.yaml"])
def test_every_old_line_stays_and_every_value_is_there(file: str) -> None:
    text = (ROOT / file).read_text()
    new = insert_entries(text, NEW)
    old, now = yaml.safe_load(text), yaml.safe_load(new)
    for section, entries in NEW.items():
        assert now[section] == {**old[section], **entries}
        assert list(now[section])[-1] == list(entries)[-1]
    lines = iter(new.splitlines())
    assert all(line in lines for line in text.splitlines())  # in order
    twice = insert_entries(new, {"datasets": {"other": {"a": 1}}})
    assert yaml.safe_load(twice)["datasets"].keys() == {*now["datasets"], "other"}


def test_empty_sections_comments_and_no_last_newline() -> None:
    text = "seed: 1\ndatasets: {}  # mine\n\n# tasks\ntasks:\n\n# experiments\nexperiments:\n  a: {b: 1}"
    new = insert_entries(text, NEW)
    assert new.startswith("seed: 1\ndatasets:  # mine\n  mine: {modality: text")
    assert (
        "\n\n# tasks\ntasks:\n  mine-density:" in new
        and "\n\n# experiments\nexperiments:\n  a: {b: 1}\n  x-mine" in new
    )


@pytest.mark.parametrize(
    "text", ["{datasets: {}, tasks: {}, experiments: {}}", "datasets: {a: {}}\ntasks:\nexperiments:\n"]
)
def test_another_layout_is_refused_with_what_to_write(text: str) -> None:
    with pytest.raises(UserError, match=r"write by hand:\n(.*\n)*datasets:\n  mine:"):
        insert_entries(text, NEW)


def test_a_section_that_the_file_has_not_had() -> None:
    """`judges` is optional: it is made for the first entry, and not for none."""
    text = "seed: 1\ndatasets:\n  a: {b: 1}\n"
    assert insert_entries(text, {"datasets": {"c": {"d": 1}}, "judges": {}}) == text + "  c: {d: 1}\n"
    assert insert_entries(text, {"judges": {"a": {"d": 1}}}) == text + "\njudges:\n  a: {d: 1}\n"
