"""Every operation against Pillow, image by image, to the last bit."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tests.trainers.views.pillow import FILL, PILLOW, one_by_one, pictures, to_pillow, to_tensor
from trainers.views.augment import OPERATIONS, RANDAUGMENT, applied
from trainers.views.pixel_ops import filled_boxes

WHOLE_RANGE = {
    "posterize": (1.0, 8.99),
    "solarize": (0.0, 256.0),
    "solarize_add": (0.0, 127.0),
    "brightness": (0.0, 2.0),
    "color": (0.0, 2.0),
    "contrast": (0.0, 2.0),
    "sharpness": (0.0, 2.0),
    "rotate": (-180.0, 180.0),
    "shear_x": (-1.0, 1.0),
    "shear_y": (-1.0, 1.0),
    "translate_x": (-12.0, 12.0),
    "translate_y": (-12.0, 12.0),
}
SIZES = [(32, 32), (16, 16), (9, 14), (8, 8)]
COUNT = 60


def ours(name: str, images: Tensor, magnitude: Tensor) -> Tensor:
    chosen = torch.zeros(len(images), dtype=torch.int64)
    return applied(images, [name], chosen, magnitude, FILL)


def magnitudes(name: str, count: int, seed: int) -> Tensor:
    """Random ones over the whole range, its ends among them."""
    low, high = WHOLE_RANGE.get(name, (0.0, 1.0))
    drawn = torch.rand(count, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    drawn[0], drawn[1], drawn[2] = 0, 1, 0.5
    return low + (high - low) * drawn


def test_every_operation_has_its_reference() -> None:
    assert set(OPERATIONS) == set(PILLOW)
    assert set(RANDAUGMENT) == set(OPERATIONS) - {"invert", "solarize_add"}


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_is_pillow_s(name: str, size: tuple[int, int]) -> None:
    for seed in (0, 1):
        images, magnitude = pictures(COUNT, *size, seed=seed), magnitudes(name, COUNT, seed)
        found = ours(name, images, magnitude)
        assert found.dtype == torch.uint8
        assert torch.equal(found, one_by_one(name, images, magnitude.tolist()))


@pytest.mark.parametrize("name", sorted({"posterize", "solarize", "rotate", "translate_x", "shear_y"}))
def test_whole_and_half_magnitudes_are_pillow_s(name: str) -> None:
    """Where rounding decides."""
    low, high = WHOLE_RANGE[name]
    magnitude = torch.arange(low, min(high, low + 30), 0.5, dtype=torch.float64)
    images = pictures(len(magnitude), 16, 16)
    assert torch.equal(ours(name, images, magnitude), one_by_one(name, images, magnitude.tolist()))


@pytest.mark.parametrize("name", ["autocontrast", "equalize"])
def test_the_stretch_is_pillow_s_for_every_range_of_values(name: str) -> None:
    """Channels that hold all values from one to another: 256 widths, at three places each."""
    ramps = []
    for width in range(1, 257):
        for low in {0, (256 - width) // 2, 256 - width}:
            ramps.append(low + torch.arange(256) * width // 256)
    images = torch.stack(ramps).to(torch.uint8).view(-1, 1, 16, 16).expand(-1, 3, -1, -1).contiguous()
    assert torch.equal(ours(name, images, torch.zeros(len(images))), one_by_one(name, images, [0.0] * len(images)))


@pytest.mark.parametrize("memory", [torch.contiguous_format, torch.channels_last])
def test_each_image_gets_its_own_operation(memory: torch.memory_format) -> None:
    images = pictures(90, 12, 12).contiguous(memory_format=memory)
    chosen = torch.arange(90) * 7 % len(OPERATIONS)
    magnitude = torch.stack([magnitudes(OPERATIONS[place], 90, 5)[i] for i, place in enumerate(chosen.tolist())])
    before = images.clone()
    found = applied(images, OPERATIONS, chosen, magnitude, FILL)
    assert torch.equal(images, before)
    for place, image in enumerate(found):
        name = OPERATIONS[int(chosen[place])]
        assert torch.equal(image, one_by_one(name, before[place : place + 1], [magnitude[place].item()])[0]), name


def test_boxes_are_cut_off_at_the_border() -> None:
    images = pictures(4, 6, 8)
    edges = torch.tensor([[-3, 2, 5, -9], [1, -1, 4, 0], [2, 4, 99, -2], [3, 1, 99, 3]])
    left, top, right, bottom = edges
    found = filled_boxes(images, (left, top, right, bottom), (1, 2, 3))
    for place in range(4):
        expected = images[place].clone()
        x, y = (slice(max(0, int(a[place])), max(0, int(b[place]))) for a, b in ((left, right), (top, bottom)))
        expected[:, y, x] = torch.tensor([1, 2, 3], dtype=torch.uint8).view(3, 1, 1)
        assert torch.equal(found[place], expected)
    assert torch.equal(to_tensor(to_pillow(images[3])), images[3])
    assert torch.equal(found[3], images[3])  # beyond the left border: nothing of it is seen
