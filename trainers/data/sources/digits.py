"""scikit-learn's handwritten digits: 1,797 real images of 8 × 8 pixels, embedded in the package.

Source: E. Alpaydin, C. Kaynak, "Optical Recognition of Handwritten Digits", UCI Machine Learning Repository, 1998,
doi 10.24432/C50P49, under CC BY 4.0. `digits.npz` holds what `sklearn.datasets.load_digits` gives, which would take a
second and a half to import. That is the original test set only, so the split is ours: in each class the first
`TEST_PER_CLASS` images (in an order drawn once, by address) are the test set.

Shapes: `N` images.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from trainers.data.base import DataSource, ImageData, Split
from trainers.draws import bits

FILE = Path(__file__).with_name("digits.npz")
TEST_PER_CLASS = 100
PIXEL_MAX = 16  # the original counts of dark pixels in 4 × 4 blocks: 0..16


class Digits(DataSource):
    """Handwritten digits 0-9: 797 training and 1,000 test images, no download."""

    summary: ClassVar[str] = "scikit-learn's handwritten digits, 10 classes, 797 + 1,000 images, embedded"

    image_size: int = Field(16, ge=8, le=64)
    """Side in pixels; the 8 × 8 originals are enlarged bilinearly."""

    def load(self) -> ImageData:
        """Read, enlarge to `image_size`, repeat to three channels, and split."""
        with np.load(FILE) as stored:
            labels = torch.from_numpy(stored["labels"]).long()
            images = self._enlarged(torch.from_numpy(stored["images"]).float() / PIXEL_MAX)
        test = torch.zeros(len(labels), dtype=torch.bool)
        address = bits(0, "digits-test", 0, torch.arange(len(labels)))
        for label in range(10):
            members = torch.nonzero(labels == label).flatten()
            test[members[torch.argsort(address[members])][:TEST_PER_CLASS]] = True
        whole = Split(images, labels, torch.arange(len(labels)))
        train = whole.take(torch.nonzero(~test).flatten())
        pixels = train.images.float() / 255
        mean, std = pixels.mean().item(), pixels.std().item()
        return ImageData(
            name="digits",
            train=train,
            test=whole.take(torch.nonzero(test).flatten()),
            classes=tuple(str(digit) for digit in range(10)),
            mean=(mean, mean, mean),
            std=(std, std, std),
        )

    def _enlarged(self, images: Tensor) -> Tensor:
        """float ``[N, 8, 8]`` in [0, 1] to uint8 ``[N, 3, image_size, image_size]``."""
        side = (self.image_size, self.image_size)
        large = F.interpolate(images[:, None], size=side, mode="bilinear", align_corners=False)
        return (large * 255).round().to(torch.uint8).expand(-1, 3, -1, -1).contiguous()
