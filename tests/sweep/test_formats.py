"""One listing in every format; each is read back."""

from __future__ import annotations

import csv
import io
import json
import re
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sweep import formats
from sweep.formats import Format, TableFormat, listing

ROWS: list[dict[str, Any]] = [
    {"name": "a", "what": 'says "yes, sir"', "n": 1},
    {"name": "b|c", "what": None, "n": 2.5},
    {"name": "α → β", "what": "", "n": -3},
]
SHOWN = [["a", 'says "yes, sir"', "1"], ["b|c", "", "2.5"], ["α → β", "", "-3"]]
texts = st.text(st.characters(exclude_categories=("Cs", "Cc", "Zl", "Zp")), max_size=20)


def from_csv(text: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text, newline="")))


def from_markdown(text: str) -> list[list[str]]:
    lines = [re.split(r" (?<!\\)\| ", line.removeprefix("| ").removesuffix(" |")) for line in text.splitlines()]
    return [[cell.replace("\\|", "|") for cell in line] for line in [lines[0], *lines[2:]]]


def test_json_gives_the_values_themselves() -> None:
    assert json.loads(listing(ROWS, Format.JSON)) == ROWS


def test_json_keeps_letters_readable() -> None:
    assert "α → β" in listing(ROWS, Format.JSON)


def test_csv_is_read_back_whole() -> None:
    assert from_csv(listing(ROWS, Format.CSV)) == [["name", "what", "n"], *SHOWN]


def test_markdown_is_read_back_whole() -> None:
    text = listing(ROWS, Format.MARKDOWN)
    assert from_markdown(text) == [["name", "what", "n"], *SHOWN]
    assert text.splitlines()[1] == "| --- | --- | --- |"


def test_columns_of_a_markdown_table_can_be_aligned_to_the_right() -> None:
    assert formats.to_markdown(["a", "b"], [["1", "2"]], right=[1]).splitlines()[1] == "| --- | ---: |"


def test_a_table_shows_every_cell_in_one_line_each() -> None:
    long = "word " * 150
    lines = listing([*ROWS, {"name": "z", "what": long, "n": 4}], Format.TABLE).splitlines()
    assert len(lines) == 1 + len(ROWS) + 1
    assert lines[0].split() == ["name", "what", "n"]
    assert lines[2].split() == ["b|c", "2.5"]
    assert long.strip() in lines[4]
    assert all(line == line.rstrip() for line in lines)


