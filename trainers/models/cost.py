"""What a network's forward pass costs."""

from __future__ import annotations

import torch
from torch.utils.flop_counter import FlopCounterMode

from trainers.models import build
from trainers.models.outline import outlines


def macs(model: str, num_classes: int, image_size: tuple[int, int]) -> int:
    """Multiply-accumulates of convolutions and linear layers for one image of height and width `image_size`.

    Raises:
        InputError: for a model that does not exist.
    """
    with outlines(), torch.no_grad(), FlopCounterMode(display=False) as counter:
        build(model, num_classes=num_classes).eval()(torch.zeros(1, 3, *image_size))
    return int(counter.get_total_flops()) // 2
