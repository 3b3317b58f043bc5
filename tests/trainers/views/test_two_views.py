"""The strong view and AutoAugment as recipes ask for them, and that the weak view is what it always was."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from tests.trainers.views.pillow import pictures
from trainers.config import Recipe
from trainers.data import ImageData, Split
from trainers.draws import integers
from trainers.views.augment import autoaugment, black_square, grey_square, randaugment
from trainers.views.views import Views, weak_view

IMAGES = pictures(48, 16, 16)
INDEX = torch.arange(48) * 3


def views(**recipe: Any) -> Views:
    split = Split(IMAGES, torch.zeros(48, dtype=torch.int64), INDEX)
    data = ImageData("pictures", split, split, ("any",), (0.5, 0.4, 0.3), (0.2, 0.3, 0.25))
    return Views(Recipe(**recipe), data, torch.device("cpu"))


def cropped(prefix: str, seed: int, epoch: int) -> Tensor:
    top, left = (integers(seed, f"{prefix}crop-{way}", epoch, INDEX, 9) for way in ("top", "left"))
    return weak_view(IMAGES, 4, top, left, integers(seed, f"{prefix}flip", epoch, INDEX, 2))


def test_the_weak_view_is_the_crop_and_flip_alone() -> None:
    """Drawn at the addresses at which it has always been drawn."""
    some = views()
    assert torch.equal(some.training(IMAGES, INDEX, 2, 3), some.plain(cropped("", 2, 3)))


def test_the_strong_view_is_another_crop_two_operations_and_a_square() -> None:
    some = views()
    pixels = randaugment(cropped("strong-", 2, 3), INDEX, 2, 3, operations=2)
    expected = some.plain(grey_square(pixels, INDEX, 2, 3, largest=0.5))
    found = some.strong(IMAGES, INDEX, 2, 3)
    assert found.dtype == torch.float32
    assert found.is_contiguous(memory_format=torch.channels_last)  # as the weak view
    assert torch.equal(found, expected)


def test_the_two_crops_are_independent() -> None:
    many = torch.arange(5000)
    for what, high in (("crop-top", 9), ("crop-left", 9), ("flip", 2)):
        weak, strong = (integers(0, f"{prefix}{what}", 1, many, high) for prefix in ("", "strong-"))
        assert (weak == strong).float().mean() == pytest.approx(1 / high, abs=0.03)


def test_without_crop_operations_and_square_a_strong_view_is_plain() -> None:
    some = views(views="none", randaugment_ops=0, strong_cutout=0)
    assert torch.equal(some.strong(IMAGES, INDEX, 0, 1), some.plain(IMAGES))


def test_without_crops_of_its_own_a_strong_view_changes_what_it_is_given() -> None:
    """Images that come cropped: `pad` and `flip` are off."""
    some = views(pad=0, flip=False, strong_cutout=0)
    expected = some.plain(randaugment(IMAGES, INDEX, 0, 1, operations=2))
    assert torch.equal(some.strong(IMAGES, INDEX, 0, 1), expected)


def test_the_recipe_s_fields_decide() -> None:
    one = views(randaugment_ops=1, strong_cutout=0.25).strong(IMAGES, INDEX, 0, 1)
    pixels = randaugment(cropped("strong-", 0, 1), INDEX, 0, 1, operations=1)
    assert torch.equal(one, views().plain(grey_square(pixels, INDEX, 0, 1, largest=0.25)))


def test_autoaugment_is_a_crop_the_policy_and_cutout() -> None:
    for side in (16, 6, 0):
        some = views(views="autoaugment", cutout=side)
        pixels = black_square(autoaugment(cropped("", 1, 2), INDEX, 1, 2), INDEX, 1, 2, side=side)
        assert torch.equal(some.training(IMAGES, INDEX, 1, 2), some.plain(pixels))


KINDS = {
    "strong": lambda at, pixels, index, epoch, seed=0: at.strong(pixels, index, seed, epoch),
    "autoaugment": lambda at, pixels, index, epoch, seed=0: at.training(pixels, index, seed, epoch),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_view_does_not_depend_on_its_batch(kind: str) -> None:
    at, see = views(views="autoaugment"), KINDS[kind]
    together = see(at, IMAGES, INDEX, 2)
    order = torch.randperm(48, generator=torch.Generator().manual_seed(1))
    assert torch.equal(see(at, IMAGES[order], INDEX[order], 2), together[order])
    for part in (torch.tensor([17]), torch.arange(5, 40), torch.tensor([3, 3, 47])):
        assert torch.equal(see(at, IMAGES[part], INDEX[part], 2), together[part])


@pytest.mark.parametrize("kind", KINDS)
def test_a_view_depends_on_epoch_and_seed_and_on_the_image_s_place(kind: str) -> None:
    at, see = views(views="autoaugment"), KINDS[kind]
    first = see(at, IMAGES, INDEX, 1)
    assert torch.equal(first, see(at, IMAGES, INDEX, 1))
    for other in (see(at, IMAGES, INDEX, 2), see(at, IMAGES, INDEX, 1, 1), see(at, IMAGES, INDEX + 1, 1)):
        same = (first == other).flatten(1).all(1)
        assert same.float().mean() < 0.2  # images of one colour may come out alike


@pytest.mark.parametrize("kind", KINDS)
def test_views_leave_torch_s_generator_and_the_images_alone(kind: str) -> None:
    before, state = IMAGES.clone(), torch.get_rng_state()
    KINDS[kind](views(views="autoaugment"), IMAGES, INDEX, 1)
    assert torch.equal(IMAGES, before)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(
    "wrong", [{"views": "strong"}, {"cutout": -1}, {"randaugment_ops": -1}, {"strong_cutout": 1.5}], ids=str
)
def test_impossible_recipes_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Recipe(**wrong)
