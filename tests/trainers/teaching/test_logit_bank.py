"""The bank's shelves: what comes out is what was computed, whoever computed it and whatever happened to the files."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from trainers.teaching import bank_part, logit_bank
from trainers.teaching.bank_files import Block
from trainers.teaching.logit_bank import LogitBank, Shelf, Work

CLASSES, VIEWS = 5, 18


def truth(address: Tensor) -> Tensor:
    """What the teacher would say: float32 ``[N, C]``, which fp16 does not hold exactly."""
    return torch.sin(address[:, None].float() + torch.arange(CLASSES)) * 7


def shelf(folder: Path, budget: int | None = None, dtype: torch.dtype = torch.float16, about: str = "one") -> Shelf:
    return LogitBank(folder, budget).shelf({"teacher": about}, views=VIEWS, classes=CLASSES, dtype=dtype)


class Computing:
    """Answers with the truth, and counts."""

    def __init__(self, address: Tensor) -> None:
        self.address, self.count = address, 0

    def __call__(self, positions: Tensor) -> Tensor:
        self.count += len(positions)
        return truth(self.address[positions])


def asked(of: Shelf, address: Tensor) -> int:
    """How many entries were computed; the answer is checked."""
    computing = Computing(address)
    assert torch.equal(of.table(address, computing), truth(address).to(torch.float16))
    return computing.count


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "bank"


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logit_bank, "PART_IMAGES", 10)
    monkeypatch.setattr(bank_part, "MOST_BLOCKS", 4)


def views(seed: int, images: int = 95) -> Tensor:
    """One view of each image, in a drawn order."""
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randint(VIEWS, (images,), generator=generator)
    return (torch.arange(images) * VIEWS + drawn)[torch.randperm(images, generator=generator)]


def test_what_was_computed_once_is_read_from_then_on(folder: Path) -> None:
    address = views(0)
    assert asked(shelf(folder), address) == 95
    assert asked(shelf(folder), address) == 0
    assert asked(shelf(folder), address.flip(0)[:40]) == 0


@pytest.mark.slow(1)
@pytest.mark.usefixtures("small_parts")
def test_a_shelf_that_grows_over_many_epochs_computes_each_entry_once(folder: Path) -> None:
    one, other = shelf(folder), shelf(folder)
    seen: set[int] = set()
    for epoch in range(60):
        address = views(epoch)
        new = set(address.tolist()) - seen
        assert asked(one if epoch % 2 else other, address) == len(new)
        seen |= new
    assert asked(shelf(folder), torch.tensor(sorted(seen))) == 0
    blocks = [len(list(part.glob("*.arrow"))) for part in folder.glob("*/part-*")]
    assert len(blocks) == 10
    assert max(blocks) <= 5


@pytest.mark.usefixtures("small_parts")
@pytest.mark.parametrize(("entries", "multiple"), [(8, 8), (16, 8), (1, 1), (20, 7), (1000, 64)])
def test_entries_are_computed_in_whole_passes_as_far_as_they_go(folder: Path, entries: int, multiple: int) -> None:
    asked(shelf(folder), views(0)[::3])  # so that parts lack this many and that many
    address = views(0)
    calls: list[int] = []

    def compute(positions: Tensor) -> Tensor:
        calls.append(len(positions))
        return truth(address[positions])

    table = shelf(folder).table(address, compute, Work(entries, multiple))
    assert torch.equal(table, truth(address).to(torch.float16))
    assert sum(calls) == 95 - 32
    assert all(call % multiple == 0 for call in calls[:-1])
    assert asked(shelf(folder), address) == 0


@pytest.mark.usefixtures("small_parts")
def test_parts_that_another_holds_are_left_to_it_and_read_when_it_is_done(folder: Path) -> None:
    address = views(0)
    parts, other = address // VIEWS // 10, shelf(folder)
    begun: list[list[int]] = []

    def compute(positions: Tensor) -> Tensor:
        if not begun:  # while the first part is held, another asks for everything
            begun.append(parts[positions].unique().tolist())
            theirs = Computing(address)
            asking = threading.Thread(target=lambda: other.table(address, theirs))
            asking.start()
            while theirs.count < 85:
                time.sleep(0.01)
            begun.append([theirs.count])
        return truth(address[positions])

    table = shelf(folder).table(address, compute, Work(1, 1))
    assert torch.equal(table, truth(address).to(torch.float16))
    assert begun == [[0], [85]]


def test_the_same_address_may_be_asked_for_twice_at_once(folder: Path) -> None:
    address = torch.tensor([3, 3, 7, 3])
    asked(shelf(folder), address)
    assert asked(shelf(folder), address) == 0


def test_shelves_of_other_teachers_and_precisions_are_others(folder: Path) -> None:
    address = views(0)
    asked(shelf(folder), address)
    assert asked(shelf(folder, about="other"), address) == 95
    computing = Computing(address)
    assert torch.equal(shelf(folder, dtype=torch.float32).table(address, computing), truth(address))
    assert computing.count == 95


@pytest.mark.parametrize("budget", [0, 95 * 18 - 1])
def test_beyond_its_budget_a_bank_keeps_nothing_and_answers_all_the_same(folder: Path, budget: int) -> None:
    assert asked(shelf(folder, budget), views(0)) == 95
    assert not folder.exists()
    assert asked(shelf(folder, budget), views(0)) == 95


def test_a_full_bank_still_serves_what_it_holds(folder: Path) -> None:
    asked(shelf(folder), views(0))
    full = LogitBank(folder).used()
    both = torch.cat([views(0), torch.arange(200, 210) * VIEWS])
    assert asked(shelf(folder, full), both) == 10
    assert LogitBank(folder).used() == full


def test_without_a_budget_the_bank_takes_a_tenth_of_the_disk(folder: Path) -> None:
    bank = LogitBank(folder)
    free = os.statvfs(folder.parent)
    assert 0 < bank.room() < 0.2 * free.f_bfree * free.f_frsize


def damaged(path: Path, how: str) -> None:
    content = path.read_bytes()
    middle = len(content) // 2
    changed = {
        "cut short": content[:middle],
        "empty": b"",
        "one bit": content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :],
        "no Arrow file": b"logits, honestly",
    }[how]
    path.write_bytes(changed)


@pytest.mark.parametrize("how", ["cut short", "empty", "one bit", "no Arrow file"])
def test_a_damaged_block_is_computed_again(folder: Path, how: str, caplog: pytest.LogCaptureFixture) -> None:
    asked(shelf(folder), views(0))
    (block,) = folder.glob("*/part-*/*.arrow")
    damaged(block, how)
    with caplog.at_level(logging.WARNING):
        assert asked(shelf(folder), views(0)) == 95
    assert "is damaged, and what it held will be computed again" in caplog.text
    assert asked(shelf(folder), views(0)) == 0


def test_open_mappings_outlive_the_bank_s_removal(folder: Path) -> None:
    one = shelf(folder)
    asked(one, views(0))
    for block in folder.glob("*/part-*/*.arrow"):
        block.unlink()
    assert asked(one, views(0)) == 95  # what is gone from the folder is forgotten, and computed anew
    assert asked(shelf(folder), views(0)) == 0


def test_a_disk_that_takes_nothing_costs_the_bank_and_not_the_trial(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder.parent.mkdir(exist_ok=True)
    folder.write_text("a file where the bank would be")
    with pytest.raises(OSError):
        (folder / "x").mkdir(parents=True)
    with caplog.at_level(logging.WARNING):
        assert asked(shelf(folder), views(0)) == 95
    assert "the logit bank" in caplog.text


def test_a_logit_too_large_for_fp16_is_refused_with_what_would_help(folder: Path) -> None:
    huge: Callable[[Tensor], Tensor] = lambda positions: torch.full((len(positions), CLASSES), 1e5)  # noqa: E731
    with pytest.raises(ValueError, match=r"1e\+05 does not fit into torch.float16; teacher_logits: fp32"):
        shelf(folder).table(views(0), huge)
    table = shelf(folder, dtype=torch.float32).table(views(0), huge)
    assert bool((table == 1e5).all())


def test_what_is_handed_out_is_not_the_bank_s_own_memory(folder: Path) -> None:
    asked(shelf(folder), views(0))
    of = shelf(folder)
    of.table(views(0), truth).zero_()
    assert asked(of, views(0)) == 0


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The blocks that are opened, in turn."""
    paths: list[Path] = []
    real = bank_part.opened

    def noted(path: Path, classes: int) -> Block:
        paths.append(path)
        return real(path, classes)

    monkeypatch.setattr(bank_part, "opened", noted)
    return paths


