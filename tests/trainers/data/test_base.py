"""The digits, and how a recipe cuts a data set."""

from __future__ import annotations

import pytest
import torch
from pydantic import ValidationError

from tests.trainers.examples import small_recipe
from trainers.config import Recipe
from trainers.data import DATASETS, ImageData, Split, TrainingData
from trainers.data.sources.digits import Digits
from trainers.errors import InputError


def indices(split: Split | None) -> set[int]:
    assert split is not None
    return set(split.index.tolist())


def cut(data: ImageData, **changes: object) -> TrainingData:
    return TrainingData.cut(data, small_recipe(**changes))


def test_digits_are_registered() -> None:
    assert DATASETS["digits"] is Digits


def test_digits_split_into_797_and_1000(digits: ImageData) -> None:
    assert (len(digits.train), len(digits.test)) == (797, 1000)
    assert indices(digits.train) | indices(digits.test) == set(range(1797))
    assert not indices(digits.train) & indices(digits.test)


def test_the_test_set_holds_each_digit_100_times(digits: ImageData) -> None:
    assert torch.bincount(digits.test.labels).tolist() == [100] * 10
    assert digits.classes == tuple("0123456789")
    assert digits.num_classes == 10


def test_digits_at_size_8_are_the_original_pixels(digits: ImageData) -> None:
    from sklearn.datasets import load_digits

    bunch = load_digits()
    for split in (digits.train, digits.test):
        assert split.images.dtype == torch.uint8
        assert split.images.shape[1:] == (3, 8, 8)
        original = torch.from_numpy(bunch.images)[split.index] * 255 / 16
        assert (split.images - original[:, None]).abs().max() <= 0.5  # also: three equal channels
        assert torch.equal(split.labels, torch.from_numpy(bunch.target).long()[split.index])


def test_digits_are_enlarged_without_moving_between_splits(digits: ImageData) -> None:
    large = Digits(image_size=12).load()
    assert large.train.images.shape == (797, 3, 12, 12)
    assert torch.equal(large.train.index, digits.train.index)
    assert large.mean[0] == pytest.approx(digits.mean[0], abs=0.02)


@pytest.mark.parametrize("size", [7, 65, 8.5])
def test_digits_of_other_sizes_are_refused(size: float) -> None:
    with pytest.raises(ValidationError, match="image_size"):
        Digits(image_size=size)


def test_the_content_hash_is_stable_and_tells_data_apart(digits: ImageData) -> None:
    again = Digits(image_size=8).load()
    assert again.content == digits.content
    assert Digits(image_size=9).load().content != digits.content
    again.train.images[0, 0, 0, 0] += 1
    assert ImageData(again.name, again.train, again.test, again.classes, again.mean, again.std).content != (
        digits.content
    )


def test_validation_takes_its_share_of_every_class(digits: ImageData) -> None:
    parts = cut(digits, val_fraction=0.25, samples_per_class=None)
    members = torch.bincount(digits.train.labels)
    assert parts.val is not None
    assert torch.bincount(parts.val.labels).tolist() == [round(0.25 * count) for count in members.tolist()]
    assert indices(parts.train) | indices(parts.val) == indices(digits.train)
    assert not indices(parts.train) & indices(parts.val)
    assert parts.test is digits.test


def test_nothing_is_held_out_when_the_recipe_says_so(digits: ImageData) -> None:
    parts = cut(digits, val_fraction=0.0, samples_per_class=None)
    assert parts.val is None
    assert torch.equal(parts.train.index, digits.train.index)


def test_few_shot_subsets_are_balanced_nested_and_apart_from_validation(digits: ImageData) -> None:
    parts = {count: cut(digits, samples_per_class=count) for count in (1, 5, 10, None)}
    for count in (1, 5, 10):
        assert torch.bincount(parts[count].train.labels).tolist() == [count] * 10
        assert indices(parts[count].val) == indices(parts[None].val)
        assert not indices(parts[count].train) & indices(parts[count].val)
    assert indices(parts[1].train) < indices(parts[5].train) < indices(parts[10].train) < indices(parts[None].train)


def test_the_cut_is_fixed_by_split_seed_alone(digits: ImageData) -> None:
    one = cut(digits, split_seed=1)
    again = cut(digits, split_seed=1, epochs=9, batch_size=7, lr=0.3)
    other = cut(digits, split_seed=2)
    assert torch.equal(one.train.index, again.train.index)
    assert indices(one.val) == indices(again.val)
    assert indices(one.train) != indices(other.train)
    assert indices(one.val) != indices(other.val)


def test_labels_and_images_stay_together(digits: ImageData) -> None:
    parts = cut(digits)
    place = {index: position for position, index in enumerate(digits.train.index.tolist())}
    for split in (parts.train, parts.val):
        assert split is not None
        positions = torch.tensor([place[index] for index in split.index.tolist()])
        assert torch.equal(split.images, digits.train.images[positions])
        assert torch.equal(split.labels, digits.train.labels[positions])


def test_asking_for_too_many_images_says_which_class_has_how_many(digits: ImageData) -> None:
    count = int((digits.train.labels == 0).sum())
    held = round(0.25 * count)
    with pytest.raises(InputError) as error:
        cut(digits, val_fraction=0.25, samples_per_class=500)
    assert str(error.value) == (
        f"data set 'digits', class '0': {count} training images less {held} for validation"
        f" leave {count - held}, but samples_per_class asks for 500"
    )


def test_holding_everything_out_is_refused(digits: ImageData) -> None:
    with pytest.raises(InputError, match="leave 0, but samples_per_class asks for 1"):
        TrainingData.cut(digits, Recipe(val_fraction=0.999))


def test_a_share_that_holds_out_no_image_is_refused(few: ImageData) -> None:
    with pytest.raises(
        InputError, match=r"val_fraction 0\.001 holds out none of a class's \d+ training images; above 0\.00"
    ):
        TrainingData.cut(few, Recipe(val_fraction=0.001))
    assert TrainingData.cut(few, Recipe(val_fraction=0.0)).val is None
    smallest = TrainingData.cut(few, Recipe(val_fraction=0.01)).val
    assert smallest is not None
    assert len(smallest) > 0
