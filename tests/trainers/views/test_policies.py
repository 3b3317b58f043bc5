"""RandAugment, AutoAugment and the squares: what is drawn, how often, and that nothing but the address decides it."""

from __future__ import annotations

from collections import Counter

import pytest
import torch
from PIL import ImageDraw
from torch import Tensor

from tests.trainers.views.pillow import one_by_one, pictures, to_pillow, to_tensor
from trainers.draws import integers, uniform
from trainers.views.augment import (
    AUTOAUGMENT,
    AUTOAUGMENT_FILL,
    GREY,
    OPERATIONS,
    RANDAUGMENT,
    RANDAUGMENT_FILL,
    autoaugment,
    black_square,
    centre_and_reach,
    grey_square,
    randaugment,
)

INDEX = torch.arange(4000)


def test_uniform_numbers_are_uniform() -> None:
    drawn = uniform(3, "some-purpose", 1, INDEX)
    assert drawn.dtype == torch.float64
    assert 0 <= drawn.min() < 0.002
    assert 0.998 < drawn.max() < 1
    counts = torch.histc(drawn, bins=20, min=0, max=1)
    assert ((counts - 200) ** 2 / 200).sum() < 44  # chi square of 19 degrees of freedom: 0.1 %
    assert len(drawn.unique()) == len(INDEX)


# -- RandAugment ------------------------------------------------------------------------------------------------------


def drawn_turn(turn: int, index: Tensor, seed: int, epoch: int, side: int) -> tuple[list[str], list[float]]:
    """The operation and the magnitude of each image, from the addresses and the ranges, sample by sample."""
    names = [list(RANDAUGMENT)[at] for at in integers(seed, f"randaugment-operation-{turn}", epoch, index, 14).tolist()]
    shares = uniform(seed, f"randaugment-magnitude-{turn}", epoch, index).tolist()
    values = []
    for name, share in zip(names, shares, strict=True):
        low, high = (end * (side if name.startswith("translate") else 1) for end in RANDAUGMENT[name])
        values.append(low + (high - low) * share)
    return names, values


@pytest.mark.parametrize("operations", [0, 1, 2, 3])
def test_randaugment_is_pillow_s_operations_in_a_row(operations: int) -> None:
    images, index = pictures(80, 16, 16), torch.arange(80) + 7
    expected = images
    for turn in range(operations):
        names, values = drawn_turn(turn, index, 5, 2, side=16)
        singles = zip(names, expected, values, strict=True)
        expected = torch.cat([one_by_one(name, image[None], [v], RANDAUGMENT_FILL) for name, image, v in singles])
    assert torch.equal(randaugment(images, index, 5, 2, operations=operations), expected)


def test_every_operation_comes_as_often_as_any_other_and_at_every_magnitude() -> None:
    for turn in (0, 1):
        names, values = drawn_turn(turn, INDEX, 0, 1, side=1)
        counts = Counter(names)
        assert set(counts) == set(RANDAUGMENT)
        assert sum((count - 4000 / 14) ** 2 / (4000 / 14) for count in counts.values()) < 35  # 13 degrees: 0.1 %
        for name, (low, high) in RANDAUGMENT.items():
            found = torch.tensor([value for other, value in zip(names, values, strict=True) if other == name])
            assert low <= found.min() < low + 0.05 * (high - low)
            assert high - 0.05 * (high - low) < found.max() < high
            assert abs(found.mean() - (low + high) / 2) < 0.08 * (high - low)  # about 4.7 standard errors


def test_posterize_keeps_four_to_seven_bits() -> None:
    names, values = drawn_turn(0, INDEX, 0, 1, side=32)
    found = {int(value) for name, value in zip(names, values, strict=True) if name == "posterize"}
    assert found == {4, 5, 6, 7}


def test_the_two_operations_of_an_image_are_independent() -> None:
    (first, strengths), (second, others) = (drawn_turn(turn, INDEX, 0, 1, side=1) for turn in (0, 1))
    pairs = Counter(zip(first, second, strict=True))
    assert len(pairs) == 14 * 14
    assert sum((count - 4000 / 196) ** 2 / (4000 / 196) for count in pairs.values()) < 260  # 195 degrees: 0.1 %
    assert strengths != others


def test_ranges_are_fixmatch_s() -> None:
    blend, warp = (0.05, 0.95), (-0.3, 0.3)
    expected = {"posterize": (4, 8), "solarize": (0, 256), "rotate": (-30, 30)}
    expected |= dict.fromkeys(("brightness", "color", "contrast", "sharpness"), blend)
    expected |= dict.fromkeys(("shear_x", "shear_y", "translate_x", "translate_y"), warp)
    assert {name: ends for name, ends in RANDAUGMENT.items() if name in expected} == expected
    assert set(RANDAUGMENT) - set(expected) == {"autocontrast", "equalize", "identity"}


