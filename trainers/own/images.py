"""What a user's function gives as images, as the tensors that are trained on.

Shapes: `N` images, `H`, `W` pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from trainers.data.base import Split
from trainers.data.pixels.decode import rgb
from trainers.data.sources.checks import shown
from trainers.data.sources.held_out import held_out
from trainers.errors import InputError
from trainers.storage.content import tensors_key

CHANNELS = 3


def split_of(given: Any, what: str) -> Split:
    """Images and labels in memory.

    Args:
        given: a pair of arrays or tensors, uint8 ``[N, H, W]``, ``[N, H, W, 3]`` or ``[N, 3, H, W]`` and whole numbers
            ``[N]``; or anything with ``__len__`` and ``__getitem__`` whose items are an image (of Pillow's, or such an
            array of one) and a label.
        what: it is, for messages.

    Raises:
        InputError: for anything else, no image at all, images of different sizes and pixels that are no uint8.
    """
    if isinstance(given, tuple) and len(given) == 2 and is_array(given[0]):
        images, labels = _planes(given[0], what), _labels(list(given[1]), what)
    elif hasattr(given, "__len__") and hasattr(given, "__getitem__"):
        images, labels = _items(given, what)
    else:
        raise InputError(f"{what} is {type(given).__name__}; give arrays (images, labels), or a set of such pairs")
    if not len(images) or len(images) != len(labels):
        raise InputError(f"{what} has {len(images)} images and {len(labels)} labels")
    return Split(images, labels, torch.arange(len(labels)))


def cut_off(whole: Split, fraction: float) -> tuple[Split, Split]:
    """A training and a test split of one, by what the images show: see :func:`held_out`."""
    chosen = held_out([_hash(image) for image in whole.images], whole.labels.tolist(), fraction)
    return whole.take(torch.nonzero(~chosen).flatten()), whole.take(torch.nonzero(chosen).flatten())


def _hash(image: Tensor) -> str:
    return tensors_key({"image": image})


def _items(given: Any, what: str) -> tuple[Tensor, Tensor]:
    found: list[Tensor] = []
    labels: list[Any] = []
    for position in range(len(given)):
        item = given[position]
        if not isinstance(item, tuple | list) or len(item) < 2:
            raise InputError(f"{what}, item {position}: it is {type(item).__name__}, no pair of an image and a label")
        image, label = item[:2]
        found.append(_one(image, f"{what}, item {position}"))
        labels.append(label)
        if found[-1].shape != found[0].shape:
            sizes = [" × ".join(map(str, each.shape[1:])) for each in (found[0], found[-1])]
            raise InputError(
                f"{what}, item {position}: its image is {sizes[1]}, the first one {sizes[0]}; make them equal"
            )
    return torch.stack(found) if found else torch.empty(0, CHANNELS, 1, 1), _labels(labels, what)


def _one(image: Any, what: str) -> Tensor:
    """One image, uint8 ``[3, H, W]``."""
    try:
        array = np.array(rgb(image)) if isinstance(image, Image.Image) else image
    except ValueError as error:
        raise InputError(f"{what}: {error}") from error
    if not is_array(array):
        raise InputError(f"{what}: its image is {type(image).__name__}; give one of Pillow's, an array or a tensor")
    return _planes(array[None], what)[0]


def _planes(images: Any, what: str) -> Tensor:
    """uint8 ``[N, 3, H, W]`` of images with or without channels, which come first or last."""
    tensor = images if isinstance(images, Tensor) else torch.from_numpy(np.ascontiguousarray(images))
    if tensor.dtype != torch.uint8:
        kind = str(tensor.dtype).removeprefix("torch.")
        raise InputError(f"{what}: pixels are {kind}; give uint8, 0 to 255 (they are normalised here)")
    if tensor.dim() == 4 and tensor.shape[-1] in (1, CHANNELS) and tensor.shape[1] not in (1, CHANNELS):
        tensor = tensor.permute(0, 3, 1, 2)
    if tensor.dim() == 3:
        tensor = tensor[:, None]
    if tensor.dim() != 4 or tensor.shape[1] not in (1, CHANNELS):
        raise InputError(
            f"{what}: pixels have the shape {list(tensor.shape)}; give [N, H, W], [N, H, W, 3] or [N, 3, H, W]"
        )
    return tensor.expand(-1, CHANNELS, -1, -1).contiguous()


def _labels(labels: Sequence[Any], what: str) -> Tensor:
    numbers = []
    for position, label in enumerate(labels):
        number = label.item() if (hasattr(label, "item") and not hasattr(label, "shape")) or is_array(label) else label
        if isinstance(number, bool) or not isinstance(number, int) or number < 0:
            raise InputError(f"{what}, item {position}: label {shown(number)} is no class's number, from 0 on")
        numbers.append(number)
    return torch.tensor(numbers, dtype=torch.int64)


def is_array(given: Any) -> bool:
    """Whether something is an array of NumPy's or torch's, or a number out of one."""
    return isinstance(given, np.ndarray | Tensor | np.generic)
