"""Values that are longer than MLflow keeps them come back whole."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from sweep.layout import Root
from sweep.ledger.store import Ledger
from sweep.plan.expand import build_plan
from sweep.results.board import board_of, leaderboard
from sweep.results.records import records
from sweep.tracking import read_back, run_content
from sweep.tracking.long_values import in_parts, joined
from sweep.tracking.mlflow_internals import LONGEST_PARAM, LONGEST_TAG
from sweep.tracking.run_content import CHOSEN, run_params, run_tags
from sweep.tracking.sync import sync
from tests.support.examples import play, small_spec
from tests.support.tracked import runs

NewStore = Callable[..., str]


@pytest.mark.parametrize("length", [0, 1, 9, 10, 11, 14, 15, 16, 17, 95, 96, 97, 1000])
def test_a_value_comes_back_from_its_parts(length: int) -> None:
    value = "".join(chr(97 + number % 26) for number in range(length))
    parts = in_parts({"long": value, "short": "s"}, 10)
    assert all(len(part) <= 10 for part in parts.values())
    assert (parts.get("long") == value) == (length <= 10)
    assert joined(parts) == {"long": value, "short": "s"}


def test_what_a_longer_value_left_behind_is_not_read() -> None:
    stale = in_parts({"value": "x" * 100}, 10)
    for later in ("y" * 15, "short", ""):
        assert joined(stale | in_parts({"value": later, "order.0": "o"}, 10)) == {"value": later, "order.0": "o"}


def test_a_value_of_which_a_part_is_missing_is_none() -> None:
    parts = in_parts({"value": "x" * 25, "other": "o"}, 10)
    del parts["value.1"]
    assert "value" not in joined(parts)


def test_tags_and_parameters_are_as_long_as_they_may_be() -> None:
    assert [len(tag.value) for tag in run_tags({"label": "l" * 9000})] == [LONGEST_TAG, 9003 - LONGEST_TAG]
    assert [len(param.value) for param in run_params({"k": "l" * 7000})] == [LONGEST_PARAM, 7003 - LONGEST_PARAM]


@pytest.mark.slow(1)
def test_a_search_that_has_won_more_than_a_tag_holds_is_read_back(
    root: Root, ledger: Ledger, new_store: NewStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Six winners in tags of 500 characters, as sixty are in MLflow's own."""
    monkeypatch.setattr(run_content, "LONGEST_TAG", 500)
    search = {"trials": 6, "sampler": "grid", "pruner": "none", "confirm": 6}
    space = {"k": {"choice": [2, 3, 4]}, "w2": {"choice": [1.5, 2.5]}}
    plan = build_plan(small_spec(methods=["kd", {"gdkd": space}], seeds=1, search=search))
    play(ledger, plan, lambda slot: 70.0 + slot.varied.get("k", 0) + slot.varied.get("w2", 0) / 100)
    uri = new_store()
    sync(root, "small", uri)
    tags = runs(uri)["sweep"].data.tags
    (whole,) = [value for name, value in joined(tags).items() if name.startswith(CHOSEN) and value.startswith("{")]
    assert len(whole) > 1000
    assert len(json.loads(whole)["chosen"]) == 6
    assert_same_table(ledger, uri)
    monkeypatch.setattr(run_content, "LONGEST_TAG", LONGEST_TAG)  # as where less was won than before
    for event in list(ledger.events("chosen")):
        ledger.append("chosen", body=event.body)
    sync(root, "small", uri)
    assert_same_table(ledger, uri)


def assert_same_table(ledger: Ledger, uri: str) -> None:
    ours, theirs = records(leaderboard(ledger)), records(board_of(read_back.read("small", uri)))
    assert [(row["label"], row["mean"]) for row in theirs] == [(row["label"], row["mean"]) for row in ours]
