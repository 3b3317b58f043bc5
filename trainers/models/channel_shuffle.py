"""The shuffle of the ShuffleNets, which keeps the memory format of its maps on a GPU as well.

Shapes: `B` batch, `C` channels, `h`, `w` pixels of a map.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def channel_shuffle(maps: Tensor, groups: int) -> Tensor:
    """Channels ``[B, C, h, w]`` in the order in which the first of each of `groups` comes first, then the second.

    Torch has a kernel for it on the CPU. On a GPU it makes channels-first memory of any, which the next convolution has
    to turn again; there channels-last maps are shuffled as what they are, rows of `C` numbers.
    """
    if not maps.is_cuda or not maps.is_contiguous(memory_format=torch.channels_last):
        return F.channel_shuffle(maps, groups)
    batch, channels, height, width = maps.shape
    pixels = maps.permute(0, 2, 3, 1).reshape(batch, height, width, groups, channels // groups)
    shuffled = pixels.transpose(3, 4).reshape(batch, height, width, channels)
    return shuffled.permute(0, 3, 1, 2)
