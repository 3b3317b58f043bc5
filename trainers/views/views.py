"""What the student sees of an image: batched augmentation on the training device.

A view is drawn by address (seed, epoch, sample), so it is the same for every method, batch size and device. The
training view is what a recipe's `views` says: one of finitely many of an image, which have numbers, unless it goes
through AutoAugment or RandAugment, or may lose a box of noise. Training views may be mixed with one another
(:mod:`trainers.views.mixing`). The strong view, for methods that compare two, is cropped and mirrored by draws of its
own, then goes through RandAugment and loses a grey square (:mod:`trainers.views.augment`). Images that come cropped
already (:meth:`trainers.data.base.Images.recipe_left`) have one crop, which both views share.

Shapes: `B` batch, `H`, `W` pixels.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from trainers.config import Recipe
from trainers.data.base import ImageData
from trainers.draws import integers
from trainers.views.augment import autoaugment, black_square, grey_square, randaugment
from trainers.views.erasing import erased
from trainers.views.increasing import increasing
from trainers.views.mixing import Mixed, mixed


class Views:
    """The view family of a recipe over one data set."""

    def __init__(self, recipe: Recipe, data: ImageData, device: torch.device) -> None:
        self.recipe = recipe
        mean, std = torch.tensor(data.mean), torch.tensor(data.std)
        self.mean, self.std = mean.to(device).view(1, 3, 1, 1), std.to(device).view(1, 3, 1, 1)
        self._statistics = {"mean": mean.tolist(), "std": std.tolist()}

    def plain(self, images: Tensor) -> Tensor:
        """uint8 ``[B, 3, H, W]`` to normalised float, without augmentation: what is evaluated."""
        return (images.float() / 255 - self.mean) / self.std

    def training(self, images: Tensor, index: Tensor, seed: int, epoch: int) -> Tensor:
        """uint8 ``[B, 3, H, W]`` to the normalised view of each image in this epoch."""
        pixels = self._cropped(images, index, seed, epoch)
        if self.recipe.views == "autoaugment":
            pixels = autoaugment(pixels.contiguous(), index, seed, epoch)
            pixels = black_square(pixels, index, seed, epoch, side=self.recipe.cutout)
            pixels = pixels.contiguous(memory_format=torch.channels_last)
        if self.recipe.randaugment is not None:
            pixels = increasing(pixels.contiguous(), index, seed, epoch, self.recipe.randaugment)
            pixels = pixels.contiguous(memory_format=torch.channels_last)
        images = self.plain(pixels)
        if self.recipe.random_erasing > 0:
            images = erased(images, index, seed, epoch, chance=self.recipe.random_erasing)
        return images

    def mixed(self, images: Tensor, partners: Tensor, index: Tensor, seed: int, epoch: int) -> Mixed:
        """Training views ``[B, 3, H, W]`` of images `index`, each mixed with its partner's, as the recipe says."""
        recipe = self.recipe
        return mixed(images, partners, index, seed, epoch, mixup=recipe.mixup, cutmix=recipe.cutmix)

    def strong(self, images: Tensor, index: Tensor, seed: int, epoch: int) -> Tensor:
        """uint8 ``[B, 3, H, W]`` to the normalised strong view of each image in this epoch: SLD's and MLKD's."""
        pixels = self._cropped(images, index, seed, epoch, "strong-").contiguous()
        pixels = randaugment(pixels, index, seed, epoch, operations=self.recipe.randaugment_ops)
        if self.recipe.strong_cutout > 0:
            pixels = grey_square(pixels, index, seed, epoch, largest=self.recipe.strong_cutout)
        return self.plain(pixels.contiguous(memory_format=torch.channels_last))

    @property
    def family(self) -> dict[str, Any]:
        """What decides the training views, as JSON."""
        fields = {"none": (), "weak": ("pad", "flip"), "autoaugment": ("pad", "flip", "cutout")}[self.recipe.views]
        recipe = self.recipe
        later: dict[str, Any] = {"random_erasing": recipe.random_erasing} if recipe.random_erasing > 0 else {}
        if recipe.randaugment is not None:
            later |= {"randaugment": recipe.randaugment.model_dump(mode="json")}
        return self._about("views", *fields) | later

    @property
    def strong_family(self) -> dict[str, Any]:
        """What decides the strong views, as JSON."""
        return self._about("views", "pad", "flip", "randaugment_ops", "strong_cutout") | {"strong": True}

    def _about(self, *fields: str) -> dict[str, Any]:
        chosen = {name: getattr(self.recipe, name) for name in fields}
        return chosen | self._statistics

    @property
    def count(self) -> int | None:
        """Training views of an image: 162 with 4 pixels of padding and flips; None where there is no end of them."""
        if self.recipe.randaugment is not None or self.recipe.random_erasing > 0:
            return None
        if self.recipe.views == "weak":
            return (2 * self.recipe.pad + 1) ** 2 * (1 + int(self.recipe.flip))
        return 1 if self.recipe.views == "none" else None

    def number(self, index: Tensor, seed: int, epoch: int) -> Tensor:
        """Which of :attr:`count` views each image gets in this epoch: int64 ``[B]``, from 0."""
        if self.recipe.views == "none":
            return torch.zeros_like(index)
        top, left, flip = self._draws(index, seed, epoch)
        return (top * (2 * self.recipe.pad + 1) + left) * (1 + int(self.recipe.flip)) + flip

    def _cropped(self, images: Tensor, index: Tensor, seed: int, epoch: int, prefix: str = "") -> Tensor:
        """Cropped and mirrored as the recipe says; another `prefix` draws independently."""
        if self.recipe.views == "none":
            return images
        return weak_view(images, self.recipe.pad, *self._draws(index, seed, epoch, prefix))

    def _draws(self, index: Tensor, seed: int, epoch: int, prefix: str = "") -> tuple[Tensor, Tensor, Tensor]:
        """Of each image, the corner of its crop (top, left) and whether it is mirrored: int64 ``[B]``."""
        side = 2 * self.recipe.pad + 1
        top = integers(seed, f"{prefix}crop-top", epoch, index, side)
        left = integers(seed, f"{prefix}crop-left", epoch, index, side)
        return top, left, integers(seed, f"{prefix}flip", epoch, index, 2) * int(self.recipe.flip)


def weak_view(images: Tensor, pad: int, top: Tensor, left: Tensor, flip: Tensor) -> Tensor:
    """Crop each image out of its zero-padded self, and mirror it where `flip` is 1, by index arithmetic.

    Args:
        images: ``[B, 3, H, W]``, any dtype.
        pad: pixels of padding on each side.
        top, left: int64 ``[B]`` in ``[0, 2 * pad]``, the crop's corner in the padded image.
        flip: int64 ``[B]``, 0 or 1.

    Returns:
        ``[B, 3, H, W]`` of the same dtype, in channels-last memory.
    """
    batch, _, height, width = images.shape
    padded = F.pad(images, (pad, pad, pad, pad))
    rows = torch.arange(height, device=images.device) + top[:, None]  # [B, H]
    columns = torch.arange(width, device=images.device).expand(batch, -1)  # [B, W]
    columns = torch.where(flip[:, None] == 1, width - 1 - columns, columns) + left[:, None]
    sample = torch.arange(batch, device=images.device)[:, None, None]
    return padded[sample, :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)  # [B, H, W, 3] -> [B, 3, H, W]
