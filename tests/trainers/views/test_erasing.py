"""Random erasing: how often, how much, with what, and by whose draws."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from trainers.views.erasing import erased

MANY = 3000
HEIGHT, WIDTH = 32, 24
INDEX = torch.arange(MANY) * 5
BLANK = torch.full((MANY, 3, HEIGHT, WIDTH), 9.0)


def boxes(images: Tensor) -> Tensor:
    """Where noise is, bool ``[B, H, W]``."""
    return (images != 9).all(dim=1)


def test_boxes_of_the_paper_s_sizes_are_filled_as_often_as_asked() -> None:
    where = boxes(erased(BLANK, INDEX, 0, 1, chance=0.25))
    hit = where.flatten(1).any(1)
    assert hit.float().mean().item() == pytest.approx(0.25, abs=0.03)
    rows, columns = where[hit].any(2).sum(1), where[hit].any(1).sum(1)
    assert torch.equal(where[hit].sum((1, 2)), rows * columns)
    area = (rows * columns) / (HEIGHT * WIDTH)
    assert area.min() > 0.012  # 0.02, in whole pixels
    assert area.max() < 0.36
    ratio = rows / columns
    assert 0.2 < ratio.min() < 0.4
    assert 2.5 < ratio.max() < 4.5
    assert area.mean().item() == pytest.approx((0.02 + 1 / 3) / 2, abs=0.02)


@pytest.mark.slow(2)
def test_places_are_even() -> None:
    where = boxes(erased(BLANK, INDEX, 0, 1, chance=1.0)).float().mean(0)
    torch.testing.assert_close(where, where.flip(0), atol=0.04, rtol=0)
    torch.testing.assert_close(where, where.flip(1), atol=0.04, rtol=0)


@pytest.mark.slow(2)
def test_what_fills_them_is_normal_noise_of_each_image_s_own() -> None:
    images = erased(BLANK, INDEX, 0, 1, chance=1.0)
    noise = images[images != 9]
    assert noise.mean().item() == pytest.approx(0, abs=0.01)
    assert noise.std().item() == pytest.approx(1, abs=0.01)
    assert noise.unique().numel() > 0.95 * min(noise.numel(), 1 << 22)


def test_without_chance_nothing_is_changed() -> None:
    assert torch.equal(erased(BLANK, INDEX, 0, 1, chance=0), BLANK)


@pytest.mark.slow(1)
def test_an_image_loses_the_same_box_in_any_company() -> None:
    order = torch.randperm(MANY)
    whole = erased(BLANK, INDEX, 3, 2, chance=0.5)
    assert torch.equal(whole[order], erased(BLANK, INDEX[order], 3, 2, chance=0.5))
    assert not torch.equal(whole, erased(BLANK, INDEX, 3, 3, chance=0.5))
    assert not torch.equal(whole, erased(BLANK, INDEX, 4, 2, chance=0.5))
