"""What a Python file says, whatever its comments: the hash of its syntax tree, and what it imports."""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterator

from trainers.errors import InputError
from trainers.storage.content import KEY_LENGTH

SAYS_NOTHING = frozenset({"ctx", "kind", "type_comment", "type_ignores"})
"""Fields of a tree that follow from its other fields, or are written for tools alone."""
HAS_DOCSTRING = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
LARGEST = 10**30
"""A longer number is hashed as its bits: Python refuses to write it in decimals."""


def parsed(text: str, file: str) -> ast.Module:
    """The syntax tree of a file. Raises InputError, which names file and line, where it is no Python."""
    try:
        return ast.parse(text, file)
    except SyntaxError as error:
        raise InputError(f"{file}:{error.lineno or 1}: no Python: {error.msg}") from error
    except (ValueError, RecursionError, MemoryError) as error:  # a NUL, or brackets a thousand deep
        raise InputError(f"{file}:1: no Python: {error or 'nested too deep'}") from error


def digest(tree: ast.Module) -> str:
    """The hash of what a module says: comments, docstrings, blank lines and the width of its lines are no part of it.

    Only fields that hold something are hashed, so that a later Python, whose trees have more of them, gives the same.
    """
    hashed = hashlib.sha256()
    for part in _said(tree):
        hashed.update(f"{part};".encode("utf-8", "backslashreplace"))
    return hashed.hexdigest()[:KEY_LENGTH]


def _said(node: object) -> Iterator[str]:
    if isinstance(node, ast.AST):
        yield f"({type(node).__name__}"
        for name, value in ast.iter_fields(node):
            if name == "body" and isinstance(node, HAS_DOCSTRING):
                value = _without_docstring(value)
            if name not in SAYS_NOTHING and value not in (None, []):
                yield name
                yield from _said(value)
        yield ")"
    elif isinstance(node, list):
        yield "["
        for item in node:
            yield from _said(item)
        yield "]"
    else:
        yield hex(node) if isinstance(node, int) and abs(node) > LARGEST else repr(node)


def _without_docstring(body: list[ast.stmt]) -> list[ast.stmt]:
    first = body[0] if body else None
    is_text = (
        isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str)
    )
    return body[1:] if is_text else body


def imports(tree: ast.Module, module: str, is_package: bool) -> Iterator[str]:
    """The dotted names that a module may import, in its functions too: of ``from a import b`` both ``a`` and ``a.b``,
    since `b` may be a module.

    Args:
        tree: of the module.
        module: its dotted name, from which relative imports start.
        is_package: whether it is the ``__init__`` of that name.
    """
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            start = _start(module, is_package, node.level) if node.level else ""
            base = ".".join(part for part in (start, node.module) if part)
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)


def _start(module: str, is_package: bool, level: int) -> str:
    """Where a relative import of so many dots starts."""
    parts = module.split(".")
    return ".".join(parts[: len(parts) - level + is_package])
