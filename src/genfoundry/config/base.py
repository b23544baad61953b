"""What every schema is, and how a value is held to one: a fault is a line that says what, where and what is right."""

from __future__ import annotations

import difflib
import json
import re
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, ValidationError

from genfoundry.types import UserError

M = TypeVar("M", bound=BaseModel)
# What pydantic puts behind a key whose value may be of several types: which of them it tried.
MEMBER = re.compile(r"constrained-\w+|literal\[.*\]|bool|int|float|str")


class Frozen(BaseModel):
    """Frozen, and closed to unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def check(model: type[M], value: object, where: str, source: str = "params.yaml") -> M:
    """`value` as a `model`; a UserError names every wrong key, its value and what is allowed.

    JSON strict mode takes a list for a tuple and 1 for 1.0, but not the string that PyYAML makes of 1e-4.
    """
    try:
        return model.model_validate_json(json.dumps(value), strict=True)
    except ValidationError as error:
        lines: dict[str, list[str]] = {}  # what may stand there, of a union one message a member
        for e in error.errors():
            place, message = _line(model, e["type"], e["loc"], e.get("input"), e["msg"], where)
            lines.setdefault(place, []).append(message)
        raise UserError(
            "\n".join(f"{source}: {place}: {', or '.join(said)}" for place, said in lines.items())
        ) from None
    except TypeError as error:
        raise UserError(f"{source}: {where}: {error}; numbers, strings, lists and mappings are allowed") from None


def _line(
    model: type[BaseModel], kind: str, loc: tuple[int | str, ...], got: object, message: str, where: str
) -> tuple[str, str]:
    """Where it is and what is wrong there."""
    key = ".".join(filter(None, (where, *(str(part) for part in loc if not MEMBER.fullmatch(str(part))))))
    if kind == "extra_forbidden":
        return key, f"unknown key; {alternatives(str(loc[-1]), _keys(model, loc[:-1]))}"
    if kind == "missing":
        return key, f"missing; required are {', '.join(sorted(_keys(model, loc[:-1], required=True)))}"
    hint = "; write 1.0e-4, since YAML 1.1 reads 1e-4 as a string" if isinstance(got, str) and _number(got) else ""
    return f"{key}: {got!r}", f"{message.removeprefix('Value error, ')}{hint}"


def _number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _keys(model: type[BaseModel], loc: tuple[int | str, ...], required: bool = False) -> list[str]:
    """The field names of the schema at `loc`; mappings and unions are looked through."""
    kind: Any = model
    for part in loc:
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            kind = kind.model_fields[part].annotation if part in kind.model_fields else kind
        else:
            inner = [a for a in get_args(kind) if getattr(a, "__name__", "") == part]
            kind = inner[0] if inner else (get_args(kind) or (kind,))[-1]
    nested = [k for k in (kind, *get_args(kind)) if isinstance(k, type) and issubclass(k, BaseModel)]
    return [n for k in nested[:1] for n, f in k.model_fields.items() if f.is_required() or not required]


def alternatives(name: str, allowed: list[str]) -> str:
    """'did you mean X? allowed: ...' for an unknown name."""
    close = difflib.get_close_matches(name, allowed, n=1)
    return (f"did you mean {close[0]!r}? " if close else "") + "allowed: " + (", ".join(sorted(allowed)) or "none")
