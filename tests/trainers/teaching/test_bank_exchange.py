"""Packs between two machines: what each has seen, and how much is fetched at a time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from trainers.storage.shared import NOWHERE, Storage, storage_at
from trainers.teaching import bank_exchange
from trainers.teaching.bank_exchange import Packs

CLASSES = 3
ROOMY = 10**9


class Machine:
    """A machine's packs of one shelf, in front of the storage that all share."""

    def __init__(self, root: Path, name: str) -> None:
        self.folder = root / name / "bank/shelf/packs"
        self.storage: Storage = storage_at(str(root / "shared"), root / name)
        self.packs = Packs(self.folder, CLASSES)

    def gives(self, *address: int) -> None:
        wanted = np.array(address, dtype=np.int64)
        self.packs.give(self.storage, wanted, logits(wanted))

    def fetches(self, room: int = ROOMY) -> list[list[int]]:
        """The addresses of each block that comes; their logits are checked."""
        blocks = list(self.packs.fetched(self.storage, lambda: room))
        assert all(np.array_equal(block.logits, logits(block.address)) for block in blocks)
        return [block.address.tolist() for block in blocks]


def logits(address: NDArray[np.int64]) -> NDArray[np.float32]:
    """What the teacher says of each address: ``[n, CLASSES]``."""
    return (address[:, None] + np.arange(CLASSES) / 4).astype(np.float32)


@pytest.fixture
def one(tmp_path: Path) -> Machine:
    return Machine(tmp_path, "one")


@pytest.fixture
def other(tmp_path: Path) -> Machine:
    return Machine(tmp_path, "other")


def test_entries_arrive_in_order_and_each_once(one: Machine, other: Machine) -> None:
    one.gives(9, 2, 9, 4)
    one.gives(4, 1)
    assert other.fetches() == [[1, 2, 4, 9]]
    assert other.fetches() == []


def test_a_machine_has_seen_what_it_gave(one: Machine) -> None:
    one.gives(1, 2)
    assert one.fetches() == []
    assert [path.stat().st_size for path in one.folder.glob("*.arrow")] == [0]


def test_a_pack_counts_as_seen_only_when_the_next_is_asked_for(one: Machine, other: Machine) -> None:
    """Else entries would be lost where the machine goes down before it has added them to its blocks."""
    one.gives(1, 2)
    blocks = other.packs.fetched(other.storage, lambda: ROOMY)
    assert next(blocks).address.tolist() == [1, 2]
    del blocks
    assert other.fetches() == [[1, 2]]


def test_packs_are_fetched_where_they_just_fit(one: Machine, other: Machine) -> None:
    one.gives(1, 2)
    one.gives(3)
    size = sum(one.storage.sizes(one.folder).values())
    assert other.fetches(size - 1) == []
    assert other.fetches(size) == [[1, 2, 3]]


def test_where_another_process_was_faster_there_is_something_new_to_read(
    one: Machine, other: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    one.gives(1)
    answers = iter([set(), set(one.storage.sizes(one.folder))])  # before the lock, and once it is held
    monkeypatch.setattr(other.packs, "_seen", lambda: next(answers))
    (block,) = other.packs.fetched(other.storage, lambda: ROOMY)
    assert block.logits.shape == (0, CLASSES)


def test_without_a_storage_nothing_is_written(one: Machine) -> None:
    one.packs.give(NOWHERE, np.array([1]), np.zeros((1, CLASSES), np.float32))
    assert not one.folder.exists()


@pytest.mark.parametrize(
    ("sizes", "runs"),
    [
        ({}, []),
        ({"a": 3, "b": 3, "c": 5, "d": 1, "e": 1}, [["a", "b"], ["c", "d"], ["e"]]),
        ({"a": 9, "b": 1}, [["a"], ["b"]]),
        ({"a": 1, "b": 9}, [["a"], ["b"]]),
    ],
)
def test_runs_of_packs_keep_to_the_limit_but_for_a_single_large_one(
    sizes: dict[str, int], runs: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bank_exchange, "MOST_BYTES", 6)
    assert list(bank_exchange._batches(sizes)) == runs
