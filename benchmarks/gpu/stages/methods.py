"""Every method for two epochs: device against CPU, and whether it repeats as it is."""

from __future__ import annotations

from collections.abc import Iterable

import torch

from benchmarks.common import at_most
from benchmarks.gpu.asked import Asked
from benchmarks.gpu.material import epochs, pixels, trial
from benchmarks.trials import Pair
from trainers.data.base import ImageData
from trainers.distillers import METHODS
from trainers.models import Network
from trainers.rehearsal import stand_in

PAIR = Pair("resnet14", "resnet8")
SIDE, CLASSES, BATCH = 16, 10, 32
IMAGES, QUICK_IMAGES = 168, 72
"""So few that all methods are trained in a minute or two; the last batch is not whole."""
THREADS = 4
"""On the CPU: more would wait for each other longer than they compute."""
FIRST_EPOCH = at_most(1e-3)
"""Relative difference of the first epoch's loss: training amplifies rounding."""
QUICK = ("kd", "sld", "fitnet")
"""One of each kind that has a teacher."""


def run(asked: Asked) -> None:
    """Train every method on the CPU, and on the device twice."""
    few_threads()
    data, teacher = material(asked)
    for method in chosen(asked):
        with asked.trying(f"{method}: loss beside the CPU's"):
            config = trial(PAIR, method, batch=BATCH, epochs=2)
            here, there, again = (
                list(epochs(config, data, teacher, device)) for device in ("cpu", asked.device, asked.device)
            )
            off = [abs(a.loss - b.loss) / abs(a.loss) for a, b in zip(here, there, strict=True)]
            asked.check(f"{method}: loss beside the CPU's", off[0], FIRST_EPOCH, second=off[1], repeats=there == again)


def chosen(asked: Asked) -> Iterable[str]:
    """The methods that are trained."""
    return QUICK if asked.quick else METHODS


def material(asked: Asked) -> tuple[ImageData, Network]:
    """Images and a teacher for all methods."""
    data = pixels(QUICK_IMAGES if asked.quick else IMAGES, side=SIDE, classes=CLASSES)
    return data, stand_in(PAIR.teacher, data)


def few_threads() -> None:
    """Have the CPU's part computed by a few threads."""
    torch.set_num_threads(min(THREADS, torch.get_num_threads()))
