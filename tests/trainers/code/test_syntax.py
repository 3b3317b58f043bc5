"""What a file says, whatever its comments; and what it imports."""

from __future__ import annotations

import ast

import pytest

from trainers.code.syntax import digest, imports, parsed
from trainers.errors import InputError

TEXT = '''
"""A loss."""
import math
from torch import nn

SCALE = 2.0

@decorate("mykd", weight=1.0)
def loss(student, teacher, *, beta: float = 2.0):
    """What it is."""
    total = beta * (student - teacher)
    return SCALE * total if beta > 0 else None

class Net(nn.Module):
    """A network."""
    name = "net"
'''
SAYS_NOTHING = {
    "a comment": ("SCALE = 2.0", "SCALE = 2.0  # chosen by hand"),
    "a docstring": ('"""What it is."""', '"""Another\n    one."""'),
    "no docstring": ('    """What it is."""\n', ""),
    "the module's docstring": ('"""A loss."""\n', ""),
    "the class's docstring": ('"""A network."""', '"""."""'),
    "blank lines": ("SCALE = 2.0", "\n\n\nSCALE = 2.0"),
    "the width of lines": ("beta * (student - teacher)", "(\n        beta\n        * (student - teacher)\n    )"),
    "quotes": ('"mykd"', "'mykd'"),
    "a trailing comma": ("weight=1.0)", "weight=1.0,)"),
    "how a number is written": ("SCALE = 2.0", "SCALE = 2e0"),
    "ends of lines": ("\n", "\r\n"),
}
SAYS = {
    "a statement": ("    total =", "    student = student.detach()\n    total ="),
    "an operator": ("student - teacher", "student + teacher"),
    "a constant": ("SCALE = 2.0", "SCALE = 2.5"),
    "a number's type": ("SCALE = 2.0", "SCALE = 2"),
    "a default": ("beta: float = 2.0", "beta: float = 2.1"),
    "a type": ("beta: float", "beta: int"),
    "a decorator's argument": ("weight=1.0", "weight=0.9"),
    "a name in the decorator": ('"mykd"', '"mykd2"'),
    "an import": ("import math", "import cmath"),
    "an import's other name": ("from torch import nn", "from torch import nn as nn2"),
    "another base": ("nn.Module", "nn.Linear"),
    "a comparison": ("beta > 0", "beta >= 0"),
    "None for nothing": ("else None", "else 0"),
    "an argument": ("student, teacher, *", "student, teacher, index, *"),
    "one that is by name alone": ("teacher, *, beta", "teacher, beta"),
    "the order of statements": ("import math\nfrom torch import nn\n", "from torch import nn\nimport math\n"),
    "a text that is no docstring": ('name = "net"', 'name = "net2"'),
}


def said(text: str) -> str:
    return digest(parsed(text, "f.py"))


@pytest.mark.parametrize("change", SAYS_NOTHING)
def test_what_says_nothing_changes_nothing(change: str) -> None:
    old, new = SAYS_NOTHING[change]
    assert old in TEXT
    assert said(TEXT.replace(old, new)) == said(TEXT)


@pytest.mark.parametrize("change", SAYS)
def test_all_else_does(change: str) -> None:
    old, new = SAYS[change]
    assert old in TEXT
    assert said(TEXT.replace(old, new)) != said(TEXT)


def test_two_of_them_differ_from_each_other() -> None:
    assert len({said(TEXT.replace(old, new)) for old, new in SAYS.values()}) == len(SAYS)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("return", "return None"),
        ("x = ()", "x = []"),
        ("f(a, b)", "f((a, b))"),
        ("f(*a)", "f(**a)"),
        ("x = 'a;b'", "x = 'a', 'b'"),
        ("x = True", "x = 1"),
        ("x = 1.0", "x = 1"),
        ("x = b'a'", "x = 'a'"),
        ("x = -1", "x = +1"),
        ("{**a}", "{a: a}"),
        ("x: int = 1", "x = 1"),
        ("x = f'{a}'", "x = f'{a!r}'"),
        ("x = ...", "x = None"),
    ],
)
def test_trees_that_look_alike_are_told_apart(one: str, other: str) -> None:
    def inside(text: str) -> str:
        return said(f"def f():\n    {text}")

    assert inside(one) != inside(other)


