"""The ledger: append-only, one result per epoch, one final per trial, whole after a crash."""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from sweep.ledger.schema import VERSION
from sweep.ledger.shapes import flattened
from sweep.ledger.store import Ledger
from tests.support.examples import epoch_body
from trainers.errors import StorageError


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "new" / "folder" / "ledger.db"


def test_events_come_back_whole_in_the_order_written(path: Path) -> None:
    before = time.time()
    with Ledger(path) as ledger:
        assert ledger.append("sweep", body={"spec": "name: a\n", "ä": [1, None, "α"]})
        assert ledger.append("start", "b")
        assert ledger.append("epoch", "b", 1, {"loss": 0.1})
    with Ledger(path) as ledger:
        events = list(ledger.events())
    assert [(event.kind, event.trial, event.epoch) for event in events] == [
        ("sweep", None, None),
        ("start", "b", None),
        ("epoch", "b", 1),
    ]
    assert events[0].body == {"spec": "name: a\n", "ä": [1, None, "α"]}
    assert events[1].body == {}
    assert [event.seq for event in events] == sorted({event.seq for event in events})
    assert before <= events[0].time <= events[2].time <= time.time()


def test_a_new_file_that_another_holds_for_a_moment_is_opened_after_it(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path.parent.mkdir(parents=True)
    holder = sqlite3.connect(path, isolation_level=None, timeout=0)
    holder.execute("BEGIN EXCLUSIVE")
    waited: list[float] = []

    def wait(seconds: float) -> None:
        waited.append(seconds)
        if holder.in_transaction:
            holder.rollback()

    # Two openers who each hold a part are told so at once.
    at_once = partial(
        sqlite3.connect, path, isolation_level=None, timeout=0
    )  # as two openers meet, who both hold a part
    monkeypatch.setattr("sweep.ledger.store.sqlite3.connect", lambda *_, **__: at_once())
    monkeypatch.setattr("sweep.ledger.store.time.sleep", wait)
    with Ledger(path) as ledger:
        assert ledger.append("sweep")
    assert waited
    holder.close()


def test_an_epoch_is_written_once_per_trial(path: Path) -> None:
    with Ledger(path) as ledger:
        assert ledger.append("epoch", "a", 1, {"loss": 1.0})
        assert not ledger.append("epoch", "a", 1, {"loss": 2.0})
        assert ledger.append("epoch", "b", 1, {"loss": 3.0})
        assert ledger.append("epoch", "a", 2, {"loss": 4.0})
        assert [event.body["loss"] for event in ledger.events("epoch")] == [1.0, 3.0, 4.0]
        assert ledger.epochs_done() == {"a": 2, "b": 1}


def test_a_trial_has_one_final(path: Path) -> None:
    with Ledger(path) as ledger:
        assert ledger.append("final", "a", body={"state": "finished"})
        assert not ledger.append("final", "a", body={"state": "diverged"})
        assert ledger.append("final", "b", body={"state": "diverged"})
        assert ledger.finals() == {"a": {"state": "finished"}, "b": {"state": "diverged"}}


def test_other_events_may_repeat(path: Path) -> None:
    with Ledger(path) as ledger:
        for kind in ("sweep", "plan", "start", "failed", "interrupted", "report", "stop"):
            assert ledger.append(kind, "a")  # type: ignore[arg-type]
            assert ledger.append(kind, "a")  # type: ignore[arg-type]
        assert ledger.last_seq() == len(list(ledger.events())) == ledger.count() == 14
        assert [ledger.count(after) for after in (0, 1, 13, 14)] == [14, 13, 1, 0]


def test_a_refused_event_leaves_no_trace(path: Path) -> None:
    with Ledger(path) as ledger:
        ledger.append("epoch", "a", 1, {"loss": 1.0})
        events, last = list(ledger.events()), ledger.last_seq()
        ledger.append("epoch", "a", 1, {"loss": 9.0})
        assert (list(ledger.events()), ledger.last_seq()) == (events, last)


def test_events_can_be_filtered_by_kind_trial_and_place(path: Path) -> None:
    with Ledger(path) as ledger:
        for epoch in (1, 2):
            for trial in ("a", "b"):
                ledger.append("epoch", trial, epoch)
        ledger.append("final", "a")
        ledger.append("stop")
        assert [event.epoch for event in ledger.events("epoch", trial="b")] == [1, 2]
        assert [event.kind for event in ledger.events("final", "stop")] == ["final", "stop"]
        assert [event.seq for event in ledger.events(after=4)] == [5, 6]
        assert [event.seq for event in ledger.events(after=1, limit=2)] == [2, 3]
        assert list(ledger.events("plan")) == []
        assert list(ledger.events(trial="c")) == []


def test_the_latest_of_a_kind_is_the_one_written_last(path: Path) -> None:
    with Ledger(path) as ledger:
        assert ledger.latest("plan") is None
        assert ledger.last_seq() == 0
        ledger.append("plan", body={"n": 1})
        ledger.append("plan", body={"n": 2})
        ledger.append("stop")
        latest = ledger.latest("plan")
        assert latest is not None
        assert latest.body == {"n": 2}


def test_epochs_are_summed_up_by_trial_and_name(path: Path) -> None:
    with Ledger(path) as ledger:
        assert (ledger.epoch_names("terms"), ledger.seconds_per_epoch()) == ([], {})
        ledger.append("epoch", "a", 1, {"terms": {"kd": 1.0, "ce": 2.0}, "seconds": 2.0})
        ledger.append("epoch", "a", 2, {"terms": {"ce": 2.0}, "seconds": 5.0})
        ledger.append("epoch", "b", 1, {"terms": {"aux": 1.0}, "seconds": 0.5})
        ledger.append("final", "b", body={"terms": {"no": 1.0}, "seconds": 100.0})
        assert ledger.epoch_names("terms") == ["aux", "ce", "kd"]
        assert ledger.epoch_names("weights") == []
        assert ledger.seconds_per_epoch() == {"a": 3.5, "b": 0.5}


def test_what_decides_the_cost_is_told_of_plans_starts_and_epochs(path: Path) -> None:
    with Ledger(path) as ledger:
        ledger.append("plan", body={"compute": {"gpus": 1}, "slots": []})
        ledger.append("start", "a", body={"slot": "s", "devices": ["cpu"]})
        ledger.append("start", "b", body={"slot": "t"})
        ledger.append("epoch", "a", 1, {"seconds": 2.5, "devices": ["gpu"]})
        ledger.append("final", "a", body={"seconds": 2.5})
        assert list(ledger.priced()) == [
            ("plan", None, '{"gpus":1}'),
            ("start", "a", '["cpu"]'),
            ("start", "b", None),
            ("epoch", "a", 2.5),
        ]


def test_facts_are_replaced_and_kept(path: Path) -> None:
    with Ledger(path) as ledger:
        assert ledger.fact("delivered") is None
        ledger.set_fact("delivered", "1")
        ledger.set_fact("delivered", "2")
    with Ledger(path) as ledger:
        assert ledger.fact("delivered") == "2"


def test_the_id_stays_and_differs_between_ledgers(path: Path) -> None:
    with Ledger(path) as first:
        name = first.id
    with Ledger(path) as again, Ledger(path.with_name("other.db")) as other:
        assert len(name) == 32
        assert again.id == name
        assert other.id != name


def test_a_reader_sees_what_another_connection_has_just_written(path: Path) -> None:
    with Ledger(path) as writer, Ledger(path) as reader:
        for epoch in range(1, 4):
            writer.append("epoch", "a", epoch)
            assert reader.epochs_done() == {"a": epoch}


def test_threads_write_side_by_side_without_losing_anything(path: Path) -> None:
    threads, epochs, failures = 4, 50, []

    def write(trial: str) -> None:
        try:
            with Ledger(path) as ledger:
                for epoch in range(epochs):
                    ledger.append("epoch", trial, epoch)
                    ledger.append("epoch", "shared", epoch)
        except BaseException as error:
            failures.append(error)

    running = [threading.Thread(target=write, args=(f"trial{n}",)) for n in range(threads)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    assert not failures
    with Ledger(path) as ledger:
        assert ledger.epochs_done() == {f"trial{n}": epochs for n in range(threads)} | {"shared": epochs}


WRITER = """
import sys
from pathlib import Path
from sweep.ledger.store import Ledger

ledger = Ledger(Path(sys.argv[1]))
for epoch in range(1, int(sys.argv[3]) + 1):
    ledger.append("epoch", sys.argv[2], epoch, {"loss": 1.0, "padding": "x" * 500})
    print(epoch, flush=True)
"""


def writer(path: Path, trial: str, epochs: int) -> subprocess.Popen[str]:
    """Another process that appends epochs, and says each after it is written."""
    command = [sys.executable, "-c", WRITER, str(path), trial, str(epochs)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_processes_make_and_write_one_ledger_together(path: Path) -> None:
    processes = [writer(path, f"trial{n}", 100) for n in range(2)]
    for process in processes:
        process.communicate(timeout=60)
        assert process.returncode == 0
    with Ledger(path) as ledger:
        assert ledger.epochs_done() == {"trial0": 100, "trial1": 100}


def test_all_that_was_written_before_a_kill_is_there_and_the_file_goes_on(path: Path) -> None:
    process = writer(path, "a", 1_000_000)
    assert process.stdout is not None
    said = 0
    while said < 200:
        said = int(process.stdout.readline())
    process.send_signal(signal.SIGKILL)
    said = max([said, *map(int, process.stdout.read().split()[:-1])])  # a last line may be half written
    process.wait()
    process.stdout.close()
    assert process.returncode == -signal.SIGKILL
    with Ledger(path) as ledger:
        epochs = [event.epoch for event in ledger.events("epoch", trial="a")]
        assert epochs == list(range(1, len(epochs) + 1))
        assert len(epochs) >= said
        assert ledger.append("final", "a", body={"state": "finished"})


def test_what_a_killed_writer_had_not_committed_is_gone(path: Path) -> None:
    code = f"""
import os, signal, sqlite3
from pathlib import Path
from sweep.ledger.store import Ledger

Ledger(Path({str(path)!r})).append("epoch", "a", 1)
half = sqlite3.connect({str(path)!r}, isolation_level=None)
half.execute("BEGIN IMMEDIATE")
half.execute("INSERT INTO events (time, kind, trial, epoch, body) VALUES (1, 'epoch', 'a', 2, '{{}}')")
os.kill(os.getpid(), signal.SIGKILL)
"""
    killed = subprocess.run([sys.executable, "-c", code], check=False)
    assert killed.returncode == -signal.SIGKILL
    with Ledger(path) as ledger:
        assert ledger.epochs_done() == {"a": 1}
        assert ledger.append("epoch", "a", 2, {"loss": 1.0})


def test_a_file_that_is_no_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    path.write_text("not a database, but longer than the header of one" * 10)
    before = path.read_bytes()
    with pytest.raises(StorageError, match=r"ledger.db cannot be used: file is not a database"):
        Ledger(path)
    assert path.read_bytes() == before


def test_a_damaged_page_is_told_as_a_storage_error(path: Path) -> None:
    with Ledger(path) as ledger:
        for epoch in range(300):
            ledger.append("epoch", "a", epoch, {"padding": "x" * 200})
    content = bytearray(path.read_bytes())
    content[4096 * 3 :] = b"\xa5" * (len(content) - 4096 * 3)
    path.write_bytes(content)
    with pytest.raises(StorageError, match="cannot be used"), Ledger(path) as ledger:
        list(ledger.events())


def test_a_ledger_of_a_later_version_is_refused(path: Path) -> None:
    Ledger(path).close()
    database = sqlite3.connect(path)
    database.execute(f"PRAGMA user_version = {VERSION + 1}")
    database.close()
    with pytest.raises(StorageError, match=r"ledger.db was written by a later version of this program; update it"):
        Ledger(path)


def test_a_ledger_that_cannot_be_made_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot be used"):
        Ledger(tmp_path / "file" / "ledger.db")
    (tmp_path / "folder.db").mkdir()
    with pytest.raises(StorageError, match="cannot be used"):
        Ledger(tmp_path / "folder.db")


def test_a_full_disk_is_told_as_a_storage_error_and_loses_nothing(path: Path) -> None:
    Ledger(path).close()
    code = f"""
import resource, signal, sys
from pathlib import Path
from sweep.ledger.store import Ledger
from trainers.errors import StorageError

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
ledger = Ledger(Path({str(path)!r}))
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
written = 0
try:
    for epoch in range(10_000):
        written += ledger.append("epoch", "a", epoch, {{"padding": "x" * 1000}})
except StorageError as error:
    print(written, error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    written, _, sentence = done.stdout.partition(" ")
    assert sentence.startswith(f"the ledger {path} cannot be used: ")
    with Ledger(path) as ledger:
        assert ledger.epochs_done() == {"a": int(written)}
        assert int(written) > 0


def test_a_copy_is_one_file_that_can_be_read_where_nothing_can_be_written(path: Path) -> None:
    copy = path.with_name("copy.db")
    with Ledger(path) as ledger:
        ledger.append("start", "a")
        copy.write_bytes(b"what lay there before")
        ledger.copy(copy)
        ledger.append("final", "a")
    with closing(sqlite3.connect(f"file:{copy}?mode=ro", uri=True)) as database:
        assert database.execute("PRAGMA journal_mode").fetchone() == ("delete",)
        assert database.execute("SELECT kind, trial FROM events").fetchall() == [("start", "a")]
    assert [file.name for file in path.parent.glob("copy*")] == ["copy.db"]


def test_half_a_character_in_a_reason_is_no_harm(ledger: Ledger) -> None:
    """A lone surrogate, as a file's name that is no UTF-8 leaves in a message."""
    ledger.append("failed", "a", body={"reason": "no file b\udcffd", "log": "α"})
    assert [event.body for event in ledger.events("failed")] == [{"reason": "no file b?d", "log": "α"}]


def test_an_epoch_takes_no_byte_for_what_is_only_there_to_be_read_by_eye(ledger: Ledger) -> None:
    body = epoch_body(1, 50.0)
    ledger.append("epoch", "a", 1, body)
    (text,) = ledger._db.execute("SELECT body FROM events").fetchone()
    assert text == json.dumps([1, *flattened(body).values]).replace(", ", ",")
