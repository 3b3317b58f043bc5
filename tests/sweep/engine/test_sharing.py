"""What other sweeps below the root have finished is taken over whole, or not at all."""

from __future__ import annotations

import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
import torch

from sweep.cli.status import look
from sweep.cost.prices import device_seconds
from sweep.layout import Root
from sweep.ledger import lock, neighbours
from sweep.ledger.bodies import final_body
from sweep.ledger.origin import Origin, origin_of
from sweep.ledger.schema import VERSION
from sweep.ledger.snapshot import kept
from sweep.plan.slots import Plan
from sweep.results import board, export
from tests.support.boards import said
from tests.support.examples import epoch_body, job_of, record, slot_of, teacher_of
from tests.support.shared_trials import Taking, done_in, finish, keys_of, opened, plan_of, slots_of, take
from trainers.config import TeacherConfig
from trainers.errors import StorageError
from trainers.storage.checkpoint import from_bytes, save_tensors


@pytest.fixture(scope="module")
def first() -> Plan:
    """Scratch, kd and dhkd; two seeds."""
    return plan_of("first")


@pytest.fixture(scope="module")
def second() -> Plan:
    """Kd as the first has it, and another method."""
    return plan_of("second", methods=["kd", "dkd"])


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look at the others' ledgers as often as asked."""
    monkeypatch.setattr("sweep.ledger.neighbours.PAUSE_SECONDS", 0.0)


# -- what is taken over -----------------------------------------------------------------------------------------------


def test_a_trial_that_another_sweep_has_finished_is_taken_over_whole(root: Root, first: Plan, second: Plan) -> None:
    keys = finish(root, first, slots_of(first, "kd"))
    with opened(root, "first") as ledger:
        theirs = {key: list(ledger.events(trial=key)) for key in keys}
        identity = ledger.id
    taking = take(root, second)
    with opened(root, "second") as ledger:
        ledger.verify()
        for key in keys:
            own = list(ledger.events(trial=key))
            assert [(event.kind, event.epoch) for event in own] == [(event.kind, event.epoch) for event in theirs[key]]
            assert [event.body for event in own if event.kind == "epoch"] == [
                event.body for event in theirs[key] if event.kind == "epoch"
            ]
            origin = Origin("first", identity, theirs[key][-1].time)
            assert origin_of(own[0].body) == origin_of(own[-1].body) == origin
            assert own[-1].body == theirs[key][-1].body | origin.noted()
            assert own[0].body["config"] == theirs[key][0].body["config"]
            assert own[0].body["slot"] == slot_of(second, "kd", own[0].body["seed"]).id
    assert "2 trials taken over, not trained again: 2 from first\n" in taking.said
    assert {job.slot.method for job in [taking.queue.next(), taking.queue.next()] if job} == {"dkd"}
    assert taking.queue.next() is None


def test_nothing_of_it_is_lost_with_the_other_sweep(root: Root, first: Plan, second: Plan) -> None:
    (key, _) = finish(root, first, slots_of(first, "kd"))
    take(root, second)
    shutil.rmtree(root.sweep("first").folder)
    assert from_bytes((root.sweep("second").trial(key) / "weights.pt").read_bytes(), "them")["of"] == key
    with opened(root, "second") as ledger:
        table = board.leaderboard(ledger)
        assert [row.shown() for row in table.rows if row.method == "kd"] == ["80.00 ± 0.00 (2)"]
        assert table.taken == ("first", "first")
        assert "Trials: 2 finished (taken over: 2 from first), 3 waiting." in said(table)
        lines = export.epochs(ledger).to_pylist()
        assert [line["taken_from"] for line in lines] == ["first"] * 6
        assert device_seconds(ledger) == 0.0  # it has cost this sweep's budget nothing


def test_what_lies_in_the_storage_alone_is_taken_over(tmp_path: Path, first: Plan, second: Plan) -> None:
    here, there = (Root.at(tmp_path / name, str(tmp_path / "shared")) for name in ("here", "there"))
    keys = finish(there, first, slots_of(first, "kd"))
    with opened(there, "first"), kept(there, "first", pytest.fail):
        for key in keys:
            there.storage.push(there.sweep("first").trial(key) / "weights.pt")
    assert "2 trials taken over, not trained again: 2 from first\n" in take(here, second).said
    assert done_in(here, "second") == set(keys)
    assert from_bytes((here.sweep("second").trial(keys[0]) / "weights.pt").read_bytes(), "them")["of"] == keys[0]


