"""Checkpoints: whole ones are used, torn ones are passed over, code in them is never run."""

from __future__ import annotations

import hashlib
import logging
import os
import pickle
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

from trainers.contract.pretended_gpu import pretended
from trainers.errors import CheckpointError, StorageError
from trainers.storage import checkpoint
from trainers.storage.checkpoint import Checkpoints, from_bytes, save_tensors, to_bytes


class Touch:
    """A pickle that creates a file when it is loaded."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.marker,)


def state(epoch: int) -> dict[str, Any]:
    return {"epoch": epoch, "weights": torch.full((3,), float(epoch))}


def saved(folder: Path, epochs: int) -> Checkpoints:
    checkpoints = Checkpoints(folder)
    for epoch in range(1, epochs + 1):
        checkpoints.save(epoch, state(epoch))
    return checkpoints


def epochs_kept(folder: Path) -> list[str]:
    return sorted(path.name.split("-")[1] for path in folder.iterdir())


def test_the_newest_is_read_back(tmp_path: Path) -> None:
    found = saved(tmp_path, 3).newest()
    assert found is not None
    assert found["epoch"] == 3
    assert torch.equal(found["weights"], torch.full((3,), 3.0))


def test_a_folder_without_checkpoints_has_none(tmp_path: Path) -> None:
    assert Checkpoints(tmp_path / "nowhere").newest() is None
    (tmp_path / "epoch-0001.pt").write_bytes(b"not named by its checksum")
    (tmp_path / ".epoch-0002-0123456789abcdef.pt.tmp").write_bytes(b"a write that never ended")
    assert Checkpoints(tmp_path).newest() is None


def test_two_are_kept(tmp_path: Path) -> None:
    saved(tmp_path, 5)
    assert epochs_kept(tmp_path) == ["0004", "0005"]


def test_epochs_are_compared_as_numbers(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    for epoch in (9998, 9999, 10000, 10001):
        checkpoints.save(epoch, state(epoch))
    found = checkpoints.newest()
    assert found is not None
    assert found["epoch"] == 10001
    assert epochs_kept(tmp_path) == ["10000", "10001"]


@pytest.mark.parametrize("damage", ["cut", "bit", "emptied"])
def test_a_damaged_one_is_passed_over(tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture) -> None:
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(1, state(1))
    path = checkpoints.save(2, state(2))
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes({"cut": bytes(data[:-100]), "bit": bytes(data), "emptied": b""}[damage])
    with caplog.at_level(logging.WARNING):
        found = checkpoints.newest()
    assert found is not None
    assert found["epoch"] == 1
    assert f"checkpoint {path} is damaged" in caplog.text


def test_a_damaged_one_makes_place_for_its_epoch_trained_anew(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    first = checkpoints.save(1, state(1))
    damaged = checkpoints.save(2, state(2))
    damaged.write_bytes(b"torn")
    again = checkpoints.save(2, state(2) | {"seconds": 0.5})
    assert {first, again} == set(tmp_path.iterdir())


def test_code_in_a_checkpoint_is_refused_and_not_run(tmp_path: Path) -> None:
    marker = tmp_path / "executed"
    evil = {"weights": torch.zeros(2), "extra": Touch(marker)}
    checkpoints = Checkpoints(tmp_path / "checkpoints")
    checkpoints.save(1, state(1))
    path = checkpoints.save(2, evil)  # whole, by its checksum
    with pytest.raises(CheckpointError, match="cannot be read as a torch weight file"):
        from_bytes(path.read_bytes(), "file")
    found = checkpoints.newest()
    assert found is not None
    assert found["epoch"] == 1
    assert not marker.exists()
    pickle.loads(pickle.dumps(Touch(marker)))  # the trap itself works
    assert marker.exists()


def test_a_plain_pickle_is_refused_and_not_run(tmp_path: Path) -> None:
    marker = tmp_path / "executed"
    for data in (pickle.dumps(Touch(marker)), pickle.dumps({"weights": Touch(marker)}, protocol=0)):
        with pytest.raises(CheckpointError, match="file cannot be read"):
            from_bytes(data, "file")
    assert not marker.exists()


@pytest.mark.parametrize("data", [b"", b"hello", bytes(1000), b"PK\x03\x04" + bytes(100)])
def test_other_bytes_are_refused_by_name(data: bytes) -> None:
    with pytest.raises(CheckpointError, match=r"weights of somebody cannot be read as a torch weight file: ."):
        from_bytes(data, "weights of somebody")


def test_a_file_without_a_dict_is_refused() -> None:
    with pytest.raises(CheckpointError, match="holds a list, expected a dict"):
        from_bytes(to_bytes([torch.zeros(1)]), "file")


def test_tensors_go_through_a_file_unchanged(tmp_path: Path) -> None:
    content = {"a": torch.randn(4, 3), "b": torch.arange(5), "c": {"d": [1, 2.5, None, "text"]}}
    save_tensors(tmp_path / "x.pt", content)
    found = from_bytes((tmp_path / "x.pt").read_bytes(), "x")
    assert torch.equal(found["a"], content["a"])
    assert torch.equal(found["b"], content["b"])
    assert found["c"] == content["c"]


def test_a_name_carries_the_checksum_of_its_file(tmp_path: Path) -> None:
    path = Checkpoints(tmp_path).save(7, state(7))
    assert path.name == f"epoch-0007-{hashlib.sha256(path.read_bytes()).hexdigest()[:16]}.pt"


# -- behind the training -----------------------------------------------------------------------------------------------


class Disk:
    """Lets through one write or flush after the other, or none."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.free = threading.Event()
        self.free.set()
        self.did: list[str] = []
        self.full = False
        write, flush = checkpoint.write_atomically, checkpoint.flush

        def written(path: Path, content: bytes, *, durable: bool = True) -> None:
            self._pass(f"{path.name[:10]}{' durably' if durable else ''}")
            write(path, content, durable=durable)

        def flushed(path: Path) -> None:
            self._pass(f"{path.name[:10]} flushed")
            flush(path)

        patch.setattr(checkpoint, "write_atomically", written)
        patch.setattr(checkpoint, "flush", flushed)

    def _pass(self, what: str) -> None:
        self.free.wait(60)
        if self.full:
            raise StorageError("cannot write: no space left")
        self.did.append(what)

    @contextmanager
    def busy(self) -> Iterator[None]:
        self.free.clear()
        try:
            yield
        finally:
            self.free.set()


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    return Disk(monkeypatch)


