"""A search through the command that a user types, and the same with a larger budget; `tests/end_to_end/faults` breaks
it off."""

from __future__ import annotations

import json
import shutil
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from sweep.formats import Format
from sweep.ledger.store import Ledger
from sweep.results import board, draw
from tests.end_to_end.faults.conftest import Undisturbed, undisturbed
from tests.support.command import User
from tests.support.fault_harness import SPEC

pytestmark = pytest.mark.slow(45)

__all__ = ["undisturbed"]


def asks(user: User) -> list[tuple[str | None, dict[str, Any]]]:
    return [(event.trial, event.body) for event in user.events("ask")]


def tuned(user: User) -> dict[str, Any]:
    """The searched cell's row of the table."""
    with closing(Ledger(user.root.sweep("small").ledger)) as ledger:
        table = json.loads(draw.render(board.leaderboard(ledger), Format.JSON))
    (row,) = [row for row in table if row["label"] == "dhkd tuned"]
    return dict(row)


def test_a_search_that_is_extended_keeps_what_it_has(undisturbed: Undisturbed, tmp_path: Path) -> None:
    user = User(tmp_path / "user", SPEC)
    shutil.copytree(undisturbed.root.path, user.root.path)
    first, seq = asks(user), user.events()[-1].seq
    assert [body["number"] for _, body in first] == [0, 1, 2, 3]
    assert (tuned(user)["n"], tuned(user)["missing"]) == (1, 0)  # of two seeds the one that did not choose
    assert "the best of 4" in tuned(user)["tuned"]
    over = {event.trial for event in user.events("final")}

    user.write(SPEC.replace("trials: 4", "trials: 6"))
    done = user.in_process("run", "spec.yaml", "--local")  # faults/test_driver.py goes on with a search on Ray
    assert done.code == 0, done.out + done.err
    assert asks(user)[:4] == first
    assert [body["number"] for _, body in asks(user)[4:]] == [4, 5]
    new = [event for event in user.events("start") if event.seq > seq]
    assert {event.trial for event in new if event.body["stage"] == "search"} == {trial for trial, _ in asks(user)[4:]}
    assert not {event.trial for event in new} & over
    assert "the best of 6" in tuned(user)["tuned"]
    assert (tuned(user)["n"], tuned(user)["missing"]) == (1, 0)  # of two seeds the one that did not choose
