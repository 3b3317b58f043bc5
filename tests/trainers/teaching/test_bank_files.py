"""One file of the logit bank: what is written is read, what is damaged is noticed, and a lock is one process's."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from trainers.teaching.bank_files import block_name, encoded, locked, opened

ADDRESS = np.array([2, 5, 70_000_000_000], dtype=np.int64)


def logits(dtype: str) -> NDArray[Any]:
    """``[3, 4]``."""
    return (np.arange(12).reshape(3, 4) / 7).astype(dtype)


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_entries_come_back_bit_for_bit(tmp_path: Path, dtype: str) -> None:
    path = tmp_path / "block.arrow"
    path.write_bytes(encoded(ADDRESS, logits(dtype)))
    block = opened(path, 4)
    assert len(block) == 3
    assert block.address.tolist() == ADDRESS.tolist()
    assert block.logits.dtype == np.dtype(dtype)
    assert block.logits.tolist() == logits(dtype).tolist()


def test_rows_of_a_larger_table_are_written_as_they_are_seen(tmp_path: Path) -> None:
    path = tmp_path / "block.arrow"
    path.write_bytes(encoded(ADDRESS, np.repeat(logits("float32"), 2, axis=1)[:, ::2]))  # no memory of its own
    assert opened(path, 4).logits.tolist() == logits("float32").tolist()


def test_equal_entries_make_equal_files_of_equal_names() -> None:
    content = encoded(ADDRESS, logits("float16"))
    assert content == encoded(ADDRESS.copy(), logits("float16"))
    assert block_name(content) == f"{hashlib.sha256(content).hexdigest()[:16]}.arrow"


@pytest.mark.parametrize("what", ["address", "logits"])
def test_a_changed_bit_of_either_column_is_noticed(tmp_path: Path, what: str) -> None:
    content = bytearray(encoded(ADDRESS, logits("float16")))
    column = ADDRESS if what == "address" else logits("float16")
    content[content.index(column.tobytes()) + 1] ^= 1
    path = tmp_path / "block.arrow"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="its checksum does not match"):
        opened(path, 4)


def test_rows_of_another_length_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "block.arrow"
    path.write_bytes(encoded(ADDRESS, logits("float16")))
    with pytest.raises(ValueError, match="reshape"):
        opened(path, 5)


def test_a_lock_is_held_until_its_file_is_closed(tmp_path: Path) -> None:
    with (tmp_path / "lock").open("a") as first, (tmp_path / "lock").open("a") as second:
        assert locked(first.fileno(), wait=False)
        assert not locked(second.fileno(), wait=False)
        first.close()
        assert locked(second.fileno(), wait=False)


def test_a_disk_without_locks_lets_everybody_in_with_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(handle: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with (tmp_path / "lock").open("a") as file, caplog.at_level(logging.WARNING):
        assert locked(file.fileno(), wait=True)
    assert "so work may be done twice" in caplog.text
