"""One trial of a sweep whose teacher's logits are in the bank, against the authors' loop.

    uv run python -m benchmarks.trial_speed [--pairs "resnet56 -> resnet20"] [--rounds 5] [--quick]

A turn is an epoch of a few steps, of which only the training is timed. Each side has a process of its own, ours with
the environment of `sweep run`'s workers, theirs with the user's. The sweep is over DHKD's alpha: the bank was filled by
a trial with another alpha. Our side trains in float32 and, where the processor multiplies bfloat16 itself, in bf16; for
the pairs with a goal for it also with gradient alignment. Two more figures per pair and precision: our step against a
forward and a backward pass of the bare student in the same process, precision and memory layout, with nothing else; and
what reading the bank takes of our step.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache, partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional as F

from benchmarks import trials
from benchmarks.authors_loop import AuthorsLoop, Options, opponent
from benchmarks.common import (
    Goal,
    Load,
    Row,
    at_least,
    at_most,
    bf16_is_fast,
    parser,
    print_machine,
    print_notes,
    print_rows,
    ratios,
    rounds,
    seconds,
    spread,
)
from benchmarks.trials import ALPHAS, BATCH, DEEP, LIGHT, SMALL, Course, Pair, material
from trainers.fit import seeded_model
from trainers.process import WORKER_ENVIRONMENT

Contestant = tuple[str, bool]
"""A precision, or the authors' loop or the bare student; and whether gradients are aligned."""
THEIRS = "authors' loop"
BARE = "bare "
GOALS: dict[tuple[Pair, str, bool], Goal] = {
    (DEEP, "fp32", False): at_least(3.2),
    (DEEP, "bf16", False): at_least(9),
    (DEEP, "fp32", True): at_least(2.4),
    (DEEP, "bf16", True): at_least(6.5),
    (SMALL, "fp32", False): at_least(2.3),
    (SMALL, "bf16", False): at_least(4.5),
    (LIGHT, "fp32", False): at_least(1.9),
    (LIGHT, "bf16", False): at_least(2.4),
}
ON_A_GPU = at_least(10)
"""For :data:`DEEP`, whatever the precision."""
ALIGNED_OVER_PLAIN = at_most(1.75)
OVER_BARE = at_most(1.1)
BANK_SHARE = at_most(0.005)


@dataclass(frozen=True)
class Turns(Course):
    """Makes the contestants."""

    recipe: tuple[tuple[str, Any], ...]

    def theirs(self, align: bool) -> Callable[[], float]:
        """The opponent's turns: seconds of a step."""
        return partial(_step_of, opponent(self.pair, *material(self), Options(align=align), self.device))

    def ours(self, precision: str, align: bool) -> Callable[[], float]:
        """Our side's turns: seconds of a step."""
        data, teacher = material(self)
        recipe, content = dict(self.recipe) | {"precision": precision}, trials.content_of(teacher)
        first, second = (
            trials.trial(self.pair, data, content, epochs=self.epochs, alpha=alpha, align=aligned, **recipe)
            for alpha, aligned in ((ALPHAS[0], False), (ALPHAS[2], align))
        )
        trials.fill(self.bank, first, data, teacher, self.device)
        return trials.seconds_a_step(trials.trained(second, data, teacher, self.bank, device=self.device))

    def bare(self, precision: str) -> Callable[[], float]:
        """Forward and backward of the student alone: seconds of a step."""
        data, _ = material(self)
        place, layout = self.device, torch.channels_last
        student = seeded_model(self.pair.student, data.num_classes, seed=0).train().to(place).to(memory_format=layout)
        images = torch.randn(BATCH, 3, *data.image_size).to(place).to(memory_format=layout)
        targets = (torch.arange(BATCH) % data.num_classes).to(place)
        autocast = torch.autocast(place.type, torch.bfloat16, enabled=precision == "bf16")

        def work() -> None:
            for _ in range(self.steps):
                student.zero_grad(set_to_none=True)
                with autocast:
                    logits = student(images)
                F.cross_entropy(logits.float(), targets).backward()  # type: ignore[no-untyped-call]
            if place.type == "cuda":
                torch.cuda.synchronize(place)

        return lambda: seconds(work) / self.steps


@cache
def contestant(course: Turns, who: Contestant) -> Callable[[], float]:
    """In our side's process: the turns of a precision, or of the bare student in one."""
    name, aligned = who
    return course.bare(name.removeprefix(BARE)) if name.startswith(BARE) else course.ours(name, aligned)


