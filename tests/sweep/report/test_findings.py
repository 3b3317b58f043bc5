"""What the report's sections say: numbers that are known, or computed here in another way."""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from sweep.ledger import store
from sweep.ledger.bodies import start_body
from sweep.ledger.store import Ledger
from sweep.plan.expand import build_plan
from sweep.report.effort import section as effort_section
from sweep.report.gradients import Cosine, cosine, verdict
from sweep.report.history import Configuration, Curve, History, read
from sweep.report.searches import place
from sweep.report.sensitivity import POOLED, Judge, Line, ends, lines, pooled
from sweep.report.sensitivity import verdict as judged
from sweep.results.significance import columns, highest, standings
from tests.support.examples import begin, epoch_body, job_of, record, small_spec
from tests.support.examples_report import LIVE, accuracy, tell_all


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Iterator[History]:
    with Ledger(tmp_path_factory.mktemp("told") / "ledger.db") as ledger:
        tell_all(ledger)
        yield read(ledger)


def line(*values: dict[int, float]) -> Line:
    places = tuple(float(n) for n in range(len(values)))
    return Line("alpha", "dhkd", "a→b", places, values, tuple(f"dhkd α={place:g}" for place in places))


def one(history: History, name: str, pair: str = "resnet20→resnet8") -> Configuration:
    (found,) = [of_pair for of_pair in history.of(pair) if of_pair.name == name]
    return found


# -- sensitivity --------------------------------------------------------------------------------------------------


def test_a_line_is_judged_by_its_best_value_against_its_worst() -> None:
    """As the leaderboard judges a row beside the highest mean."""
    values = ({0: 1.0, 1: 2.0, 2: 3.0}, {0: 2.0, 1: 3.5, 2: 3.5}, {0: 6.0, 1: 6.5, 2: 8.5})
    some = line(*values)
    found, p = judged(some), standings(dict(zip(some.rows, values, strict=True)))[some.rows[0]].p
    assert (found.span, found.p) == (5.0, p)
    assert found.matters is True
    assert f"span 5.00 points (best at 2, worst at 0); corrected p = {p:.2g}: it matters" in found.text
    even = line({0: 1.0, 1: 9.0, 2: 3.0}, {0: 6.0, 1: 1.0, 2: 3.0}, {0: 4.0, 1: 4.5, 2: 5.0})
    assert judged(even).matters is False


def test_what_all_values_of_a_seed_share_is_no_noise() -> None:
    shared = {0: 0.0, 1: 20.0, 2: 50.0}
    own = ({0: 1.0, 1: 1.1, 2: 0.9}, {0: 2.0, 1: 2.2, 2: 2.1}, {0: 6.0, 1: 6.1, 2: 6.3})
    together = line(*({seed: value + shared[seed] for seed, value in some.items()} for some in own))
    assert judged(together).p == pytest.approx(judged(line(*own)).p)


def test_a_line_without_enough_common_seeds_has_no_verdict() -> None:
    found = judged(line({0: 1.0, 1: 2.0, 2: 90.0}, {0: 2.0, 1: 3.5}))
    assert (found.line.seeds, found.span, found.matters) == ([0, 1], 1.25, None)
    assert "nothing tells them apart without 3 common seeds" in found.text


def test_the_page_and_the_table_say_the_same_of_the_same_rows(history: History) -> None:
    """Where a line's best value is the column's highest mean."""
    rows = {(row.pair, row.label): row for row in history.board.rows}
    tops = {pair: highest(of_pair) for (_, pair), of_pair in columns(history.board.rows).items()}
    for some in lines(history.configurations):
        best, worst = (rows[some.pair, some.rows[place]] for place in ends(some))
        if best is tops[some.pair]:
            assert Judge(history).verdict(some).p == worst.p_best


def test_lines_are_grids_alone_and_in_rising_order(history: History) -> None:
    found = lines(history.configurations)
    assert [(some.parameter, some.name, some.pair) for some in found] == [
        ("alpha", "dhkd", "resnet20→resnet8"),
        ("alpha", "dhkd", "resnet14→resnet8"),
    ]
    assert found[0].places == (0.5, 1.0, 5.0)
    assert [sorted(values) for values in found[1].values] == [[0, 1], [0], [0]]  # one failed, one diverged


def test_pooling_averages_each_seed_over_the_pairs() -> None:
    first = line({0: 1.0, 1: 2.0}, {0: 3.0, 1: 4.0})
    second = replace(line({0: 3.0, 1: 6.0, 2: 9.0}, {0: 5.0, 1: 8.0}), pair="c→d")
    (both,) = pooled([first, second], 2)
    assert both.pair == POOLED
    assert both.values == ({0: 2.0, 1: 4.0}, {0: 4.0, 1: 6.0})
    assert pooled([first], 2) == pooled([first], 1) == []


# -- curves, searches -------------------------------------------------------------------------------------------------


def test_curves_hold_every_epoch_and_gaps_where_nothing_was_measured(history: History) -> None:
    dhkd = one(history, "dhkd α=0.5")
    assert sorted(dhkd.curves) == [0, 1]
    test = dhkd.summary("test_acc")
    assert test.epochs == [1, 2, 3, 4]
    assert test.means[-1] == pytest.approx(dhkd.row.mean)
    assert test.spreads[-1] == pytest.approx(dhkd.row.std)
    assert dhkd.summary("nc1").epochs == [2, 4]
    assert dhkd.finals("fidelity_agreement") == [84.0, 84.0]
    assert not one(history, "scratch").has("fidelity_kl")


def test_choices_stand_side_by_side(history: History) -> None:
    search = history.searches[0]
    assert [place(search.cell.space["k"], value) for value in (2, 3, 5)] == [0.0, 1.0, 2.0]


