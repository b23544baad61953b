"""Insertion of entries into params.yaml as text: comments and layout stay, and the result is read again to check it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from genfoundry.config import yaml_file
from genfoundry.errors import UserError


def insert_entries(text: str, sections: Mapping[str, Mapping[str, Any]]) -> str:
    """Append entries to their sections of a YAML text.

    Raises:
        UserError: the sections are not laid out as lines of their own; it says what to write by hand.
    """
    new, expected = text, yaml_file.parse_yaml(text)
    added = {section: entries for section, entries in sections.items() if entries}
    for section, entries in added.items():
        new = _append(new, section, "".join(format_entry(name, entry) for name, entry in entries.items()))
        expected[section] = {**(expected.get(section) or {}), **entries}
    # Text was edited by patterns, which no YAML file has to fit: the parser has the last word.
    if not _reads_as(new, expected):
        by_hand = "\n".join(f"{s}:\n" + "".join(format_entry(n, e) for n, e in es.items()) for s, es in added.items())
        raise UserError(f"params.yaml: sections are not laid out as lines of their own; write by hand:\n{by_hand}")
    return new


def format_entry(name: str, entry: Mapping[str, Any]) -> str:
    """The text of an entry: one line if it is short, else a line a key."""
    short = f"  {name}: {yaml_file.to_flow_yaml(entry)}\n"
    if len(short) <= 120:
        return short
    return f"  {name}:\n" + "".join(
        f"    {yaml_file.to_flow_yaml({key: value})[1:-1]}\n" for key, value in entry.items()
    )


def _append(text: str, section: str, lines: str) -> str:
    """Put lines after the section's last one that is not empty; comments before the next section belong to that one."""
    header = re.search(rf"(?m)^{section}:[ \t]*(\{{\}})?[ \t]*(#.*)?\n", text if text.endswith("\n") else text + "\n")
    if not header:  # an optional section that the file has not had so far
        return f"{text.rstrip()}\n\n{section}:\n{lines}"
    head = text[: header.start()] + re.sub(r"[ \t]*\{\}", "", header.group())
    body = text[header.end() :]
    last = 0
    for line in re.finditer(r"(?m)^.*\n?", body):
        if re.match(r"[^\s#]", line.group()):
            break
        if re.match(r"[ \t]+\S", line.group()):
            last = line.end()
    end = "" if body[:last].endswith("\n") or not last else "\n"
    return head + body[:last] + end + lines + body[last:]


def _reads_as(text: str, value: Mapping[str, Any]) -> bool:
    try:
        return bool(_plain(yaml_file.parse_yaml(text)) == _plain(value))
    except UserError:  # a section stands twice, or is put where YAML has none
        return False


def _plain(value: Any) -> Any:
    return {k: v or None for k, v in value.items()} if isinstance(value, dict) else value