# -- squares ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(32, 32), (12, 20)], ids=str)
def test_the_grey_square_is_pillow_s_rectangle(size: tuple[int, int]) -> None:
    images, index = pictures(200, *size), torch.arange(200)
    found = grey_square(images, index, 1, 3, largest=0.5)
    side, x, y = (uniform(1, f"grey-square-{what}", 3, index).tolist() for what in ("side", "x", "y"))
    for place, image in enumerate(images):
        length = side[place] * 0.5 * size[1]
        left, top = int(max(0, x[place] * size[1] - length / 2)), int(max(0, y[place] * size[0] - length / 2))
        drawing = to_pillow(image)
        corner = (min(size[1], left + length), min(size[0], top + length))
        ImageDraw.Draw(drawing).rectangle((left, top, *corner), GREY)
        assert torch.equal(found[place], to_tensor(drawing))


def test_the_grey_square_has_every_side_up_to_half_the_width() -> None:
    found = grey_square(torch.zeros(4000, 3, 32, 32, dtype=torch.uint8), INDEX, 0, 1, largest=0.5)
    grey = torch.tensor(GREY, dtype=torch.uint8).view(3, 1, 1)
    painted = (found == grey).all(1)
    assert torch.equal(painted, (found != 0).any(1))
    heights, widths = painted.any(2).sum(1), painted.any(1).sum(1)
    assert torch.equal(heights * widths, painted.sum((1, 2)))  # one box
    assert widths.unique().tolist() == list(range(1, 17))
    whole = (widths == heights) & ~painted[:, -1].any(1) & ~painted[:, :, -1].any(1)
    assert whole.float().mean() > 0.7


def test_cutout_is_its_authors() -> None:
    """A box from half a side before a drawn pixel to half a side after it, cut off at the border, and black."""
    images, index = pictures(300, 20, 24) | 1, torch.arange(300)
    for side in (0, 1, 5, 16):
        found = black_square(images, index, 2, 1, side=side)
        xs, ys = (integers(2, f"cutout-{axis}", 1, index, size).tolist() for axis, size in (("x", 24), ("y", 20)))
        half = side // 2
        for place, (x, y) in enumerate(zip(xs, ys, strict=True)):
            expected = images[place].clone()
            expected[:, max(0, y - half) : y + half, max(0, x - half) : x + half] = 0
            assert torch.equal(found[place], expected)
    assert set(xs) == set(range(24))
    assert set(ys) == set(range(20))


# -- AutoAugment ------------------------------------------------------------------------------------------------------


def plain_name(name: str) -> str:
    """torchvision's name as ours: TranslateX to translate_x, AutoContrast to autocontrast."""
    return name.lower() if name[-1] not in "XY" else f"{name[:-1].lower()}_{name[-1].lower()}"


def test_the_policy_is_torchvision_s() -> None:
    from torchvision.transforms import AutoAugmentPolicy
    from torchvision.transforms.v2 import AutoAugment

    theirs = AutoAugment(AutoAugmentPolicy.CIFAR10)._policies
    renamed = tuple(tuple((plain_name(name), chance, level or 0) for name, chance, level in pair) for pair in theirs)
    assert renamed == AUTOAUGMENT


@pytest.mark.parametrize("size", [(32, 32), (64, 48)], ids=str)
def test_magnitudes_are_torchvision_s(size: tuple[int, int]) -> None:
    from torchvision.transforms import AutoAugment, AutoAugmentPolicy

    space = AutoAugment(AutoAugmentPolicy.CIFAR10)._augmentation_space(10, size)
    blends = {"brightness", "color", "contrast", "sharpness"}
    for name, (magnitude, signed) in space.items():
        ours = plain_name(name)
        if magnitude.dim() == 0:
            assert centre_and_reach(ours, 0, size) == (0, 0)
            continue
        for level, value in enumerate(magnitude.tolist()):
            centre, reach = centre_and_reach(ours, level, size)
            value = int(value) if ours.startswith("translate") else value
            assert (centre, reach) == pytest.approx((int(ours in blends), value) if signed else (value, 0), abs=2e-5)


def test_autoaugment_is_pillow_s_operations_by_the_drawn_pair() -> None:
    images, index = pictures(200, 32, 32), torch.arange(200) + 11
    pairs = integers(4, "autoaugment-pair", 6, index, 25).tolist()
    expected = images
    for turn in (0, 1):
        chances = uniform(4, f"autoaugment-chance-{turn}", 6, index).tolist()
        signs = integers(4, f"autoaugment-sign-{turn}", 6, index, 2).tolist()
        done = []
        for image, pair, chance, sign in zip(expected, pairs, chances, signs, strict=True):
            name, probability, level = AUTOAUGMENT[pair][turn]
            centre, reach = centre_and_reach(name, level, (32, 32))
            value = centre - reach if sign else centre + reach
            name = name if chance < probability else "identity"
            done.append(one_by_one(name, image[None], [value], AUTOAUGMENT_FILL))
        expected = torch.cat(done)
    assert torch.equal(autoaugment(images, index, 4, 6), expected)


def test_every_pair_and_sign_comes_up() -> None:
    pairs = integers(0, "autoaugment-pair", 1, INDEX, 25)
    for pair in range(25):
        members = INDEX[pairs == pair]
        assert 100 < len(members) < 230
        signs = integers(0, "autoaugment-sign-0", 1, members, 2).float()
        assert 0.3 < signs.mean() < 0.7
    assert {name for pair in AUTOAUGMENT for name, _, _ in pair} | {"identity", "shear_x", "solarize_add"} == set(
        OPERATIONS
    )
