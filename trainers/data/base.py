"""What every data source gives: images and labels in memory, named by their content.

Shapes: `N` images, `H`, `W` pixels.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import torch
from torch import Tensor

from trainers.config import Frozen, Recipe
from trainers.content import tensors_key
from trainers.draws import bits
from trainers.errors import InputError


@dataclass(frozen=True)
class Split:
    """Images with labels. `index` is each image's place in its source, the address of its random draws."""

    images: Tensor  # uint8 [N, 3, H, W]
    labels: Tensor  # int64 [N]
    index: Tensor  # int64 [N]

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, positions: Tensor) -> Split:
        """The images at `positions` (int64), in that order."""
        return Split(self.images[positions], self.labels[positions], self.index[positions])

    def to(self, device: torch.device) -> Split:
        """The same split on another device."""
        return Split(self.images.to(device), self.labels.to(device), self.index.to(device))


@dataclass(frozen=True)
class ImageData:
    """A data set as its source publishes it: a training and a test split, and what normalises them."""

    name: str
    train: Split
    test: Split
    classes: tuple[str, ...]
    mean: tuple[float, float, float]
    """Per channel, of pixels scaled to [0, 1]."""
    std: tuple[float, float, float]

    @property
    def num_classes(self) -> int:
        return len(self.classes)

    @cached_property
    def content(self) -> str:
        """Hash of all images and labels."""
        tensors = {"train/images": self.train.images, "train/labels": self.train.labels}
        return tensors_key(tensors | {"test/images": self.test.images, "test/labels": self.test.labels})


class DataSource(Frozen, ABC):
    """The options of one source; :meth:`load` reads it."""

    summary: ClassVar[str]
    """One line for `sweep list datasets`."""

    @abstractmethod
    def load(self) -> ImageData:
        """Read the data set into memory. Raises InputError where it is missing or damaged."""


@dataclass(frozen=True)
class TrainingData:
    """A data set cut as a recipe says: `train` (perhaps few-shot), `val` (None when nothing is held out), `test`."""

    source: ImageData
    train: Split
    val: Split | None
    test: Split

    @classmethod
    def cut(cls, data: ImageData, recipe: Recipe) -> TrainingData:
        """Hold out `recipe.val_fraction` of each class, then keep `recipe.samples_per_class` of the rest.

        Raises:
            InputError: when a class has too few images for what the recipe asks.
        """
        chosen = bits(recipe.split_seed, "split", 0, data.train.index)
        train, val = [], []
        for label, name in enumerate(data.classes):
            members = torch.nonzero(data.train.labels == label).flatten()
            members = members[torch.argsort(chosen[members], stable=True)]
            held = round(recipe.val_fraction * len(members))
            wanted = recipe.samples_per_class or len(members) - held
            if wanted > len(members) - held or wanted < 1:
                raise InputError(
                    f"data set '{data.name}', class '{name}': {len(members)} training images less {held} for validation"
                    f" leave {len(members) - held}, but samples_per_class asks for {max(wanted, 1)}"
                )
            val.append(members[:held])
            train.append(members[held : held + wanted])
        held_out = torch.cat(val).sort().values
        return cls(
            source=data,
            train=data.train.take(torch.cat(train).sort().values),
            val=data.train.take(held_out) if len(held_out) else None,
            test=data.test,
        )
