"""The table in every format."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path

import pytest
from rich.console import Console

from sweep.formats import Format
from sweep.ledger.store import Ledger
from sweep.plan.expand import build_plan
from sweep.plan.slots import Plan, Slot
from sweep.results.board import Leaderboard, leaderboard
from sweep.results.caption import caption
from sweep.results.draw import as_rich, render
from sweep.results.grid import FEATURES, grid, layout
from sweep.results.headline import headline
from sweep.results.notes import notes
from sweep.results.records import records
from tests.support.boards import BEHIND, GDKD, MATCHED, RESULTS, better_with_k, of_three_seeds, searched_plan, tell
from tests.support.examples import begin, play, record, slot_of, small_spec
from trainers.distillers import METHODS


@pytest.fixture
def told(ledger: Ledger, small_plan: Plan) -> Leaderboard:
    """One kd seed failed, everything else finished."""
    tell(ledger, small_plan, {place: value for place, value in RESULTS.items() if place != ("kd", 1)})
    record(ledger, small_plan, slot_of(small_plan, "kd", 1), state="failed")
    return leaderboard(ledger)


def test_json_holds_one_record_per_cell(told: Leaderboard) -> None:
    found = json.loads(render(told, Format.JSON))
    assert found == records(told)
    assert [line["label"] for line in found] == ["scratch", "kd", "dhkd α=0.5", "dhkd α=1"]
    assert found[2] == {
        "sweep": "small",
        "dataset": "digits",
        "recipe": "digits",
        "pair": "resnet20→resnet8",
        "method": "dhkd",
        "label": "dhkd α=0.5",
        "name": "dhkd α=0.5",
        "param.alpha": 0.5,
        "n": 2,
        "mean": 92.5,
        "std": 2.1213,
        "delta": 1.0,
        "p_delta": None,
        "standing": "",
        "p_best": None,
        "mean_best": 92.5,
        "mean_last": 92.5,
        "missing": 0,
        "tuned": "",
        "budget": 0,
        "recipe_differs": "",
    }
    assert (found[1]["n"], found[1]["std"], found[1]["delta"], found[1]["missing"]) == (1, None, None, 1)
    assert found[0]["param.alpha"] is None


def test_csv_holds_the_same_as_json(told: Leaderboard) -> None:
    lines = list(csv.DictReader(io.StringIO(render(told, Format.CSV), newline="")))
    expected = [{k: "" if v is None else str(v) for k, v in line.items()} for line in records(told)]
    assert lines == expected


def test_markdown_and_the_plain_table_hold_the_printed_cells(told: Leaderboard) -> None:
    columns, lines = grid(told)
    text = render(told, Format.MARKDOWN)
    first, table, words = text.split("\n\n", 2)
    assert first == headline(told)
    parsed = [[part.strip() for part in line.strip("|").split("|")] for line in table.splitlines()]
    assert parsed[0] == columns
    assert parsed[1] == ["---", *["---:"] * (len(columns) - 1)]
    assert parsed[2:] == lines  # two seeds: nothing is bold
    assert words == "\n\n".join([caption(told), "".join(f"- {note}\n" for note in notes(told))])
    plain = render(told, Format.TABLE).splitlines()
    assert len(plain) == 1 + len(lines)
    assert all(part in line for parts, line in zip(lines, plain[1:], strict=True) for part in parts)


def test_latex_stands_in_the_fields_layout(told: Leaderboard) -> None:
    text = render(told, Format.LATEX)
    lines = [line.strip() for line in text.splitlines()]
    assert lines[0] == r"% needs \usepackage{booktabs}"
    assert r"\begin{tabular}{lrrl}" in lines  # numbers to the right
    top = lines.index(r"\toprule")
    assert lines[top + 1 : top + 8] == [
        r"Teacher & \multicolumn{2}{c}{resnet20} &  \\",
        r"Student & \multicolumn{2}{c}{resnet8} & missing \\",
        r"&  & $\Delta$ kd &  \\",
        r"\midrule",
        r"teacher & 97.25 &  &  \\",
        r"scratch & 81.50 $\pm$ 2.12 (2) & $-$10.00 &  \\",
        r"\midrule",
    ]
    assert r"dhkd $\alpha$=0.5 & 92.50 $\pm$ 2.12 (2) & +1.00 &  \\" in lines
    assert r"accuracy in \%" in text
    check_latex(text)


def check_latex(text: str) -> None:
    """What would stop LaTeX: characters it does not know, environments or braces or math left open, a row with another
    number of cells than the table has columns."""
    assert text.isascii()
    text = "\n".join(line for line in text.splitlines() if not line.startswith("%"))
    bare = re.sub(r"\\[\\&%_#${}]", "", text)
    assert not re.search(r"[%#]", bare)
    assert bare.count("$") % 2 == 0
    depth = 0
    for character in bare:
        depth += {"{": 1, "}": -1}.get(character, 0)
        assert depth >= 0
    assert depth == 0
    opened: list[str] = []
    for verb, name in re.findall(r"\\(begin|end)\{(\w+)\}", text):
        if verb == "begin":
            opened.append(name)
        else:
            assert opened.pop() == name
    assert opened == []
    (columns,) = re.findall(r"\\begin\{tabular\}\{([lrc]+)\}", text)
    body = text.partition(r"\toprule")[2].partition(r"\bottomrule")[0]
    for line in body.splitlines():
        if line.endswith(r"\\"):
            spans = [int(width) - 1 for width in re.findall(r"\\multicolumn\{(\d+)\}", line)]
            cells = re.sub(r"\\&", "", line).count("&") + 1
            assert cells + sum(spans) == len(columns), line
        else:
            assert line.strip() in ("", r"\midrule"), line


def test_the_terminals_table_holds_title_cells_and_caption(told: Leaderboard) -> None:
    console = Console(file=io.StringIO(), width=200)
    console.print(as_rich(told))
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    assert "small on digits" in shown
    assert "92.50 ± 2.12 (2)" in shown
    assert "1 failed" in shown
    assert " ".join([caption(told), *notes(told)]) in " ".join(shown.split())
    assert " ".join(shown.split()).startswith(headline(told))


def test_students_are_told_apart_on_a_narrow_terminal(ledger: Ledger) -> None:
    plan = build_plan(small_spec(pairs=["resnet14 -> resnet8", "resnet14 -> resnet20"]))
    begin(ledger, plan)
    for slot in plan.slots:
        record(ledger, plan, slot, [90.0])
    console = Console(file=io.StringIO(), width=80)
    console.print(as_rich(leaderboard(ledger)))
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    assert {"resnet8", "resnet20"} <= set(shown.split())


@pytest.mark.parametrize("how", Format)
def test_a_table_is_the_same_to_the_byte_however_the_trials_were_scheduled(
    tmp_path: Path, small_plan: Plan, how: Format
) -> None:
    shown = []
    for name, turn in (("a", 1), ("b", -1)):
        with Ledger(tmp_path / name) as ledger:
            begin(ledger, small_plan)
            for slot in small_plan.slots[::turn]:
                record(ledger, small_plan, slot, [RESULTS.get((slot.label, slot.seed), 97.1)])
            shown.append(render(leaderboard(ledger), how))
        with Ledger(tmp_path / name) as ledger:
            shown.append(render(leaderboard(ledger), how))
    assert len(set(shown)) == 1


def test_the_best_is_bold_where_it_is_not_matched(ledger: Ledger) -> None:
    board = of_three_seeds(ledger, BEHIND)
    assert [c.standing for c in board.rows] == ["worse", "worse", "best", "worse"]
    assert "| dhkd α=0.5 | **93.50 ± 0.44 (3)** | +3.00* |" in render(board, Format.MARKDOWN)
    latex = render(board, Format.LATEX)
    assert r"dhkd $\alpha$=0.5 & \textbf{93.50 $\pm$ 0.44 (3)} & +3.00* \\" in latex
    check_latex(latex)
    assert "†" not in str(grid(board))
    assert "and over all pairs of rows for the highest mean (5 %)" in " ".join(notes(board))


def test_a_best_that_is_matched_is_not_bold_and_its_ties_are_marked(ledger: Ledger) -> None:
    board = of_three_seeds(ledger, MATCHED)
    assert [c.standing for c in board.rows] == ["worse", "worse", "tied", "tied"]
    markdown = render(board, Format.MARKDOWN)
    assert "**" not in markdown
    assert "93.50 ± 0.44 (3)†" in markdown
    assert "93.63 ± 0.35 (3)†" in markdown
    latex = render(board, Format.LATEX)
    assert r"\textbf" not in latex
    assert r"93.63 $\pm$ 0.35 (3)$^\dagger$" in latex
    check_latex(latex)


def test_the_terminal_shows_the_best_in_bold(ledger: Ledger) -> None:
    console = Console(file=io.StringIO(), width=200, force_terminal=True, color_system="standard")
    console.print(as_rich(of_three_seeds(ledger, BEHIND)))
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    assert re.findall(r"\x1b\[1m(\d[^\x1b]*)", shown) == ["93.50 ± 0.44 (3)"]


def test_records_hold_standings_and_corrected_p_values(ledger: Ledger) -> None:
    scratch, kd, best, _ = records(of_three_seeds(ledger, BEHIND))
    assert (best["standing"], best["p_best"], scratch["standing"]) == ("best", None, "worse")
    assert kd["p_delta"] is None
    assert 0 < best["p_delta"] < 0.05
    assert 0 < scratch["p_best"] < 0.05


def test_features_stand_before_logits_and_the_student_in_the_head(ledger: Ledger) -> None:
    plan = build_plan(small_spec(seeds=1, methods=["kd", "at", "scratch", "rkd", "dkd"]))
    begin(ledger, plan)
    record(ledger, plan, plan.teachers[0], [97.0])
    for slot in plan.students:
        record(ledger, plan, slot, [90.0])
    groups = [[line[0].text for line in group] for group in layout(leaderboard(ledger)).groups]
    assert groups == [["teacher", "scratch"], ["at", "rkd"], ["kd", "dkd"]]


def test_the_tables_groups_are_what_the_methods_say_of_themselves() -> None:
    assert {name for name in METHODS if METHODS[name].teacher_needs == "features"} == FEATURES


def test_hyperparameters_of_different_methods_share_the_records_columns(ledger: Ledger) -> None:
    plan = build_plan(small_spec(methods=[{"kd": {"temperature": [2, 4]}}, {"dhkd": {"alpha": [0.5, 1]}}], seeds=1))
    begin(ledger, plan)
    found = records(leaderboard(ledger))
    assert len({tuple(line) for line in found}) == 1
    assert [(line["param.temperature"], line["param.alpha"]) for line in found] == [
        (2.0, None),
        (4.0, None),
        (None, 0.5),
        (None, 1.0),
    ]


@pytest.mark.parametrize("how", Format)
def test_rows_do_not_depend_on_the_order_in_which_searches_finished(tmp_path: Path, how: Format) -> None:
    plan = searched_plan(
        pairs=["resnet20 -> resnet8", "resnet14 -> resnet8"],
        methods=["kd", GDKD, {"dhkd": {"alpha": {"choice": [0.5, 1]}}}],
    )

    def accuracy(slot: Slot) -> float:
        return slot.varied["alpha"] * 50 + slot.seed if slot.method == "dhkd" else better_with_k(slot)

    shown, orders = [], set()
    for number, (side_by_side, last_first) in enumerate([(1, False), (4, False), (4, True), (9, True)]):
        with Ledger(tmp_path / f"{number}.db") as ledger:
            play(ledger, plan, accuracy, side_by_side=side_by_side, last_first=last_first)
            board = leaderboard(ledger)
            shown.append(render(board, how))
            orders.add(tuple(event.body["cell"] for event in ledger.events("chosen")))
            assert list(board.lines) == [("digits", name) for name in ("kd", "gdkd tuned", "dhkd tuned")]
    assert len(orders) > 1
    assert len(set(shown)) == 1


def test_a_tuned_rows_record_names_what_was_found(ledger: Ledger) -> None:
    play(ledger, searched_plan(), better_with_k)
    kd, gdkd = json.loads(render(leaderboard(ledger), Format.JSON))
    assert (gdkd["tuned"], gdkd["param.k"], gdkd["param.kl"]) == ("k=4 kl=both, the best of 6", 4, "both")
    assert (kd["tuned"], kd["param.k"]) == ("", None)
    assert (gdkd["mean"], gdkd["n"], gdkd["delta"]) == (76.0, 2, -5.5)
    markdown = render(leaderboard(ledger), Format.MARKDOWN)
    assert "\n- gdkd tuned, resnet20→resnet8: k=4 kl=both, the best of 6\n" in markdown
