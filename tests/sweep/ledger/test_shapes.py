"""Epochs are written without their names, and read as they were; in one ledger with those that have theirs."""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sweep.ledger import columns, shapes
from sweep.ledger.schema import VERSION
from sweep.ledger.store import Ledger
from tests.support.examples import epoch_body
from trainers.errors import StorageError

BODIES: dict[str, dict[str, Any]] = {
    "an epoch's": epoch_body(3, 70.0),
    "nothing": {},
    "nothing in a part": {"diagnostics": {}, "loss": 1.0},
    "parts in parts": {"system": {"gpu": {"mean": 1.5, "peak": 2}, "cpu": {"mean": 0.25}}, "epoch": 1},
    "other values": {"a": None, "b": True, "c": 'a,"b"]\n[1,{é\\', "d": [1, [2.5, None], {"e": 3}], "f": False},
    "names with a dot": {"terms": {"a.b": 1.0}, "terms.a": {"b": 2.0}},
    "names like syntax": {"terms": {"": 0.5, '"': 1.0, "[1,2]": 2.0, "a,b": 3.0, "{\n}": 4.0, "é\u2028": 5.0}},
    "no number": {"terms": {"a": math.nan, "b": -math.inf, "c": math.inf}, "loss": None},
    "one number": {"epoch": 7},
    "exact numbers": {"a": 0.1 + 0.2, "b": 1e-300, "c": 2**63, "d": -0.0, "e": 1.7976931348623157e308},
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "sweep" / "ledger.db"


def texts(ledger: Ledger) -> list[str]:
    return [text for (text,) in ledger._db.execute("SELECT body FROM events WHERE kind LIKE '%epoch' ORDER BY seq")]


def facts(ledger: Ledger) -> dict[str, str]:
    return dict(ledger._db.execute("SELECT name, value FROM facts WHERE name LIKE 'shape%' AND name NOT LIKE '% sum'"))


def changed(path: Path, statement: str) -> None:
    """Change the file as a disk might."""
    with closing(sqlite3.connect(path)) as database:
        database.execute(statement)
        database.commit()


@pytest.mark.parametrize("name", BODIES)
def test_an_epoch_comes_back_as_it_was_with_its_names_in_their_order(ledger: Ledger, name: str) -> None:
    body = BODIES[name]
    assert ledger.append("epoch", "a", 1, body)
    with Ledger(ledger.path) as another:
        for reader in (ledger, another):
            (event,) = reader.events("epoch")
            assert json.dumps(event.body) == json.dumps(body)
            reader.verify()


def test_names_are_written_once_for_all_epochs_that_have_the_same(ledger: Ledger) -> None:
    for epoch in range(1, 5):
        ledger.append("epoch", "a", epoch, {"epoch": epoch, "terms": {"ce": epoch / 3}})
    ledger.append("epoch", "b", 1, {"epoch": 1, "terms": {"ce": 0.5, "kd": 2.0}})
    assert texts(ledger) == [
        "[1,1,0.3333333333333333]",
        "[1,2,0.6666666666666666]",
        "[1,3,1.0]",
        "[1,4,1.3333333333333333]",
        "[2,1,0.5,2.0]",
    ]
    assert facts(ledger) == {
        "shape 1": '{"epoch":null,"terms":{"ce":null}}',
        "shape 2": '{"epoch":null,"terms":{"ce":null,"kd":null}}',
    }


def test_the_same_names_in_another_order_are_another_shape(ledger: Ledger) -> None:
    ledger.append("epoch", "a", 1, {"loss": 1.0, "lr": 2.0})
    ledger.append("epoch", "a", 2, {"lr": 3.0, "loss": 4.0})
    assert [list(event.body.items()) for event in ledger.events("epoch")] == [
        [("loss", 1.0), ("lr", 2.0)],
        [("lr", 3.0), ("loss", 4.0)],
    ]


def test_two_who_write_to_one_ledger_give_a_number_to_one_shape(path: Path) -> None:
    with Ledger(path) as ledger, Ledger(path) as beside:
        for epoch, (one, two) in enumerate([("a", "b"), ("c", "a"), ("b", "d")], start=1):
            ledger.append("epoch", "x", epoch, {one: epoch})
            beside.append("epoch", "y", epoch, {two: -epoch})
        for reader in (ledger, beside):
            assert [event.body for event in reader.events("epoch", trial="x")] == [{"a": 1}, {"c": 2}, {"b": 3}]
            assert [event.body for event in reader.events("epoch", trial="y")] == [{"b": -1}, {"a": -2}, {"d": -3}]
        assert len(facts(ledger)) == 4


def test_a_number_that_another_takes_just_before_stands_for_its_shape(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = shapes.facts.write
    with Ledger(path) as ledger, Ledger(path) as beside:

        def write(*given: Any) -> None:
            monkeypatch.undo()
            beside.append("epoch", "y", 1, {"theirs": 1})
            plain(*given)

        monkeypatch.setattr(shapes.facts, "write", write)
        ledger.append("epoch", "x", 1, {"ours": 2})
        assert [event.body for event in ledger.events("epoch")] == [{"theirs": 1}, {"ours": 2}]
        assert set(facts(ledger)) == {"shape 1", "shape 2"}


def test_what_was_taken_back_leaves_a_shape_that_the_next_epoch_can_use(ledger: Ledger) -> None:
    ledger.append("final", "a", body={"state": "finished"})
    assert not ledger.append_all([("epoch", "a", 1, {"new": 1}), ("final", "a", None, {"state": "finished"})])
    ledger.append("epoch", "b", 1, {"new": 2})
    with Ledger(ledger.path) as another:
        assert [event.body for event in another.events("epoch")] == [{"new": 2}]


def test_of_very_many_shapes_the_last_epochs_keep_their_names(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shapes, "MOST", 3)
    for epoch in range(1, 7):
        ledger.append("epoch", "a", epoch, {f"name {epoch}": epoch})
    assert texts(ledger) == ["[1,1]", "[2,2]", "[3,3]", '{"name 4":4}', '{"name 5":5}', '{"name 6":6}']
    assert [event.body for event in ledger.events("epoch")] == [{f"name {epoch}": epoch} for epoch in range(1, 7)]


def test_what_is_set_aside_keeps_its_numbers(ledger: Ledger) -> None:
    ledger.append("epoch", "a", 1, epoch_body(1, 50.0))
    ledger.set_aside(["a"])
    assert [event.body for event in ledger.events("former-epoch")] == [epoch_body(1, 50.0)]
    assert list(ledger.priced()) == [("epoch", "a", epoch_body(1, 50.0)["seconds"])]
    ledger.verify()


DAMAGE = {
    "a name": "UPDATE facts SET value = replace(value, 'loss', 'lost') WHERE name = 'shape 1'",
    "a name too few": "UPDATE facts SET value = '{\"loss\":null}' WHERE name = 'shape 1'",
    "a shape": "DELETE FROM facts WHERE name LIKE 'shape 1%'",
    "its number": "UPDATE events SET body = replace(body, '[1,', '[2,')",
}


SENTENCE = r"cannot be used: (its note 'shape 1'|an epoch|its shape 1|its event 1) .*; put back a copy of the file"
READS: dict[str, Callable[[Ledger], Any]] = {
    "events": lambda ledger: list(ledger.events("epoch")),
    "verify": Ledger.verify,
    "chunks": lambda ledger: list(ledger.chunks(lambda name: True, "epoch")),
    "priced": lambda ledger: list(ledger.priced()),
    "seconds": Ledger.seconds_per_epoch,
    "names": lambda ledger: ledger.epoch_names("terms"),
}


@pytest.mark.parametrize(
    ("body", "read"),
    [
        ({"loss": 0.5, "terms": {"\ud800": 1.0, "?": 2.0}}, {"loss": 0.5, "terms": {"?": 2.0}}),
        ({"loss": 0.5, "terms": {1: 1.0}}, {"loss": 0.5, "terms": {"1": 1.0}}),
    ],
)
def test_names_that_json_has_no_room_for_damage_nothing(
    ledger: Ledger, body: dict[str, Any], read: dict[str, Any]
) -> None:
    ledger.append("epoch", "a", 1, body)
    ledger.append("epoch", "a", 2, read)
    ledger.verify()
    assert [event.body for event in ledger.events("epoch")] == [read, read]
    assert numbers(ledger) == written(ledger)


@pytest.mark.parametrize("release", ["this", "an earlier one"])
def test_names_are_found_where_numbers_are_none(ledger: Ledger, release: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if release != "this":
        monkeypatch.setattr(shapes, "MOST", 0)
    ledger.append("epoch", "a", 1, {"loss": math.nan, "terms": {"kd": math.inf, "a.b": 1.0}})
    ledger.append("epoch", "a", 2, {"loss": 0.5, "terms": {"ce": 0.5, "a": {"b": 1.0}}, "diagnostics": {"ece": 1}})
    assert ledger.epoch_names("terms") == ["a", "a.b", "ce", "kd"]
    assert ledger.epoch_names("diagnostics") == ["ece"]


@pytest.mark.parametrize("what", DAMAGE)
@pytest.mark.parametrize("read", READS)
def test_a_shape_that_is_not_what_was_written_is_damage(path: Path, what: str, read: str) -> None:
    with Ledger(path) as ledger:
        ledger.append("epoch", "a", 1, {"loss": 0.5, "lr": 0.25})
    changed(path, DAMAGE[what])
    with Ledger(path) as ledger, pytest.raises(StorageError, match=SENTENCE):
        READS[read](ledger)


FORGED = {
    "a shape that is a list": ("[null]", "[1,0.5]"),
    "a shape of numbers": ('{"loss":5}', "[1,0.5]"),
    "a shape of lists": ('{"terms":[]}', "[1,0.5]"),
    "a list for a number of a shape": ('{"loss":null}', "[[1],0.5]"),
    "a mapping for a number of a shape": ('{"loss":null}', '[{"a":1},0.5]'),
    "a text for a number of a shape": ('{"loss":null}', '["1",0.5]'),
    "a truth value for a number of a shape": ('{"loss":null}', "[true,0.5]"),
    "no number of a shape": ('{"loss":null}', "[]"),
}


@pytest.mark.parametrize("what", FORGED)
@pytest.mark.parametrize("read", READS)
def test_what_nobody_has_written_is_damage_though_its_checksums_are_right(path: Path, what: str, read: str) -> None:
    shape, body = FORGED[what]
    with Ledger(path) as ledger:
        ledger.append("epoch", "a", 1, {"loss": 0.5})
        ledger.set_fact("shape 1", shape)
        ledger._db.execute("UPDATE events SET body = ?", (body,))
        ledger._db.execute("UPDATE events SET sum = event_sum(seq, time, kind, trial, epoch, body)")
    with Ledger(path) as ledger, pytest.raises(StorageError, match=SENTENCE):
        READS[read](ledger)


# -- columns -----------------------------------------------------------------------------------------------------------


def numbers(ledger: Ledger) -> dict[int, dict[str, float]]:
    """What chunks tell of all epochs, by `seq`; nothing where there is NaN."""
    told: dict[int, dict[str, float]] = {}
    for chunk in ledger.chunks(lambda name: name != "left out", "start", "epoch"):
        for places, found in chunk.columns:
            for line, place in enumerate(places):
                known = {name: float(column[line]) for name, column in found.items() if not math.isnan(column[line])}
                told[chunk.rows[place][0]] = known
    return told


def written(ledger: Ledger) -> dict[int, dict[str, float]]:
    """The same, of their events."""
    told = {}
    for event in ledger.events("epoch"):
        names, values = shapes.flattened(event.body)
        both = zip(names, values, strict=True)
        told[event.seq] = {name: float(value) for name, value in both if value is not None and name != "left out"}
    return told


EPOCHS: list[dict[str, Any]] = [
    epoch_body(1, 50.0),
    epoch_body(2, 50.0) | {"val_acc": None},
    {"terms": {"ce": 0.1 + 0.2, "kd": 1e-300}, "left out": "a,b"},
    {"loss": 1.0, "left out": [1, 2]},
    {"loss": 2.0, "left out": "]\n["},
    {"loss": 3, "flag": True},
    {"loss": math.inf},
    {"shape": 7.0, "a.b": 1.0, "a": {"b": 2.0}},
    {},
]


@pytest.mark.parametrize("at_once", [1, 3, 100])
def test_columns_hold_the_numbers_of_each_epoch(ledger: Ledger, at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sweep.ledger.store.AT_ONCE", at_once)
    for trial in ("a", "b"):
        ledger.append("start", trial, body={"config": {"recipe": {}}})
        for epoch, body in enumerate(EPOCHS, start=1):
            ledger.append("epoch", trial, epoch, body)
    found = list(ledger.chunks(lambda name: True, "start"))
    assert [body for chunk in found for body in chunk.bodies.values()] == [{"config": {"recipe": {}}}] * 2
    assert numbers(ledger) == written(ledger)
    assert len(numbers(ledger)) == 2 * len(EPOCHS)


def test_numbers_of_one_shape_are_read_as_one_table(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    for epoch in range(1, 10):
        ledger.append("epoch", "a", epoch, epoch_body(epoch, 50.0))
    monkeypatch.setattr(columns, "_table", lambda *_: pytest.fail("one by one"))
    (chunk,) = ledger.chunks(lambda name: name in ("epoch", "val_acc"), "epoch")
    (found,) = chunk.columns
    assert found.numbers.keys() == {"epoch", "val_acc"}
    assert np.array_equal(found.numbers["epoch"], np.arange(1, 10))


@pytest.mark.parametrize("release", ["this", "an earlier one"])
@pytest.mark.parametrize("value", [[1], [1, 2], "x"])
def test_a_number_that_is_none_is_damage(
    ledger: Ledger, release: str, value: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    if release != "this":
        monkeypatch.setattr(shapes, "MOST", 0)
    ledger.append("epoch", "a", 1, {"loss": value})
    with pytest.raises(StorageError, match="put back a copy of the file"):
        list(ledger.chunks(lambda name: True, "epoch"))


# -- ledgers of version 1 ----------------------------------------------------------------------------------------------


@pytest.fixture
def earlier(path: Path) -> Path:
    """Written by a release that gave each epoch its names."""
    with Ledger(path) as ledger:
        ledger.append("start", "a", body={"slot": "s"})
        for epoch, body in ((1, {"terms": {"ce": 1.0}, "seconds": 2.0}), (2, {"terms": {"old": 2.0}, "seconds": 4.0})):
            row = {"kind": "epoch", "trial": "a", "epoch": epoch, "body": shapes.dumped(body)}
            ledger._insert(row)
        assert not facts(ledger)
        ledger._db.execute("PRAGMA user_version=1")
    return path


def version(path: Path) -> int:
    with closing(sqlite3.connect(path)) as database:
        return int(database.execute("PRAGMA user_version").fetchone()[0])


def test_a_ledger_of_an_earlier_version_is_read_and_stays_one(earlier: Path) -> None:
    with Ledger(earlier) as ledger:
        assert [event.body["seconds"] for event in ledger.events("epoch")] == [2.0, 4.0]
        assert ledger.epoch_names("terms") == ["ce", "old"]
        ledger.verify()
    assert version(earlier) == 1


def test_an_earlier_ledger_that_goes_on_has_epochs_of_both_kinds(earlier: Path) -> None:
    with Ledger(earlier) as ledger:
        before = texts(ledger)
        assert not ledger.append("epoch", "a", 2, {"terms": {"ce": 9.0}, "seconds": 9.0})
        ledger.append("epoch", "a", 3, {"terms": {"ce": 3.0, "new": 1.0}, "seconds": 9.0})
        ledger.verify()
    assert version(earlier) == VERSION
    with Ledger(earlier) as ledger:
        assert texts(ledger)[:2] == before
        assert [event.body["seconds"] for event in ledger.events("epoch")] == [2.0, 4.0, 9.0]
        assert ledger.epoch_names("terms") == ["ce", "new", "old"]
        assert ledger.seconds_per_epoch() == {"a": 5.0}
        assert [told for kind, _, told in ledger.priced() if kind == "epoch"] == [2.0, 4.0, 9.0]
        assert numbers(ledger) == written(ledger)


def test_an_earlier_release_says_that_it_cannot_read_it(earlier: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As that release compares the versions."""
    with Ledger(earlier) as ledger:
        ledger.append("stop")
    monkeypatch.setattr("sweep.ledger.schema.VERSION", 1)
    with pytest.raises(StorageError, match=r"was written by a later version of this program; update it to read"):
        Ledger(earlier)


@pytest.mark.parametrize("body", ["7", "null", '"a"', "[]", "[null,1]", "{", "", "{}{}"])
@pytest.mark.parametrize("read", READS)
def test_an_epoch_without_a_checksum_is_one_that_could_have_been_written(earlier: Path, body: str, read: str) -> None:
    changed(earlier, f"UPDATE events SET body = '{body}', sum = NULL WHERE epoch = 2")
    with (
        Ledger(earlier) as ledger,
        pytest.raises(StorageError, match=r"cannot be used: .*; put back a copy of the file"),
    ):
        READS[read](ledger)


def test_the_numbers_of_an_earlier_ledger_are_read_as_one_table(earlier: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(columns, "_table", lambda *_: pytest.fail("one by one"))
    with Ledger(earlier) as ledger:
        assert numbers(ledger) == {2: {"terms.ce": 1.0, "seconds": 2.0}, 3: {"terms.old": 2.0, "seconds": 4.0}}
