"""The reader of every YAML file: the same values for what people write and for what DVC writes into it.

YAML 1.1, which PyYAML reads, and YAML 1.2, which DVC writes, differ: 1e-05 is a number in one of them alone. What
both read alike is accepted, 1e-05 is a number, dates are strings, and what they read as different numbers is refused;
so are duplicate keys and names that are no plain strings.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from genfoundry import files
from genfoundry.errors import UserError

BASE: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the C parser: the same values, several times as fast
FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)[eE][-+]?[0-9]+|[-+]\.[0-9]+")
DATE = "tag:yaml.org,2002:timestamp"
STRING, INTEGER, DECIMAL, MERGE = (f"tag:yaml.org,2002:{name}" for name in ("str", "int", "float", "merge"))
KINDS = {INTEGER: "a number", DECIMAL: "a number", DATE: "a date", "tag:yaml.org,2002:bool": "true or false"}
KINDS |= {"tag:yaml.org,2002:null": "nothing"}
NAMED = ("datasets", "tasks", "experiments")  # sections whose keys are file names and stages too
SHOWN = 60  # characters of a faulty line


class Loader(BASE):  # type: ignore[misc]
    """PyYAML's safe loader, with YAML 1.2's floats and without dates."""

    yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in patterns if tag != DATE]
        for first, patterns in BASE.yaml_implicit_resolvers.items()
    }


class Dumper(yaml.SafeDumper):
    """Without anchors: a value that appears twice is written twice. A string that YAML takes for more is quoted."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


for _resolver in (Loader, Dumper):
    _resolver.add_implicit_resolver(DECIMAL, re.compile(f"(?:{FLOAT.pattern})$"), list("-+.0123456789"))


