"""The small world of these tests: digits at 8 × 8 pixels, four training images of each."""

from __future__ import annotations

import pytest

from trainers.config import Recipe
from trainers.data import ImageData, TrainingData


@pytest.fixture(scope="session")
def recipe() -> Recipe:
    """Two batches of training images, of unequal size."""
    return Recipe(batch_size=32, views="none", val_fraction=0, samples_per_class=4, test_per_class=5)


@pytest.fixture(scope="session")
def cut(digits: ImageData, recipe: Recipe) -> TrainingData:
    return TrainingData.cut(digits, recipe)
