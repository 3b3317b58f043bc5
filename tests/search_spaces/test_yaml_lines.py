"""YAML as data with line numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search_spaces.yaml_lines import Document, dotted

BILLION_LAUGHS = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "\n".join(
    f"{name}: &{name} [{', '.join(['*' + before] * 9)}]" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)


def mistakes(text: str) -> list[str]:
    document = Document(text, "f.yaml")
    return [f"{mistake.line}: {mistake.message}" for mistake in document.mistakes]


def data(text: str) -> Any:
    document = Document(text, "f.yaml")
    assert document.mistakes == []
    return document.data


@pytest.mark.parametrize(
    ("text", "number"),
    [("1e-3", 0.001), ("1E5", 1e5), ("5e-4", 5e-4), ("-2e3", -2000.0), ("1.5e-3", 0.0015), ("1_0e2", 1000.0)],
)
def test_numbers_with_an_exponent_are_numbers(text: str, number: float) -> None:
    assert data(f"lr: {text}") == {"lr": number}
    assert isinstance(data(f"lr: {text}")["lr"], float)


def test_names_that_look_like_exponents_are_text() -> None:
    assert data("a: [e3, 1e, 1e-, 1e3x, 'resnet8x4', '1e-3']") == {
        "a": ["e3", "1e", "1e-", "1e3x", "resnet8x4", "1e-3"]
    }


def test_scalars_are_those_of_the_safe_loader() -> None:
    assert data("{a: 1, b: 2.5, c: true, d: null, e: text, f: '7', g: }") == {
        "a": 1,
        "b": 2.5,
        "c": True,
        "d": None,
        "e": "text",
        "f": "7",
        "g": None,
    }


def test_keys_are_always_text() -> None:
    assert data("1: a\ntrue: b\nnull: c") == {"1": "a", "true": "b", "null": "c"}


def test_a_byte_order_mark_and_windows_line_ends_are_read() -> None:
    assert data("\ufeffname: a\r\nseeds: 3\r\n") == {"name": "a", "seeds": 3}


def test_every_value_knows_its_line() -> None:
    document = Document("# comment\na: 1\nb:\n  - x\n  - c:\n      d: 2\n", "f.yaml")
    for path in (("a",), ("b",), ("b", 0), ("b", 1), ("b", 1, "c"), ("b", 1, "c", "d"), ("b", 1, "missing", 3)):
        document.add(path, "wrong")
    assert [mistake.line for mistake in document.mistakes] == [2, 3, 4, 5, 5, 6, 5]
    assert str(document.mistakes[5]) == "f.yaml:6: b[1].c.d: wrong"


def test_paths_are_written_as_a_person_writes_them() -> None:
    assert dotted(("methods", 1, "dhkd", "alpha", 0)) == "methods[1].dhkd.alpha[0]"
    assert dotted(()) == ""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: 1\na: 2", ["2: a: this key stands here twice"]),
        ("x: {b: 1,\n  b: 2}", ["2: x.b: this key stands here twice"]),
        ("a: &x [1]\nb: *x", ["2: b: anchors and aliases (&, *) are not read; write the value out"]),
        ("a: &x\n  b: *x", ["2: a.b: anchors and aliases (&, *) are not read; write the value out"]),
        ("a: 1\n b: 2", ["2: not YAML: mapping values are not allowed here"]),
        ("a: [1, 2\nb: 3", ["2: not YAML: expected ',' or ']', but got ':'"]),
        ("a: 'open\nb: 3\n", ["3: not YAML: found unexpected end of stream"]),
        ("a: 1\n---\nb: 2", ["2: not YAML: but found another document"]),
        ("a:\n\t- b", ["2: not YAML: found character '\\t' that cannot start any token"]),
        ("a: *nobody", ["1: not YAML: found undefined alias 'nobody'"]),
        ("a: \x00", ["1: not YAML: unacceptable character #x0000: special characters are not allowed"]),
        ("a: 1\nb: 2026-99-99", ["2: b: cannot be read as !!timestamp, found '2026-99-99': month must be in 1..12"]),
        ("a: 1\nb: !!bool maybe", ["2: b: cannot be read as !!bool, found 'maybe'"]),
        ("a: 1\nb: !!timestamp soon", ["2: b: cannot be read as !!timestamp, found 'soon'"]),
        ("a: 1\nb: !!int ''", ["2: b: cannot be read as !!int, found ''"]),
        ("a: 1\nb: !!set {x, y}", ["2: b: tags such as !!set are not read"]),
        ("a: 1\nb: !mine [x]", ["2: b: tags such as !mine are not read"]),
        ('a: 1\nb: "\\ud800"', ["2: b: holds half of a surrogate pair, which is no character"]),
        ('a: "\\UFFFFFFFF"', ["1: not YAML: "]),
    ],
    ids=str,
)
def test_what_is_no_data_is_a_mistake_on_its_line(text: str, expected: list[str]) -> None:
    found = mistakes(text)
    assert len(found) == len(expected)
    for one, start in zip(found, expected, strict=True):
        assert one.startswith(start)


@pytest.mark.parametrize(
    "value",
    [
        "!!python/object/apply:os.mkdir ['{path}']",
        "!!python/object/new:os.mkdir ['{path}']",
        "!!python/object/apply:os.mkdir {{args: ['{path}']}}",
        "!!python/object/apply:os.mkdir '{path}'",
        "!!python/object:collections.OrderedDict {{a: 1}}",
        "!!python/name:os.mkdir",
        "!!python/module:os",
        "!!python/tuple [1, 2]",
    ],
)
def test_python_tags_are_refused_and_do_nothing(value: str, tmp_path: Path) -> None:
    path = tmp_path / "made"
    found = mistakes(f"a: 1\nb: {value.format(path=path)}")
    assert len(found) == 1
    assert found[0].startswith("2: ")
    assert "python/" in found[0]
    assert not path.exists()


def test_aliases_are_not_expanded() -> None:
    found = mistakes(BILLION_LAUGHS)  # 9**9 values, if they were
    assert len(found) == 8 * 9
    assert all("anchors and aliases" in one for one in found)


@pytest.mark.parametrize("text", ["[" * 1500, "{a: " * 1500, "- " * 1500, "[" * 1500 + "]" * 1500])
def test_deep_nesting_is_one_mistake(text: str) -> None:
    assert len(mistakes(text)) == 1


@given(st.text("ab:-[]{}#&*!|>'\"%@`,? \n\t1.e", max_size=40))
def test_any_text_is_data_or_mistakes(text: str) -> None:
    document = Document(text, "f.yaml")
    lines = text.count("\n") + 1
    assert all(1 <= mistake.line <= lines for mistake in document.mistakes)
