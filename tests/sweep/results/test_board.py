"""The table: means, differences over common seeds, and nothing left out silently."""

from __future__ import annotations

import csv
import io
import json
import re
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from sweep.formats import Format
from sweep.layout import Root
from sweep.ledger.store import Ledger
from sweep.plan.expand import build_plan
from sweep.plan.slots import Plan, Slot
from sweep.results.board import Leaderboard, leaderboard
from sweep.results.caption import caption
from sweep.results.draw import as_rich, render
from sweep.results.grid import FEATURES, grid, layout
from sweep.results.read import trials
from sweep.results.records import records
from sweep.results.rows import Row
from tests.support.examples import SPEC, begin, job_of, play, record, slot_of, small_spec
from trainers.distillers import METHODS
from trainers.errors import InputError

Results = dict[tuple[str, int], float]

RESULTS: Results = {
    ("scratch", 0): 80.0,
    ("scratch", 1): 83.0,
    ("kd", 0): 90.0,
    ("kd", 1): 92.0,
    ("dhkd α=0.5", 0): 91.0,
    ("dhkd α=0.5", 1): 94.0,
    ("dhkd α=1", 0): 88.0,
    ("dhkd α=1", 1): 88.5,
}


def tell(ledger: Ledger, plan: Plan, results: Results = RESULTS, teacher: float = 97.25) -> None:
    """Everything finished, after one epoch each, with these accuracies."""
    begin(ledger, plan)
    for slot in plan.teachers:
        record(ledger, plan, slot, [teacher], val_accs=[teacher])
    for slot in plan.students:
        if (slot.label, slot.seed) in results:
            record(ledger, plan, slot, [results[slot.label, slot.seed]], val_accs=[50.0])


def cell(board: Leaderboard, label: str, pair: str = "resnet20→resnet8", recipe: str | None = None) -> Row:
    (found,) = [c for c in board.rows if (c.label, c.pair) == (label, pair) and recipe in (None, c.recipe)]
    return found


def rows(board: Leaderboard) -> dict[str, list[str]]:
    """The printed table by method."""
    columns, lines = grid(board)
    place = columns.index("method")
    return {line[place]: line for line in lines}


def test_a_sweep_without_a_plan_has_no_table(ledger: Ledger) -> None:
    with pytest.raises(InputError, match="holds no plan yet"):
        leaderboard(ledger)


def test_means_and_sample_deviations_are_those_computed_by_hand(ledger: Ledger, small_plan: Plan) -> None:
    tell(ledger, small_plan)
    board = leaderboard(ledger)
    kd = cell(board, "kd")
    assert kd.values == {0: 90.0, 1: 92.0}
    assert kd.mean == 91.0
    assert kd.std == pytest.approx(2**0.5)
    assert kd.shown == "91.00 ± 1.41 (2)"
    assert cell(board, "dhkd α=0.5").shown == "92.50 ± 2.12 (2)"
    assert board.teachers == {"resnet20": 97.25}
    assert board.states == {"finished": 9}


def test_three_seeds_divide_by_two(ledger: Ledger) -> None:
    plan = build_plan(small_spec(methods=["kd"], seeds=3))
    tell(ledger, plan, {("kd", 0): 1.0, ("kd", 1): 2.0, ("kd", 2): 6.0})
    kd = cell(leaderboard(ledger), "kd")
    assert (kd.mean, kd.std) == (3.0, pytest.approx(7**0.5))
    assert kd.shown == "3.00 ± 2.65 (3)"


def test_one_seed_has_no_deviation_and_none_is_a_dash(ledger: Ledger, small_plan: Plan) -> None:
    tell(ledger, small_plan, {("kd", 1): 90.125})
    board = leaderboard(ledger)
    assert (cell(board, "kd").std, cell(board, "kd").shown) == (None, "90.12 (1)")
    assert (cell(board, "scratch").mean, cell(board, "scratch").shown) == (None, "–")


def test_differences_are_means_over_paired_seeds(ledger: Ledger, small_plan: Plan) -> None:
    tell(ledger, small_plan)
    board = leaderboard(ledger)
    assert board.baseline == "kd"
    assert cell(board, "dhkd α=0.5").delta == pytest.approx(((91 - 90) + (94 - 92)) / 2)
    assert cell(board, "dhkd α=0.5").shown_delta == "+1.50"
    assert cell(board, "scratch").shown_delta == "−9.50"
    assert cell(board, "kd").delta is None
    assert cell(board, "kd").shown_delta == ""


