"""What the student sees of an image."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from tests.trainers.examples import small_recipe
from trainers.data import ImageData
from trainers.views.views import Views, weak_view

CPU = torch.device("cpu")


def slow_weak_view(image: Tensor, pad: int, top: int, left: int, flip: int) -> Tensor:
    """One image, pixel by pixel: crop the padded image, then mirror the crop."""
    height, width = image.shape[1:]
    view = torch.zeros_like(image)
    for y in range(height):
        for x in range(width):
            column = width - 1 - x if flip else x
            row, column = y + top - pad, column + left - pad
            if 0 <= row < height and 0 <= column < width:
                view[:, y, x] = image[:, row, column]
    return view


@given(st.data(), st.integers(1, 5), st.integers(1, 6), st.integers(1, 6), st.integers(0, 3))
def test_weak_view_crops_and_mirrors_every_image(
    data: st.DataObject, batch: int, height: int, width: int, pad: int
) -> None:
    corner = st.lists(st.integers(0, 2 * pad), min_size=batch, max_size=batch)
    top, left = data.draw(corner), data.draw(corner)
    flip = data.draw(st.lists(st.integers(0, 1), min_size=batch, max_size=batch))
    images = torch.arange(1, batch * 3 * height * width + 1, dtype=torch.int32).view(batch, 3, height, width)
    views = weak_view(images, pad, torch.tensor(top), torch.tensor(left), torch.tensor(flip))
    expected = [slow_weak_view(*one) for one in zip(images, [pad] * batch, top, left, flip, strict=True)]
    assert torch.equal(views, torch.stack(expected))


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_weak_view_keeps_the_type_and_is_channels_last(dtype: torch.dtype) -> None:
    zero = torch.zeros(4, dtype=torch.int64)
    views = weak_view(torch.ones(4, 3, 8, 6, dtype=dtype), 2, zero, zero, zero)
    assert views.dtype == dtype
    assert views.is_contiguous(memory_format=torch.channels_last)


def test_a_view_does_not_depend_on_its_batch(digits: ImageData) -> None:
    views = Views(small_recipe(flip=True, pad=2), digits, CPU)
    some = digits.train.take(torch.tensor([3, 500, 77, 20]))
    together = views.training(some.images, some.index, seed=5, epoch=2)
    for position in range(len(some)):
        alone = some.take(torch.tensor([position]))
        assert torch.equal(views.training(alone.images, alone.index, seed=5, epoch=2)[0], together[position])


def test_views_change_with_seed_and_epoch(digits: ImageData) -> None:
    views = Views(small_recipe(flip=True, pad=2), digits, CPU)
    some = digits.train.take(torch.arange(32))
    seen = [views.training(some.images, some.index, *address) for address in ((0, 1), (0, 2), (1, 1))]
    assert not torch.equal(seen[0], seen[1])
    assert not torch.equal(seen[0], seen[2])


def test_all_crops_and_mirrors_come_up(digits: ImageData) -> None:
    views = Views(small_recipe(flip=True, pad=1), digits, CPU)
    image = digits.train.take(torch.zeros(400, dtype=torch.int64))
    seen = views.training(image.images, torch.arange(400), seed=0, epoch=1)
    assert len(torch.unique(seen.flatten(1), dim=0)) == 3 * 3 * 2


def test_views_without_crop_and_flip_are_plain(digits: ImageData) -> None:
    some = digits.train.take(torch.arange(16))
    for recipe in (small_recipe(views="none", flip=True, pad=4), small_recipe(views="weak", flip=False, pad=0)):
        views = Views(recipe, digits, CPU)
        assert torch.equal(views.training(some.images, some.index, seed=0, epoch=1), views.plain(some.images))


def test_plain_views_are_normalised_by_the_training_set(digits: ImageData) -> None:
    plain = Views(small_recipe(), digits, CPU).plain(digits.train.images)
    assert plain.mean().item() == pytest.approx(0, abs=1e-4)
    assert plain.std().item() == pytest.approx(1, abs=1e-4)


def test_padding_is_black_before_normalisation(digits: ImageData) -> None:
    views = Views(small_recipe(pad=4), digits, CPU)
    white = torch.full((64, 3, 8, 8), 255, dtype=torch.uint8)
    seen = views.training(white, torch.arange(64), seed=0, epoch=1)
    black, full = views.plain(torch.zeros(1, 3, 1, 1, dtype=torch.uint8)), views.plain(white[:1, :, :1, :1])
    assert ((seen == black) | (seen == full)).all()
    assert (seen == black).any()
