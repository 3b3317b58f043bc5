"""Every method for two epochs: device against CPU, and whether it repeats with `deterministic: true`."""

from __future__ import annotations

import time

import torch

from benchmarks.common import at_least, at_most
from benchmarks.gpu.asked import Asked
from benchmarks.gpu.material import epochs, pixels, trial
from benchmarks.trials import Pair
from trainers.distillers import METHODS
from trainers.rehearsal import stand_in
from trainers.result import EpochResult

PAIR = Pair("resnet14", "resnet8")
SIDE, CLASSES, BATCH = 16, 10, 32
IMAGES, QUICK_IMAGES = 168, 72
"""So few that all methods are trained in a minute or two; the last batch is not whole."""
THREADS = 4
"""On the CPU: more would wait for each other longer than they compute."""
FIRST_EPOCH = at_most(1e-3)
"""Relative difference of the first epoch's loss: training amplifies rounding."""
REPEATS = at_least(1)
QUICK = ("kd", "sld", "fitnet")
"""One of each kind that has a teacher."""


def run(asked: Asked) -> None:
    """Train every method."""
    torch.set_num_threads(min(THREADS, torch.get_num_threads()))
    data = pixels(QUICK_IMAGES if asked.quick else IMAGES, side=SIDE, classes=CLASSES)
    teacher = stand_in(PAIR.teacher, data)

    def trained(method: str, device: str, **recipe: bool) -> list[EpochResult]:
        config = trial(PAIR, method, batch=BATCH, epochs=2, **recipe)
        return list(epochs(config, data, teacher, device))

    for method in QUICK if asked.quick else METHODS:
        with asked.trying(method):
            here, there, again = (trained(method, device) for device in ("cpu", asked.device, asked.device))
            off = [abs(a.loss - b.loss) / abs(a.loss) for a, b in zip(here, there, strict=True)]
            asked.check(f"{method}: loss beside the CPU's", off[0], FIRST_EPOCH, second=off[1], repeats=there == again)
        with asked.trying(f"{method}, deterministic"):
            started = time.perf_counter()
            one, two = (trained(method, asked.device, deterministic=True) for _ in range(2))
            seconds = (time.perf_counter() - started) / 2
            asked.check(f"{method}, deterministic: repeats", one == two, REPEATS, seconds_a_trial=seconds)
