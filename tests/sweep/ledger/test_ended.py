"""What those who divide a sweep tell each other of a trial is what the sweep's ledger takes in, once."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from sweep.layout import Root, SweepPaths
from sweep.ledger.ended import Ended, forget, give_out, take_in
from sweep.ledger.store import Ledger
from sweep.plan.expand import build_plan
from sweep.plan.slots import Plan
from tests.support.examples import begin, record, small_spec
from trainers.errors import StorageError


@pytest.fixture(scope="module")
def plan() -> Plan:
    return build_plan(small_spec())


@pytest.fixture
def paths(tmp_path: Path) -> SweepPaths:
    return Root(tmp_path).sweep("small")


def member(paths: SweepPaths, plan: Plan) -> list[str]:
    """A member that has trained all of a plan, in a ledger of its own; the trials' keys."""
    with Ledger(paths.folder / "own.db") as ledger:
        begin(ledger, plan)
        for slot in plan.slots:
            record(ledger, plan, slot, [80.0, 90.0])
        keys = list(ledger.finals())
        for key in keys:
            Ended(paths.divided).tell(key, ledger)
    return keys


def ids(plan: Plan) -> set[str]:
    return {slot.id for slot in plan.slots}


def test_what_another_plan_wanted_is_left_where_it_is(paths: SweepPaths, plan: Plan) -> None:
    keys = member(paths, plan)
    with Ledger(paths.ledger) as ledger:
        wanted = {slot.id for slot in plan.slots[:-1]}
        assert take_in(paths, ledger, wanted) == len(keys) - 1
    assert Ended(paths.divided).trials() == set(keys)


def test_what_is_asked_for_again_is_forgotten_whatever_the_clocks_say(paths: SweepPaths, plan: Plan) -> None:
    key, *others = member(paths, plan)
    file = paths.divided / "ended" / f"{key}.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"time": time.time() + 3600}))
    with Ledger(paths.ledger) as ledger:
        take_in(paths, ledger, ids(plan))
        forget(paths, [key])
        ledger.set_aside([key])
        assert take_in(paths, ledger, ids(plan)) == 0
        assert ledger.finals().keys() == set(others)


def test_the_ledger_takes_in_each_trial_whole_and_once(paths: SweepPaths, plan: Plan) -> None:
    keys = member(paths, plan)
    with Ledger(paths.ledger) as ledger, Ledger(paths.folder / "own.db") as own:
        assert take_in(paths, ledger, ids(plan)) == len(keys)
        assert take_in(paths, ledger, ids(plan)) == 0
        for key in keys:
            told = [(event.kind, event.epoch, event.body) for event in ledger.events(trial=key)]
            assert told == [(event.kind, event.epoch, event.body) for event in own.events(trial=key)]


def test_what_was_asked_for_again_since_is_not_taken_in_and_not_given_out(paths: SweepPaths, plan: Plan) -> None:
    keys = member(paths, plan)
    with Ledger(paths.ledger) as ledger:
        take_in(paths, ledger, ids(plan))
        ledger.set_aside(keys[:1])
        assert take_in(paths, ledger, ids(plan)) == 0
        give_out(paths, ledger)
        assert Ended(paths.divided).trials() == set(keys[1:])


def test_what_the_ledger_has_is_given_out(paths: SweepPaths, plan: Plan) -> None:
    keys = member(paths, plan)
    with Ledger(paths.ledger) as ledger:
        take_in(paths, ledger, ids(plan))
        for key in keys:
            Ended(paths.divided).forget(key)
        assert Ended(paths.divided).trials() == set()
        give_out(paths, ledger)
        assert Ended(paths.divided).trials() == set(keys)


def test_nothing_is_taken_in_where_nobody_has_divided_the_sweep(paths: SweepPaths) -> None:
    with Ledger(paths.ledger) as ledger:
        assert take_in(paths, ledger, set()) == 0
    assert not paths.divided.exists()


@pytest.mark.parametrize("damage", ["another", "cut", "none", "[]", "{}"])
def test_what_is_another_trial_s_or_damaged_is_refused(paths: SweepPaths, plan: Plan, damage: str) -> None:
    first, other, *_ = member(paths, plan)
    files = {key: paths.divided / "ended" / f"{key}.json" for key in (first, other)}
    content = files[other].read_bytes()
    changed = {"another": content, "cut": content[:-9], "none": b""}
    files[first].write_bytes(changed.get(damage, damage.encode()))
    with pytest.raises(StorageError, match=r"is not what was written; remove it, and the trial is trained again"):
        Ended(paths.divided).read(first)
    assert json.loads(content)["final"]["state"] == "finished"
