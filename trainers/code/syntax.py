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
BY_NAME = frozenset(
    {"import_module", "__import__", "load_module", "exec_module", "run_module", "run_path", "resolve_name"}
)
"""Functions that import, or run, what a text names."""
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

    Only fields that hold something are hashed, and text is written in ASCII, so that another Python, whose trees have
    more fields, or which knows more characters, gives the same.
    """
    hashed = hashlib.sha256()
    for part in _said(tree):
        hashed.update(f"{part};".encode())
    return hashed.hexdigest()[:KEY_LENGTH]


class _Mark(str):
    """What stands around a tree's values: names of its kinds and fields, and brackets."""


def _said(tree: ast.AST) -> Iterator[str]:
    """A tree's nodes and values in their order. A stack of its own: a sum of a thousand terms is a thousand deep."""
    waiting: list[object] = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.AST):
            yield f"({type(node).__name__}"
            waiting.append(_Mark(")"))
            for name, value in reversed(list(_fields(node))):
                waiting += [value, _Mark(name)]
        elif isinstance(node, list):
            yield "["
            waiting += [_Mark("]"), *reversed(node)]
        else:
            yield node if isinstance(node, _Mark) else _written(node)


def _fields(node: ast.AST) -> Iterator[tuple[str, object]]:
    """The fields of a node that hold something, but for its docstring."""
    for name, value in ast.iter_fields(node):
        if name == "body" and isinstance(node, HAS_DOCSTRING):
            value = _without_docstring(value)
        if name not in SAYS_NOTHING and value is not None and value != []:
            yield name, value


def _written(value: object) -> str:
    return hex(value) if isinstance(value, int) and abs(value) > LARGEST else ascii(value)


def _without_docstring(body: list[ast.stmt]) -> list[ast.stmt]:
    first = body[0] if body else None
    is_text = (
        isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str)
    )
    return body[1:] if is_text else body


def imports(tree: ast.Module, module: str, is_package: bool) -> Iterator[str]:
    """The dotted names that a module may import, in its functions too.

    Of ``from a import b`` both ``a`` and ``a.b``, since `b` may be a module. A package that has got a name here may be
    asked for any module in it that somebody else has imported: ``a.b.*``. What imports by a name that is made when it
    runs may import anything: ``*``.

    Args:
        tree: of the module.
        module: its dotted name, from which relative imports start.
        is_package: whether it is the ``__init__`` of that name.
    """
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name
                yield f"{alias.name if alias.asname else alias.name.partition('.')[0]}.*"
        elif isinstance(node, ast.ImportFrom):
            start = _start(module, is_package, node.level) if node.level else ""
            base = ".".join(part for part in (start, node.module) if part)
            yield base
            for alias in node.names:
                yield from (f"{base}.{alias.name}", f"{base}.{alias.name}.*")
                if alias.name in BY_NAME:
                    yield "*"
        elif isinstance(node, ast.Name | ast.Attribute) and _last(node) in BY_NAME:
            yield "*"  # called here, or under another name that it is given


def _last(name: ast.Name | ast.Attribute) -> str:
    """The last part of a dotted name."""
    return name.attr if isinstance(name, ast.Attribute) else name.id


def _start(module: str, is_package: bool, level: int) -> str:
    """Where a relative import of so many dots starts."""
    parts = module.split(".")
    return ".".join(parts[: max(0, len(parts) - level + is_package)])
