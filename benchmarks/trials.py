"""What is trained in the measurements: pairs, data of CIFAR-100's shape, teachers, and our side's trials.

Nothing here needs to be accurate: a step takes as long with random pixels and an untrained teacher. The teacher's batch
norms do have the statistics of its data, so that its logits are of an ordinary size and nothing overflows.
"""

from __future__ import annotations

import argparse
import io
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
import yaml
from PIL import Image

from benchmarks.common import CPU
from trainers.config import DatasetConfig, MethodConfig, Recipe, TeacherConfig, TrialConfig
from trainers.data import DATASETS, ImageData, Images, Split
from trainers.data.pixels.cache import VARIABLE
from trainers.fit import fit
from trainers.models import Network
from trainers.rehearsal import stand_in
from trainers.result import EpochResult
from trainers.storage.content import tensors_key
from trainers.teaching.logit_bank import LogitBank

CLASSES = 100
TEST_IMAGES = CLASSES
"""The least that holds every class: for 512 that are trained on a fifth, as with CIFAR-100."""
SIDE = 32
BATCH = 64
"""Images per step on both sides: the field's recipe."""
LR = 0.01
"""Learning rate on both sides; no pair diverges with it."""
ALPHAS = (0.2, 0.5, 1.0, 2.0, 5.0)
"""The sweep that is measured: table 11 of DHKD's paper."""
HEAD: Literal["linear", "nonlinear"] = "nonlinear"
"""DHKD's auxiliary head on both sides, the costlier one."""


@dataclass(frozen=True)
class Pair:
    """A teacher and a student, by architecture."""

    teacher: str
    student: str

    @classmethod
    def parse(cls, text: str) -> Pair:
        """Of ``"resnet56 -> resnet20"``."""
        teacher, arrow, student = (part.strip() for part in text.partition("->"))
        if not (teacher and arrow and student):
            raise argparse.ArgumentTypeError(f"a pair is written 'resnet56 -> resnet20', found '{text}'")
        return cls(teacher, student)

    def __str__(self) -> str:
        return f"{self.teacher} → {self.student}"


DEEP = Pair("resnet32x4", "resnet8x4")
SMALL = Pair("resnet56", "resnet20")
LIGHT = Pair("wrn_40_2", "ShuffleV1")
PAIRS = (DEEP, SMALL, LIGHT)
"""What the goals are stated for: a teacher six times its student's work, three times, and seven times but a student
that is bound by memory."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options that measurements of training have."""
    parser.add_argument("--pairs", type=Pair.parse, nargs="+", default=list(PAIRS), help="'resnet56 -> resnet20' …")
    parser.add_argument("--steps", type=int, default=8, help="of 64 images, of one turn (8)")
    parser.add_argument("--data", type=Path, help="folder of Parquet files of 32 × 32 images; default: random pixels")
    parser.add_argument("--threads", type=int, help="of this process; default: as torch finds them")
    parser.add_argument("--device", type=torch.device, default=CPU, help="torch's name of it (cpu), for both sides")
    parser.add_argument("--recipe", type=yaml.safe_load, default={}, help="our recipe fields: '{compile: true}'")


# -- data -------------------------------------------------------------------------------------------------------------


def image_data(folder: Path | None, train: int, test: int, scratch: Path) -> ImageData:
    """So many training and test images, in memory.

    Args:
        folder: of Parquet files, whose first images are taken; None for random pixels.
        train, test: images.
        scratch: where random pixels are written and decoded to.
    """
    data = opened(folder, train, test, scratch)
    cut = [_first(split, count) for split, count in ((data.train, train), (data.test, test))]
    return ImageData(data.name, cut[0], cut[1], data.classes, data.mean, data.std)


def opened(folder: Path | None, train: int, test: int, scratch: Path) -> ImageData:
    """The whole set as the project opens it: decoded once, then mapped."""
    if folder is None:
        folder = scratch / "pixels"
        os.environ[VARIABLE] = str(scratch / "cache")
        if not folder.exists():
            write_pixels(folder, train, test)
    return DATASETS["parquet"].model_validate({"path": folder}).load()


