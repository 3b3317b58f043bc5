"""The small world of these tests: digits at 8 × 8 pixels, 100 of them for testing, and a network that knows nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch

from trainers.config import DatasetConfig
from trainers.data import ImageData
from trainers.data.sources.digits import Digits
from trainers.fit import seeded_model
from trainers.models import Network


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def few() -> ImageData:
    whole = Digits(image_size=8).load()
    return replace(whole, test=whole.test.take(torch.arange(100)))


@pytest.fixture(scope="session")
def dataset(few: ImageData) -> DatasetConfig:
    return DatasetConfig(name="digits", options={"image_size": 8}, content=few.content)


@pytest.fixture(scope="session")
def network() -> Network:
    """A resnet8 for ten classes."""
    return seeded_model("resnet8", 10, seed=1)
