"""Whether an exported file gives the logits of the student that it was made of, on real images where these are at hand.

Shapes: `N` images, `B` of a batch, `C` classes, `H`, `W` pixels.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from sweep.students.about import About
from sweep.students.file_formats import FileFormat, Run
from sweep.students.graph import PIXELS, Pixels, as_read
from sweep.students.student import Student
from sweep.text import first_line
from trainers.data import DATASETS, ImageData
from trainers.errors import CheckpointError, KDError

CHECKED = 200
"""Images that a file is run on, at most."""
BATCHES = (1, 7)
"""Numbers of images of its first passes; the last pass has the rest. So a graph that takes one number alone fails."""
TOLERANCE = 1e-4
"""Of the largest logit, and of 1 where all are smaller: what two programs may differ by that round float32 each in its
own order. A graph that computes anything else is off by many times that."""


@dataclass(frozen=True)
class Sample:
    """What a file is checked on."""

    images: Tensor  # uint8 [N, 3, H, W]
    words: str
    """``200 test images of digits``."""


@dataclass(frozen=True)
class Check:
    """What came of it."""

    on: str
    largest_difference: float
    """Between two logits."""
    allowed: float
    largest_logit: float
    same_predictions: int
    """Images to which both give the same class."""
    images: int

    @property
    def words(self) -> str:
        """In a sentence."""
        agree = "all" if self.same_predictions == self.images else f"{self.same_predictions} of {self.images}"
        return (
            f"the student's logits on {self.on}: they differ by at most {self.largest_difference:.1e} (allowed"
            f" {self.allowed:.1e}; the largest logit is {self.largest_logit:.3g}), and {agree} predictions are the same"
        )


def sample(about: About) -> Sample:
    """Test images of the student's own data set, as it is evaluated on them; where that is not here, or is another one,
    random pixels, always the same. Nothing is downloaded for it."""
    if not about.config["dataset"]["content"]:
        return _drawn(about, "the server does not tell which its images are")
    try:
        options = about.config["dataset"]["options"] | about.source
        options |= {"download": False} if "download" in options else {}
        data = DATASETS[about.config["dataset"]["name"]].model_validate(options).load()
    except (KDError, ValueError, OSError) as error:
        return _drawn(about, f"its data set is not at hand ({first_line(error)})")
    if data.content != about.config["dataset"]["content"]:
        return _drawn(about, f"the data set '{data.name}' that is here is another one")
    return Sample(_some(data), f"{min(CHECKED, len(data.test))} test images of {data.name}")


def _some(data: ImageData) -> Tensor:
    """Test images from the first to the last, evenly: they may be sorted by class."""
    places = torch.linspace(0, len(data.test) - 1, min(CHECKED, len(data.test))).long()
    (batch,) = data.test.batches([places])
    return batch.images


def _drawn(about: About, why: str) -> Sample:
    height, width = about.images["size"]
    draw = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (CHECKED, 3, height, width), generator=draw, dtype=torch.uint8)
    return Sample(images, f"{CHECKED} images of random pixels, as {why}")


@torch.no_grad()
def check(kind: FileFormat, file: Path, student: Student, pixels: Pixels, on: Sample) -> Check:
    """Read a file as its users do, run it on batches of several sizes, and compare.

    Args:
        kind: which format it is.
        file: just written.
        student: that it was made of.
        pixels: what it reads.
        on: images.

    Raises:
        CheckpointError: where it cannot be read or run, gives other logits, or is a graph that takes other pixels too.
    """
    expected = student(on.images)
    try:
        run = kind.read(file)
        found = torch.cat([run(as_read(part, pixels)) for part in _parts(on.images)])
    except Exception as error:  # whatever a file makes its reader raise
        raise CheckpointError(
            f"{kind.file} cannot be read back and run: {first_line(error)}; it was removed"
        ) from error
    made = _compared(expected, found, on)
    if found.shape != expected.shape or not made.largest_difference <= made.allowed:
        raise CheckpointError(f"{kind.file} does not give {made.words}; it was removed")
    for other in PIXELS if kind.graph else ():
        if other != pixels and _runs(run, as_read(on.images[:1], other)):
            raise CheckpointError(f"{kind.file} takes {other} pixels for {pixels} ones; it was removed")
    return made


def _runs(run: Run, images: Tensor) -> bool:
    """Whether a file says anything of images; it is to refuse what it would misread."""
    try:
        run(images)
    except Exception:  # each runtime has an error of its own
        return False
    return True


def _parts(images: Tensor) -> Iterator[Tensor]:
    start = 0
    for count in (*BATCHES, len(images)):
        if start < len(images):
            yield images[start : start + count]
        start += count


def _compared(expected: Tensor, found: Tensor, on: Sample) -> Check:
    largest = float(expected.abs().max())
    same_shape = found.shape == expected.shape
    return Check(
        on=on.words,
        largest_difference=float((found - expected).abs().max()) if same_shape else float("inf"),
        allowed=TOLERANCE * max(1.0, largest),
        largest_logit=largest,
        same_predictions=int((found.argmax(1) == expected.argmax(1)).sum()) if same_shape else 0,
        images=len(expected),
    )