def read_yaml(path: Path) -> Any:
    """Read a YAML file.

    Raises:
        UserError: not there, not UTF-8, not YAML, a key twice or a key that is no string; one line a fault.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}; run from the folder that holds it") from None
    if not (code := files.detect_encoding(content)).startswith("utf-8"):
        raise UserError(f"{path}: expected YAML in UTF-8, as DVC reads it, got {code.upper()}; save it as UTF-8")
    return parse_yaml(files.decode_text(path, content), path.name)


def parse_yaml(text: str, source: str = "params.yaml") -> Any:
    """Parse a YAML text; `source` names it in messages.

    Raises:
        UserError: as `read_yaml`.
    """
    loader = Loader(text)
    try:
        node = loader.get_single_node()
        if faults := list(_find_faults(node, "", set())) if node else []:
            raise UserError("\n".join(f"{source}:{fault}" for fault in faults))
        return loader.construct_document(node) if node else None
    except yaml.MarkedYAMLError as error:
        raise UserError(f"{source}{_locate(error, text)}") from None
    except (yaml.YAMLError, ValueError) as error:
        raise UserError(f"{source}: not YAML: {' '.join(str(error).split())}") from None
    finally:
        loader.dispose()


def parse_generated(text: str) -> Any:
    """Parse a YAML text that DVC wrote, such as dvc.lock: not checked for what people get wrong.

    Raises:
        UserError: it is damaged.
    """
    try:
        return yaml.load(text, BASE)
    except yaml.YAMLError as error:
        raise UserError(f"a .dvc file or dvc.lock is not readable as YAML: {' '.join(str(error).split())}") from None


def _locate(error: yaml.MarkedYAMLError, text: str) -> str:
    """Line, problem and what may help."""
    mark = error.problem_mark or error.context_mark
    if mark is None:
        return f": not YAML: {error.problem or error}"
    lines = files.split_lines(text)
    line = lines[mark.line] if mark.line < len(lines) else ""
    hint = "check the indentation, colons and quotes there and in the line before"
    if "\t" in line[: len(line) - len(line.lstrip())] or (line[mark.column :].startswith("\t")):
        hint = "a tab; indent with spaces"
    shown = f" in {line.strip()[:SHOWN]!r}" if line.strip() else ""
    return f":{mark.line + 1}: not YAML: {error.problem}{shown}; {hint}"


def _find_faults(node: yaml.Node, path: str, seen: set[int], above: tuple[int, ...] = ()) -> Iterator[str]:
    """Duplicate keys, keys that are no strings and ambiguous numbers: the line number and what is wrong."""
    if id(node) in above:
        yield f"{node.start_mark.line + 1}: {path}: expected no alias inside what it names"
    above = (*above, id(node))
    if id(node) in seen:  # an alias of what was looked at
        return
    seen.add(id(node))
    if isinstance(node, yaml.SequenceNode):
        for number, child in enumerate(node.value):
            yield from _find_faults(child, f"{path}[{number}]", seen, above)
    elif isinstance(node, yaml.ScalarNode) and (wrong := _number_fault(node)):
        yield f"{node.start_mark.line + 1}: {path}: {wrong}"
    if not isinstance(node, yaml.MappingNode):
        return
    first: dict[str, int] = {}
    for key, value in node.value:
        line, name = key.start_mark.line + 1, str(key.value) if isinstance(key, yaml.ScalarNode) else "a collection"
        dotted = f"{path}.{name}" if path else name
        if wrong := _key_fault(key, name, path):
            comma = node.flow_style and name.isdecimal() and isinstance(value, yaml.ScalarNode) and not value.value
            yield f"{line}: {dotted}: {wrong if not comma else 'expected a decimal point, got a comma, a separator'}"
        if name in first:
            yield f"{line}: {dotted} appears twice, in lines {first[name]} and {line}; rename or delete one of them"
        first.setdefault(name, line)
        yield from _find_faults(value, dotted, seen, above)


def _key_fault(key: yaml.Node, name: str, path: str) -> str:
    if not isinstance(key, yaml.ScalarNode):
        return "expected a plain word as a key, got a list or mapping"
    kind = "" if key.tag in (STRING, MERGE) else KINDS.get(key.tag, key.tag)
    kind = kind or (describe_scalar(name) if path in NAMED or not key.style else "")
    if kind and key.tag != MERGE:
        safe = re.sub(r"[^\w-]+", "-", name).strip("-") or "mine"
        return f"YAML reads this name as {kind}; rename it, such as data-{safe}"
    if path in NAMED and not re.fullmatch(r"\w[\w-]*", name) and key.tag != MERGE:
        return "expected a name of letters, digits, - and _ that begins with no -"
    return ""


def describe_scalar(name: str) -> str:
    """What YAML 1.1 or 1.2 reads a plain word as, in words; "" where both read a string."""
    tag: str = yaml.SafeLoader("").resolve(yaml.ScalarNode, name, (True, False))  # type: ignore[no-untyped-call]
    if FLOAT.fullmatch(name) or re.fullmatch(r"[-+]?(0o[0-7]+|[0-9_]+)", name):
        tag = DECIMAL
    return "" if tag in (STRING, MERGE) else KINDS.get(tag, tag.rpartition(":")[2])


def _number_fault(node: yaml.ScalarNode) -> str:
    """010 is 8 in YAML 1.1 and 10 in 1.2; 1:30 is 90 in 1.1 and a string in 1.2."""
    if node.style or node.tag not in (INTEGER, DECIMAL):
        return ""
    text = str(node.value)
    if ":" in text:
        return f"{text} is read as a number to the base 60; put it in quotes"
    if node.tag == INTEGER and re.fullmatch(r"[-+]?0[0-9_]+", text):
        return f"{text} is read as octal by YAML 1.1 and as decimal by 1.2; write it without the leading zero"
    if node.tag == DECIMAL and (re.search(r"inf|nan", text, re.IGNORECASE) or math.isinf(float(text.replace("_", "")))):
        return f"expected a finite number, got {text}"
    return ""


def to_flow_yaml(value: Mapping[str, Any]) -> str:
    """A mapping in flow style on one line: `{a: 1, b: [x]}`."""
    layout: dict[str, Any] = {"default_flow_style": True, "width": 1 << 30, "sort_keys": False, "allow_unicode": True}
    return str(yaml.dump(dict(value), Dumper=Dumper, **layout)).strip()