def test_a_difference_counts_common_seeds_only(ledger: Ledger, small_plan: Plan) -> None:
    results = {place: value for place, value in RESULTS.items() if place not in (("kd", 0), ("scratch", 1))}
    tell(ledger, small_plan, results)
    board = leaderboard(ledger)
    assert cell(board, "dhkd α=0.5").delta == 94.0 - 92.0
    assert cell(board, "dhkd α=0.5").mean == 92.5
    assert cell(board, "scratch").delta is None


def test_another_baseline_can_be_named(ledger: Ledger) -> None:
    plan = build_plan(small_spec(baseline="scratch"))
    tell(ledger, plan)
    board = leaderboard(ledger)
    assert cell(board, "kd").shown_delta == "+9.50"
    assert "Δ scratch" in grid(board)[0]


def test_of_a_swept_baseline_the_first_row_is_taken(ledger: Ledger) -> None:
    plan = build_plan(small_spec(baseline="dhkd"))
    tell(ledger, plan)
    board = leaderboard(ledger)
    assert board.baseline == "dhkd α=0.5"
    assert cell(board, "dhkd α=0.5").delta is None
    assert cell(board, "dhkd α=1").delta == pytest.approx(((88 - 91) + (88.5 - 94)) / 2)


def test_without_the_baseline_there_are_no_differences(ledger: Ledger) -> None:
    plan = build_plan(small_spec(methods=["scratch", "dhkd"]))
    tell(ledger, plan, {("scratch", 0): 80.0, ("dhkd", 0): 81.0})
    board = leaderboard(ledger)
    assert board.baseline is None
    assert all(c.delta is None for c in board.rows)
    columns, lines = grid(board)
    assert columns == ["method", "resnet20→resnet8", "missing"]
    assert {len(line) for line in lines} == {3}
    assert "Δ" not in caption(board)


# -- what is missing ----------------------------------------------------------------------------------------------


def test_what_gave_no_number_is_counted_by_its_state(ledger: Ledger) -> None:
    plan = build_plan(small_spec(methods=["kd"], seeds=6))
    begin(ledger, plan)
    record(ledger, plan, plan.teachers[0], [97.0], val_accs=[90.0])
    for seed, state in enumerate(["finished", "diverged", "failed", "interrupted", "running"]):
        record(ledger, plan, slot_of(plan, "kd", seed), [90.0, 99.0], state=state, val_accs=[1.0, 2.0])
    board = leaderboard(ledger)
    kd = cell(board, "kd")
    assert kd.values == {0: 99.0}
    assert kd.missing == {"diverged": 1, "failed": 1, "interrupted": 1, "running": 1, "waiting": 1}
    assert rows(board)["kd"][-1] == "1 diverged, 1 failed, 1 interrupted, 1 running, 1 waiting"
    assert caption(board).endswith("Trials: 2 finished, 1 diverged, 1 failed, 1 interrupted, 1 running, 1 waiting.")


def test_a_table_with_nothing_missing_has_no_such_column(ledger: Ledger, small_plan: Plan) -> None:
    tell(ledger, small_plan)
    columns, lines = grid(leaderboard(ledger))
    assert columns == ["method", "resnet20→resnet8", "Δ kd"]
    assert [line[0] for line in lines] == ["teacher", "scratch", "kd", "dhkd α=0.5", "dhkd α=1"]
    assert caption(leaderboard(ledger)).endswith("Trials: 9 finished.")


def test_a_sweep_that_has_only_been_planned_has_a_table_of_waiting_trials(ledger: Ledger, small_plan: Plan) -> None:
    begin(ledger, small_plan)
    board = leaderboard(ledger)
    assert board.states == {"waiting": 9}
    assert board.teachers == {}
    assert rows(board)["kd"] == ["kd", "–", "", "2 waiting"]
    for how in Format:
        assert render(board, how)


def test_the_last_event_of_a_trial_says_how_it_is(ledger: Ledger, small_plan: Plan) -> None:
    begin(ledger, small_plan)
    slot = slot_of(small_plan, "scratch")
    for state in ("failed", "running", "interrupted", "running"):
        record(ledger, small_plan, slot, [50.0], state=state)
        (found,) = [trial for trial in trials(ledger)[1] if trial.slot == slot]
        assert found.state == state
    record(ledger, small_plan, slot, [50.0])
    record(ledger, small_plan, slot, state="failed")
    (found,) = [trial for trial in trials(ledger)[1] if trial.slot == slot]
    assert (found.state, found.epochs) == ("finished", 1)


