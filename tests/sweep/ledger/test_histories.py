"""What searches have done is told in parts, which only who has the search can add, and taken in once."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import pytest

from sweep.layout import Root, SweepPaths
from sweep.ledger.bodies import final_body
from sweep.ledger.histories import Histories, Part, asked_by, give_out, news, take_in
from sweep.ledger.store import Ledger
from sweep.plan.expand import build_plan
from sweep.plan.slots import Plan, SearchedCell, Slot
from tests.support.examples import begin, epoch_body, small_spec
from trainers.errors import StorageError


@pytest.fixture(scope="module")
def plan() -> Plan:
    return build_plan(small_spec(methods=[{"gdkd": {"w2": {"range": [1, 8], "step": 1}}}], search={"trials": 4}))


@pytest.fixture
def cell(plan: Plan) -> SearchedCell:
    return plan.cells[0]


@pytest.fixture
def paths(tmp_path: Path) -> SweepPaths:
    return Root(tmp_path).sweep("small")


def ask(ledger: Ledger, cell: SearchedCell, number: int, w2: int) -> Slot:
    """A suggestion; the key of its trial is made up."""
    slot = cell.slot({"w2": w2}, "search", 0)
    body = {"cell": cell.id, "number": number, "params": {"w2": w2}, "slot": asdict(slot)}
    ledger.append("ask", slot.id, body=body)
    return slot


def train(ledger: Ledger, slot: Slot, state: str = "final") -> None:
    ledger.append("start", slot.id, body={"slot": slot.id, "config": slot.config})
    epoch = epoch_body(1, 50.0, 50.0)
    ledger.append("epoch", slot.id, 1, epoch)
    ledger.append(
        "final" if state == "final" else "pruned", slot.id, body=final_body("finished", [epoch], "validation")
    )


def told(ledger: Ledger) -> list[tuple[str, str | None, int | None]]:
    kinds = ("ask", "start", "epoch", "final", "pruned", "failed", "race", "chosen")
    return [(event.kind, event.trial, event.epoch) for event in ledger.events(*kinds)]


def searched(paths: SweepPaths, cell: SearchedCell) -> list[tuple[str, str | None, int | None]]:
    """A member that has run a search and told it in two parts; its ledger."""
    with Ledger(paths.folder / "own.db") as own:
        first = ask(own, cell, 0, 4)
        train(own, first)
        histories = Histories(paths.divided)
        assert histories.tell(cell.id, 0, Part(news(own, cell.id)))
        after, keys = own.last_seq(), asked_by(own, cell.id)
        train(own, ask(own, cell, 1, 5), "pruned")
        assert histories.tell(cell.id, 1, Part(news(own, cell.id, after=after, told=keys)))
        return told(own)


def test_the_ledger_takes_in_each_search_in_its_order_and_once(
    paths: SweepPaths, plan: Plan, cell: SearchedCell
) -> None:
    own = searched(paths, cell)
    with Ledger(paths.ledger) as ledger:
        begin(ledger, plan)
        ids = take_in(paths, ledger, {cell.id})
        assert ids == {cell.slot({"w2": w2}, "search", 0).id for w2 in (4, 5)}
        assert told(ledger) == own
        assert take_in(paths, ledger, {cell.id}) == ids
        assert told(ledger) == own


def test_one_that_is_killed_before_it_has_closed_what_it_took_in_takes_it_in_once(
    paths: SweepPaths, plan: Plan, cell: SearchedCell, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = searched(paths, cell)
    with Ledger(paths.ledger) as ledger:
        begin(ledger, plan)
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(Histories, "tell", _killed)
            take_in(paths, ledger, {cell.id})
        assert told(ledger) == own
        take_in(paths, ledger, {cell.id})
        assert told(ledger) == own


def test_what_the_ledger_has_of_a_search_s_trials_is_not_written_twice(
    paths: SweepPaths, plan: Plan, cell: SearchedCell
) -> None:
    own = searched(paths, cell)
    with Ledger(paths.ledger) as ledger:
        begin(ledger, plan)
        train(ledger, cell.slot({"w2": 4}, "search", 0))
        take_in(paths, ledger, {cell.id})
        assert sorted(told(ledger), key=str) == sorted(own, key=str)


def test_of_a_trial_that_has_ended_for_one_search_no_other_beginning_is_written(
    paths: SweepPaths, plan: Plan, cell: SearchedCell
) -> None:
    searched(paths, cell)
    slot = cell.slot({"w2": 5}, "search", 0)
    with Ledger(paths.ledger) as ledger:
        begin(ledger, plan)
        ledger.append("start", slot.id, body={"slot": slot.id, "label": "another"})
        ledger.append("epoch", slot.id, 1, epoch_body(1, 50.0, 50.0))
        ledger.append("final", slot.id, body=final_body("finished", [epoch_body(1, 50.0, 50.0)], "validation"))
        take_in(paths, ledger, {cell.id})
        assert [kind for kind, trial, _ in told(ledger) if trial == slot.id] == ["start", "epoch", "final", "ask"]


def _killed(*_: object) -> bool:
    raise KeyboardInterrupt


def test_a_search_of_another_plan_is_left_where_it_is(paths: SweepPaths, cell: SearchedCell) -> None:
    own = searched(paths, cell)
    with Ledger(paths.ledger) as ledger:
        assert take_in(paths, ledger, set()) == set()
        assert told(ledger) == []
        take_in(paths, ledger, {cell.id})
        assert told(ledger) == own


def test_what_was_taken_in_and_asked_for_again_does_not_come_back(
    paths: SweepPaths, plan: Plan, cell: SearchedCell
) -> None:
    searched(paths, cell)
    key = cell.slot({"w2": 4}, "search", 0).id
    with Ledger(paths.ledger) as ledger:
        begin(ledger, plan)
        take_in(paths, ledger, {cell.id})
        ledger.set_aside([key])
        take_in(paths, ledger, {cell.id})
        assert not ledger.is_final(key)
        give_out(paths, ledger, [cell.id])
        given = Histories(paths.divided).read(cell.id).events
        assert [kind for kind, trial, *_ in given if trial == key] == ["ask"]


def test_what_the_ledger_has_is_given_out_where_nothing_is_told_and_there_alone(
    paths: SweepPaths, plan: Plan, cell: SearchedCell
) -> None:
    histories = Histories(paths.divided)
    with Ledger(paths.ledger) as ledger:
        begin(ledger, plan)
        give_out(paths, ledger, [cell.id])
        assert histories.last() == {}
        train(ledger, ask(ledger, cell, 0, 4))
        give_out(paths, ledger, [cell.id])
        assert histories.read(cell.id).events == news(ledger, cell.id)
        train(ledger, ask(ledger, cell, 1, 5))
        give_out(paths, ledger, [cell.id])
        assert histories.last() == {cell.id: 0}


def test_of_a_trial_that_was_known_before_a_search_asked_for_it_all_is_told(
    paths: SweepPaths, cell: SearchedCell
) -> None:
    with Ledger(paths.ledger) as ledger:
        first = ask(ledger, cell, 0, 4)
        slot = cell.slot({"w2": 5}, "search", 0)
        train(ledger, slot)
        after, keys = ledger.last_seq(), asked_by(ledger, cell.id)
        assert keys == {first.id}
        ask(ledger, cell, 1, 5)
        kinds = [kind for kind, trial, *_ in news(ledger, cell.id, after=after, told=keys) if trial == slot.id]
        assert kinds == ["start", "epoch", "final", "ask"]


def test_who_has_lost_a_search_can_add_nothing_to_it(paths: SweepPaths, cell: SearchedCell) -> None:
    searched(paths, cell)
    before, after = Histories(paths.divided), Histories(paths.divided)
    taken = after.taken_over(cell.id)
    assert len([event for event in taken.events if event[0] == "ask"]) == 2
    assert not before.tell(cell.id, 2, Part([("ask", "a trial", None, {})]))
    assert after.tell(cell.id, taken.parts, Part())
    assert after.read(cell.id).events == taken.events


def test_who_takes_a_search_over_knows_what_was_added_at_the_last_moment(
    paths: SweepPaths, cell: SearchedCell, monkeypatch: pytest.MonkeyPatch
) -> None:
    searched(paths, cell)
    late, histories = Histories(paths.divided), Histories(paths.divided)
    added: list[bool] = []
    tell = Histories.tell

    def slow(self: Histories, cell: str, number: int, part: Part) -> bool:
        if not added:
            added.append(tell(late, cell, number, Part([("failed", "late", None, {"again": False})])))
        return tell(self, cell, number, part)

    monkeypatch.setattr(Histories, "tell", slow)
    taken = histories.taken_over(cell.id)
    assert added == [True]
    assert taken.events[-1] == ("failed", "late", None, {"again": False})
    assert taken.parts == 4


@pytest.mark.parametrize("damage", ["", "[]", '{"event": []}', '{"events": [1]}'])
def test_what_is_damaged_is_refused(paths: SweepPaths, cell: SearchedCell, damage: str) -> None:
    searched(paths, cell)
    (paths.divided / "searches" / f"{cell.id}.0001.json").write_text(damage)
    with pytest.raises(StorageError, match=rf"is not what was written; remove {cell.id}\.\*\.json there, and"):
        Histories(paths.divided).read(cell.id)
