"""Rows of several sweeps in one table, and why they may not stand in one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sweep.ledger.store import Ledger
from sweep.plan.expand import build_plan
from sweep.results.board import Leaderboard, leaderboard
from sweep.results.comparison import contrasts
from sweep.results.together import disagreements, other_teachers, together
from tests.support.examples import begin, record, small_spec
from trainers.errors import InputError

VALUES = {
    "kd": [80.0, 82.0, 81.0],
    "dkd": [82.0, 83.5, 82.6],
    "dhkd": [81.0, 83.1, 82.2],
    "scratch": [70.0, 71.0, 70.4],
}


def board(tmp_path: Path, name: str, values: dict[str, list[float]], **changes: Any) -> Leaderboard:
    plan = build_plan(small_spec(name=name, **({"methods": list(values), "seeds": 3} | changes)))
    with Ledger(tmp_path / f"{name}.db") as ledger:
        begin(ledger, plan)
        for slot in plan.students:
            if slot.seed < len(values[slot.method]):
                record(ledger, plan, slot, [values[slot.method][slot.seed]])
        return leaderboard(ledger)


def some(*names: str) -> dict[str, list[float]]:
    return {name: VALUES[name] for name in names}


def test_rows_of_two_sweeps_stand_in_one_table_and_what_both_have_once(tmp_path: Path) -> None:
    both = together([board(tmp_path, "a", some("kd", "dkd")), board(tmp_path, "b", some("kd", "dhkd"))])
    assert [row.label for row in both.rows] == ["kd", "dkd", "dhkd"]
    assert both.baseline == "kd"
    alone = board(tmp_path, "c", some("kd", "dkd", "dhkd"))
    assert [(row.delta, row.p_delta) for row in both.rows] == [(row.delta, row.p_delta) for row in alone.rows]
    assert contrasts(both, "dhkd", ["dkd"])[0].p == contrasts(alone, "dhkd", ["dkd"])[0].p


def test_rows_of_one_label_that_differ_have_the_sweeps_name_behind(tmp_path: Path) -> None:
    mine = some("dhkd") | {"kd": [79.0, 82.0, 81.0]}
    both = together([board(tmp_path, "a", some("kd", "dkd")), board(tmp_path, "b", mine)])
    assert {row.label for row in both.rows} == {"kd (a)", "kd (b)", "dkd", "dhkd"}
    assert both.baseline == "kd (a)"
    with pytest.raises(InputError, match=r"'kd' has several rows .* name one of them: 'kd \(a\)', 'kd \(b\)'"):
        contrasts(both, "dhkd", ["kd"])


def test_every_disagreement_is_named(tmp_path: Path) -> None:
    first = board(tmp_path, "a", some("kd", "dkd"))
    recipe = {"base": "digits", "epochs": 5, "samples_per_class": 8}
    other = board(
        tmp_path,
        "b",
        some("kd"),
        seeds=[0, 1],
        recipe=recipe,
        protocol="paper",
        dataset={"digits": {"image_size": 16}},
    )
    told = disagreements(first, other)
    assert "protocol: validation in 'a', paper in 'b'" in told
    assert "seeds: 0, 1, 2 in 'a', 0, 1 in 'b'" in told
    assert "recipe: epochs: 3 in 'a', 5 in 'b'" in told
    assert [line.split(":")[0] for line in told if line.startswith("data set")] == ["data set"]
    with pytest.raises(InputError, match="'a' and 'b' do not make one table"):
        together([first, other])


def test_one_sweep_is_its_own_table(tmp_path: Path) -> None:
    first = board(tmp_path, "a", some("kd", "dkd"))
    assert together([first]) is first
    assert disagreements(first, board(tmp_path, "b", some("kd", "scratch"))) == []


def test_a_teacher_that_is_not_the_same_is_named(tmp_path: Path) -> None:
    from dataclasses import replace

    first, other = board(tmp_path, "a", some("kd")), board(tmp_path, "b", some("kd"))
    first, other = replace(first, teachers={"resnet20": 97.5}), replace(other, teachers={"resnet20": 97.25})
    assert other_teachers([first, first]) == []
    told = "teacher resnet20 is not the same in all: 97.50 % in 'a', 97.25 % in 'b'"
    assert other_teachers([first, other]) == [told]