def test_a_teacher_trained_anew_means_its_students_wait_again(ledger: Ledger, small_plan: Plan) -> None:
    tell(ledger, small_plan)
    slot = slot_of(small_plan, "kd")
    key = next(trial.key for trial in trials(ledger)[1] if trial.slot == slot)
    assert key is not None
    other = next(ledger.events("start", trial=key)).body
    ledger.append("start", "0" * 16, body=other)
    (found,) = [trial for trial in trials(ledger)[1] if trial.slot == slot]
    assert (found.key, found.state, found.epochs) == ("0" * 16, "running", 0)


# -- which number -------------------------------------------------------------------------------------------------


def three_epochs(ledger: Ledger, plan: Plan, paper: bool) -> Row:
    begin(ledger, plan)
    val = None if paper else [10.0, 30.0, 20.0]
    record(ledger, plan, slot_of(plan, "kd"), [95.0, 91.0, 92.0], val_accs=val)
    return cell(leaderboard(ledger), "kd")


def test_the_table_shows_the_last_epoch(ledger: Ledger) -> None:
    kd = three_epochs(ledger, build_plan(small_spec(methods=["kd"], seeds=1)), paper=False)
    assert (kd.values, kd.best, kd.last) == ({0: 92.0}, {0: 91.0}, {0: 92.0})
    assert "last epoch:" in caption(leaderboard(ledger))
    assert "best" not in caption(leaderboard(ledger))


def test_the_papers_protocol_shows_the_best_test_epoch_and_says_so(ledger: Ledger) -> None:
    plan = build_plan(small_spec(methods=["kd"], seeds=1, protocol="paper"))
    kd = three_epochs(ledger, plan, paper=True)
    assert (kd.values, kd.best, kd.last) == ({0: 95.0}, {0: 95.0}, {0: 92.0})
    assert "best epoch on the test set, as the papers report it:" in caption(leaderboard(ledger))


def test_the_caption_says_what_is_shown_against_what(ledger: Ledger, small_plan: Plan) -> None:
    tell(ledger, small_plan)
    assert caption(leaderboard(ledger)) == (
        "Top-1 test accuracy in %, last epoch: mean ± standard deviation (number of seeds)."
        " Δ: mean difference to kd over common seeds."
        " Nothing can be told apart: a paired test needs 3 common seeds, there are 2."
        " Every configuration of the spec is shown; none was selected."
        " Trials: 9 finished."
    )


# -- several pairs, recipes and plans -----------------------------------------------------------------------------


def test_pairs_stand_side_by_side_with_their_own_differences(ledger: Ledger) -> None:
    plan = build_plan(
        small_spec(pairs=["resnet20 -> resnet8", "resnet14 -> resnet32"], methods=["kd", "dhkd"], seeds=1)
    )
    begin(ledger, plan)
    for slot in plan.teachers:
        record(ledger, plan, slot, [97.0 if slot.pair == "resnet20" else 96.0])
    for label, pair, accuracy in (
        ("kd", "resnet20→resnet8", 80.0),
        ("dhkd", "resnet20→resnet8", 81.0),
        ("kd", "resnet14→resnet32", 90.0),
        ("dhkd", "resnet14→resnet32", 88.0),
    ):
        record(ledger, plan, slot_of(plan, label, pair=pair), [accuracy])
    board = leaderboard(ledger)
    assert grid(board) == (
        ["method", "resnet20→resnet8", "Δ kd", "resnet14→resnet32", "Δ kd", "mean", "Δ kd"],
        [
            ["teacher", "97.00", "", "96.00", "", "", ""],
            ["kd", "80.00 (1)", "", "90.00 (1)", "", "85.00", ""],
            ["dhkd", "81.00 (1)", "+1.00", "88.00 (1)", "−2.00", "84.50", "−0.50"],
        ],
    )
    assert "Mean: over all pairs, not tested: a test needs 3 pairs" in caption(board)
    assert "Nothing can be told apart: a paired test needs 3 common seeds, there is 1." in caption(board)


