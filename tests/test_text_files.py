"""Text that is read or written says in which encoding: a machine's own (Latin-1, ASCII in a bare container) is none to
rely on, since another machine reads what this one has written. What other programs print is another matter."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

TOP = Path(__file__).parent.parent
FOLDERS = ("sweep", "trainers", "search_spaces", "kd_sweep", "benchmarks", "examples", "docker")
MODULES = sorted(path for folder in FOLDERS for path in (TOP / folder).rglob("*.py"))
PLACE = {"read_text": 0, "write_text": 1}
"""Where these take the encoding, among the arguments without a name."""
MODE = {"open": 0, "fdopen": 1, "NamedTemporaryFile": 0, "TemporaryFile": 0, "SpooledTemporaryFile": 1}
"""Where these take the mode: `open` as a path's method."""
TEXT_BY_DEFAULT = ("open", "fdopen")
"""Without a mode; temporary files are binary then."""
NO_FILES = {"os", "Image", "tarfile", "zipfile", "sweep", "archive", "_archive"}
"""What has an `open` of its own, of flags or of other things."""


def silent(tree: ast.AST) -> Iterator[ast.Call]:
    """The calls that read or write text, and do not say in which encoding."""
    for call in ast.walk(tree):
        if isinstance(call, ast.Call) and _is_text(call) and not any(word.arg == "encoding" for word in call.keywords):
            yield call


def _is_text(call: ast.Call) -> bool:
    """Whether a call reads or writes text, its encoding not given by place."""
    name, holder = _called(call.func)
    if name in PLACE:
        return len(call.args) <= PLACE[name]
    if name not in MODE or (name == "open" and holder in NO_FILES):
        return False
    place = 1 if name == "open" and not holder else MODE[name]
    given = [word.value for word in call.keywords if word.arg == "mode"] + call.args[place : place + 1]
    if not given:
        return name in TEXT_BY_DEFAULT
    return isinstance(given[0], ast.Constant) and "b" not in str(given[0].value)


def _called(function: ast.expr) -> tuple[str, str]:
    """A function's name, and that of what it is a method of."""
    if isinstance(function, ast.Name):
        return function.id, ""
    if not isinstance(function, ast.Attribute):
        return "", ""
    holder = function.value
    return function.attr, holder.id if isinstance(holder, ast.Name) else getattr(holder, "attr", "something")


@pytest.mark.parametrize("folder", FOLDERS)
def test_text_has_an_encoding(folder: str) -> None:
    found = [
        f"{path.relative_to(TOP)}:{call.lineno}"
        for path in MODULES
        if path.relative_to(TOP).parts[0] == folder
        for call in silent(ast.parse(path.read_bytes()))
    ]
    assert not found, f"say encoding='utf-8' in {', '.join(found)}"


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("path.read_text()", 1),
        ("path.read_text(errors='replace')", 1),
        ("path.read_text('utf-8')", 0),
        ("path.write_text(words)", 1),
        ("path.write_text(words, encoding='utf-8')", 0),
        ("path.open()", 1),
        ("path.open('a')", 1),
        ("(folder / 'x').open(mode='r+')", 1),
        ("path.open('rb')", 0),
        ("open(path)", 1),
        ("open(path, 'wb')", 0),
        ("os.fdopen(handle, 'w')", 1),
        ("os.open(path, os.O_RDONLY)", 0),
        ("tempfile.TemporaryFile('w+')", 1),
        ("tempfile.NamedTemporaryFile()", 0),
    ],
)
def test_what_is_silent(text: str, count: int) -> None:
    assert len(list(silent(ast.parse(text)))) == count
