"""What diagnostics cost, as a share of an epoch.

    uv run python -m benchmarks.diagnostics

An epoch of DHKD, evaluation included, and the diagnostics after it take turns in this process: on few-shot digits,
whose sample is the whole training set, and on random images in CIFAR-100's proportions, 500 to train on and 100 to test
on of each class, with fewer classes so that it ends soon. On the CPU it is one thread's time, which a busy machine
hardly changes; the share is the median of the paired ratios.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch

from trainers.config import DatasetConfig, MethodConfig, Recipe, TeacherConfig, TrialConfig
from trainers.data import ImageData, Split, TrainingData
from trainers.data.sources.digits import Digits
from trainers.diagnostics import Sample, diagnose
from trainers.distillers import Distiller, Setting, build_distiller
from trainers.fit import fit, seeded_model
from trainers.models import Network
from trainers.recipes import RECIPES
from trainers.views.views import Views

TRAIN, TEST, SIDE = 500, 100, 32
"""Images of each class and their pixels, as in CIFAR-100."""
HALF = (0.5, 0.5, 0.5)
METHOD = MethodConfig(name="dhkd", params={"head": "linear"})


def main() -> None:
    """Print one line per data set: seconds of both, and the share."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--teacher", default="resnet20")
    parser.add_argument("--student", default="resnet8")
    parser.add_argument("--classes", type=int, default=10, help="of the random images")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(f"{options.teacher} to {options.student}; seconds, medians of {options.repeats}")
    cases = [
        ("digits, few-shot", Digits(image_size=8).load(), RECIPES["digits"]),
        ("like CIFAR-100", noise(options.classes), Recipe(val_fraction=0)),
    ]
    for name, data, recipe in cases:
        epochs, looks = measured(data, recipe, options)
        share = statistics.median(look / epoch for look, epoch in zip(looks, epochs, strict=True))
        times = f"{statistics.median(epochs):7.2f} an epoch, {statistics.median(looks):7.2f} its diagnostics"
        print(f"{name:18} {times}: {100 * share:.0f} %", flush=True)


def noise(classes: int) -> ImageData:
    """Random pixels, as many of each class as CIFAR-100 has."""
    generator = torch.Generator().manual_seed(0)

    def split(each: int) -> Split:
        shape, index = (each * classes, 3, SIDE, SIDE), torch.arange(each * classes)
        return Split(torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator), index % classes, index)

    return ImageData("noise", split(TRAIN), split(TEST), tuple(map(str, range(classes))), HALF, HALF)


def measured(data: ImageData, recipe: Recipe, options: argparse.Namespace) -> tuple[list[float], list[float]]:
    """Seconds of each epoch and of diagnostics after it, in turns; a first one of each is not counted."""
    recipe = recipe.model_copy(update={"epochs": options.repeats + 1, "warmup_epochs": 0})
    teacher = seeded_model(options.teacher, data.num_classes, seed=1).to(options.device).eval()
    trial = TrialConfig(
        dataset=DatasetConfig(name=data.name),
        model=options.student,
        teacher=TeacherConfig(architecture=options.teacher, hash="0" * 16),
        method=METHOD,
        recipe=recipe,
    )
    distiller, sample = watched(data, recipe, teacher, options)
    training = fit(trial, data=data, teacher=teacher, device=options.device)
    epochs, looks = [], []
    for epoch in range(1, recipe.epochs + 1):
        epochs.append(timed(lambda: next(training), options.device))
        looks.append(timed(lambda at=epoch: diagnose(distiller, sample, at), options.device))
    return epochs[1:], looks[1:]


def watched(data: ImageData, recipe: Recipe, teacher: Network, options: argparse.Namespace) -> tuple[Distiller, Sample]:
    """A method like the one that is trained, and the sample of its trial."""
    place = torch.device(options.device)
    cut = TrainingData.cut(data, recipe)
    student = seeded_model(options.student, data.num_classes, seed=0)
    distiller = build_distiller(METHOD, student, Setting(data.num_classes, data.image_size, teacher)).to(place)
    autocast = torch.autocast(place.type, torch.bfloat16, enabled=False)
    views = Views(recipe, data, place)
    return distiller, Sample.draw(recipe, cut.train.to(place), cut.test.to(place), views, autocast, teacher)


def timed(work: Callable[[], object], device: str) -> float:
    """Seconds of one call: the process's own on the CPU, by the clock on the wall elsewhere; both wait for a result."""
    clock = time.process_time if device == "cpu" else time.perf_counter
    start = clock()
    work()
    return clock() - start


if __name__ == "__main__":
    main()
