"""The spec's `table`: how what is there is printed, and nothing else."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from search_spaces.loader import parse_spec
from search_spaces.smoke import shrunk
from sweep.formats import Format
from sweep.ledger.store import Ledger
from sweep.plan.expand import build_plan
from sweep.plan.slots import Plan
from sweep.results.board import Leaderboard, leaderboard
from sweep.results.caption import caption
from sweep.results.comparison import contrasts
from sweep.results.draw import render
from sweep.results.grid import grid, layout
from sweep.results.headline import headline
from sweep.results.notes import notes
from sweep.results.records import records
from tests.support.boards import BEHIND, of_three_seeds
from tests.support.examples import begin, record, small_spec
from trainers.errors import SpecError

NAMES = {"dhkd": "DHKD (ours)", "kd": "KD [Hinton]"}
PAIRS = ["resnet20 -> resnet8", "resnet14 -> resnet32"]


def printed(ledger: Ledger, **table: Any) -> Leaderboard:
    """Three seeds of four rows under one pair, one of them the best."""
    return of_three_seeds(ledger, BEHIND, table=table)


def of_two_pairs(ledger: Ledger, **table: Any) -> Leaderboard:
    plan = build_plan(small_spec(pairs=PAIRS, methods=["scratch", "kd", "dkd"], seeds=1, table=table))
    begin(ledger, plan)
    for slot in plan.slots:
        record(ledger, plan, slot, [80.0 + len(slot.method) + len(slot.pair) / 7])
    return leaderboard(ledger)


def firsts(board: Leaderboard) -> list[list[str]]:
    return [[line[0].text for line in group] for group in layout(board).groups]


# -- names, rows, columns -----------------------------------------------------------------------------------------


def test_names_stand_wherever_rows_are_named_and_labels_stay_in_the_records(ledger: Ledger) -> None:
    board = printed(ledger, names=NAMES | {"dhkd α=1": "DHKD, strong"})
    columns, lines = grid(board)
    assert columns == ["method", "resnet20→resnet8", "Δ KD [Hinton]"]
    assert [line[0] for line in lines] == ["teacher", "scratch", "KD [Hinton]", "DHKD (ours) α=0.5", "DHKD, strong"]
    assert "mean difference to KD [Hinton]" in caption(board)
    assert headline(board).startswith(
        "DHKD (ours) α=0.5 leads under resnet20→resnet8 with 93.50 %, 3.00 points above KD ["
    )
    told = records(board)
    assert [(one["label"], one["name"]) for one in told][2] == ("dhkd α=0.5", "DHKD (ours) α=0.5")
    assert contrasts(board, "DHKD (ours) α=0.5", ["KD [Hinton]"]) == contrasts(board, "dhkd α=0.5", ["kd"])


def test_rows_are_those_in_that_order_and_the_marks_are_those_of_the_whole_column(ledger: Ledger) -> None:
    whole = {row.label: row for row in of_three_seeds(ledger, BEHIND).rows}
    begin(ledger, build_plan(small_spec(seeds=3, table={"rows": ["dhkd α=1", "kd"]})))
    board = leaderboard(ledger)
    assert {row.label: row for row in board.rows} == whole
    assert firsts(board) == [["teacher"], ["dhkd α=1", "kd"]]
    assert "Bold" in caption(board)
    assert "Not shown: rows scratch, dhkd α=0.5. Tests and marks count all rows" in str(notes(board))
    assert "Every configuration of the spec was run; none was selected by its result." in notes(board)
    assert headline(board).startswith("dhkd α=0.5, which the table does not show, leads under")
    labels = [one["label"] for one in json.loads(render(board, Format.JSON))]
    assert labels == ["dhkd α=1", "kd", "scratch", "dhkd α=0.5"]


def test_a_method_stands_for_all_its_rows_and_order_hides_none(ledger: Ledger) -> None:
    assert firsts(printed(ledger, order=["dhkd"])) == [["teacher"], ["dhkd α=0.5", "dhkd α=1", "scratch", "kd"]]
    assert "Not shown" not in str(notes(leaderboard(ledger)))


def test_the_student_alone_stays_in_the_head_where_it_comes_first(ledger: Ledger) -> None:
    assert firsts(of_two_pairs(ledger, rows=["scratch", "dkd", "kd"])) == [["teacher", "scratch"], ["dkd", "kd"]]


def test_columns_are_those_in_that_order(ledger: Ledger) -> None:
    board = of_two_pairs(ledger, columns=["mean", "resnet14→resnet32"], deltas=False)
    columns, lines = grid(board)
    assert columns == ["method", "mean", "resnet14→resnet32"]
    assert {len(line) for line in lines} == {3}
    assert [line[1:] for line in lines if line[0] == "kd"] == [["84.36", "84.43 (1)"]]
    assert "Δ" not in caption(board)
    assert any(note.startswith("Not shown: columns resnet20→resnet8; differences to") for note in notes(board))
    assert len(records(board)) == 6


def test_decimals_are_those_of_every_number(ledger: Ledger) -> None:
    board = printed(ledger, decimals=1)
    assert ["dhkd α=0.5", "93.5 ± 0.4 (3)", "+3.0*"] in grid(board)[1]
    assert "with 93.5 %, 3.0 points above kd" in headline(board)
    assert records(board)[2]["mean"] == 93.5


def test_latex_has_the_label_and_the_caption_and_keeps_what_marks_mean(ledger: Ledger) -> None:
    board = printed(ledger, label="tab:main", caption="50 % of {all} \\input{x}")
    latex = render(board, Format.LATEX)
    assert r"\caption{50 \% of \{all\} \textbackslash{}input\{x\}}" in latex
    assert "\n  \\label{tab:main}\n" in latex
    assert "Bold: the best of its column" in latex.partition(r"\end{tabular}")[2]
    assert caption(board) in render(board, Format.MARKDOWN)


def test_latex_has_the_spec_s_caption_in_one_paragraph(ledger: Ledger) -> None:
    assert r"\caption{One. Two.}" in render(printed(ledger, caption="One.\n\nTwo.\n"), Format.LATEX)


def test_names_are_printed_without_the_spaces_around_them(ledger: Ledger) -> None:
    assert grid(printed(ledger, names={"kd": " KD "}))[0][-1] == "Δ KD"


def test_a_difference_that_is_shown_is_never_printed_as_nothing_in_the_sentence(ledger: Ledger) -> None:
    near = {"dhkd α=0.5": [90.31, 90.9, 91.22], "dhkd α=1": [90.2, 90.8, 91.1]}
    told = headline(of_three_seeds(ledger, near, table={"decimals": 0}))
    assert told.startswith("dhkd α=0.5 leads under resnet20→resnet8 with 91 %, 0.3 points above kd, the baseline;")


# -- what it does not change --------------------------------------------------------------------------------------


def test_it_changes_no_trial_and_a_plan_without_it_is_as_it_was(small_plan: Plan) -> None:
    plan = build_plan(small_spec(table={"names": NAMES, "decimals": 1}))
    assert plan.slots == small_plan.slots
    assert replace(plan, table={}).to_json() == small_plan.to_json()
    assert "table" not in small_plan.to_json()
    assert Plan.from_json(json.loads(json.dumps(plan.to_json()))) == plan


def test_what_cannot_be_read_is_left_out(ledger: Ledger) -> None:
    board = of_three_seeds(ledger, BEHIND)
    odd = replace(board, plan=replace(board.plan, table={"colours": "many", "label": "}"}))
    assert render(odd, Format.LATEX) == render(board, Format.LATEX)


def test_a_smoke_run_has_the_plain_table() -> None:
    spec = small_spec(table={"rows": ["dhkd α=1"]})
    assert build_plan(shrunk(spec)).table == {}


def test_rows_of_a_search_are_named_by_its_method(ledger: Ledger) -> None:
    methods = ["kd", {"gdkd": {"k": {"choice": [2, 3]}}}]
    plan = build_plan(small_spec(methods=methods, table={"names": {"gdkd": "GDKD"}, "rows": ["gdkd tuned", "kd"]}))
    begin(ledger, plan)
    assert firsts(leaderboard(ledger)) == [["GDKD tuned", "kd"]]


# -- what is wrong ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("table", "line", "why"),
    [
        ("{rows: [kd, mykd]}", 6, "table.rows[1]: no row or method 'mykd'; there are 'scratch', 'kd', 'dhkd α=0.5',"),
        (
            "\n  names:\n    kd: KD\n    nobody: X",
            9,
            "table.names.nobody: no row or method 'nobody'; there are 'scratch'",
        ),
        ("\n  columns: [a -> b]", 7, "table.columns[0]: no column 'a -> b'; there are 'resnet20→resnet8', 'mean'"),
        ("{names: {kd: same, scratch: same}}", 6, "'scratch' and 'kd' would both be printed as 'same'"),
        ("{names: {kd: teacher}}", 6, "'kd' would be printed as 'teacher', as the row of the teachers is"),
        (
            "\n  columns: [resnet20 -> resnet8, resnet20→resnet8]",
            7,
            "table.columns[1]: 'resnet20→resnet8' stands twice under columns",
        ),
    ],
)
def test_what_is_not_there_is_named_with_what_there_is_and_its_line(table: str, line: int, why: str) -> None:
    head = "name: small\ndataset: {digits: {image_size: 8}}\nrecipe: {base: digits, epochs: 3}\n"
    text = (
        f"{head}pairs: [resnet20 -> resnet8]\nmethods: [scratch, kd, {{dhkd: {{alpha: [0.5, 1]}}}}]\ntable: {table}\n"
    )
    with pytest.raises(SpecError) as refused:
        build_plan(parse_spec(text, "small.yaml"))
    (mistake,) = refused.value.mistakes
    assert (mistake.line, why in mistake.message) == (line, True), mistake


@pytest.mark.parametrize(
    ("table", "why"),
    [
        ({"row": ["kd"]}, "unknown key 'row'; did you mean 'rows'?"),
        ({"rows": ["kd"], "order": ["kd"]}, "give one of the two"),
        ({"rows": ["kd", "kd"]}, "'kd' stands twice under rows"),
        ({"rows": []}, "table.rows"),
        ({"decimals": 9}, "table.decimals: should be less than or equal to 6, found 9"),
        ({"label": "a}b"}, "table.label"),
        (
            {"names": {"kd": "two\nlines"}},
            "table.names.kd: must be one line of 1 to 200 characters, some visible",
        ),
        ({"names": {"kd": "two\u2028lines"}}, "table.names.kd: must be one line"),
        ({"names": {"kd": " \u200b "}}, "table.names.kd: must be one line"),
        ({"names": {"kd": "x" * 201}}, "table.names.kd: must be one line"),
        (["kd"], "table: must be a mapping"),
    ],
)
def test_a_table_that_is_none_is_refused(table: Any, why: str) -> None:
    with pytest.raises(SpecError, match=r"small\.yaml:") as refused:
        small_spec(table=table)
    assert why in str(refused.value)
