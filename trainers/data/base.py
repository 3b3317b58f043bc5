"""What every data source gives: labelled images, in memory or not, named by their content.

The training loop and the evaluation reach images through :meth:`Images.batches` alone, so they do not know whether a
set lies in memory (:class:`Split`), in a memory-mapped file (:mod:`trainers.data.pixels.mapped`) or is decoded batch by
batch (:mod:`trainers.data.pixels.streaming`).

Shapes: `N` images, `H`, `W` pixels.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar, cast

import torch
from torch import Tensor

from trainers.config import Frozen, Recipe
from trainers.data.labelled import UNLABELLED, keep_labels
from trainers.draws import bits
from trainers.errors import InputError
from trainers.storage.content import tensors_key

LEAST_CLASSES = 2
"""Of a data set: a network that tells one class is always right."""


@dataclass(frozen=True)
class Framing:
    """The address of the crops and flips that a split draws itself: see :meth:`Images.recipe_left`."""

    seed: int
    epoch: int
    """Counted from 1."""
    flip: bool
    """Whether images are mirrored with probability one half."""


class Images(ABC):
    """Labelled images, wherever they lie. `index` is each image's place in its source, the address of its draws."""

    labels: Tensor  # int64 [N]
    index: Tensor  # int64 [N]
    at_hand: ClassVar[bool] = True
    """Whether a batch costs next to nothing to read once more."""

    def __len__(self) -> int:
        return len(self.labels)

    @property
    @abstractmethod
    def image_size(self) -> tuple[int, int]:
        """Height and width of the images of a batch, in pixels."""

    @abstractmethod
    def take(self, positions: Tensor) -> Images:
        """The images at `positions` (int64 ``[n]``), in that order."""

    @abstractmethod
    def to(self, device: torch.device) -> Images:
        """The same images, whose labels, indices and batches lie on another device."""

    @abstractmethod
    def batches(self, parts: Sequence[Tensor], framing: Framing | None = None) -> Iterator[Split]:
        """The images at each of `parts`, in that order, as pixels in memory.

        Args:
            parts: int64 ``[B]`` each, the positions of one batch after the other.
            framing: for training; None gives every image as it is evaluated. Splits whose views are drawn on the device
                take no notice.

        Yields:
            For each part its pixels, uint8 ``[B, 3, H, W]``, with labels and indices.

        Raises:
            InputError: when an image cannot be read; its file is named.
        """

    def relabelled(self, labels: Tensor) -> Images:
        """The same images with other labels, int64 ``[N]``."""
        return cast(Images, replace(cast(Any, self), labels=labels))

    def recipe_left(self, recipe: Recipe) -> Recipe:
        """`recipe` without what batches with a :class:`Framing` have been through already."""
        return recipe


@dataclass(frozen=True)
class Split(Images):
    """Images in memory."""

    images: Tensor  # uint8 [N, 3, H, W]
    labels: Tensor  # int64 [N]
    index: Tensor  # int64 [N]

    @property
    def image_size(self) -> tuple[int, int]:
        """Height and width of :attr:`images`, in pixels."""
        height, width = self.images.shape[-2:]
        return height, width

    def take(self, positions: Tensor) -> Split:
        """Copies of the images at `positions` (int64 ``[n]``, on the images' device), in that order."""
        return Split(self.images[positions], self.labels[positions], self.index[positions])

    def to(self, device: torch.device) -> Split:
        """All three tensors on another device; those that lie there already are not copied."""
        return Split(self.images.to(device), self.labels.to(device), self.index.to(device))

    def batches(self, parts: Sequence[Tensor], framing: Framing | None = None) -> Iterator[Split]:
        """A copy of the images at each of `parts` (int64 ``[B]``); `framing` is not read: views are drawn on the
        device."""
        return (self.take(part) for part in parts)


@dataclass(frozen=True)
class ImageData:
    """A data set as its source publishes it: a training and a test split, and what normalises them."""

    name: str
    train: Images
    test: Images
    classes: tuple[str, ...]
    mean: tuple[float, float, float]
    """Per channel, of pixels scaled to [0, 1]."""
    std: tuple[float, float, float]
    fingerprint: str = ""
    """The content hash, from a source that knows it already; empty: images in memory, hashed when it is asked for."""
    remarks: tuple[str, ...] = ()
    """What was taken of the files and what was left out, where one may wonder; a sentence each."""

    @property
    def num_classes(self) -> int:
        """`C`: how many classes the labels tell apart."""
        return len(self.classes)

    @property
    def image_size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.train.image_size

    @cached_property
    def content(self) -> str:
        """Hash of all images and labels."""
        return self.fingerprint or pixels_key(self.train, self.test)


