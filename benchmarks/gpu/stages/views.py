"""Order and views, device against CPU: the pixels must be the same."""

from __future__ import annotations

import torch
from torch import Tensor

from benchmarks.common import at_most
from benchmarks.gpu.asked import Asked
from benchmarks.gpu.material import pixels, size
from trainers.config import Recipe
from trainers.data.base import ImageData, Split
from trainers.draws import order
from trainers.views.views import Views

KINDS = {
    "weak": (Recipe(), "training"),
    "strong": (Recipe(), "strong"),
    "autoaugment": (Recipe(views="autoaugment"), "training"),
}
IMAGES = 8192
"""Two chunks of an epoch."""
EPOCH = 3
"""Any one."""
SAME = at_most(0)
ROUNDING = at_most(1e-5)
"""Of a normalised view, which is about 1."""


def run(asked: Asked) -> None:
    """Compare all kinds of views."""
    how, place = size(asked), torch.device(asked.device)
    data = pixels(128 if asked.quick else IMAGES, side=how.side, classes=how.classes)
    here = data.train
    assert isinstance(here, Split)
    there = here.to(place)
    orders = [order(0, EPOCH, split.index).cpu() for split in (here, there)]
    asked.check("order: places that differ", int((orders[0] != orders[1]).sum()), SAME, images=len(here))
    for kind, (recipe, name) in KINDS.items():
        with asked.trying(f"{kind} view"):
            pair = [
                getattr(Views(recipe, data, device), name)(split.images, split.index, 0, EPOCH).cpu()
                for split, device in ((here, torch.device("cpu")), (there, place))
            ]
            _compare(asked, kind, data, *pair)


def _compare(asked: Asked, kind: str, data: ImageData, one: Tensor, two: Tensor) -> None:
    """One kind of view, as normalised floats ``[N, 3, H, W]``, and as the pixels that they are made of."""
    before = [as_pixels(view, data) for view in (one, two)]
    differing = int((before[0] != before[1]).flatten(1).any(dim=1).sum())
    asked.check(f"{kind} view: images whose pixels differ", differing, SAME, images=len(one))
    largest = float((one - two).abs().max())
    bits = int((one != two).flatten(1).any(dim=1).sum())
    asked.check(f"{kind} view: largest difference once normalised", largest, ROUNDING, images_that_differ=bits)


def as_pixels(view: Tensor, data: ImageData) -> Tensor:
    """The integers that a view was made of."""
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (data.mean, data.std))
    return ((view * std + mean) * 255).round().to(torch.int16)
