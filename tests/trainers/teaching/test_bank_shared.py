"""A bank that several machines fill: what one computed no other computes, and the numbers are always the same."""

from __future__ import annotations

import logging
import shutil
import threading
from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests.support.storages import Machine
from tests.trainers.teaching.test_logit_bank import CLASSES, VIEWS, Computing, asked, damaged, truth, views
from trainers.storage.shared import storage_at
from trainers.teaching import bank_exchange, bank_part, logit_bank
from trainers.teaching.logit_bank import LogitBank, Shelf

in_a_folder = pytest.mark.parametrize("uri", ["folder"], indirect=True)
"""Where it does not matter which kind of storage there is."""


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logit_bank, "PART_IMAGES", 40)
    monkeypatch.setattr(bank_part, "MOST_BLOCKS", 4)


def shelf(machine: Machine, name: str, budget: int | None = 10**9) -> Shelf:
    """The shelf as a process that has just begun sees it."""
    storage, root = machine(name)
    bank = LogitBank(root / "bank", budget, storage)
    return bank.shelf({"teacher": "one"}, views=VIEWS, classes=CLASSES, dtype=torch.float16)


def packs(machine: Machine, name: str) -> list[Path]:
    """Those that a machine has seen."""
    return sorted((machine(name)[1] / "bank").rglob("packs/*.arrow"))


def test_what_one_machine_computed_another_reads(machine: Machine) -> None:
    assert asked(shelf(machine, "one"), views(0)) == 95
    assert asked(shelf(machine, "other"), views(0)) == 0
    assert asked(shelf(machine, "other"), views(0).flip(0)[:40]) == 0


@in_a_folder
def test_machines_that_take_turns_compute_each_entry_once(machine: Machine) -> None:
    """Through many mergings of blocks, on either machine."""
    shelves = [shelf(machine, "one"), shelf(machine, "other")]
    seen: set[int] = set()
    for epoch in range(24):
        address = views(epoch)
        new = set(address.tolist()) - seen
        assert asked(shelves[epoch % 2], address) == len(new)
        seen |= new
    assert asked(shelf(machine, "third"), torch.tensor(sorted(seen))) == 0


@in_a_folder
def test_a_pack_is_fetched_once(machine: Machine) -> None:
    storage, root = machine("one")
    asked(shelf(machine, "one"), views(0))
    other = shelf(machine, "other")
    assert asked(other, views(0)) == 0
    (seen,) = packs(machine, "other")
    assert seen.stat().st_size == 0
    before = seen.stat().st_mtime_ns
    asked(other, views(1))
    assert seen.stat().st_mtime_ns == before
    assert len(packs(machine, "other")) == 2  # its own as well
    assert asked(shelf(machine, "one"), views(1)) == 0
    assert sorted(storage.sizes(root / "bank")) == sorted(
        path.relative_to(root / "bank").as_posix() for path in packs(machine, "one")
    )


@in_a_folder
def test_a_bank_that_was_removed_is_fetched_anew(machine: Machine) -> None:
    asked(shelf(machine, "one"), views(0))
    shutil.rmtree(machine("one")[1])
    assert asked(shelf(machine, "one"), views(0)) == 0


@in_a_folder
def test_packs_that_do_not_fit_are_not_fetched(machine: Machine) -> None:
    asked(shelf(machine, "one"), views(0))
    assert asked(shelf(machine, "other", budget=95 * (CLASSES * 2 + 8)), views(0)) == 95
    assert packs(machine, "other") != []  # its own


@in_a_folder
def test_many_packs_are_read_a_few_at_a_time(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bank_exchange, "MOST_BYTES", 5000)
    for epoch in range(6):
        asked(shelf(machine, "one"), views(epoch))
    assert asked(shelf(machine, "other"), torch.cat([views(epoch) for epoch in range(6)]).unique()) == 0


@in_a_folder
def test_a_pack_that_is_damaged_in_the_storage_is_made_good_by_whoever_computes(
    machine: Machine, caplog: pytest.LogCaptureFixture
) -> None:
    storage = machine("one")[0]
    asked(shelf(machine, "one"), views(0))
    (pack,) = packs(machine, "one")
    storage.pull(pack, anew=True)
    damaged(pack, "one bit")
    storage.push(pack, anew=True)
    with caplog.at_level(logging.WARNING):
        assert asked(shelf(machine, "other"), views(0)) == 95
    assert "is damaged, and what it held will be computed" in caplog.text
    assert asked(shelf(machine, "third"), views(0)) == 0


def test_without_its_storage_a_machine_computes_what_it_needs(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("not a folder")
    storage = storage_at(str(tmp_path / "file/shared"), tmp_path / "one")
    bank = LogitBank(tmp_path / "one/bank", 10**9, storage)
    alone = bank.shelf({"teacher": "one"}, views=VIEWS, classes=CLASSES, dtype=torch.float16)
    with caplog.at_level(logging.WARNING):
        assert asked(alone, views(0)) == 95
    assert "the logit bank goes on with what is on this machine: the storage" in caplog.text
    assert asked(alone, views(0)) == 0
    assert len(caplog.messages) == 1


@in_a_folder
def test_machines_at_work_on_the_same_entries_at_once_do_each_other_no_harm(machine: Machine) -> None:
    wrong: list[Tensor] = []
    start = threading.Barrier(3)

    def fill(name: str) -> None:
        mine = shelf(machine, name)
        start.wait()
        for epoch in range(10):
            address = views(epoch)
            table = mine.table(address, Computing(address))
            if not torch.equal(table, truth(address).to(torch.float16)):
                wrong.append(address)

    threads = [threading.Thread(target=fill, args=(name,)) for name in ("one", "other", "third")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    everything = torch.cat([views(epoch) for epoch in range(10)]).unique()
    assert asked(shelf(machine, "fourth"), everything) == 0