def test_recipes_have_rows_of_their_own_and_are_compared_within(ledger: Ledger) -> None:
    plan = build_plan(small_spec(recipe=SPEC["recipe"] | {"lr": [0.05, 0.1]}, methods=["kd", "dhkd"], seeds=1))
    begin(ledger, plan)
    for slot in plan.students:
        offset = 0.0 if slot.recipe.endswith("0.05") else 20.0
        record(ledger, plan, slot, [offset + {"kd": 60.0, "dhkd": 63.0}[slot.label]])
    board = leaderboard(ledger)
    columns, lines = grid(board)
    assert columns == ["recipe", "method", "resnet20→resnet8", "Δ kd", "missing"][: len(columns)]
    assert [line[:4] for line in lines] == [
        ["digits lr=0.05", "kd", "60.00 (1)", ""],
        ["digits lr=0.05", "dhkd", "63.00 (1)", "+3.00"],
        ["digits lr=0.1", "kd", "80.00 (1)", ""],
        ["digits lr=0.1", "dhkd", "83.00 (1)", "+3.00"],
    ]


def test_only_the_latest_plans_trials_are_in_the_table(ledger: Ledger, small_plan: Plan) -> None:
    tell(ledger, small_plan)
    longer = build_plan(small_spec(recipe=SPEC["recipe"] | {"epochs": 4}))
    begin(ledger, longer)
    assert leaderboard(ledger).states == {"waiting": 9}
    record(ledger, longer, slot_of(longer, "kd"), [99.0])
    kd = cell(leaderboard(ledger), "kd")
    assert kd.values == {0: 99.0}
    assert kd.missing == {"waiting": 1}


def test_a_spec_that_grew_keeps_its_old_results(ledger: Ledger, small_plan: Plan) -> None:
    tell(ledger, small_plan)
    begin(ledger, build_plan(small_spec(seeds=3)))
    board = leaderboard(ledger)
    assert cell(board, "kd").values == {0: 90.0, 1: 92.0}
    assert cell(board, "kd").missing == {"waiting": 1}


def test_a_spec_that_shrank_shows_what_is_left(ledger: Ledger, small_plan: Plan) -> None:
    tell(ledger, small_plan)
    begin(ledger, build_plan(small_spec(methods=["kd"], seeds=1)))
    board = leaderboard(ledger)
    assert [c.label for c in board.rows] == ["kd"]
    assert cell(board, "kd").values == {0: 90.0}
    assert board.states == {"finished": 2}


# -- formats ------------------------------------------------------------------------------------------------------


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
    table, _, words = text.partition("\n\n")
    parsed = [[part.strip() for part in line.strip("|").split("|")] for line in table.splitlines()]
    assert parsed[0] == columns
    assert parsed[1] == ["---", *["---:"] * (len(columns) - 1)]
    assert parsed[2:] == lines  # two seeds: nothing is bold
    assert words == caption(told) + "\n"
    plain = render(told, Format.TABLE).splitlines()
    assert len(plain) == 1 + len(lines)
    assert all(part in line for parts, line in zip(lines, plain[1:], strict=True) for part in parts)


def test_latex_stands_in_the_fields_layout(told: Leaderboard) -> None:
    text = render(told, Format.LATEX)
    lines = [line.strip() for line in text.splitlines()]
    assert lines[0] == r"% needs \usepackage{booktabs}"
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
    assert caption(told) in " ".join(shown.split())


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


# -- significance -------------------------------------------------------------------------------------------------

SEEDS = {"scratch": [80.0, 81.0, 80.3], "kd": [90.0, 90.6, 90.9], "dhkd α=0.5": [93.0, 93.8, 93.7]}
"""dhkd α=0.5 is 3.0, 3.2 and 2.8 points above kd."""
MATCHED = {"dhkd α=1": [93.3, 93.6, 94.0]}
BEHIND = {"dhkd α=1": [91.1, 91.6, 92.3]}


def of_three_seeds(ledger: Ledger, more: dict[str, list[float]], **changes: Any) -> Leaderboard:
    plan = build_plan(small_spec(seeds=3, **changes))
    accuracies = SEEDS | more
    tell(ledger, plan, {(name, seed): value for name, some in accuracies.items() for seed, value in enumerate(some)})
    return leaderboard(ledger)


