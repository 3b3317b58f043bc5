"""What trials train on and are measured on: a data set as a recipe cuts it, on the device of the training.

It is the same for every trial of a data set and a recipe, whatever its method and seed; but where only a share of the
images keeps its label, methods without a teacher train on that share alone.

Shapes: `N` training images.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from trainers.accelerator import computing, placed
from trainers.config import Recipe
from trainers.data.base import ImageData, Images, TrainingData
from trainers.data.labelled import spread
from trainers.distillers.labels import known
from trainers.draws import order
from trainers.views.views import Views


@dataclass(frozen=True)
class Material:
    """Images, how they are seen, and how the device computes."""

    recipe: Recipe
    data: ImageData
    place: torch.device
    cut: TrainingData
    """Where its source has it; `train`, `val` and `test` are its parts, on the device."""
    trained: Images
    """What is trained on, where its source has it: without the labels that training may not see."""
    train: Images
    """The same on the device."""
    val: Images | None
    """None where the recipe holds nothing out."""
    test: Images
    views: Views
    autocast: torch.autocast
    """The precision of passes that are not the student's own in training."""

    @classmethod
    def of(cls, recipe: Recipe, data: ImageData, device: str, *, unlabelled: bool = True) -> Material:
        """The material of a recipe.

        Args:
            recipe: cuts the data, and says what is seen of an image.
            data: the whole data set.
            device: torch's name of the device to train on; "cuda" is the thread's current GPU.
            unlabelled: whether images that keep no label are trained on as well.

        Raises:
            InputError: where a class has too few images for what the recipe asks.
        """
        place = placed(device)
        cut = TrainingData.cut(data, recipe)
        trained = cut.trained(unlabelled=unlabelled)
        train = trained.to(place)
        return cls(
            recipe=recipe,
            data=data,
            place=place,
            cut=cut,
            trained=trained,
            train=train,
            val=cut.val.to(place) if cut.val is not None else None,
            test=cut.test.to(place),
            views=Views(train.recipe_left(recipe), data, place),
            autocast=torch.autocast(place.type, torch.bfloat16, enabled=recipe.precision == "bf16"),
        )

    @cached_property
    def labelled(self) -> int:
        """How many of the images that are trained on have a label."""
        return int(known(self.trained.labels).sum())

    def order(self, seed: int, epoch: int) -> Tensor:
        """In which order an epoch, counted from 1, has the training images: their positions, int64 ``[N]``. Those with
        a label are spread evenly over it."""
        drawn = order(seed, epoch, self.train.index)
        return drawn if self.labelled == len(self.train) else spread(drawn, known(self.train.labels[drawn]))

    def computing(self) -> None:
        """Let this process compute as the recipe says, until somebody else says otherwise."""
        computing(self.place, tf32=self.recipe.tf32, deterministic=self.recipe.deterministic)
