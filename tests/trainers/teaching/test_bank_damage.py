"""Damaged files of the logit bank, drawn at random: each is noticed, thrown away and made anew, or holds what was
written."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch

from tests.trainers.teaching.test_logit_bank import asked, shelf, views
from trainers.errors import StorageError
from trainers.teaching import bank_part
from trainers.teaching.bank_files import DamagedError, encoded, opened
from trainers.teaching.bank_part import Part

ADDRESS = np.arange(0, 60, 3, dtype=np.int64)
LOGITS = (np.arange(80).reshape(20, 4) / 7).astype(np.float16)
WAYS: list[Callable[[bytearray, random.Random], None]] = []


def way(change: Callable[[bytearray, random.Random], None]) -> Callable[[bytearray, random.Random], None]:
    WAYS.append(change)
    return change


@way
def one_bit(content: bytearray, draw: random.Random) -> None:
    content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)


@way
def one_byte(content: bytearray, draw: random.Random) -> None:
    content[draw.randrange(len(content))] = draw.randrange(256)


@way
def cut(content: bytearray, draw: random.Random) -> None:
    del content[draw.randrange(len(content)) :]


@way
def zeros(content: bytearray, draw: random.Random) -> None:
    start = draw.randrange(len(content))
    end = min(start + draw.randrange(1, 64), len(content))
    content[start:end] = bytes(end - start)


@way
def noise(content: bytearray, draw: random.Random) -> None:
    start = draw.randrange(len(content) - 8)
    content[start : start + 8] = draw.randbytes(8)


@pytest.mark.parametrize("change", WAYS, ids=lambda change: change.__name__)
def test_a_damaged_block_is_noticed_or_whole(
    tmp_path: Path, change: Callable[[bytearray, random.Random], None]
) -> None:
    whole, path, noticed = encoded(ADDRESS, LOGITS), tmp_path / "block.arrow", 0
    for seed in range(150):
        content = bytearray(whole)
        change(content, random.Random(seed))
        path.write_bytes(content)
        try:
            block = opened(path, 4)
        except DamagedError as error:
            assert str(error)
            noticed += 1
        else:
            assert np.array_equal(block.address, ADDRESS), seed
            assert block.logits.dtype == LOGITS.dtype, seed
            assert np.array_equal(block.logits, LOGITS), seed
    assert noticed > 50


def rewritten(path: Path, change: Callable[[pa.Table], pa.Table]) -> None:
    """A file of entries with the same numbers, and something else about them."""
    path.write_bytes(encoded(ADDRESS, LOGITS))
    with pa.OSFile(str(path)) as source:
        table = change(pa.ipc.open_file(source).read_all())
    with pa.ipc.new_file(str(path), table.schema) as writer:
        writer.write_table(table)


def unsigned(table: pa.Table) -> pa.Table:
    return table.set_column(0, "address", table["address"].cast(pa.uint64()))


def whole_numbers(table: pa.Table) -> pa.Table:
    numbers = pa.array(LOGITS.view(np.int16).reshape(-1))
    return table.set_column(1, "logits", pa.FixedSizeListArray.from_arrays(numbers, 4))


def one_more(table: pa.Table) -> pa.Table:
    return table.append_column("more", table["address"])


@pytest.mark.parametrize("change", [unsigned, whole_numbers, one_more])
def test_the_same_bytes_under_another_header_are_no_entries(
    tmp_path: Path, change: Callable[[pa.Table], pa.Table]
) -> None:
    """Their checksum is right."""
    rewritten(tmp_path / "block.arrow", change)
    with pytest.raises(DamagedError, match="its columns are not those"):
        opened(tmp_path / "block.arrow", 4)


def test_a_block_without_its_checksum_is_noticed(tmp_path: Path) -> None:
    rewritten(tmp_path / "block.arrow", lambda table: table.replace_schema_metadata({}))
    with pytest.raises(DamagedError):
        opened(tmp_path / "block.arrow", 4)


def test_a_shelf_makes_damaged_blocks_anew(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    address = views(0, 40)
    asked(shelf(tmp_path), address)
    (block,) = tmp_path.glob("*/part-*/*.arrow")
    whole = block.read_bytes()
    with caplog.at_level(logging.CRITICAL):
        for seed in range(40):
            content = bytearray(whole)
            one_byte(content, random.Random(seed))
            block.write_bytes(content)
            assert asked(shelf(tmp_path), address) in (0, 40), seed
            assert asked(shelf(tmp_path), address) == 0, seed


@pytest.mark.parametrize("word", [b"check", b"address", b"logits"])
def test_a_damaged_header_costs_no_trial(tmp_path: Path, word: bytes, caplog: pytest.LogCaptureFixture) -> None:
    address = views(0, 40)
    asked(shelf(tmp_path), address)
    (block,) = tmp_path.glob("*/part-*/*.arrow")
    block.write_bytes(block.read_bytes().replace(word, b"x" * len(word)))
    with caplog.at_level(logging.WARNING):
        assert asked(shelf(tmp_path), address) == 40
    assert "is damaged, and what it held will be computed again" in caplog.text
    assert asked(shelf(tmp_path), address) == 0


def test_a_folder_in_a_block_s_place_costs_the_bank_and_not_the_trial(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    address = views(0, 40)
    asked(shelf(tmp_path), address)
    (block,) = tmp_path.glob("*/part-*/*.arrow")
    block.unlink()
    block.mkdir()
    with caplog.at_level(logging.WARNING):
        assert asked(shelf(tmp_path), address) == 40
    assert "cannot be opened" in caplog.text


def test_a_damaged_block_that_cannot_be_removed_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    address = views(0, 40)
    asked(shelf(tmp_path), address)
    (block,) = tmp_path.glob("*/part-*/*.arrow")
    block.write_bytes(b"logits, honestly")

    def refuse(path: Path, missing_ok: bool = False) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    with monkeypatch.context() as patch, caplog.at_level(logging.WARNING):
        patch.setattr(Path, "unlink", refuse)
        assert asked(shelf(tmp_path), address) == 40
    assert "cannot be removed" in caplog.text


def test_a_bank_that_goes_while_it_is_written_costs_the_bank_and_not_the_trial(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    write = bank_part.write_atomically

    def write_and_lose(path: Path, content: bytes, *, durable: bool = True) -> None:
        write(path, content, durable=durable)
        path.unlink()

    monkeypatch.setattr(bank_part, "write_atomically", write_and_lose)
    with pytest.raises(StorageError, match="does not read back as it was written"):
        Part(tmp_path / "part", 4).add(ADDRESS, LOGITS)
    with caplog.at_level(logging.WARNING):
        assert asked(shelf(tmp_path / "bank"), torch.arange(20)) == 20
    assert "does not keep what it computed" in caplog.text