def test_on_the_cpu_the_file_is_there_at_once_and_flushed_before_the_next(tmp_path: Path, disk: Disk) -> None:
    checkpoints = Checkpoints(tmp_path)
    for epoch in (1, 2):
        checkpoints.keep(epoch, state(epoch))
        assert epochs_kept(tmp_path)[-1] == f"000{epoch}"
    checkpoints.settled()
    assert disk.did == ["epoch-0001", "epoch-0001 flushed", "epoch-0002", "epoch-0002 flushed"]


def test_a_flush_that_takes_long_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gate, flushed = threading.Event(), []
    fsync = os.fsync
    monkeypatch.setattr(os, "fsync", lambda handle: (gate.wait(60), flushed.append(handle), fsync(handle)))
    checkpoints = Checkpoints(tmp_path)
    checkpoints.keep(1, state(1))
    assert not flushed
    gate.set()
    checkpoints.settled()
    assert len(flushed) == 1


def test_from_a_gpu_the_file_is_written_behind_as_it_was_then(tmp_path: Path, disk: Disk) -> None:
    checkpoints = Checkpoints(tmp_path)
    with pretended() as gpu:
        weights = torch.ones(3, device="cuda")
        content = {"weights": {"a": weights, "b": weights * 2}, "history": [{"epoch": 1}]}
        checkpoints.keep(1, content)
        assert epochs_kept(tmp_path) == ["0001"]  # the first is not behind
        checkpoints.settled()
        gpu.waits.clear()
        with disk.busy():
            checkpoints.keep(2, content)
            assert [wait.call for wait in gpu.waits] == ["item"]
            weights.zero_()
            content["history"].append({"epoch": 2})
            assert epochs_kept(tmp_path) == ["0001"]
    found = Checkpoints(tmp_path).newest()  # another, which waits for what this process still writes
    assert found is not None
    assert {name: weight.tolist() for name, weight in found["weights"].items()} == {"a": [1.0] * 3, "b": [2.0] * 3}
    assert found["history"] == [{"epoch": 1}]
    assert disk.did == ["epoch-0001", "epoch-0001 flushed", "epoch-0002 durably"]


def test_what_could_not_be_written_behind_is_told_with_the_next(tmp_path: Path, disk: Disk) -> None:
    checkpoints = Checkpoints(tmp_path)
    with disk.busy():
        checkpoints._go_on(lambda: checkpoints.save(1, state(1)))
        disk.full = True
    with pytest.raises(StorageError, match="no space left"):
        checkpoints.keep(2, state(2))
    checkpoints.settled()  # it is told once


def test_a_folder_that_was_dropped_stays_so(tmp_path: Path, disk: Disk) -> None:
    checkpoints = Checkpoints(tmp_path / "checkpoints")
    with pretended():
        on_gpu = {"weights": torch.ones(3, device="cuda")}
        checkpoints.keep(1, on_gpu)
        checkpoints.settled()
        shutil.rmtree(checkpoints.folder)
        checkpoints.keep(2, on_gpu)
    checkpoints.settled()
    assert not checkpoints.folder.exists()


def test_what_training_on_a_gpu_changes_in_the_hosts_memory_is_copied_too() -> None:
    """Such as a batch norm's count of batches, which goes on while the checkpoint is written."""
    counted = torch.tensor(7)
    with pretended():
        here, _ = checkpoint.on_host({"weights": torch.ones(3, device="cuda"), "norms": [{"batches": counted}]})
    counted.add_(1)
    assert here["norms"][0]["batches"] == 7


def test_a_state_on_the_cpu_is_not_copied() -> None:
    weights = torch.ones(3)
    here, copied = checkpoint.on_host({"weights": weights})
    assert here["weights"] is weights and not copied


def test_a_state_of_torch_s_goes_to_the_host_with_all_that_it_knows() -> None:
    norm = torch.nn.BatchNorm2d(2).to(memory_format=torch.channels_last)
    with pretended():
        there = {"norm": norm.to("cuda").state_dict(), "lr": 0.1}
        here, copied = checkpoint.on_host(there)
        assert copied
        assert not any(tensor.is_cuda for tensor in here["norm"].values())
    assert here["norm"]._metadata == there["norm"]._metadata
    assert here["lr"] == 0.1