def test_the_best_is_bold_where_it_is_not_matched(ledger: Ledger) -> None:
    board = of_three_seeds(ledger, BEHIND)
    assert [c.standing for c in board.rows] == ["worse", "worse", "best", "worse"]
    assert "| dhkd α=0.5 | **93.50 ± 0.44 (3)** | +3.00* |" in render(board, Format.MARKDOWN)
    latex = render(board, Format.LATEX)
    assert r"dhkd $\alpha$=0.5 & \textbf{93.50 $\pm$ 0.44 (3)} & +3.00* \\" in latex
    check_latex(latex)
    assert "†" not in str(grid(board))
    assert "paired t tests over common seeds, Holm's correction over the column's comparisons, 5%" in caption(board)


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


def test_a_tie_for_want_of_a_test_is_counted(ledger: Ledger) -> None:
    board = of_three_seeds(ledger, {"dhkd α=1": [91.1, 91.6]})
    assert cell(board, "dhkd α=1").standing == "tied"
    assert "1 † for want of a test: fewer than 3 common seeds, or differences all equal." in caption(board)


def test_equal_differences_are_told_from_too_few_seeds(ledger: Ledger) -> None:
    plan = build_plan(small_spec(seeds=3, methods=["scratch", "kd"]))
    tell(ledger, plan, {(n, s): a + s for n, a in (("scratch", 80.0), ("kd", 90.0)) for s in range(3)})
    assert "the differences are the same in every seed" in caption(leaderboard(ledger))


def test_columns_without_enough_seeds_are_named_beside_others(ledger: Ledger) -> None:
    pairs = ["resnet20 -> resnet8", "resnet14 -> resnet32"]
    plan = build_plan(small_spec(seeds=3, methods=["kd", "dhkd"], pairs=pairs))
    begin(ledger, plan)
    for slot in plan.students:
        if slot.pair == "resnet20→resnet8" or slot.seed < 2:
            record(ledger, plan, slot, [{"kd": [90.0, 90.6, 90.9], "dhkd": [93.0, 93.8, 93.7]}[slot.method][slot.seed]])
    board = leaderboard(ledger)
    why = "Nothing can be told apart under resnet14→resnet32: a paired test needs 3 common seeds, there are 2."
    assert why in caption(board)
    assert [c.standing for c in board.rows if c.pair == "resnet20→resnet8"] == ["worse", "best"]


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


def test_a_stored_teachers_accuracy_is_read_from_its_passport(ledger: Ledger, small_plan: Plan, root: Root) -> None:
    teacher = {"architecture": "resnet20", "hash": "0123456789abcdef"}
    pair = "resnet20@01234567→resnet8"
    slots = [
        replace(slot, pair=pair, teacher=None, config=slot.config | {"teacher": teacher})
        for slot in small_plan.students
    ]
    begin(ledger, replace(small_plan, slots=tuple(slots)))
    assert leaderboard(ledger).teachers == {}
    passport = root.teachers / teacher["hash"] / "passport.json"
    passport.parent.mkdir(parents=True)
    passport.write_text(json.dumps({"test_acc": 97.5}))
    board = leaderboard(ledger)
    assert board.teachers == {"resnet20@01234567": 97.5}
    assert rows(board)["teacher"][1] == "97.50"


# -- recipes and budgets --------------------------------------------------------------------------------------------


def test_a_row_whose_recipe_was_searched_is_marked(ledger: Ledger) -> None:
    recipe = SPEC["recipe"] | {"lr": {"choice": [0.05, 0.1]}}
    search = {"trials": 9, "sampler": "grid", "pruner": "none"}
    plan = build_plan(small_spec(recipe=recipe, methods=["kd", "dhkd"], search=search))

    def accuracy(slot: Slot) -> float:
        best = {"kd": 0.05, "dhkd": 0.1}[slot.method]
        return (90.0 if slot.varied["recipe.lr"] == best else 80.0) + slot.seed

    play(ledger, plan, accuracy)
    board = leaderboard(ledger)
    assert cell(board, "kd tuned").recipe_differs == {}
    assert cell(board, "dhkd tuned").recipe_differs == {"lr": (0.1, 0.05)}
    assert rows(board)["dhkd tuned"][1].endswith("‡")
    marked = "‡: trained by another recipe than its column (dhkd tuned, resnet20→resnet8: lr=0.1, not 0.05)."
    assert marked in caption(board)
    assert records(board)[1]["recipe_differs"] == "lr=0.1"
    check_latex(render(board, Format.LATEX))


