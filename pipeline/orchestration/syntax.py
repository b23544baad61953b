"""Syntax trees of source files, reduced to what can change a result: no comments, docstrings or layout.

The tree is written by this file, not by `ast.dump`: empty and absent fields, which Python versions spell differently,
are left out, so that the text is the same for every Python that parses the file.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field

# The context (load, store) follows from the place in the tree; `kind` is the u of u"..."; the others are comments.
IGNORED = frozenset({"ctx", "kind", "type_comment", "type_ignores"})
BY_NAME = frozenset({"import_module", "find_spec", "__import__"})  # calls that import the module that a string names


@dataclass
class Source:
    """One file: the digest of its tree, and the dotted names that it imports (relative ones begin with dots).

    `from a import b` is `a.b`, whether b is a module or a value. Imports in functions are among them; those under
    `if TYPE_CHECKING:` are not, and that block is no part of the tree.
    """

    tree: str
    imports: list[str] = field(default_factory=list)


def parse(content: bytes) -> Source:
    """Parse a file with this content.

    Raises:
        SyntaxError: it is not Python.
    """
    writer = _Writer()
    writer.write(ast.parse(content))
    return Source(hashlib.sha256("".join(writer.text).encode()).hexdigest(), sorted(writer.imports))


class _Writer:
    """Writes a tree as text and collects its imports, in one pass."""

    def __init__(self) -> None:
        self.text: list[str] = []
        self.imports: set[str] = set()

    def write(self, node: object) -> None:
        if isinstance(node, ast.AST):
            self._node(node)
        elif isinstance(node, list):
            self.text.append("[")
            # Only statements are filtered: a constant is a docstring among them, and a value in any other list.
            for child in _statements(node) if node and isinstance(node[0], ast.stmt) else node:
                self.write(child)
                self.text.append(",")
            self.text.append("]")
        else:
            self.text.append(repr(node))

    def _node(self, node: ast.AST) -> None:
        self.text.append(f"{type(node).__name__}(")
        for name in node._fields:
            value = getattr(node, name, None)
            # None is a value in a Constant (`x = None`), and an absent field everywhere else.
            empty = value == [] or (value is None and not isinstance(node, ast.Constant))
            if not empty and name not in IGNORED:
                self.text.append(f"{name}=")
                self.write(value)
        self.text.append(")")
        if isinstance(node, ast.Import | ast.ImportFrom | ast.Call):
            self.imports.update(_imported(node))


def _statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Yield the statements of a block that do something: no docstring or other bare constant, no `pass`."""
    for statement in body:
        if isinstance(statement, ast.If) and _last_name(statement.test) == "TYPE_CHECKING":
            yield from _statements(statement.orelse)  # the branch that runs
        elif not isinstance(statement, ast.Pass) and not (
            isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
        ):
            yield statement


def _imported(node: ast.Import | ast.ImportFrom | ast.Call) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        base = "." * node.level + (f"{node.module}." if node.module else "")
        yield from (f"{base}{alias.name}" for alias in node.names)
    elif _last_name(node.func) in BY_NAME and node.args:
        name = node.args[0]
        if isinstance(name, ast.Constant) and isinstance(name.value, str):
            yield name.value


def _last_name(node: ast.expr) -> str:
    """Return `c` of the expression `a.b.c`; "" of one that is no name."""
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""
