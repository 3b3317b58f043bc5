"""Damage of the ledger's file is found and named with the way out; what is told all the same is what was written."""

from __future__ import annotations

import random
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest

from sweep.ledger import checks
from sweep.ledger.store import Event, Ledger
from trainers.errors import StorageError

WAY_OUT = "put back a copy of the file, or move it aside"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "sweep" / "ledger.db"


def fill(path: Path, trials: int = 1) -> list[Event]:
    """A ledger of some trials, in one file; its events."""
    with Ledger(path) as ledger:
        ledger.append("sweep", body={"spec": "name: a\n", "source": "ä.yaml"})
        for number in range(trials):
            trial = f"{number:016x}"
            ledger.append("start", trial, body={"slot": f"slot {number}", "config": {"recipe": {"lr": 0.05}}})
            for epoch in (1, 2):
                ledger.append("epoch", trial, epoch, {"epoch": epoch, "test_acc": 81.25, "seconds": 2.5})
            ledger.append("final", trial, body={"state": "finished", "last": {"test_acc": 81.25}})
        ledger.append("stop", body={"exit_code": 0})
        ledger.set_fact("delivered", "7")
        events = list(ledger.events())
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA journal_mode=DELETE")
    return events


def changed(path: Path, statement: str) -> None:
    """Change the file as a disk might."""
    with closing(sqlite3.connect(path)) as database:
        database.execute(statement)
        database.commit()


CHANGES = {
    "a digit of the body": "UPDATE events SET body = replace(body, '81.25', '81.35') WHERE kind = '{kind}'",
    "a body that is no JSON": "UPDATE events SET body = substr(body, 1, 10) WHERE kind = '{kind}'",
    "the time": "UPDATE events SET time = time + 1 WHERE kind = '{kind}'",
    "the trial": "UPDATE events SET trial = 'other' WHERE kind = '{kind}'",
    "the place": "UPDATE events SET seq = seq + 100 WHERE kind = '{kind}'",
    "the checksum": "UPDATE events SET sum = sum + 1 WHERE kind = '{kind}'",
}
READS: dict[str, tuple[str, Callable[[Ledger], Any]]] = {
    "events": ("final", lambda ledger: list(ledger.events("final"))),
    "finals": ("final", Ledger.finals),
    "latest": ("final", lambda ledger: ledger.latest("final")),
    "starts": ("start", lambda ledger: list(ledger.starts())),
    "chunks": ("epoch", lambda ledger: list(ledger.chunks(lambda name: True, "epoch"))),
    "verify": ("final", Ledger.verify),
}


@pytest.mark.parametrize("read", READS)
@pytest.mark.parametrize("change", CHANGES)
def test_what_is_not_as_it_was_written_is_found_when_it_is_read(path: Path, change: str, read: str) -> None:
    fill(path)
    kind, look = READS[read]
    if read == "starts" and change == "a digit of the body":
        changed(path, "UPDATE events SET body = replace(body, '0.05', '0.06') WHERE kind = 'start'")
    else:
        changed(path, CHANGES[change].format(kind=kind))
    with Ledger(path) as ledger, pytest.raises(StorageError, match=rf"ledger\.db cannot be used: .*; {WAY_OUT}"):
        look(ledger)


def test_another_kind_or_epoch_is_found(path: Path) -> None:
    fill(path)
    changed(path, "UPDATE events SET epoch = 3 WHERE epoch = 2")
    with Ledger(path) as ledger, pytest.raises(StorageError, match="its event 4 is not what was written"):
        list(ledger.events("epoch"))
    changed(path, "UPDATE events SET kind = 'pruned' WHERE kind = 'final'")
    with Ledger(path) as ledger, pytest.raises(StorageError, match="its event 5 is not what was written"):
        list(ledger.events("pruned"))


def test_another_id_is_found(path: Path) -> None:
    fill(path)
    changed(path, "UPDATE facts SET value = replace(value, substr(value, 1, 1), 'x') WHERE name = 'id'")
    with Ledger(path) as ledger, pytest.raises(StorageError, match=f"its id is not what was written; {WAY_OUT}"):
        str(ledger.id)


