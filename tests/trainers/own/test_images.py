"""What is taken as images, and which of them are to test on."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from trainers.data.base import Split
from trainers.data.sources.held_out import held_out
from trainers.errors import InputError
from trainers.own.images import cut_off, split_of

GREY = np.arange(2 * 4 * 5, dtype=np.uint8).reshape(2, 4, 5)
COLOUR = np.stack([GREY, GREY + 1, GREY + 2], -1)


@pytest.mark.parametrize(
    "images", [GREY, GREY[..., None], GREY[:, None], torch.from_numpy(GREY), [*map(Image.fromarray, GREY)], [*GREY]]
)
def test_grey_images_are_repeated(images: Any) -> None:
    given = (images, [0, 1]) if not isinstance(images, list) else list(zip(images, [0, 1], strict=True))
    split = split_of(given, "x")
    assert split.images.shape == (2, 3, 4, 5)
    assert all(torch.equal(split.images[:, channel], torch.from_numpy(GREY)) for channel in range(3))
    assert (split.labels.tolist(), split.index.tolist()) == ([0, 1], [0, 1])


@pytest.mark.parametrize("images", [COLOUR, COLOUR.transpose(0, 3, 1, 2), [*map(Image.fromarray, COLOUR)]])
def test_channels_come_first_or_last(images: Any) -> None:
    given = (images, [0, 1]) if not isinstance(images, list) else list(zip(images, [0, 1], strict=True))
    assert torch.equal(split_of(given, "x").images, torch.from_numpy(COLOUR).permute(0, 3, 1, 2))


@pytest.mark.parametrize(
    "labels", [[0, 1], (0, 1), np.array([0, 1]), np.array([[0], [1]]), torch.tensor([0, 1], dtype=torch.uint8)]
)
def test_labels_are_whole_numbers_of_any_make(labels: Any) -> None:
    assert split_of((GREY, labels), "x").labels.tolist() == [0, 1]


def whole(count: int, classes: int = 2, seed: int = 0) -> Split:
    images = torch.randint(0, 256, (count, 3, 2, 2), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))
    return Split(images, torch.arange(count) % classes, torch.arange(count))


def pictures(split: Split) -> set[bytes]:
    return {bytes(image.numpy()) for image in split.images}


def test_each_class_gives_its_share() -> None:
    train, test = cut_off(whole(100, 5), 0.3)
    assert test.labels.bincount().tolist() == [6] * 5
    assert train.labels.bincount().tolist() == [14] * 5
    assert sorted([*train.index.tolist(), *test.index.tolist()]) == list(range(100))


def test_the_order_of_the_images_does_not_matter() -> None:
    split = whole(60)
    shuffled = split.take(torch.randperm(60, generator=torch.Generator().manual_seed(1)))
    assert pictures(cut_off(split, 0.2)[1]) == pictures(cut_off(shuffled, 0.2)[1])


def test_a_set_that_grows_keeps_most_of_its_test_images() -> None:
    small, large = whole(400), whole(440)
    assert torch.equal(small.images, large.images[:400])
    before, now = (pictures(cut_off(split, 0.25)[1]) for split in (small, large))
    assert len(before & now) >= 0.9 * len(before)


@pytest.mark.parametrize("fraction", [0.1, 0.25, 0.5, 0.9])
def test_equal_images_are_never_parted(fraction: float) -> None:
    single = whole(12, 1)
    twice = Split(single.images.repeat(3, 1, 1, 1), single.labels.repeat(3), torch.arange(36))
    train, test = cut_off(twice, fraction)
    assert not pictures(train) & pictures(test)
    assert len(train) and len(test)


@pytest.mark.parametrize("fraction", [0.01, 0.5, 0.99])
def test_every_class_keeps_an_image_to_train_on_and_gives_one_where_it_can(fraction: float) -> None:
    chosen = held_out(["a", "b", "c", "d", "e", "f"], [0, 0, 1, 2, 2, 2], fraction)
    assert [int(chosen[place].sum()) for place in (slice(0, 2), slice(2, 3))] == [1, 0]
    assert 1 <= chosen[3:].sum() <= 2


def test_a_class_whose_images_are_all_equal_is_parted() -> None:
    assert held_out(["a"] * 4, [0] * 4, 0.25).tolist() == [True, False, False, False]


def test_which_they_are_never_changes() -> None:
    """Somebody else's results stand on the same test set."""
    hashes = [f"{number * 7919 % 101:03}" for number in range(20)]
    assert torch.nonzero(held_out(hashes, [n % 2 for n in range(20)], 0.2)).flatten().tolist() == [0, 5, 10, 15]


def test_a_picture_whose_white_nobody_tells_is_refused() -> None:
    pictures_of = [Image.fromarray(GREY[0]), Image.fromarray(GREY[1].astype(np.float32))]
    with pytest.raises(InputError, match="x, item 1: its pixels are fractions, and the file does not say which"):
        split_of(list(zip(pictures_of, [0, 1], strict=True)), "x")
    deep = [Image.fromarray(image.astype(np.uint16) * 257) for image in GREY]
    assert torch.equal(split_of(list(zip(deep, [0, 1], strict=True)), "x").images[:, 0], torch.from_numpy(GREY))
