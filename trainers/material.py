"""What trials train on and are measured on: a data set as a recipe cuts it, on the device of the training.

It is the same for every trial of a data set and a recipe, whatever its method and seed.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from trainers.accelerator import computing, placed
from trainers.config import Recipe
from trainers.data.base import ImageData, Images, TrainingData
from trainers.views.views import Views


@dataclass(frozen=True)
class Material:
    """Images, how they are seen, and how the device computes."""

    recipe: Recipe
    data: ImageData
    place: torch.device
    cut: TrainingData
    """Where its source has it; the next three are its parts, on the device."""
    train: Images
    val: Images | None
    """None where the recipe holds nothing out."""
    test: Images
    views: Views
    autocast: torch.autocast
    """The precision of passes that are not the student's own in training."""

    @classmethod
    def of(cls, recipe: Recipe, data: ImageData, device: str) -> Material:
        """The material of a recipe.

        Args:
            recipe: cuts the data, and says what is seen of an image.
            data: the whole data set.
            device: torch's name of the device to train on; "cuda" is the thread's current GPU.

        Raises:
            InputError: where a class has too few images for what the recipe asks.
        """
        place = placed(device)
        cut = TrainingData.cut(data, recipe)
        train = cut.train.to(place)
        return cls(
            recipe=recipe,
            data=data,
            place=place,
            cut=cut,
            train=train,
            val=cut.val.to(place) if cut.val is not None else None,
            test=cut.test.to(place),
            views=Views(train.recipe_left(recipe), data, place),
            autocast=torch.autocast(place.type, torch.bfloat16, enabled=recipe.precision == "bf16"),
        )

    def computing(self) -> None:
        """Let this process compute as the recipe says, until somebody else says otherwise."""
        computing(self.place, tf32=self.recipe.tf32, deterministic=self.recipe.deterministic)