FACTS = {
    "the value": (
        "UPDATE facts SET value = '8' WHERE name = 'delivered'",
        "its note 'delivered' is not what was written",
    ),
    "the checksum": (
        "UPDATE facts SET value = value || '0' WHERE name = 'delivered sum'",
        "its note 'delivered' is not what was written",
    ),
    "the name": ("UPDATE facts SET name = 'belivered' WHERE name = 'delivered'", "its note 'delivered' is gone"),
}


@pytest.mark.parametrize("change", FACTS)
def test_another_fact_is_found_when_a_run_begins(path: Path, change: str) -> None:
    fill(path)
    statement, told = FACTS[change]
    changed(path, statement)
    with Ledger(path) as ledger, pytest.raises(StorageError, match=f"{told}; {WAY_OUT}"):
        ledger.verify()
    if change != "the name":
        with Ledger(path) as ledger, pytest.raises(StorageError, match=f"{told}; {WAY_OUT}"):
            ledger.fact("delivered")


def test_a_fact_that_an_earlier_release_replaced_has_no_checksum_any_more(path: Path) -> None:
    fill(path)
    with Ledger(path) as ledger:
        ledger.set_fact("another", "1")
    changed(path, "INSERT OR REPLACE INTO facts VALUES ('delivered', '9')")  # as that does
    changed(path, "INSERT OR REPLACE INTO facts VALUES ('another', '2')")
    with Ledger(path) as ledger:
        ledger.verify()
        assert (ledger.fact("delivered"), ledger.fact("another")) == ("9", "2")
        ledger.set_fact("delivered", "10")
    changed(path, "UPDATE facts SET value = '11' WHERE name = 'delivered'")
    with Ledger(path) as ledger, pytest.raises(StorageError, match="its note 'delivered' is not what was written"):
        ledger.verify()


def test_a_row_that_an_index_has_lost_is_found(path: Path) -> None:
    fill(path)
    partial = " WHERE kind <> ''final''"
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA writable_schema=ON")
        database.execute(f"UPDATE sqlite_master SET sql = sql || '{partial}' WHERE name = 'by_kind'")
        database.execute("PRAGMA writable_schema=RESET")
        database.execute("REINDEX by_kind")
        database.execute("PRAGMA writable_schema=ON")
        database.execute(f"UPDATE sqlite_master SET sql = replace(sql, '{partial}', '') WHERE name = 'by_kind'")
        database.commit()
    with Ledger(path) as ledger, pytest.raises(StorageError, match=f"missing from index by_kind; {WAY_OUT}"):
        ledger.verify()


def test_what_acts_by_itself_is_no_part_of_a_ledger(path: Path) -> None:
    fill(path)
    changed(path, "CREATE TRIGGER gone AFTER INSERT ON events BEGIN DELETE FROM events; END")
    with Ledger(path) as ledger, pytest.raises(StorageError, match=r"holds what no ledger has \(gone\)"):
        ledger.verify()


def test_a_whole_ledger_is_whole(path: Path) -> None:
    fill(path, trials=20)
    with Ledger(path) as ledger:
        ledger.verify()
        ledger.append("start", "later")
        ledger.verify()


def cut(content: bytearray, draw: random.Random) -> None:
    del content[-draw.choice([1, 7, 100, 5000]) :]


def used(content: bytearray) -> list[int]:
    """Places of bytes that say something; much of a small file is free."""
    return [place for place, byte in enumerate(content) if byte]


def one_bit(content: bytearray, draw: random.Random) -> None:
    content[draw.choice(used(content))] ^= 1 << draw.randrange(8)


def one_byte(content: bytearray, draw: random.Random) -> None:
    content[draw.choice(used(content))] = draw.randrange(256)


def another_digit(content: bytearray, draw: random.Random) -> None:
    place = draw.choice([place for place in used(content) if chr(content[place]).isdigit()])
    content[place] = ord(draw.choice("0123456789"))