def several_classes(classes: Sequence[str], what: str) -> None:
    """Whether there is anything to tell apart; raises InputError, which names `what`."""
    if len(classes) < LEAST_CLASSES:
        held = f"only one class, '{classes[0]}'" if classes else "no class"
        raise InputError(f"{what} has {held}; a network learns to tell at least {LEAST_CLASSES} classes apart")


def pixels_key(train: Images, test: Images) -> str:
    """Hash of the pixels and labels of two splits in memory.

    Raises:
        TypeError: for splits that are not.
    """
    tensors: dict[str, Tensor] = {}
    for name, split in (("train", train), ("test", test)):
        if not isinstance(split, Split):
            raise TypeError(f"a {type(split).__name__} has no pixels in memory; its source gives the fingerprint")
        tensors |= {f"{name}/images": split.images, f"{name}/labels": split.labels}
    return tensors_key(tensors)


class DataSource(Frozen, ABC):
    """The options of one source; :meth:`load` reads it."""

    summary: ClassVar[str]
    """One line for `sweep list datasets`."""
    whereabouts: ClassVar[frozenset[str]] = frozenset()
    """Fields that say where the data lie and how they are read, not what they are: no part of a trial's key."""

    @property
    def identity(self) -> dict[str, Any]:
        """The fields that are part of a trial's key, as JSON."""
        return self.model_dump(mode="json", exclude=set(self.whereabouts))

    @abstractmethod
    def load(self) -> ImageData:
        """Open the data set. Raises InputError where it is missing or damaged."""


@dataclass(frozen=True)
class TrainingData:
    """A data set cut as a recipe says: `train` (perhaps few-shot), `val` (None when nothing is held out), `test`."""

    source: ImageData
    train: Images
    val: Images | None
    test: Images
    labelled: Tensor  # bool [N], of `train`
    """Whether each image keeps its label; `train` has them all."""

    def trained(self, *, unlabelled: bool) -> Images:
        """The images that are trained on, as training may see them: those that keep no label have
        :data:`~trainers.data.labelled.UNLABELLED` there, or, unless `unlabelled`, are left out."""
        if bool(self.labelled.all()):
            return self.train
        if not unlabelled:
            return self.train.take(torch.nonzero(self.labelled).flatten())
        return self.train.relabelled(self.train.labels.masked_fill(~self.labelled, UNLABELLED))

    @classmethod
    def cut(cls, data: ImageData, recipe: Recipe) -> TrainingData:
        """Hold out `recipe.val_fraction` of each class, then keep `recipe.samples_per_class` of the rest, of which
        `recipe.labelled_fraction` keep their labels.

        Raises:
            InputError: when a class has too few images for what the recipe asks, or a share of them is held out that is
                no image of any class, or one keeps its labels that is no image of some class.
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
        if recipe.val_fraction > 0 and not len(held_out):
            most = max(int((data.train.labels == label).sum()) for label in range(data.num_classes))
            raise InputError(
                f"data set '{data.name}': val_fraction {recipe.val_fraction:g} holds out none of a class's {most}"
                f" training images; above {0.5 / most:.2g} it holds out some, and 0 holds out none on purpose"
            )
        trained = data.train.take(torch.cat(train).sort().values)
        return cls(
            source=data,
            train=trained,
            val=data.train.take(held_out) if len(held_out) else None,
            test=_some_of_each(data, recipe),
            labelled=keep_labels(
                trained.labels,
                trained.index,
                fraction=recipe.labelled_fraction,
                seed=recipe.split_seed,
                name=data.name,
                classes=data.classes,
            ),
        )


def _some_of_each(data: ImageData, recipe: Recipe) -> Images:
    """The test set, or as many of each class as `recipe.test_per_class` says (all where there are fewer)."""
    if recipe.test_per_class is None:
        return data.test
    chosen = bits(recipe.split_seed, "test", 0, data.test.index)
    kept = []
    for label in range(data.num_classes):
        members = torch.nonzero(data.test.labels == label).flatten()
        kept.append(members[torch.argsort(chosen[members], stable=True)][: recipe.test_per_class])
    return data.test.take(torch.cat(kept).sort().values)
