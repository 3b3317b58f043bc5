"""What each trial beyond the first takes of a machine's memory: no second copy of data, teacher or bank.

    uv run python -m benchmarks.memory [--trials 8] [--images 6400] [--quick]

Eight processes with a trial each, as `sweep run` has workers, on one set of decoded images and one bank. They take
turns in training an epoch and stay where they are after it. Then the kernel is asked (``/proc/PID/smaps_rollup``) what
each holds to itself alone (USS), and what its share of everything is, where a page that n processes map counts as 1/n
(PSS). Two processes more are the measure: the same student's trials with next to no images and a small teacher, for as
many steps, since the allocator's heap grows with them; the second finds its bank filled. What the second to the eighth
hold beyond that one is to be less than half of the images: room for a copy neither of these nor of the teacher.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple

import torch

from benchmarks import trials
from benchmarks.common import PROC, Row, at_most, parser, print_machine, print_notes, print_rows
from benchmarks.trials import Pair
from trainers.data import ImageData
from trainers.process import WORKER_ENVIRONMENT
from trainers.rehearsal import stand_in
from trainers.teaching.logit_bank import LogitBank

PAIR = Pair("vgg13", "resnet8")
"""A teacher of many weights and little work, and a student that trains fast; memory is of interest here, not time."""
BARE = Pair("resnet8", "resnet8")
BARE_IMAGES = 200
ALLOWED = 0.5
"""Of the images: private memory beyond the bare trial that is no copy yet."""
MEGABYTE = 2**20


class Held(NamedTuple):
    """Memory of a process, in megabytes."""

    uss: float
    """Its own alone."""
    pss: float
    """With its share of what it has in common with others."""


@dataclass(frozen=True)
class Course:
    """The trial of some processes."""

    pair: Pair
    images: int
    epochs: int
    scratch: Path
    folder: Path | None = None
    """Of the data; None: random pixels."""

    def data(self) -> ImageData:
        """The images, decoded once and mapped."""
        return trials.opened(self.folder, self.images, trials.CLASSES, self.scratch)

    def teacher(self) -> str:
        """The hash of its weights."""
        return trials.content_of(stand_in(self.pair.teacher, self.data()))

    @property
    def bank(self) -> LogitBank:
        return LogitBank(self.scratch / "bank")


def held(process: int) -> Held:
    """What a process holds; raises OSError where there is no such process."""
    fields = {}
    for line in (PROC / str(process) / "smaps_rollup").read_text("utf-8").splitlines()[1:]:
        name, kilobytes = line.split(":")
        fields[name] = int(kilobytes.split()[0]) / 1024
    return Held(fields["Private_Clean"] + fields["Private_Dirty"], fields["Pss"])


def work(course: Course, teacher: str, pipe: Connection) -> None:
    """In a process: train when told to, say so, and wait for the end. `teacher` is the hash of its weights."""
    torch.set_num_threads(1)
    pipe.recv()
    data = course.data()
    config = trials.trial(course.pair, data, teacher, epochs=course.epochs + 1, test_per_class=1)
    epochs = trials.trained(config, data, lambda: stand_in(course.pair.teacher, data), course.bank)
    for _ in range(course.epochs):
        next(epochs)
    pipe.send("trained")
    pipe.recv()


@contextmanager
def trained(course: Course, teacher: str) -> Iterator[int]:
    """A process that has trained and waits: its number."""
    context = get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=work, args=(course, teacher, there))
    process.start()
    there.close()
    try:
        here.send("train")
        here.recv()
        yield process.pid or 0
    finally:
        process.terminate()
        process.join()
        here.close()


def main() -> None:
    """Print the memory of each process, and what the later ones hold beyond a bare trial."""
    made = parser(__doc__, count=1)
    made.add_argument("--trials", type=int, default=8)
    made.add_argument("--images", type=int, default=6400, help="that are trained on (6400)")
    made.add_argument("--data", type=Path, help="folder of Parquet files of 32 × 32 images; default: random pixels")
    options = made.parse_args()
    count, images = (3, 1600) if options.quick else (options.trials, options.images)
    print_machine()
    os.environ.update(WORKER_ENVIRONMENT)  # for the processes that are started here
    with tempfile.TemporaryDirectory() as scratch:
        whole = Course(PAIR, images, 1, Path(scratch) / "whole", options.data)
        small = Course(BARE, BARE_IMAGES, images // BARE_IMAGES, Path(scratch) / "bare")
        *found, _, bare = measured([whole] * count + [small] * 2)
        sizes = shared(whole)
    goal = at_most(ALLOWED * sizes["images"] / MEGABYTE)
    print_notes({name: f"{size / MEGABYTE:.1f} MB" for name, size in sizes.items()})
    print_notes({f"trial {number}": _text(process) for number, process in enumerate(found, start=1)})
    print_notes({"bare trial": _text(bare)})
    beyond = [process.uss - bare.uss for process in found[1:]]
    print_rows("memory of the 2nd and later trials", [Row("MB of its own beyond a bare trial's", beyond, goal)])


def measured(courses: Sequence[Course]) -> list[Held]:
    """What each trial's process holds while all are there: pages of libraries are then nobody's own."""
    with ExitStack() as stack:
        processes = [stack.enter_context(trained(course, course.teacher())) for course in courses]
        return [held(process) for process in processes]


def shared(course: Course) -> dict[str, int]:
    """Bytes of what a trial could have copies of."""
    data = course.data()
    height, width = data.image_size
    weights = stand_in(course.pair.teacher, data).state_dict()
    return {
        "images": (len(data.train) + len(data.test)) * 3 * height * width,
        "teacher": sum(tensor.nbytes for tensor in weights.values()),
        "bank": course.bank.used(),
    }


def _text(process: Held) -> str:
    return f"USS {process.uss:.1f} MB, PSS {process.pss:.1f} MB"


if __name__ == "__main__":
    main()