def zeros(content: bytearray, draw: random.Random) -> None:
    start = draw.choice(used(content))
    end = min(start + 64, len(content))
    content[start:end] = bytes(end - start)


@pytest.mark.parametrize("damage", [cut, one_bit, one_byte, another_digit, zeros], ids=lambda damage: damage.__name__)
def test_a_damaged_file_is_refused_or_whole(path: Path, damage: Callable[[bytearray, random.Random], None]) -> None:
    """And what is told without looking at all of it is what was written."""
    written = fill(path, trials=4)
    whole, refused = path.read_bytes(), 0
    for seed in range(60):
        content = bytearray(whole)
        damage(content, random.Random(seed))
        path.with_name("ledger.db-wal").unlink(missing_ok=True)
        path.write_bytes(content)
        told: list[Event] = []
        try:
            with Ledger(path) as ledger:
                for event in ledger.events():
                    told.append(event)
                for kind in ("start", "epoch", "final"):
                    told.extend(ledger.events(kind))  # type: ignore[arg-type]
                list(ledger.starts()), ledger.epochs_done(), list(ledger.priced()), ledger.fact("delivered")
                ledger.verify()
        except StorageError as error:
            assert WAY_OUT in str(error) or "update it to read the file" in str(error), (seed, error)
            refused += 1
        else:
            assert told[: len(written)] == written, seed
            assert len(told) == 2 * len(written) - 2, seed
        assert all(event in written for event in told), seed
    assert refused > 20


# -- ledgers of earlier releases ---------------------------------------------------------------------------------------

EARLIER = """
CREATE TABLE events (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    time REAL NOT NULL,
    kind TEXT NOT NULL,
    trial TEXT,
    epoch INTEGER,
    body TEXT NOT NULL
);
CREATE UNIQUE INDEX one_result_per_epoch ON events (trial, epoch) WHERE kind = 'epoch';
CREATE UNIQUE INDEX one_final_per_trial ON events (trial) WHERE kind = 'final';
CREATE INDEX by_kind ON events (kind, seq);
CREATE INDEX by_trial ON events (trial, kind, seq);
CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL);
INSERT INTO facts VALUES ('id', '0123456789abcdef0123456789abcdef'), ('delivered', '3');
INSERT INTO events (time, kind, trial, epoch, body) VALUES
    (1.5, 'sweep', NULL, NULL, '{"spec": "name: a\\n"}'),
    (2.5, 'start', 'a', NULL, '{"slot": "s"}'),
    (3.5, 'epoch', 'a', 1, '{"seconds": 2.0}'),
    (4.5, 'final', 'a', NULL, '{"state": "finished"}');
PRAGMA user_version = 1;
"""
APPEND = "INSERT OR IGNORE INTO events (time, kind, trial, epoch, body) VALUES (?, ?, ?, ?, ?)"


@pytest.fixture
def earlier(path: Path) -> Path:
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as database:
        database.executescript(EARLIER)
    return path


