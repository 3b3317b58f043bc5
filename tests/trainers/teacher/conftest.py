"""The small world of these tests: digits at 8 × 8 pixels, 100 of them for testing, and a network that knows nothing."""

from __future__ import annotations

import pytest

from trainers.config import DatasetConfig
from trainers.data import ImageData
from trainers.fit import seeded_model
from trainers.models import Network


@pytest.fixture(scope="session")
def dataset(few: ImageData) -> DatasetConfig:
    return DatasetConfig(name="digits", options={"image_size": 8}, content=few.content)


@pytest.fixture(scope="session")
def network() -> Network:
    """A resnet8 for ten classes."""
    return seeded_model("resnet8", 10, seed=1)
