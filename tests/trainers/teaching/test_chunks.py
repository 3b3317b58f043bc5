"""Batches are the same, bit for bit, whatever else is prepared together with them."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from tests.trainers.examples import finish, small_recipe, small_trial
from trainers.data import ImageData, Split
from trainers.distillers import Batch
from trainers.draws import order
from trainers.fit import fit
from trainers.models import Network
from trainers.storage.content import tensors_key
from trainers.teaching import chunks
from trainers.teaching.chunks import Preparation, Pupil, chunked
from trainers.teaching.lesson import NoTeacher
from trainers.views.views import Views

KINDS: dict[str, dict[str, Any]] = {
    "none": {"views": "none"},
    "weak": {"views": "weak", "flip": True},
    "autoaugment": {"views": "autoaugment", "flip": True},
}


def preparation(data: ImageData, **recipe: Any) -> Preparation:
    made = small_recipe(**recipe)
    return Preparation(made, 3, data.train, Views(made, data, torch.device("cpu")), (Pupil(NoTeacher(), strong=True),))


def prepared(of: Preparation, size: int) -> list[Batch]:
    """The batches of the second epoch."""
    return [batch for (batch,) in of.batches(order(3, 2, of.train.index).split(size), 2)]


def tensors(batch: Batch) -> list[Tensor]:
    assert batch.strong is not None
    return [batch.images, batch.targets, batch.index, batch.strong.images]


@pytest.mark.slow(1)
@pytest.mark.parametrize("recipe", KINDS.values(), ids=KINDS)
def test_a_batch_does_not_depend_on_its_chunk(
    few: ImageData, recipe: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    of = preparation(few, **recipe)
    monkeypatch.setattr(chunks, "CHUNK_IMAGES_CPU", 1)
    alone = prepared(of, 13)
    for images in (13, 40, 10_000):
        monkeypatch.setattr(chunks, "CHUNK_IMAGES_CPU", images)
        together = prepared(of, 13)
        assert len(together) == len(alone)
        for one, other in zip(alone, together, strict=True):
            assert one.epoch == other.epoch == 2
            assert all(map(torch.equal, tensors(one), tensors(other)))
            assert [part.stride() for part in tensors(one)] == [part.stride() for part in tensors(other)]


def odd_sized(data: ImageData) -> ImageData:
    """Images of 7 pixels, whose batches begin anywhere in memory."""
    cut = [
        Split(split.images[..., 1:, 1:].contiguous(), split.labels, split.index) for split in (data.train, data.test)
    ]
    return ImageData(data.name, cut[0], cut[1], data.classes, data.mean, data.std)


@pytest.mark.parametrize("method", ["scratch", "kd", "sld", "fitnet"])
def test_a_trial_does_not_depend_on_its_chunks(
    few: ImageData, teacher: Network, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, data = small_trial(method, epochs=1, batch_size=9), odd_sized(few)
    found = []
    for images in (1, 30, 10_000):
        monkeypatch.setattr(chunks, "CHUNK_IMAGES_CPU", images)
        results, student = finish(fit(config, data=data, teacher=None if method == "scratch" else teacher))
        found.append((results, tensors_key(student.state_dict())))
    assert found[0] == found[1] == found[2]


def test_a_chunk_holds_whole_batches_and_no_more_images_than_asked_for_but_for_one_batch() -> None:
    parts = torch.arange(10).split([3, 3, 3, 1])
    sizes = {images: [[len(part) for part in run] for run in chunked(parts, images)] for images in (0, 3, 6, 9, 10)}
    assert sizes[0] == sizes[3] == [[3], [3], [3], [1]]
    assert sizes[6] == [[3, 3], [3, 1]]
    assert sizes[9] == [[3, 3, 3], [1]]
    assert sizes[10] == [[3, 3, 3, 1]]


def test_large_images_are_prepared_fewer_at_a_time(few: ImageData, monkeypatch: pytest.MonkeyPatch) -> None:
    of = preparation(few)
    assert of.images == chunks.CHUNK_IMAGES_CPU
    height, width = few.image_size
    monkeypatch.setattr(chunks, "CHUNK_BYTES", 2 * 5 * 3 * height * width * 4)  # two views of five images
    assert of.images == 5