def test_a_storage_that_does_not_answer_is_told_and_costs_nothing_else(
    tmp_path: Path, first: Plan, second: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = Root.at(tmp_path / "here", str(tmp_path / "shared"))
    finish(here, first, slots_of(first, "kd"))

    def away(*_: object) -> None:
        raise StorageError("the storage is away")

    monkeypatch.setattr(type(here.storage), "sizes", away)
    said = take(here, second).said
    assert "nothing is taken over from the sweeps of the storage: the storage is away\n" in said
    assert "2 trials taken over, not trained again: 2 from first\n" in said


def test_the_status_says_what_was_taken_over_and_from_where(root: Root, first: Plan, second: Plan) -> None:
    finish(root, first, slots_of(first, "kd"))
    take(root, second)
    finish(root, second, slots_of(second, "dkd")[:1])
    seen = look(root.sweep("second"))
    assert [(line["from"], line["state"]) for line in seen.rows() if line["state"] == "finished"] == [
        ("first", "finished"),
        ("", "finished"),
        ("first", "finished"),
    ]
    assert "3 finished; taken over: 2 from first; 6 s of training; not running" in seen.summary


def test_the_weights_are_its_own(root: Root, first: Plan, second: Plan) -> None:
    (key, _) = finish(root, first, slots_of(first, "kd"))
    take(root, second)
    theirs, own = (root.sweep(name).trial(key) / "weights.pt" for name in ("first", "second"))
    with theirs.open("r+b") as file:
        file.truncate(10)
    assert torch.equal(from_bytes(own.read_bytes(), "them")["made"], torch.ones(3))


@pytest.mark.parametrize("state", ["diverged", "failed", "interrupted", "running"])
def test_only_what_has_finished_is_taken_over(root: Root, first: Plan, second: Plan, state: str) -> None:
    with opened(root, "first") as ledger:
        key = record(ledger, first, slot_of(first, "kd"), [60.0, 70.0, 80.0], state=state)
    save_tensors(root.sweep("first").trial(key) / "weights.pt", {})
    take(root, second)
    assert done_in(root, "second") == set()


def test_a_trial_that_a_search_gave_up_is_not_taken_over(root: Root, first: Plan, second: Plan) -> None:
    with opened(root, "first") as ledger:
        key = record(ledger, first, slot_of(first, "kd"), [60.0], state="running")
        ledger.append("pruned", key, body=final_body("pruned", [epoch_body(1, 60.0)], "validation"))
    take(root, second)
    assert done_in(root, "second") == set()


def test_a_trial_that_another_teacher_has_taught_is_another_trial(root: Root, first: Plan, second: Plan) -> None:
    finish(root, first, slots_of(first, "kd"))
    with opened(root, "second") as ledger:
        taking = Taking(root, second, ledger)
    assert taking.sharing.taken.total() == 2
    shutil.rmtree(root.sweep("second").folder)
    with opened(root, "second") as ledger:
        taking = Taking(root, second, ledger, {slot.id: other(teacher_of(slot)) for slot in second.teachers})
    assert taking.sharing.taken.total() == 0


def other(teacher: TeacherConfig) -> TeacherConfig:
    return teacher.model_copy(update={"hash": "f" * len(teacher.hash)})


def test_a_trial_that_was_begun_here_keeps_its_own_epochs(root: Root) -> None:
    paper = {"protocol": "paper", "recipe": {"base": "digits", "epochs": 3, "val_fraction": 0}}
    first, second = plan_of("first", **paper), plan_of("second", **paper)
    finish(root, first, slots_of(first, "kd"))
    with opened(root, "second") as ledger:
        key = record(ledger, second, slot_of(second, "kd"), [95.0], state="interrupted")
    checkpoints = root.sweep("second").trial(key) / "checkpoints"
    checkpoints.mkdir(parents=True)
    take(root, second)
    assert not checkpoints.exists()
    with opened(root, "second") as ledger:
        assert [event.body["test_acc"] for event in ledger.events("epoch", trial=key)] == [95.0, 70.0, 80.0]
        assert ledger.finals()[key]["last"]["test_acc"] == 80.0
        assert ledger.finals()[key]["best"]["test_acc"] == 95.0


def test_its_best_epoch_is_the_one_of_this_sweeps_protocol(root: Root) -> None:
    recipe = {"base": "digits", "epochs": 3, "samples_per_class": 8, "val_fraction": 0}
    paper = plan_of("paper", recipe=recipe, protocol="paper", methods=["scratch", "kd"])
    validation = plan_of("first", recipe=recipe)
    finish(root, validation, slots_of(validation, "scratch"), [60.0, 90.0, 80.0])
    take(root, paper)
    with opened(root, "paper") as ledger:
        assert {body["best"]["test_acc"] for body in ledger.finals().values()} == {90.0}


def test_what_ends_elsewhere_meanwhile_is_not_handed_out(root: Root, first: Plan, second: Plan) -> None:
    with opened(root, "second") as ledger:
        taking = Taking(root, second, ledger)
        finish(root, first, slots_of(first, "kd"))
        methods = set()
        while (job := taking.queue.next()) is not None:
            methods.add(job.slot.method)
    assert methods == {"dkd"}
    assert done_in(root, "second") == keys_of(second, "kd")


def test_a_teacher_is_never_taken_over(root: Root, first: Plan, second: Plan) -> None:
    """It must be stored, and then it is no trial any more."""
    finish(root, first, first.teachers)
    with opened(root, "second") as ledger:
        taking = Taking(root, second, ledger, {})
        job = taking.queue.next()
    assert job is not None
    assert job.slot.stage == "teacher"


# -- whence -----------------------------------------------------------------------------------------------------------


def test_the_sweep_that_has_trained_a_trial_is_named_however_far_it_has_come(
    root: Root, first: Plan, second: Plan
) -> None:
    finish(root, first, slots_of(first, "kd"))
    take(root, second)
    shutil.rmtree(root.sweep("first").folder)
    third = plan_of("third", methods=["kd", "scratch"])
    assert "2 from first" in take(root, third).said
    with opened(root, "third") as ledger:
        assert {origin_of(body).sweep for body in ledger.finals().values()} == {"first"}  # type: ignore[union-attr]


def test_two_sweeps_may_take_from_each_other(root: Root, first: Plan, second: Plan) -> None:
    third = plan_of("third", methods=["scratch", "kd", "dkd"])
    finish(root, second, slots_of(second, "dkd"))
    finish(root, third, slots_of(third, "kd"))
    take(root, second)
    take(root, third)
    take(root, second)
    assert done_in(root, "second") == keys_of(second, "kd") | keys_of(second, "dkd")
    assert done_in(root, "third") == keys_of(third, "kd") | keys_of(third, "dkd")
    with opened(root, "second") as ledger:
        assert board.leaderboard(ledger).taken == ("third", "third")


def test_of_several_the_one_that_was_trained_last_is_taken(root: Root, first: Plan, second: Plan) -> None:
    finish(root, first, slots_of(first, "kd"))
    newer = plan_of("newer")
    finish(root, newer, slots_of(newer, "kd"), [10.0, 20.0, 30.0])
    take(root, second)
    with opened(root, "second") as ledger:
        assert {body["last"]["test_acc"] for body in ledger.finals().values()} == {30.0}


def test_what_somebody_has_asked_for_again_is_trained_here(root: Root, first: Plan, second: Plan) -> None:
    finish(root, first, slots_of(first, "kd"))
    take(root, second)
    with opened(root, "second") as ledger:
        ledger.set_aside(sorted(keys_of(second, "kd")))
    take(root, second)
    assert done_in(root, "second") == set()


def test_what_was_asked_for_again_where_it_was_trained_counts_nowhere_else(
    root: Root, first: Plan, second: Plan
) -> None:
    keys = finish(root, first, slots_of(first, "kd"))
    take(root, second)
    with opened(root, "first") as ledger:
        ledger.set_aside(keys)
    take(root, plan_of("third"))
    assert done_in(root, "third") == set()


# -- what cannot be read ----------------------------------------------------------------------------------------------


def no_database(ledger: Path) -> None:
    ledger.write_bytes(b"this is no database at all, but a text that is long enough to look like one" * 20)


def of_a_later_release(ledger: Path) -> None:
    with closing(sqlite3.connect(ledger)) as database:
        database.execute(f"PRAGMA user_version={VERSION + 1}")


def torn(ledger: Path) -> None:
    with closing(sqlite3.connect(ledger)) as database, database:
        database.execute("UPDATE events SET body = replace(body, '80.0', '99.0') WHERE kind = 'final'")


def with_a_view(ledger: Path) -> None:
    with closing(sqlite3.connect(ledger)) as database:
        database.execute("CREATE VIEW more AS SELECT * FROM events")


def cut_short(ledger: Path) -> None:
    content = ledger.read_bytes()
    ledger.write_bytes(content[: len(content) // 2])


def another_table(ledger: Path) -> None:
    ledger.unlink()
    with closing(sqlite3.connect(ledger)) as database:
        database.execute("CREATE TABLE notes (text TEXT)")


@pytest.mark.parametrize("harm", [no_database, of_a_later_release, torn, with_a_view, cut_short, another_table])
def test_a_ledger_that_cannot_be_used_is_left_out_with_a_word(
    root: Root, first: Plan, second: Plan, harm: Callable[[Path], None]
) -> None:
    bad = plan_of("bad")
    finish(root, first, slots_of(first, "kd")[:1])
    finish(root, bad, slots_of(bad, "kd"))
    harm(root.sweep("bad").ledger)
    taking = take(root, second)
    assert done_in(root, "second") == {job_of(second, slot_of(second, "kd", 0)).key}
    assert taking.said.count("taken over from sweep 'bad': ") == 1


def test_a_ledger_that_somebody_holds_is_not_waited_for(
    root: Root, first: Plan, second: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sweep.ledger.neighbours.PATIENCE_SECONDS", 0.01)
    finish(root, first, slots_of(first, "kd"))
    with closing(sqlite3.connect(root.sweep("first").ledger, isolation_level=None)) as holder:
        holder.execute("PRAGMA journal_mode=DELETE")
        holder.execute("BEGIN EXCLUSIVE")
        with lock.exclusive(root.sweep("first").lock, "first"):
            taking = take(root, second)
    assert "nothing is taken over from sweep 'first': database is locked" in taking.said
    assert done_in(root, "second") == set()


def test_a_sweep_that_runs_gives_what_it_has_finished(root: Root, first: Plan, second: Plan) -> None:
    (key,) = finish(root, first, slots_of(first, "kd")[:1])
    with lock.exclusive(root.sweep("first").lock, "first"), opened(root, "first") as ledger:
        record(ledger, first, slot_of(first, "kd", 1), [60.0], state="running")  # in the log yet, not in the file
        take(root, second)
    assert done_in(root, "second") == {key}


def test_weights_that_are_gone_or_damaged_are_no_whole_result(root: Root, first: Plan, second: Plan) -> None:
    damaged, gone = finish(root, first, slots_of(first, "kd"))
    (root.sweep("first").trial(gone) / "weights.pt").unlink()
    (root.sweep("first").trial(damaged) / "weights.pt").write_bytes(b"no weights")
    taking = take(root, second)
    assert done_in(root, "second") == set()
    assert "not all of sweep 'first' is taken over: weights" in taking.said


def test_a_trial_whose_epochs_are_not_all_there_is_no_whole_result(root: Root, first: Plan, second: Plan) -> None:
    finish(root, first, slots_of(first, "kd"), [70.0, 80.0])
    take(root, second)
    assert done_in(root, "second") == set()


def test_a_trial_that_is_not_what_its_key_says_is_not_taken_over(root: Root, first: Plan, second: Plan) -> None:
    (key, _) = finish(root, first, slots_of(first, "kd"))
    with opened(root, "first") as ledger:
        (start,) = ledger.events("start", trial=key)
        ledger.append("start", key, body=start.body | {"config": start.body["config"] | {"seed": 7}})
    taking = take(root, second)
    assert key not in done_in(root, "second")
    assert f"does not hold the trial {key} as it is named" in taking.said


def test_a_ledger_of_an_earlier_release_gives_what_it_has(root: Root, first: Plan, second: Plan) -> None:
    keys = finish(root, first, slots_of(first, "kd"))
    with closing(sqlite3.connect(root.sweep("first").ledger)) as database:
        database.execute("ALTER TABLE events DROP COLUMN sum")
    take(root, second)
    assert done_in(root, "second") == set(keys)
    with closing(sqlite3.connect(root.sweep("first").ledger)) as database:
        assert "sum" not in {row[1] for row in database.execute("PRAGMA table_info(events)")}  # it was only read


def test_weights_that_lie_in_the_storage_alone_are_fetched(tmp_path: Path, first: Plan, second: Plan) -> None:
    root = Root.at(tmp_path / "runs", str(tmp_path / "storage"))
    (key, gone) = finish(root, first, slots_of(first, "kd"))
    weights = [root.sweep("first").trial(one) / "weights.pt" for one in (key, gone)]
    root.storage.push(weights[0])
    for path in weights:
        path.unlink()
    taking = take(root, second)
    assert done_in(root, "second") == {key}
    assert "not all of sweep 'first' is taken over: " in taking.said
    assert root.storage.has(root.sweep("second").trial(key) / "weights.pt")


def test_another_root_is_another_world(root: Root, first: Plan, second: Plan, tmp_path: Path) -> None:
    finish(Root(tmp_path / "elsewhere"), first, slots_of(first, "kd"))
    take(root, second)
    assert done_in(root, "second") == set()


# -- whole or not at all ----------------------------------------------------------------------------------------------

KILLED = """
import os, signal, sys
from pathlib import Path
from sweep.layout import Root
from sweep.ledger.store import Ledger
from tests.support.shared_trials import plan_of, take

left = int(sys.argv[2])
insert = Ledger._insert

def mortal(self, kind, *rest):
    global left
    if left == 0 and self._db.in_transaction:
        os.kill(os.getpid(), signal.SIGKILL)
    left -= self._db.in_transaction
    return insert(self, kind, *rest)

Ledger._insert = mortal
take(Root(Path(sys.argv[1])), plan_of("second", methods=["kd", "dkd"]))
"""


@pytest.mark.slow(20)
@pytest.mark.parametrize("after", [0, 1, 3, 4, 6])
def test_a_driver_that_is_killed_leaves_a_whole_trial_or_none(
    root: Root, first: Plan, second: Plan, after: int
) -> None:
    keys = set(finish(root, first, slots_of(first, "kd")))
    killed = subprocess.run([sys.executable, "-c", KILLED, str(root.path), str(after)], capture_output=True, text=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    with opened(root, "second") as ledger:
        ledger.verify()
        done = set(ledger.finals())
        assert len(done) == after // 5
        assert {event.trial for event in ledger.events("start", "epoch")} == done
    take(root, second)
    assert done_in(root, "second") == keys


# -- how much is looked at --------------------------------------------------------------------------------------------


def test_ledgers_that_have_not_changed_are_not_opened_again(
    root: Root, first: Plan, second: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(5):
        finish(root, plan_of(f"other-{number}"), slots_of(first, "scratch")[:1])
    looked: list[str] = []
    whole = neighbours._opened
    monkeypatch.setattr(neighbours, "_opened", lambda paths: looked.append(paths.folder.name) or whole(paths))
    around = neighbours.Neighbours(root, "second")
    assert around.offers(keys_of(second, "kd")) == {}
    assert sorted(looked) == [f"other-{number}" for number in range(5)]
    around.offers(keys_of(second, "kd"))
    assert len(looked) == 5
    finish(root, plan_of("other-3"), slots_of(first, "kd")[:1])
    assert len(around.offers(keys_of(second, "kd"))) == 1
    assert looked[5:] == ["other-3", "other-3"]