def write_pixels(folder: Path, train: int, test: int) -> None:
    """Random pixels in the shape of CIFAR-100, as Parquet files; the classes follow each other."""
    folder.mkdir(parents=True)
    random = np.random.default_rng(0)
    for split, count in (("train", train), ("test", test)):
        drawn = (random.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8) for _ in range(count))
        images = [{"bytes": _png(pixels), "path": None} for pixels in drawn]
        labels = [number % CLASSES for number in range(count)]
        pq.write_table(pa.table({"image": images, "label": labels}), folder / f"{split}.parquet")


def _png(pixels: np.ndarray[Any, np.dtype[np.uint8]]) -> bytes:
    written = io.BytesIO()
    Image.fromarray(pixels).save(written, "png", compress_level=1)
    return written.getvalue()


def _first(split: Images, count: int) -> Split:
    return next(iter(split.batches([torch.arange(min(count, len(split)))])))


@dataclass(frozen=True)
class Course:
    """What both sides of a measurement are given; what is large is made from it in each process."""

    pair: Pair
    steps: int
    """Of :data:`BATCH` images, of an epoch."""
    epochs: int
    folder: Path | None
    """Of the data; None: random pixels."""
    scratch: Path
    device: torch.device

    @property
    def bank(self) -> LogitBank:
        return LogitBank(self.scratch / "bank")


@lru_cache(maxsize=1)
def material(course: Course) -> tuple[ImageData, Network]:
    """Data and teacher, once in each process."""
    data = image_data(course.folder, course.steps * BATCH, TEST_IMAGES, course.scratch)
    return data, stand_in(course.pair.teacher, data)


# -- our trials -------------------------------------------------------------------------------------------------------


def trial(
    pair: Pair,
    data: ImageData,
    teacher: str,
    *,
    epochs: int,
    alpha: float = 1.0,
    align: bool = False,
    **recipe: Any,
) -> TrialConfig:
    """DHKD on all images of `data` in the field's recipe, but for the fields in `recipe`; `teacher` is its hash."""
    fields = {"epochs": epochs, "batch_size": BATCH, "lr": LR, "schedule": "constant", "val_fraction": 0.0} | recipe
    return TrialConfig(
        dataset=DatasetConfig(name=data.name, content=data.content),
        model=pair.student,
        teacher=TeacherConfig(architecture=pair.teacher, hash=teacher),
        method=MethodConfig(name="dhkd", params={"alpha": alpha, "align": align, "head": HEAD}),
        recipe=Recipe.model_validate(fields),
    )


def content_of(network: Network) -> str:
    """The hash that names its weights."""
    return tensors_key(network.state_dict())


Teacher = Network | Callable[[], Network]


def trained(
    config: TrialConfig,
    data: ImageData,
    teacher: Teacher,
    bank: LogitBank | None,
    folder: Path | None = None,
    device: torch.device = CPU,
) -> Iterator[EpochResult]:
    """The trial's epochs, one at a time, with checkpoints where it has a folder. The only place where these
    measurements call the trainer."""
    return fit(config, data=data, teacher=teacher, bank=bank, folder=folder, device=str(device))


def fill(bank: LogitBank, config: TrialConfig, data: ImageData, teacher: Teacher, device: torch.device = CPU) -> None:
    """Have the bank hold all that the trial reads of it."""
    for _ in trained(config, data, teacher, bank, device=device):
        pass


def seconds_a_step(epochs: Iterator[EpochResult]) -> Callable[[], float]:
    """Trains one more epoch with each call; seconds of a step, evaluation not counted.

    The call raises RuntimeError where the bank did not hold all that the epoch needed.
    """

    def turn() -> float:
        epoch = next(epochs)
        if epoch.teacher_images:
            raise RuntimeError(
                f"epoch {epoch.epoch}: the teacher ran on {epoch.teacher_images} images; the bank is cold"
            )
        return BATCH / epoch.images_per_second

    return turn