def columns(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as database:
        return [column[1] for column in database.execute("PRAGMA table_info(events)")]


def test_a_ledger_of_an_earlier_release_is_read_and_stays_as_it_is(earlier: Path) -> None:
    with Ledger(earlier) as ledger:
        assert [(event.time, event.kind) for event in ledger.events()] == [
            (1.5, "sweep"),
            (2.5, "start"),
            (3.5, "epoch"),
            (4.5, "final"),
        ]
        assert list(ledger.starts()) == [(2, "a", "s")]
        assert ledger.finals() == {"a": {"state": "finished"}}
        assert (ledger.id, ledger.fact("delivered")) == ("0123456789abcdef" * 2, "3")
        ledger.verify()
    assert "sum" not in columns(earlier)


def test_a_ledger_of_an_earlier_release_is_gone_on_with(earlier: Path) -> None:
    with Ledger(earlier) as ledger, Ledger(earlier) as beside:
        assert ledger.append("start", "b", body={"slot": "t"})
        assert not beside.append("final", "a", body={"state": "diverged"})
        assert beside.append("epoch", "b", 1, {"seconds": 1.0})
        assert [event.seq for event in ledger.events()] == [1, 2, 3, 4, 5, 6]
        ledger.verify()
    changed(earlier, "UPDATE events SET body = '{\"seconds\": 3.0}' WHERE seq = 6")
    with Ledger(earlier) as ledger, pytest.raises(StorageError, match="its event 6 is not what was written"):
        ledger.verify()


@pytest.mark.parametrize("moment", range(1, 7))
def test_the_column_for_checksums_is_made_once_whichever_process_is_first(earlier: Path, moment: int) -> None:
    """Another one makes it just before any statement of ours, if the file is not locked then."""
    said: list[str] = []
    with Ledger(earlier) as ledger, closing(sqlite3.connect(earlier, timeout=0)) as another:

        def before(statement: str) -> None:
            said.append(statement)
            if len(said) == moment:
                with suppress(sqlite3.OperationalError):
                    another.execute("ALTER TABLE events ADD COLUMN sum INTEGER")

        ledger._db.set_trace_callback(before)
        assert ledger.append("stop")
        ledger._db.set_trace_callback(None)
        ledger.verify()
        assert [event.kind for event in ledger.events(after=4)] == ["stop"]
    assert columns(earlier).count("sum") == 1


def test_an_earlier_release_may_write_to_it_again(earlier: Path) -> None:
    with Ledger(earlier) as ledger:
        ledger.append("start", "b", body={"slot": "t"})
        with closing(sqlite3.connect(earlier, isolation_level=None)) as database:
            database.execute(APPEND, (5.5, "final", "b", None, "{}"))
        assert ledger.append("stop")
        assert [(event.seq, event.kind) for event in ledger.events(after=4)] == [
            (5, "start"),
            (6, "final"),
            (7, "stop"),
        ]
        ledger.verify()


def test_a_row_without_a_checksum_is_one_that_could_have_been_written(earlier: Path) -> None:
    for statement in ("UPDATE events SET kind = 'fin' WHERE seq = 4", "UPDATE events SET body = '7' WHERE seq = 4"):
        changed(earlier, statement)
        with Ledger(earlier) as ledger, pytest.raises(StorageError, match="its event 4 is not what was written"):
            list(ledger.events())


# -- a ledger that goes ------------------------------------------------------------------------------------------------


def test_a_ledger_that_was_removed_takes_and_tells_nothing_more(path: Path) -> None:
    with Ledger(path) as ledger:
        ledger.append("start", "a")
        shutil.rmtree(path.parent)
        for use in (
            lambda: ledger.append("final", "a"),
            ledger.finals,
            ledger.last_seq,
            lambda: ledger.set_fact("a", "b"),
        ):
            with pytest.raises(
                StorageError, match=r"ledger\.db was removed, or replaced .* Put the folder back, or begin"
            ):
                use()
        assert not path.parent.exists()


def test_a_ledger_that_another_took_the_place_of_takes_nothing_more(path: Path) -> None:
    fill(path.with_name("other.db"))
    with Ledger(path) as ledger:
        ledger.append("start", "a")
        path.with_name("other.db").replace(path)
        with pytest.raises(StorageError, match="was removed, or replaced by another"):
            ledger.append("final", "a")


def test_a_ledger_that_must_be_there_is_not_made(path: Path) -> None:
    with pytest.raises(StorageError, match="was removed"):
        Ledger(path, make=False)
    assert not path.parent.exists()
    fill(path)
    Ledger(path, make=False).close()


def test_a_full_disk_is_no_damage() -> None:
    full = sqlite3.OperationalError("database or disk is full")
    full.sqlite_errorcode = sqlite3.SQLITE_FULL
    assert not checks.is_damage(full)
    assert not checks.is_damage(OSError(28, "No space left on device"))
    assert not checks.is_damage(sqlite3.ProgrammingError("Cannot operate on a closed database."))
    assert checks.is_damage(sqlite3.OperationalError("Could not decode to UTF-8 column 'body'"))
