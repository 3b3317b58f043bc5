"""YAML as data with line numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search_spaces.yaml_lines import Document, dotted
from trainers.errors import SpecError

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
        ("a: &x\n  b: *x", ["2: a.b: an alias (*) that stands inside of its own anchor (&) has no end"]),
        ("a: &x [1, *x]", ["1: a[1]: an alias (*) that stands inside of its own anchor (&) has no end"]),
        ("a: &x\n  <<: *x", ["2: << takes a mapping, or a list of mappings, each an alias (*name) of one"]),
        ("a: 1\nb: {<<: 5}", ["2: << takes a mapping, or a list of mappings"]),
        ("a: &x [1]\nb:\n  <<: *x", ["3: << takes a mapping"]),
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


def test_an_alias_is_its_anchors_value_once_more() -> None:
    found = data("a: &a {x: 1, y: [2, &b 3]}\nb: *a\nc: [*b, *b]\nd: *b")
    assert found == {"a": {"x": 1, "y": [2, 3]}, "b": {"x": 1, "y": [2, 3]}, "c": [3, 3], "d": 3}
    assert found["a"] is not found["b"]


@pytest.mark.parametrize(
    ("text", "merged"),
    [
        ("{<<: *one}", {"x": 1, "y": 2}),
        ("{<<: *one, y: 3}", {"y": 3, "x": 1}),
        ("{y: 3, <<: *one}", {"y": 3, "x": 1}),
        ("{<<: [*one, *two]}", {"x": 1, "y": 2, "z": 9}),
        ("{<<: [*two, *one]}", {"y": 8, "z": 9, "x": 1}),
        ("{<<: *two, z: null, <<: *one}", {"z": None, "y": 8, "x": 1}),
        ("{<<: {<<: *one, y: 5}}", {"y": 5, "x": 1}),
        ("{<<: []}", {}),
        ("{'<<': 7}", {"<<": 7}),
    ],
)
def test_merge_keys_stand_in_for_what_is_not_written_out(text: str, merged: dict[str, Any]) -> None:
    anchors = "one: &one {x: 1, y: 2}\ntwo: &two {y: 8, z: 9}\n"
    assert data(f"{anchors}b: {text}")["b"] == merged


def test_what_comes_by_an_alias_knows_its_anchors_lines() -> None:
    document = Document("a: &a\n  x: 1\nb:\n  <<: *a\n  y: 2\nc: *a\n", "f.yaml")
    for path in (("b", "x"), ("b", "y"), ("c",), ("c", "x")):
        document.add(path, "wrong")
    assert [mistake.line for mistake in document.mistakes] == [2, 5, 6, 2]


MERGED_LAUGHS = "a: &a {x: 1}\n" + "\n".join(
    f"{name}: &{name} {{<<: [{', '.join(['*' + before] * 9)}]}}"
    for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize("text", [BILLION_LAUGHS, MERGED_LAUGHS], ids=["aliases", "merge keys"])
def test_aliases_that_unfold_beyond_measure_are_one_mistake(text: str) -> None:
    with pytest.raises(SpecError) as error:
        Document(text, "f.yaml")  # 9**9 values
    (mistake,) = error.value.mistakes
    assert mistake.message.endswith("anchors and aliases (&, *) unfold to more than 100,000 values; write them out")


@pytest.mark.parametrize(
    ("number", "message"),
    [
        ("010", "010 is read to the base of 8, as 8; write 10, or put it in quotes where text is meant"),
        ("0010", "0010 is read to the base of 8, as 8; write 10, "),
        ("-010", "-010 is read to the base of 8, as -8; write -10, "),
        ("+0_1_7", "+0_1_7 is read to the base of 8, as 15; write 17, "),
        ("007", "007 begins with a zero; write 7, "),
        ("000", "000 begins with a zero; write 0, "),
        ("0_10", "0_10 is read to the base of 8, as 8; write 10, "),
        ("1:30", "1:30 is read to the base of 60, as 90; write 90, or put it in quotes where text is meant"),
        ("-2:00:00", "-2:00:00 is read to the base of 60, as -7200; write -7200, "),
        ("1:30.5", "1:30.5 is read to the base of 60, as 90.5; write 90.5, "),
        ("!!int '010'", "010 is read to the base of 8, as 8; write 10, "),
        ("1_", "1_ has a '_' that does not stand between two digits; write 1, "),
        ("1__0", "1__0 has a '_' that does not stand between two digits; write 10, "),
        ("1._5", "1._5 has a '_' that does not stand between two digits; write 1.5, "),
    ],
)
def test_numbers_that_are_not_what_they_seem_are_refused(number: str, message: str) -> None:
    for text, place in ((f"a: {number}", "a"), (f"a: {{b: [1, {number}]}}", "a.b[1]")):
        (found,) = mistakes(text)
        assert found.startswith(f"1: {place}: {message}")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *(("0", 0), ("-0", 0), ("0.5", 0.5), ("-0.05", -0.05), ("0e3", 0.0), ("0x1F", 31), ("0.007", 0.007)),
        *(("0b11", 3), ("1_000", 1000), ("10", 10), ("100", 100), ("0xdead_beef", 0xDEADBEEF)),
        *(("'010'", "010"), ("'1:30'", "1:30"), ("08:30", "08:30"), ("2026-01-01 08:00", "2026-01-01 08:00")),
        *(("05", 5), ("00", 0), ("-03", -3), ("07", 7), ("08", "08"), ("09", "09"), ("0_5", 5)),
        *(("000.5", 0.5), ("00.5", 0.5), ("010.5", 10.5), ("-010.5", -10.5), ("010e2", 1000.0), ("01e3", 1000.0)),
        *(("resnet20@007", "resnet20@007"), ("0o17", "0o17"), ("a:b", "a:b")),
    ],
)
def test_numbers_and_texts_that_are_what_they_seem_are_read(text: str, value: Any) -> None:
    assert data(f"a: {text}") == {"a": value}


def test_what_is_no_text_is_known_as_it_is_written() -> None:
    document = Document("a: 2024-01-01\nb: no\nc: [1.50, text, '7']\nd:\n", "f.yaml")
    written = {path: document.written(path) for path in [("a",), ("b",), ("c", 0), ("c", 1), ("c", 2), ("d",), ("e",)]}
    assert list(written.values()) == ["2024-01-01", "no", "1.50", None, None, "", None]


@pytest.mark.slow(1)
@pytest.mark.parametrize("text", ["[" * 1500, "{a: " * 1500, "- " * 1500, "[" * 1500 + "]" * 1500])
def test_deep_nesting_is_one_mistake(text: str) -> None:
    assert len(mistakes(text)) == 1


@given(st.text("ab:-[]{}#&*!|>'\"%@`,? \n\t1.e", max_size=40))
def test_any_text_is_data_or_mistakes(text: str) -> None:
    document = Document(text, "f.yaml")
    lines = text.count("\n") + 1
    assert all(1 <= mistake.line <= lines for mistake in document.mistakes)
