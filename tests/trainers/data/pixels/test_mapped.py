"""Mapped images on the way to a GPU: the batches are those of the CPU, and no set is held whole by the host."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.support import pretended_gpu
from tests.support.pretended_gpu import images, numbers, on_both, trial
from trainers.contract.pretended_gpu import pretended
from trainers.data.base import ImageData, Split
from trainers.data.pixels import mapped
from trainers.data.pixels.mapped import MappedSplit
from trainers.teaching import lesson

PARTS = (torch.tensor([3, 1]), torch.tensor([0, 2, 7]), torch.tensor([5]), torch.tensor([6, 4]))


def mapped_split() -> MappedSplit:
    """The 20 training images of :func:`images` in the reverse order."""
    whole = images().train
    assert isinstance(whole, Split)
    backwards = torch.arange(19, -1, -1)
    return MappedSplit(whole.images, backwards, whole.labels[backwards], whole.index[backwards])


@pytest.fixture(params=["a copy", "batches sent"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    way: str = request.param
    monkeypatch.setattr(mapped, "MOST_COPIED", 0 if way == "batches sent" else 10**9)
    monkeypatch.setattr(mapped, "COPIED_AT_ONCE", 3 * 8 * 8 * 3 + 1)  # three images
    return way


def test_a_gpu_s_batches_are_those_of_the_file(way: str) -> None:
    split = mapped_split()
    expected = list(split.batches(PARTS))
    with pretended() as gpu:
        place = torch.device("cuda", 0)
        there = split.to(place)
        assert isinstance(there, MappedSplit if way == "batches sent" else Split)
        parts = [part.to(place) for part in PARTS]
        gpu.waits.clear()
        found = list(there.batches(parts))
        assert all(tensor.device == place for part in found for tensor in (part.images, part.labels, part.index))
        assert [wait.call for wait in gpu.waits] == (["cpu"] if way == "batches sent" else [])
    for one, other in zip(found, expected, strict=True):
        assert torch.equal(one.images, other.images)
        assert torch.equal(one.labels, other.labels)
        assert torch.equal(one.index, other.index)


def test_a_part_of_what_lies_on_a_gpu_is_taken_by_its_positions(way: str) -> None:
    positions = torch.tensor([4, 0, 9])
    expected = next(mapped_split().take(positions).batches([torch.arange(3)]))
    with pretended():
        place = torch.device("cuda", 0)
        taken = mapped_split().to(place).take(positions.to(place))
        found = next(taken.batches([torch.arange(3, device=place)]))
    assert torch.equal(found.images, expected.images)
    assert torch.equal(found.index, expected.index)


def test_on_the_cpu_nothing_is_copied() -> None:
    split = mapped_split()
    assert split.to(torch.device("cpu")) is split


def test_no_batch_is_read_long_before_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mapped, "MOST_COPIED", 0)
    read: list[int] = []
    as_it_is = MappedSplit._read

    def noted(split: MappedSplit, positions: torch.Tensor) -> torch.Tensor:
        read.append(len(positions))
        return as_it_is(split, positions)

    monkeypatch.setattr(MappedSplit, "_read", noted)
    with pretended():
        place = torch.device("cuda", 0)
        batches = mapped_split().to(place).batches([torch.tensor([i], device=place) for i in range(10)])
        next(batches)
        batches.close()  # type: ignore[attr-defined]
    assert len(read) <= mapped.READ_AHEAD + 1


@pytest.mark.slow(2)
def test_a_trial_of_mapped_images_trains_on_a_gpu_as_on_the_cpu(
    way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def as_mapped(size: int = 8) -> ImageData:
        data = images(size)
        splits = []
        for split in (data.train, data.test):
            assert isinstance(split, Split)
            splits.append(MappedSplit(split.images, torch.arange(len(split)), split.labels, split.index))
        return ImageData("noise", *splits, data.classes, data.mean, data.std, fingerprint=data.content)

    monkeypatch.setattr(pretended_gpu, "images", as_mapped)
    monkeypatch.setattr(lesson, "PASS_IMAGES", 16)
    monkeypatch.setattr(lesson, "PASS_IMAGES_GPU", 16)
    came = on_both(trial("kd"), tmp_path)
    assert numbers(came.cold) == numbers(came.warm) == numbers(came.expected)
    assert came.waits == ()
