"""The small world of these tests: digits at 8 × 8 pixels, a few images of each, one core."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from tests.support.storages import machine, object_store, uri
from trainers.data import ImageData
from trainers.data.sources.digits import Digits
from trainers.fit import seeded_model
from trainers.models import Network

__all__ = ["machine", "object_store", "uri"]


@pytest.fixture(scope="session")
def digits() -> ImageData:
    """All of the digits, at their original size."""
    return Digits(image_size=8).load()


@pytest.fixture(scope="session")
def few(digits: ImageData) -> ImageData:
    """The same with 100 test images."""
    return replace(digits, test=digits.test.take(torch.arange(100)))


@pytest.fixture(scope="session")
def teacher() -> Network:
    """A network to imitate; it need not be good."""
    return seeded_model("resnet14", 10, seed=99).eval()
