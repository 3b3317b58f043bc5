"""A page of very many configurations stays one that somebody can read, and says what it leaves out."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import pytest

from sweep.ledger.store import Ledger
from sweep.plan.expand import build_plan
from sweep.report import curves, searches, style
from sweep.report.curves import MOST_DRAWN, foremost, left_out
from sweep.report.history import History, read
from sweep.report.style import MOST_TICKS, Studio, new_figure, value_axis
from tests.support.examples import begin, play, record, small_spec

PAIR = "resnet20→resnet8"
MANY = MOST_DRAWN + 10


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Iterator[History]:
    """kd, the baseline and the worst, and many values of alpha, each better than the one before."""
    alphas = [round(0.01 * (number + 1), 2) for number in range(MANY)]
    plan = build_plan(small_spec(methods=["kd", {"dhkd": {"alpha": alphas}}], seeds=1))
    with Ledger(tmp_path_factory.mktemp("many") / "ledger.db") as ledger:
        begin(ledger, plan)
        for slot in plan.students:
            record(ledger, plan, slot, [50.0 + 10 * slot.varied.get("alpha", 0.0)])
        yield read(ledger)


def test_of_very_many_the_best_are_drawn_and_the_baseline(history: History) -> None:
    told = history.of(PAIR)
    drawn = foremost(history, told)
    assert len(told) == MANY + 1
    assert [config.name for config in drawn[:2]] == ["kd", "dhkd α=0.12"]
    assert [config.name for config in drawn] == ["kd", *(config.name for config in told[-MOST_DRAWN + 1 :])]
    assert f"{MOST_DRAWN} of {MANY + 1} configurations" in left_out(drawn, told)


def test_of_few_all_are_drawn_without_a_word(history: History) -> None:
    few = history.of(PAIR)[:MOST_DRAWN]
    assert foremost(history, few) is few
    assert left_out(few, few) == ""


def test_the_sections_draw_no_more_than_that(history: History, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(curves, "MOST_DRAWN", 7)
    monkeypatch.setattr(curves, "FEWEST_DRAWN", 1)
    studio = Studio()
    with style.drawing():
        section = curves.section(history, studio)
    assert section is not None
    assert len(studio.pictures) == 2  # of test and train; nothing was held out
    assert f"Drawn are 7 of {MANY + 1} configurations" in section.content


def test_of_very_many_searches_the_rest_is_told_in_words(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(searches, "MOST_DRAWN", 1)
    methods = [{"dhkd": {"alpha": {"range": [0.1, 2]}}}, {"gdkd": {"w2": {"range": [0.5, 16]}}}]
    plan = build_plan(small_spec(methods=methods, seeds=1, search={"trials": 5, "pruner": "none"}))
    play(ledger, plan, lambda slot: 80.0)
    studio = Studio()
    with style.drawing():
        section = searches.section(read(ledger), studio)
    assert section is not None
    assert [picture.name.partition("-resnet20")[0] for picture in studio.pictures] == ["slice-alpha"]
    assert "The first 1 of 2 are drawn." in section.content
    assert section.content.count("5 of 5 configurations tried") == 2


@pytest.mark.parametrize(("count", "all_of_them"), [(5, True), (MOST_TICKS, True), (10 * MOST_TICKS, False)])
def test_an_axis_of_very_many_values_has_the_ticks_that_have_a_label(count: int, all_of_them: bool) -> None:
    values = [0.001 * (number + 1) for number in range(count)]
    with style.drawing():
        _, axes = new_figure()
        axes.plot(values, values)
        value_axis(axes, "alpha", values)
    ticks = axes.get_xticks().tolist()
    assert set(ticks) <= set(values)
    assert (len(ticks) == count) == all_of_them
    labels = [label.get_text() for label in axes.get_xticklabels()]
    assert [label for label in labels if label]
    if not all_of_them:
        assert "" not in labels
        assert len(ticks) < MOST_TICKS


@pytest.mark.parametrize("log", [True, False])
def test_labels_of_long_values_keep_apart(log: bool) -> None:
    values = [round(0.1 * 10 ** (number / 60), 5) if log else 12345.5 + 10 * number for number in range(120)]
    with style.drawing():
        figure, axes = new_figure()
        axes.plot(values, values)
        value_axis(axes, "alpha", values)
        figure.draw_without_rendering()
        boxes = [label.get_window_extent() for label in axes.get_xticklabels() if label.get_text()]
    assert len(boxes) >= 3
    assert all(left.x1 < right.x0 for left, right in pairwise(boxes))
