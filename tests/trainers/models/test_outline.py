"""Networks that are built for their shapes alone."""

from __future__ import annotations

import pytest
import torch

from trainers.models import build
from trainers.models.outline import Undrawn, outlines

NETWORKS = ("resnet8", "vgg8", "wrn_16_1", "MobileNetV2", "ShuffleV1", "ShuffleV2", "imagenet/ResNet18")


@pytest.mark.parametrize("name", NETWORKS)
def test_an_outline_has_the_shapes_of_the_network(name: str) -> None:
    with outlines():
        outline = build(name, num_classes=7)
    whole = build(name, num_classes=7)
    assert {key: value.shape for key, value in outline.state_dict().items()} == {
        key: value.shape for key, value in whole.state_dict().items()
    }
    assert all(parameter.is_meta for parameter in outline.parameters())


@pytest.mark.parametrize("name", NETWORKS)
def test_no_number_is_drawn(name: str) -> None:
    torch.manual_seed(0)
    before = torch.get_rng_state()
    with Undrawn():
        build(name, num_classes=7)
    assert torch.equal(torch.get_rng_state(), before)
    build(name, num_classes=7)
    assert not torch.equal(torch.get_rng_state(), before)
