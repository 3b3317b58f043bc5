"""timm's RandAugment: what a strength means to each operation, and which are drawn."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from tests.trainers.views.pillow import pictures, to_pillow, to_tensor
from trainers.config import RandAugment
from trainers.views.increasing import INCREASING, increasing, meant
from trainers.views.pixel_ops import posterize, solarize_add

TIMM = {
    "rotate": "Rotate",
    "posterize": "PosterizeIncreasing",
    "solarize": "SolarizeIncreasing",
    "solarize_add": "SolarizeAdd",
    "color": "ColorIncreasing",
    "contrast": "ContrastIncreasing",
    "brightness": "BrightnessIncreasing",
    "sharpness": "SharpnessIncreasing",
    "shear_x": "ShearX",
    "shear_y": "ShearY",
    "translate_x": "TranslateXRel",
    "translate_y": "TranslateYRel",
}
PLAIN = {"autocontrast": "AutoContrast", "equalize": "Equalize", "invert": "Invert"}
IMAGES = pictures(60, 20, 16)
INDEX = torch.arange(60) * 3


def test_the_operations_are_timm_s() -> None:
    policies: Any = pytest.importorskip("timm.data.auto_augment")
    assert [(PLAIN | TIMM)[name] for name in INCREASING] == policies._RAND_INCREASING_TRANSFORMS


@pytest.mark.parametrize("name", TIMM)
@pytest.mark.parametrize("strength", [0.0, 0.4, 3.0, 6.5, 9.0, 10.0])
def test_a_strength_means_what_it_means_to_timm(name: str, strength: float) -> None:
    policies: Any = pytest.importorskip("timm.data.auto_augment")
    share = torch.tensor([strength / 10], dtype=torch.float64)
    found = {meant(name, share, torch.tensor([sign]), IMAGES).item() for sign in (-1.0, 1.0)}
    sides = {"translate_x": 16, "translate_y": 20}
    expected = set()
    for _ in range(40):  # the sign is drawn
        value = policies.LEVEL_TO_ARG[TIMM[name]](strength, {"translate_pct": 0.45})[0]
        expected.add(value * sides.get(name, 1))
    assert sorted(found) == pytest.approx(sorted(expected), rel=1e-9)


def test_adding_below_the_middle_is_timm_s() -> None:
    policies: Any = pytest.importorskip("timm.data.auto_augment")
    for addend in (0, 44, 110):
        found = solarize_add(IMAGES, torch.full((60,), float(addend)))
        for image, changed in zip(IMAGES, found, strict=True):
            assert torch.equal(to_tensor(policies.solarize_add(to_pillow(image), addend)), changed)


def test_no_bits_at_all_are_black() -> None:
    assert not posterize(IMAGES, torch.zeros(60)).any()


def test_half_of_what_is_drawn_is_carried_out() -> None:
    many = IMAGES[torch.full((3000,), 1)]  # noise, that every operation changes
    places = torch.arange(3000)
    changed = increasing(many, places, 0, 1, RandAugment(operations=1)) != many
    assert changed.flatten(1).any(1).float().mean().item() == pytest.approx(0.5, abs=0.05)
    assert torch.equal(increasing(many, places, 0, 1, RandAugment(operations=0)), many)


def test_stronger_changes_more() -> None:
    def distance(magnitude: float) -> float:
        options = RandAugment(magnitude=magnitude, std=0)
        done = torch.cat([increasing(IMAGES, INDEX, seed, 1, options) for seed in range(20)])
        return float((done.float() - IMAGES.repeat(20, 1, 1, 1).float()).abs().mean())

    assert distance(0) < distance(5) < distance(10)


def test_an_image_is_changed_alike_in_any_company() -> None:
    order = torch.randperm(60)
    whole = increasing(IMAGES, INDEX, 3, 2, RandAugment())
    assert torch.equal(whole[order], increasing(IMAGES[order], INDEX[order], 3, 2, RandAugment()))
    assert not torch.equal(whole, increasing(IMAGES, INDEX, 3, 3, RandAugment()))
    assert not torch.equal(whole, increasing(IMAGES, INDEX, 4, 2, RandAugment()))
