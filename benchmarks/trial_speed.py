"""One trial of a sweep whose teacher's logits are in the bank, against the authors' loop.

    uv run python -m benchmarks.trial_speed [--pairs "resnet56 -> resnet20"] [--rounds 5] [--quick]

A turn is an epoch of a few steps, of which only the training is timed. The sweep is over DHKD's alpha: the bank was
filled by a trial with another alpha. Our side trains in float32 and, where the processor multiplies bfloat16 itself, in
bf16; for the pairs with a goal for it also with gradient alignment. Two more figures per pair and precision: our step
against a forward and a backward pass of the bare student, in the same precision and memory layout, with nothing else;
and what reading the bank takes of our step.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
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
from benchmarks.trials import ALPHAS, BATCH, DEEP, LIGHT, SMALL, Pair
from trainers.data import ImageData
from trainers.fit import seeded_model
from trainers.logit_bank import LogitBank
from trainers.models import Network
from trainers.rehearsal import stand_in

Contestant = tuple[str, bool]
"""A precision, or the authors' loop or the bare student; and whether gradients are aligned."""
THEIRS = "authors' loop"
TEST_IMAGES = trials.CLASSES
"""The least that holds every class; testing is not timed here."""
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
ALIGNED_OVER_PLAIN = at_most(1.75)
OVER_BARE = at_most(1.1)
BANK_SHARE = at_most(0.005)


@dataclass(frozen=True)
class Course:
    """What the trials of one pair share."""

    pair: Pair
    data: ImageData
    teacher: Network
    bank: LogitBank
    epochs: int
    recipe: dict[str, Any]

    def ours(self, precision: str, align: bool) -> Callable[[], float]:
        """Our side's turns: seconds of a step."""
        recipe = self.recipe | {"precision": precision}
        teacher = trials.content_of(self.teacher)
        first, second = (
            trials.trial(self.pair, self.data, teacher, epochs=self.epochs, alpha=alpha, align=aligned, **recipe)
            for alpha, aligned in ((ALPHAS[0], False), (ALPHAS[2], align))
        )
        trials.fill(self.bank, first, self.data, self.teacher)
        return trials.seconds_a_step(trials.trained(second, self.data, self.teacher, self.bank))

    def theirs(self, align: bool) -> Callable[[], float]:
        """The opponent's turns: seconds of a step."""
        loop = opponent(self.pair, self.data, self.teacher, Options(align=align))
        return partial(_step_of, loop)

    def bare(self, precision: str, steps: int) -> Callable[[], float]:
        """Forward and backward of the student alone: seconds of a step."""
        student = seeded_model(self.pair.student, self.data.num_classes, seed=0).train()
        student = student.to(memory_format=torch.channels_last)
        images = torch.randn(BATCH, 3, *self.data.image_size).to(memory_format=torch.channels_last)
        targets = torch.arange(BATCH) % self.data.num_classes
        autocast = torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16")

        def work() -> None:
            for _ in range(steps):
                student.zero_grad(set_to_none=True)
                with autocast:
                    logits = student(images)
                F.cross_entropy(logits.float(), targets).backward()  # type: ignore[no-untyped-call]

        return lambda: seconds(work) / steps


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
    precisions = options.precisions or (["fp32", "bf16"] if bf16_is_fast() else ["fp32"])
    print_machine()
    for pair in pairs:
        with tempfile.TemporaryDirectory() as scratch:
            data = trials.image_data(options.data, steps * BATCH, TEST_IMAGES, Path(scratch))
            teacher = stand_in(pair.teacher, data)
            course = Course(pair, data, teacher, LogitBank(Path(scratch) / "bank"), count + 1, options.recipe)
            measure(course, precisions, options.align or pair == DEEP, count, steps)


def measure(course: Course, precisions: Sequence[str], align: bool, count: int, steps: int) -> None:
    """Run the rounds of one pair, and print its figures."""
    contestants: dict[Contestant, Callable[[], float]] = {}
    for aligned in (False, True) if align else (False,):
        contestants[THEIRS, aligned] = course.theirs(aligned)
        contestants |= {(precision, aligned): course.ours(precision, aligned) for precision in precisions}
    contestants |= {(f"bare {precision}", False): course.bare(precision, steps) for precision in precisions}
    with Load() as load:
        found = rounds(contestants, count)
    print_rows(f"{course.pair}: {count} rounds of {steps} steps of {BATCH}; {load}", rows(course, found))
    print_notes({_named(who): f"{1000 * spread(values).median:.1f} ms a step" for who, values in found.items()})


def rows(course: Course, found: dict[Contestant, list[float]]) -> list[Row]:
    """The figures of one pair."""
    ours = [(name, aligned) for name, aligned in found if name in ("fp32", "bf16")]
    made = [
        Row(
            f"{_named((name, aligned))}: times the authors' images per second",
            ratios(found[THEIRS, aligned], found[name, aligned]),
            GOALS.get((course.pair, name, aligned)),
        )
        for name, aligned in ours
    ]
    for name, aligned in ours:
        if aligned:
            aligned_ratio = ratios(found[name, True], found[name, False])
            made.append(Row(f"{name}: aligned step over plain step", aligned_ratio, ALIGNED_OVER_PLAIN))
        else:
            over_bare = ratios(found[name, False], found[f"bare {name}", False])
            made.append(Row(f"{name}: step over the bare student's", over_bare, OVER_BARE))
            made.append(Row(f"{name}: reading the bank, of a step", bank_share(course, found[name, False]), BANK_SHARE))
    return made


def bank_share(course: Course, steps: Sequence[float]) -> list[float]:
    """What reading the bank takes of each of our steps.

    A shelf of its own, with the views of the rounds on it, is read as the trainer does: an epoch at a time.
    """
    count, classes, views = len(course.data.train), course.data.num_classes, 162
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