def turn(course: Turns, who: Contestant, threads: int) -> float:
    """In our side's process: one turn."""
    torch.set_num_threads(threads)
    return contestant(course, who)()


def _step_of(loop: AuthorsLoop) -> float:
    seen = loop.train()
    return seen.seconds / seen.steps


def main() -> None:
    """Print one table a pair."""
    made = parser(__doc__, count=5)
    trials.add_options(made)
    made.add_argument("--precisions", nargs="+", choices=["fp32", "bf16"], help="default: those that this machine has")
    made.add_argument("--align", action="store_true", help="with gradient alignment for every pair")
    options = made.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    count, steps = (1, 2) if options.quick else (options.rounds, options.steps)
    pairs: Sequence[Pair] = [SMALL] if options.quick else options.pairs
    precisions = options.precisions or (["fp32", "bf16"] if bf16_is_fast(options.device) else ["fp32"])
    print_machine()
    os.environ.update(WORKER_ENVIRONMENT)  # for our side's process alone: this one has read it already
    for pair in pairs:
        with tempfile.TemporaryDirectory() as scratch:
            recipe = tuple(options.recipe.items())
            course = Turns(pair, steps, count + 1, options.data, Path(scratch), options.device, recipe)
            measure(course, precisions, options.align or pair == DEEP, count)


def measure(course: Turns, precisions: Sequence[str], align: bool, count: int) -> None:
    """Run the rounds of one pair, and print its figures."""
    material(course)  # written before two processes look for it
    alignments = (False, True) if align else (False,)
    sides: dict[Contestant, Callable[[], float]] = {(THEIRS, aligned): course.theirs(aligned) for aligned in alignments}
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        ours = [(precision, aligned) for aligned in alignments for precision in precisions]
        for who in [*ours, *((BARE + precision, False) for precision in precisions)]:
            sides[who] = lambda who=who: process.submit(turn, course, who, torch.get_num_threads()).result()  # type: ignore[misc]
        with Load() as load:
            found = rounds(sides, count)
    print_rows(f"{course.pair}: {count} rounds of {course.steps} steps of {BATCH}; {load}", rows(course, found))
    print_notes({_named(who): f"{1000 * spread(values).median:.1f} ms a step" for who, values in found.items()})


def rows(course: Turns, found: dict[Contestant, list[float]]) -> list[Row]:
    """The figures of one pair."""
    ours = [(name, aligned) for name, aligned in found if name in ("fp32", "bf16")]
    made = [
        Row(
            f"{_named((name, aligned))}: times the authors' images per second",
            ratios(found[THEIRS, aligned], found[name, aligned]),
            goal(course, name, aligned),
        )
        for name, aligned in ours
    ]
    for name, aligned in ours:
        if aligned:
            aligned_ratio = ratios(found[name, True], found[name, False])
            made.append(Row(f"{name}: aligned step over plain step", aligned_ratio, ALIGNED_OVER_PLAIN))
        else:
            over_bare = ratios(found[name, False], found[BARE + name, False])
            made.append(Row(f"{name}: step over the bare student's", over_bare, OVER_BARE))
            made.append(Row(f"{name}: reading the bank, of a step", bank_share(course, found[name, False]), BANK_SHARE))
    return made


def goal(course: Turns, precision: str, aligned: bool) -> Goal | None:
    """Of our images per second."""
    if course.device.type == "cuda":
        return ON_A_GPU if course.pair == DEEP and not aligned else None
    return GOALS.get((course.pair, precision, aligned))


def bank_share(course: Turns, steps: Sequence[float]) -> list[float]:
    """What reading the bank takes of each of our steps.

    A shelf of its own, with the views of the rounds on it, is read as the trainer does: an epoch at a time.
    """
    data, _ = material(course)
    count, classes, views = len(data.train), data.num_classes, 162
    shelf = course.bank.shelf({"for": "timing"}, views=views, classes=classes, dtype=torch.float16)
    addresses = [torch.arange(count) * views + (7 * epoch) % views for epoch in range(len(steps))]
    for address in addresses:
        shelf.table(address, lambda positions: torch.randn(len(positions), classes))
    reads = [seconds(lambda a=address: shelf.table(a, _nothing_missing)) for address in addresses]  # type: ignore[misc]
    return [read * BATCH / count / step for read, step in zip(reads, steps, strict=True)]


def _nothing_missing(positions: torch.Tensor) -> torch.Tensor:
    raise RuntimeError(f"{len(positions)} entries of a full bank are not there")


def _named(who: Contestant) -> str:
    return f"{who[0]}, aligned" if who[1] else who[0]


if __name__ == "__main__":
    main()
