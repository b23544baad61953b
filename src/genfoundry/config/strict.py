"""Base class of the schemas, and validation whose errors name the key, the value and what is allowed."""

from __future__ import annotations

import difflib
import json
import math
import re
from collections.abc import Mapping
from types import UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, ValidationError

from genfoundry.errors import UserError

M = TypeVar("M", bound=BaseModel)
# pydantic speaks of JSON, a file of YAML
EXPECTED = {
    "expected an object": "expected a mapping, lines of `key: value`",
    "expected a valid array": "expected a list, such as [a, b]",
}
SHOWN = 120  # characters of a wrong value
Location = tuple[int | str, ...]


class Frozen(BaseModel):
    """Frozen, and closed to unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def check(model: type[M], value: object, where: str, source: str = "params.yaml") -> M:
    """Validate `value` as a `model`.

    JSON strict mode takes a list for a tuple and 1 for 1.0, but not a string for a number.

    Args:
        model: the schema.
        value: what the file holds.
        where: the dotted key that it stands at.
        source: the file.

    Raises:
        UserError: names every wrong key, its value and what is allowed; one line a fault.
    """
    try:
        return model.model_validate_json(json.dumps(value), strict=True)
    except ValidationError as error:
        expectations: dict[str, dict[str, None]] = {}  # of a union, one a member
        values: dict[str, str] = {}
        located = [(e, *_locate(model, e["loc"], value)) for e in error.errors()]
        misspelt = {(*key[:-1], guess) for e, key, kind, _ in located if (guess := _guess_key(e["type"], key, kind))}
        for e, key, kind, chosen in located:
            if chosen and not (e["type"] == "missing" and key in misspelt):
                place, expected, got = _describe(kind, e["type"], key, e.get("input"), e["msg"], where)
                expectations.setdefault(place, {})[expected] = None
                values[place] = max(values.get(place, ""), got, key=len)  # the longer one has a hint
        lines = (
            f"{source}: {place}: {', or '.join(e).replace(', or expected ', ' or ')}{values[place]}"
            for place, e in expectations.items()
        )
        raise UserError("\n".join(lines)) from None
    except (TypeError, ValueError) as error:
        raise UserError(f"{source}: {where}: expected numbers, strings, lists and mappings alone: {error}") from None


def _locate(model: type[BaseModel], loc: Location, value: Any) -> tuple[Location, Any, bool]:
    """pydantic's location of an error as keys of the file; the type that holds the last key; whether it matters.

    Of a union pydantic tries every member, and puts its name into the location: an error of a member that the value
    was not meant to be says nothing.
    """
    keys: list[int | str] = []
    kind: Any = model
    holder: Any = model
    chosen = True
    for part in loc:
        members = _members(kind)
        member = str(part).partition("[")[0].removeprefix("constrained-")  # of `dict[str,int]` dict
        if len(members) > 1 and (tagged := [m for m in members if _member_name(m) == member]):
            chosen = chosen and tagged[0] in _likely_members(members, value)
            kind = tagged[0]
            continue
        holder = kind = members[0] if members else kind
        keys.append(part)
        kind = _child_type(kind, part)
        try:
            value = value[part]
        except (KeyError, IndexError, TypeError):
            value = None
    return tuple(keys), holder if keys else (_members(kind) or [model])[0], chosen


def _members(kind: Any) -> list[Any]:
    """The types of a union less None, of any other type itself alone; annotations are taken off."""
    while get_origin(kind) is Annotated:
        kind = get_args(kind)[0]
    if get_origin(kind) in (Union, UnionType):
        return [member for part in get_args(kind) if part is not type(None) for member in _members(part)]
    return [kind]


def _member_name(kind: Any) -> str:
    """What pydantic calls a member of a union, up to a bracket."""
    generic = {Literal: "literal", tuple: "tuple", list: "list", dict: "dict"}
    return generic.get(get_origin(kind), getattr(kind, "__name__", ""))


def _likely_members(members: list[Any], value: Any) -> list[Any]:
    """The members that the value can have been meant to be: of a mapping the schema that its keys are most like."""
    schemas = [member for member in members if _is_schema(member)]
    mappings = [*schemas, *(member for member in members if get_origin(member) is dict)]
    if not isinstance(value, Mapping):
        return [member for member in members if member not in mappings] or members
    if not mappings:
        return members

    def likeness(member: Any) -> float:
        ratios = ([difflib.SequenceMatcher(None, key, name).ratio() for name in _fields(member)] for key in value)
        return sum(max(candidates, default=0.0) for candidates in ratios)

    return [max(mappings, key=likeness)]


def _is_schema(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def _child_type(kind: Any, part: int | str) -> Any:
    """The type of what stands at a key or number of a value of this type."""
    if _is_schema(kind):
        return kind.model_fields[part].annotation if part in kind.model_fields else None
    inner = [argument for argument in get_args(kind) if argument is not Ellipsis]
    if not inner:
        return None
    return inner[part] if get_origin(kind) is tuple and isinstance(part, int) and part < len(inner) else inner[-1]


def _describe(kind: Any, fault: str, key: Location, got: object, message: str, where: str) -> tuple[str, str, str]:
    """Where a fault is, what is expected there, and ", got ..."; `kind` holds the last part of `key`."""
    parent = ".".join(filter(None, (where, *map(str, key[:-1]))))
    place = ".".join(filter(None, (parent, *map(str, key[-1:]))))
    if fault == "extra_forbidden":
        return place, f"unknown key; {suggest_names(str(key[-1]), _fields(kind))}", ""
    if fault == "missing" and isinstance(key[-1], int):
        return parent, f"expected a list of {len(get_args(kind))}", f", got {key[-1]} values"
    if fault == "missing":
        return place, f"missing; required are {', '.join(sorted(_fields(kind, required=True)))}", ""
    if fault == "value_error" and ", got " in message:  # a validator of several keys quotes the faulty ones itself
        return place, message.removeprefix("Value error, "), ""
    text = repr(got)
    text = text if len(text) <= SHOWN else f"{text[:SHOWN]} ..."
    # "Input should be greater than 0, got ..." -> "expected a number greater than 0"
    expected = re.sub(r"^(Value error, expected|\w+ should( be| have)?) ", "expected ", message.partition(", got ")[0])
    expected = re.sub(r"^expected (?=greater|less)", "expected a number ", expected)
    return place, EXPECTED.get(expected, expected), f", got {text}{_hint(got, message)}"


def _guess_key(fault: str, key: Location, kind: Any) -> str:
    """The key that an unknown one is most like: it is not missing, but misspelt."""
    close = difflib.get_close_matches(str(key[-1]), _fields(kind), n=1) if fault == "extra_forbidden" else []
    return close[0] if close else ""


def _hint(got: object, message: str) -> str:
    """What may have been meant instead of a value of another type."""
    if isinstance(got, str) and "valid string" not in message and _is_number(got):
        return "; a string, since it is quoted: write it without quotes"
    # YAML reads 1e1 as a float, whatever its value.
    if isinstance(got, float) and "valid integer" in message and got.is_integer():
        return f"; write {got:.0f}"
    if "valid string" in message and isinstance(got, bool | int | float):
        return "; YAML reads it so: put it in quotes"
    if got is None:
        return (
            f"; nothing stands {'below it: indent what belongs there, or write {}' if 'object' in message else 'there'}"
        )
    return ""


def _is_number(text: str) -> bool:
    try:
        return text.isascii() and math.isfinite(float(text))
    except ValueError:
        return False


def _fields(kind: Any, required: bool = False) -> list[str]:
    """The keys of a schema."""
    fields = kind.model_fields.items() if _is_schema(kind) else ()
    return [name for name, field in fields if field.is_required() or not required]


def suggest_names(name: str, allowed: list[str]) -> str:
    """'did you mean X? allowed: ...' for an unknown name."""
    close = difflib.get_close_matches(name, allowed, n=1)
    return (f"did you mean {close[0]!r}? " if close else "") + "allowed: " + (", ".join(sorted(allowed)) or "none")