def test_the_caption_tells_the_budgets_that_finite_spaces_leave(ledger: Ledger) -> None:
    methods = [{"gdkd": {"k": {"choice": [2, 3]}}}, {"dhkd": {"alpha": {"choice": [0.5, 1, 2]}}}]
    plan = build_plan(small_spec(methods=methods, search={"trials": 20, "sampler": "grid", "pruner": "none"}))
    play(ledger, plan, lambda slot: 80.0 + slot.seed + sum(slot.varied.values()))
    board = leaderboard(ledger)
    assert "the best of 2 to 3 configurations (grid, seed 0)" in caption(board)
    assert [(c.label, c.budget) for c in board.rows] == [("gdkd tuned", 2), ("dhkd tuned", 3)]


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


# -- searches -----------------------------------------------------------------------------------------------------

GDKD = {"gdkd": {"k": {"range": [2, 8]}, "kl": {"choice": ["forward", "both"]}}}
SEARCHED: dict[str, Any] = {
    "methods": ["kd", GDKD],
    "seeds": 3,
    "search": {"trials": 6, "sampler": "grid", "pruner": "none"},
}
"""The grid tries k = 2, 3 and 4, each with both directions."""


def searched_plan(**changes: Any) -> Plan:
    return build_plan(small_spec(**(SEARCHED | changes)))


def better_with_k(slot: Slot) -> float:
    """kd 80; gdkd 70 + k, and half a point more with `both`; each seed one more than the one before."""
    more = 10.0 if slot.method == "kd" else slot.varied["k"] + (slot.varied["kl"] == "both") / 2
    return 70.0 + more + slot.seed


def test_a_tuned_row_shows_the_best_of_the_search_with_all_seeds(ledger: Ledger) -> None:
    play(ledger, searched_plan(), better_with_k)
    board = leaderboard(ledger)
    row = cell(board, "gdkd tuned")
    assert row.values == {0: 74.5, 1: 75.5, 2: 76.5}
    assert row.shown == "75.50 ± 1.00 (3)"
    assert row.delta == pytest.approx(-5.5)
    assert row.varied == {"k": 4, "kl": "both"}
    assert row.tuned == "k=4 kl=both, the best of 6"
    assert row.missing == {}
    assert board.findings == ["gdkd tuned, resnet20→resnet8: k=4 kl=both, the best of 6"]
    assert [c.label for c in board.rows] == ["kd", "gdkd tuned"]
    assert board.states == {"finished": 3 + 6 + 2, "waiting": 1}  # the teacher is another sweep's


def test_of_several_confirmed_the_best_on_validation_is_shown(ledger: Ledger) -> None:
    plan = searched_plan(search=SEARCHED["search"] | {"confirm": 3})

    def one_seed_was_lucky(slot: Slot) -> float:
        lucky = slot.varied.get("k") == 4 and slot.seed > 0
        return better_with_k(slot) - (30.0 if lucky else 0.0)

    done = play(ledger, plan, one_seed_was_lucky)
    confirmed = [job.slot.varied for job in done if job.slot.label == "gdkd tuned" and job.slot.seed == 2]
    assert confirmed == [{"k": 4, "kl": "both"}, {"k": 4, "kl": "forward"}, {"k": 3, "kl": "both"}]
    row = cell(leaderboard(ledger), "gdkd tuned")
    assert (row.varied, row.values) == ({"k": 3, "kl": "both"}, {0: 73.5, 1: 74.5, 2: 75.5})
    assert row.tuned == "k=3 kl=both, the best of 6"


def test_test_accuracy_chooses_nothing_where_images_are_held_out(ledger: Ledger) -> None:
    plan = searched_plan(search={"trials": 3, "sampler": "grid", "pruner": "none", "confirm": 2}, seeds=1)
    (found,) = plan.cells
    begin(ledger, plan)
    asked = [found.slot({"k": k, "kl": kl}, "search", 0) for k, kl in ((2, "forward"), (2, "both"), (3, "forward"))]
    for number, (slot, test, val) in enumerate(zip(asked, [50.0, 99.0, 70.0], [60.0, 10.0, 80.0], strict=True)):
        params = {"k": slot.varied["k"], "kl": slot.varied["kl"]}
        body = {"cell": found.id, "number": number, "params": params, "slot": asdict(slot)}
        ledger.append("ask", job_of(plan, slot).key, body=body)
        record(ledger, plan, slot, [test], val_accs=[val])
    play(ledger, plan, better_with_k)
    row = cell(leaderboard(ledger), "gdkd tuned")
    assert (row.varied, row.values) == ({"k": 3, "kl": "forward"}, {0: 70.0})