def test_a_table_of_many_rows_reads_as_one_of_few(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [*ROWS, {"name": "表 wide", "what": "[red]x[/red] :smile:", "n": 10**6}]
    few = listing(rows, Format.TABLE)
    monkeypatch.setattr(formats, "MANY_ROWS", 0)
    assert listing(rows, Format.TABLE) == few
    assert listing([{"a": "two\nlines\x07", "b": 1}], Format.TABLE).splitlines() == ["a          b", "two lines  1"]


def test_many_rows_are_not_laid_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(formats, "Table", None)
    lines = listing([{"n": number} for number in range(formats.MANY_ROWS + 1)], Format.TABLE).splitlines()
    assert lines == ["n", *map(str, range(formats.MANY_ROWS + 1))]


@pytest.mark.parametrize(
    "text", ["[red]shape [batch, classes][/red]", "no [/data/x] there", "list[int]", r"a\[b]", ":smile: ¹"]
)
def test_a_table_shows_brackets_and_colons_as_they_are(text: str) -> None:
    assert text in listing([{"reason": text, "n": 1}], Format.TABLE)


def test_latex_has_a_row_for_each_row_and_a_column_for_each_column() -> None:
    text = listing(ROWS, Format.LATEX)
    assert r"\begin{tabular}{lrr}" in text
    body = text.partition(r"\midrule")[2].partition(r"\bottomrule")[0]
    rows = [line.strip() for line in body.splitlines() if line.strip()]
    assert rows[0] == r'a & says "yes, sir" & 1 \\'
    assert len(rows) == len(ROWS)
    assert all(row.endswith(r"\\") and row.count(" & ") == 2 for row in rows)
    assert r"\caption" not in text
    assert r"\caption{50\% of α}".replace("α", r"$\alpha$") in formats.to_latex(["a"], [["b"]], "50% of α")


@pytest.mark.parametrize("character", list("&%_#${}~^\\"))
def test_latex_characters_with_a_meaning_are_escaped(character: str) -> None:
    escaped = formats.tex(f"a{character}b")
    assert escaped.startswith("a\\")
    assert escaped.endswith("b")
    assert re.sub(r"\\(textbackslash|textasciicircum|textasciitilde)\{\}|\\[&%_#${}]", "", escaped) == "ab"


@given(texts)
def test_latex_is_balanced_whatever_the_text(text: str) -> None:
    latex = formats.to_latex([text, text], [[text, text]], text)
    bare = re.sub(r"\\[\\&%_#${}]", "", latex)
    depth = 0
    for character in bare:
        depth += (character == "{") - (character == "}")
        assert depth >= 0
    assert depth == 0
    assert bare.count("$") % 2 == 0
    assert not re.search(r"(?<!\\)[%#_]", bare)


@given(st.lists(st.lists(texts, min_size=3, max_size=3), max_size=4))
def test_csv_and_json_are_read_back_whatever_the_text(cells: list[list[str]]) -> None:
    columns = ["a", "b", "c"]
    assert from_csv(formats.to_csv(columns, cells)) == [columns, *cells]
    rows = [dict(zip(columns, line, strict=True)) for line in cells]
    assert json.loads(listing(rows, Format.JSON)) == rows


def test_parquet_is_read_back_whole_with_its_types() -> None:
    rows: list[dict[str, Any]] = [
        {
            "text": "α",
            "count": 1,
            "share": 0.5,
            "either": 1,
            "yes": True,
            "mixed": "a",
            "none": None,
            "deep": {"k": [1]},
        },
        {"text": None, "count": 2, "share": 1, "either": 2.5, "yes": None, "mixed": 2, "none": None, "deep": None},
    ]
    table = pq.read_table(io.BytesIO(formats.to_parquet(rows)))
    assert [str(kind) for kind in table.schema.types] == [
        *("string", "int64", "double", "double", "bool", "string", "null", "string")
    ]
    assert table.to_pylist() == [
        rows[0] | {"either": 1.0, "mixed": '"a"', "deep": '{"k": [1]}'},
        rows[1] | {"share": 1.0, "mixed": "2"},
    ]
    assert formats.to_parquet(rows) == formats.to_parquet(rows)
    assert pq.read_table(io.BytesIO(formats.to_parquet([]))).num_rows == 0


def test_the_leaderboard_knows_every_format_and_parquet() -> None:
    assert {how.value for how in TableFormat} == {how.value for how in Format} | {"parquet"}


@pytest.mark.parametrize("how", Format)
def test_nothing_to_list_is_no_error(how: Format) -> None:
    text = listing([], how)
    assert "None" not in text
    if how is Format.JSON:
        assert json.loads(text) == []


@pytest.mark.parametrize("how", Format)
def test_every_format_ends_in_one_newline(how: Format) -> None:
    text = listing(ROWS, how)
    assert text.endswith("\n")
    assert not text.endswith("\n\n")


def test_in_a_notebook_a_table_is_text_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """There rich would show whatever it prints below the cell, what is captured included, and take IPython for it."""
    expected = listing([{"method": "kd", "mean": 90.5}], Format.TABLE)
    monkeypatch.setattr("rich.console._is_jupyter", lambda: True)
    assert listing([{"method": "kd", "mean": 90.5}], Format.TABLE) == expected == "method  mean\nkd      90.5\n"


def test_latex_has_no_character_that_its_oldest_fonts_print_as_another() -> None:
    assert formats.tex("a<b|c>d") == "a$<$b$|$c$>$d"