def test_the_hash_is_the_same_in_every_release() -> None:
    """Trials have it in their keys: another hash would train all of them again."""
    assert said(TEXT) == "ae44c88647605bf5"


def test_a_python_whose_trees_have_more_fields_gives_the_same() -> None:
    """As 3.12 brought `type_params`, and a later one will bring others: empty where nobody uses them."""
    tree = parsed(TEXT, "f.py")
    before = digest(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            node._fields = (*node._fields, "brought_later")  # type: ignore[misc]
            node.brought_later = []  # type: ignore[attr-defined]
    assert digest(tree) == before


def test_characters_that_a_python_does_not_know_are_written_alike() -> None:
    """`repr` shows a character or its escape, by the release of Unicode."""
    assert said("x = 'a\U0001fae8é'") == said("x = 'a\\U0001fae8\\xe9'")


def test_a_number_of_a_million_digits_and_a_half_character_have_a_hash() -> None:
    assert said(f"x = 0x{'f' * 100_000}") != said(f"x = 0x{'f' * 99_999}")
    assert said("x = '\\ud800'") != said("x = '\\ud801'")


def test_what_is_nested_deep_has_a_hash() -> None:
    deep = " + ".join(["x"] * 900)
    assert said(f"y = {deep}") != said(f"y = {deep} + x")


@pytest.mark.parametrize(
    ("text", "line"), [("def f(:\n", 1), ("x = 1\nreturn = 2", 2), ("x = 1\n  y = 2", 2), ("x\0", 1)]
)
def test_what_is_no_python_is_told_with_its_line(text: str, line: int) -> None:
    with pytest.raises(InputError, match=rf"^my\.py:{line}: no Python: "):
        parsed(text, "my.py")


def found(text: str, module: str = "pkg.sub.mod", *, is_package: bool = False) -> set[str]:
    return set(imports(parsed(text, "f.py"), module, is_package))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("import a", {"a", "a.*"}),
        ("import a.b", {"a.b", "a.*"}),
        ("import a.b as c", {"a.b", "a.b.*"}),
        ("from a import b", {"a", "a.b", "a.b.*"}),
        ("from . import b", {"pkg.sub", "pkg.sub.b", "pkg.sub.b.*"}),
        ("from .b import c", {"pkg.sub.b", "pkg.sub.b.c", "pkg.sub.b.c.*"}),
        ("from ..b import c", {"pkg.b", "pkg.b.c", "pkg.b.c.*"}),
        ("def f():\n    import a", {"a", "a.*"}),
        ("try:\n    import a\nexcept ImportError:\n    pass", {"a", "a.*"}),
        ("if TYPE_CHECKING:\n    import a", {"a", "a.*"}),
        ("importlib.import_module('a')", {"*"}),
        ("from importlib import import_module as load", {"importlib", "*"}),
        ("__import__(name)", {"*"}),
        ("load = importlib.import_module\nload('a')", {"*"}),
        ("list(map(__import__, names))", {"*"}),
        ("importlib.util.find_spec('a').loader.load_module()", {"*"}),
        ("runpy.run_module('a')", {"*"}),
        ("pkgutil.resolve_name('a:b')", {"*"}),
        ("a.b(c)", set()),
        ("network.eval()", set()),
    ],
)
def test_what_is_imported(text: str, expected: set[str]) -> None:
    assert expected <= found(text)
    assert bool(found(text)) == bool(expected)


def test_relative_imports_of_a_package_start_inside_it() -> None:
    assert {"pkg.sub", "pkg.sub.b"} <= found("from . import b", "pkg.sub", is_package=True)
    assert {"pkg", "pkg.b"} <= found("from . import b", "pkg.sub")


def test_a_relative_import_that_leads_out_names_nothing_of_ours() -> None:
    assert "pkg.b" not in found("from ....... import b")