def test_trials_that_were_given_up_are_counted_with_the_finding(ledger: Ledger) -> None:
    plan = searched_plan(search={"trials": 6, "sampler": "grid", "pruner": "asha"})
    play(ledger, plan, lambda slot: 95.0 - better_with_k(slot))
    board = leaderboard(ledger)
    pruned = len({event.trial for event in ledger.events("pruned")})
    assert pruned > 1
    assert board.states["pruned"] == pruned
    assert cell(board, "gdkd tuned").tuned == f"k=2 kl=forward, the best of 6 ({pruned} pruned)"
    assert f"{pruned} pruned" in caption(board)


@pytest.mark.parametrize(
    ("trials", "missing"),
    [
        (0, {"to try": 6}),
        (2, {"to try": 4}),
        (6 + 3, {"waiting": 2}),
        (6 + 3 + 1, {"waiting": 1}),
    ],
)
def test_a_search_that_goes_on_has_a_row_that_says_so(ledger: Ledger, trials: int, missing: dict[str, int]) -> None:
    play(ledger, searched_plan(), better_with_k, trials=trials)
    board = leaderboard(ledger)
    row = cell(board, "gdkd tuned")
    assert row.missing == missing
    assert row.shown == ("–" if trials < 6 else row.shown)
    assert row.values == {seed: 74.5 + seed for seed in range(trials - 8)}
    assert bool(row.tuned) == (trials >= 6)
    assert board.findings == ([f"gdkd tuned, resnet20→resnet8: {row.tuned}"] if row.tuned else [])
    for how in Format:
        assert "gdkd tuned" in render(board, how)


def test_a_search_whose_last_trials_run_has_nothing_left_to_try(ledger: Ledger) -> None:
    play(ledger, searched_plan(), better_with_k, side_by_side=4, trials=3)
    assert cell(leaderboard(ledger), "gdkd tuned").missing == {"searching": 1}


def test_the_caption_says_what_was_searched_and_by_what(ledger: Ledger) -> None:
    play(ledger, searched_plan(), better_with_k)
    assert (
        "Tuned rows: in each cell the best of 6 configurations (grid, seed 0) by validation accuracy after the last"
        " epoch, run again with all seeds; every other row is shown as the spec has it."
    ) in caption(leaderboard(ledger))
    assert "none was selected" not in caption(leaderboard(ledger))


def test_the_papers_protocol_chooses_by_test_accuracy_and_says_so(ledger: Ledger) -> None:
    plan = searched_plan(protocol="paper", seeds=[4, 7])
    play(ledger, plan, better_with_k)
    board = leaderboard(ledger)
    assert cell(board, "gdkd tuned").values == {4: 78.5, 7: 81.5}
    assert "best epoch on the test set, as the papers report it" in caption(board)
    assert "(grid, seed 4) by best test accuracy, as protocol 'paper' allows, run again" in caption(board)


def test_a_baseline_may_be_a_tuned_row(ledger: Ledger) -> None:
    play(ledger, searched_plan(methods=[GDKD, "kd"], baseline="gdkd"), better_with_k)
    board = leaderboard(ledger)
    assert board.baseline == "gdkd tuned"
    assert cell(board, "kd").delta == pytest.approx(5.5)
    assert cell(board, "gdkd tuned").delta is None


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
    assert (gdkd["mean"], gdkd["n"], gdkd["delta"]) == (75.5, 3, -5.5)
    markdown = render(leaderboard(ledger), Format.MARKDOWN)
    assert markdown.endswith("\n- gdkd tuned, resnet20→resnet8: k=4 kl=both, the best of 6\n")


def test_a_larger_search_changes_the_row_and_keeps_what_was_found_until_then(ledger: Ledger) -> None:
    play(ledger, searched_plan(), better_with_k)
    larger = searched_plan(search=SEARCHED["search"] | {"trials": 8})
    before = ledger.count()
    done = play(ledger, larger, better_with_k)
    assert [job.slot.label for job in done] == [
        "gdkd k=5 kl=forward",
        "gdkd k=5 kl=both",
        "gdkd tuned",
        "gdkd tuned",
    ]
    assert ledger.count() > before
    row = cell(leaderboard(ledger), "gdkd tuned")
    assert (row.tuned, row.values) == ("k=5 kl=both, the best of 8", {0: 75.5, 1: 76.5, 2: 77.5})