def of_bank(bank: LogitBank, about: str) -> Shelf:
    return bank.shelf({"teacher": about}, views=VIEWS, classes=CLASSES, dtype=torch.float16)


def test_a_bank_opens_a_block_once_whatever_else_is_asked_in_between(
    folder: Path, small_parts: None, opened: list[Path]
) -> None:
    for seed in (0, 1):
        asked(shelf(folder), views(seed))
    opened.clear()
    bank = LogitBank(folder)
    for epoch in range(4):  # as a method with two views asks: one shelf always, and one of each epoch's own
        assert asked(of_bank(bank, "one"), views(epoch % 2)) == 0
        asked(of_bank(bank, f"endless, epoch {epoch}"), views(0))
    of_one = set(of_bank(bank, "one")._folder.glob("part-*/*.arrow"))
    assert sorted(path for path in opened if path in of_one) == sorted(of_one)


def test_a_bank_that_is_open_finds_what_another_process_has_added_since(folder: Path, opened: list[Path]) -> None:
    bank = LogitBank(folder)
    asked(of_bank(bank, "one"), views(0))
    asked(shelf(folder), views(1))
    opened.clear()
    assert asked(of_bank(bank, "one"), views(1)) == 0
    assert len(opened) == 1


def test_a_bank_keeps_few_shelves_open(folder: Path) -> None:
    bank = LogitBank(folder)
    for epoch in range(6):
        of_bank(bank, f"epoch {epoch}")
    assert len(bank._open) == logit_bank.OPEN_SHELVES


# -- looked at before --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("since", ["nothing", "another process"])
def test_what_was_looked_at_before_is_completed(folder: Path, since: str, small_parts: None) -> None:
    first, address = shelf(folder), torch.arange(400)
    asked(first, address[:250])
    looked = first.look(address)
    assert torch.equal(looked.table[:250], truth(address[:250]).half())
    assert sorted(int(i) for positions in looked.missing.values() for i in positions) == list(range(250, 400))
    if since != "nothing":
        asked(shelf(folder), address)
    computing = Computing(address)
    assert torch.equal(first.table(address, computing, looked=looked), truth(address).half())
    assert computing.count == (150 if since == "nothing" else 0)