# -- gradients --------------------------------------------------------------------------------------------------------


def test_the_cosine_is_averaged_over_epochs_then_seeds_with_students_interval(history: History) -> None:
    found = cosine(one(history, "dhkd α=0.5"), "conflict_head")
    assert found is not None and found.margin is not None
    assert found.mean == pytest.approx(-0.305)  # −0.30 and −0.31
    assert found.margin == pytest.approx(12.706 * 0.01 / math.sqrt(2) / math.sqrt(2), rel=1e-4)
    assert cosine(one(history, "kd"), "conflict_head") is None


def test_epochs_without_a_cosine_are_left_out(history: History) -> None:
    gaps = replace(one(history, "kd"), curves={0: Curve({"conflict_head": array("d", [math.nan, -0.5, 0.1])})})
    found = cosine(gaps, "conflict_head")
    assert found is not None
    assert found.mean == pytest.approx(-0.2)
    assert (found.margin, found.sign) == (None, "unknown")


@pytest.mark.parametrize(
    ("head", "backbone", "expected"),
    [
        (Cosine(-0.3, 0.1), Cosine(0.4, 0.1), "conflict in the head and not in the backbone"),
        (Cosine(-0.3, 0.1), Cosine(-0.05, 0.1), "conflict in the head and not in the backbone"),
        (Cosine(-0.3, 0.1), Cosine(-0.4, 0.1), "conflict in the head and in the backbone"),
        (Cosine(-0.3, 0.4), Cosine(-0.4, 0.1), "conflict in the backbone and not in the head"),
        (Cosine(-0.3, 0.4), Cosine(0.4, 0.1), "no conflict that can be told from none"),
        (Cosine(-0.3, None), Cosine(0.4, None), "one seed: no verdict"),
        (None, Cosine(0.4, 0.1), "one of the two is not defined"),
    ],
)
def test_the_verdict_on_gradients(head: Cosine | None, backbone: Cosine | None, expected: str) -> None:
    assert verdict(head, backbone) == expected


# -- cost -------------------------------------------------------------------------------------------------------------


def test_the_cost_counts_every_epoch_and_what_the_bank_served(history: History) -> None:
    taught = [trial for trial in history.trials if trial.slot.teacher]
    told = [trial for trial in taught if trial.state == "finished" and trial.slot.method != "gdkd"]
    epochs = sum(trial.epochs for trial in taught)
    effort = history.effort
    assert effort.device_seconds == 2.0 * sum(trial.epochs for trial in history.trials)  # 2 seconds an epoch, 1 CPU
    assert (effort.taught_epochs, effort.served_epochs) == (epochs, epochs - len(told))
    assert effort.teacher_images == LIVE * len(told)
    section = effort_section(history)
    assert section is not None
    assert f"({epochs - len(told)} of {epochs})" in section.content
    assert "0 % of the searches’ epochs (0 of 96)" in section.content


def test_a_clock_that_was_set_back_takes_no_time_at_work_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Ledger(tmp_path / "ledger.db") as ledger:
        times = iter([1000.0, 1000.0, 1010.0, 1030.0, 1030.0 - 3600, 1040.0 - 3600, 9000.0, 9000.0, 9005.0])
        monkeypatch.setattr(store, "time", SimpleNamespace(time=times.__next__))
        plan = build_plan(small_spec())
        begin(ledger, plan)
        teacher = job_of(plan, plan.teachers[0])
        ledger.append("start", teacher.key, body=start_body(teacher.slot, teacher.trial))
        for epoch in (1, 2, 3):
            ledger.append("epoch", teacher.key, epoch, epoch_body(epoch, 1.0))
        begin(ledger, plan)
        ledger.append("interrupted", teacher.key)
        assert list(times) == []
        assert read(ledger).effort.wall_seconds == 30 + 10 + 5


@pytest.mark.parametrize(("stopped", "seconds"), [(True, 15), (False, 10)], ids=["stopped", "killed"])
def test_a_killed_driver_is_at_work_until_its_last_epoch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stopped: bool, seconds: float
) -> None:
    """What it left is noted by the next one, perhaps days later."""
    with Ledger(tmp_path / "ledger.db") as ledger:
        later = 1015 if stopped else 900_000
        times = iter([1000.0, 1000.0, 1000.0, 1010.0, later, *([1020.0] if stopped else []), 900_000.0, 900_000.0])
        monkeypatch.setattr(store, "time", SimpleNamespace(time=times.__next__))
        plan = build_plan(small_spec())
        begin(ledger, plan)
        key = record(ledger, plan, plan.teachers[0], [1.0], "running")
        ledger.append("interrupted", key)
        if stopped:
            ledger.append("stop", body={"exit_code": 130})
        begin(ledger, plan)
        assert list(times) == []
        assert read(ledger).effort.wall_seconds == seconds


def test_what_was_trained_with_other_devices_is_counted_with_those(tmp_path: Path) -> None:
    plan = build_plan(small_spec(compute={"cpus": 4}))
    with Ledger(tmp_path / "ledger.db") as ledger:
        begin(ledger, plan)
        record(ledger, plan, plan.teachers[0], [1.0, 2.0, 3.0])
        begin(ledger, replace(plan, compute=plan.compute | {"cpus": 1}))
        assert read(ledger).effort.device_seconds == 3 * 2.0 * 4


def test_accuracies_are_as_they_were_made_up(history: History) -> None:
    for trial in history.trials:
        if trial.state == "finished" and trial.slot.method == "gdkd":
            assert trial.body["last"]["test_acc"] == pytest.approx(accuracy(trial.slot))
