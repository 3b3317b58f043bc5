"""The small world of these tests: digits at 8 × 8 pixels, four training images of each, on one core."""

from __future__ import annotations

import pytest
import torch

from trainers.config import Recipe
from trainers.data import ImageData, TrainingData
from trainers.data.sources.digits import Digits
from trainers.fit import seeded_model
from trainers.models import Network

torch.set_num_threads(1)


@pytest.fixture(scope="session")
def recipe() -> Recipe:
    """Two batches of training images, of unequal size."""
    return Recipe(batch_size=32, views="none", val_fraction=0, samples_per_class=4, test_per_class=5)


@pytest.fixture(scope="session")
def digits() -> ImageData:
    return Digits(image_size=8).load()


@pytest.fixture(scope="session")
def cut(digits: ImageData, recipe: Recipe) -> TrainingData:
    return TrainingData.cut(digits, recipe)


@pytest.fixture(scope="session")
def teacher() -> Network:
    """A network to imitate; it need not be good."""
    return seeded_model("resnet14", 10, seed=99).eval()
