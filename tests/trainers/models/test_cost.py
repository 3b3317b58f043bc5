"""Parameters and multiply-accumulates, counted in two ways and by hand."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from trainers.errors import InputError
from trainers.models import build
from trainers.models.cost import Size, macs, size

OURS = ["resnet8", "resnet8x4", "wrn_16_1", "vgg8", "MobileNetV1", "MobileNetV2", "ShuffleV1", "ShuffleV2", "ResNet18"]
"""One of each kind, and three of ImageNet's below."""


@pytest.mark.parametrize("name", [*OURS, "imagenet/ResNet18", "imagenet/MobileNetV2", "tiny_imagenet/MobileNetV2"])
def test_layer_by_layer_comes_to_the_same_as_operation_by_operation(name: str) -> None:
    found = size(name, 7, (32, 32))
    assert found.macs == macs(name, 7, (32, 32))
    assert found.parameters == sum(parameter.numel() for parameter in build(name, num_classes=7).parameters())


def test_a_resnet8_of_small_images_is_counted_by_hand() -> None:
    """A stem of 3 → 16 channels, then three stages of two 3 × 3 convolutions, of 16, 32 and 64 channels."""
    stem, first = 3 * 16 * 9 * 64, 2 * 16 * 16 * 9 * 64
    second, third = ((half * 2 * half + (2 * half) ** 2) * 9 + half * 2 * half for half in (16, 32))
    assert size("resnet8", 10, (8, 8)).macs == stem + first + second * 16 + third * 4 + 64 * 10


def test_no_number_is_drawn() -> None:
    before = torch.get_rng_state()
    assert isinstance(size("vgg8", 10, (32, 32)), Size)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_model_that_does_not_exist_is_refused() -> None:
    with pytest.raises(InputError, match="resnet9"):
        size("resnet9", 10, (32, 32))


COUNTED = """
import sys
from trainers.models import MODELS
from trainers.models.cost import size

for name in MODELS:
    size(name, 10, (32, 32))
    assert "torch._dynamo" not in sys.modules, name
"""


@pytest.mark.slow(3)
def test_to_count_a_network_loads_no_compiler() -> None:
    """It takes longer to load than all that a plan does, and every command that plans counts."""
    subprocess.run([sys.executable, "-c", COUNTED], check=True)
