"""Five alphas from an empty bank, trials side by side, against the authors' loop five times in a row.

    uv run python -m benchmarks.five_alphas [--pairs "resnet56 -> resnet20"] [--rounds 3] [--quick]

Our side has one process of one thread for each core, as `sweep run` has workers, started before the clock is; with
``--device cuda`` one for each alpha, all on that GPU. As in a sweep, trials write checkpoints and one pauses for the
last (`sweep/engine/pauses.py`), which it can after an epoch: hence two. The other side is one process with all threads.
Both train the same number of steps and test after every epoch. Every round starts with an empty bank.
``benchmarks.whole_sweep`` measures the same with everything around it.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import ExitStack
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch

from benchmarks import trials
from benchmarks.authors_loop import Options, opponent
from benchmarks.common import (
    Goal,
    Load,
    Row,
    at_least,
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
from sweep.engine.pauses import makes_room
from trainers.process import WORKER_ENVIRONMENT
from trainers.result import EpochResult

THEIRS = "authors' loop"
GOALS: dict[tuple[Pair, str], Goal] = {
    (DEEP, "fp32"): at_least(2.8),
    (DEEP, "bf16"): at_least(8.5),
    (SMALL, "fp32"): at_least(2.1),
    (SMALL, "bf16"): at_least(3.8),
    (LIGHT, "fp32"): at_least(2.2),
    (LIGHT, "bf16"): at_least(3),
}

ON_A_GPU = at_least(25)
"""For :data:`DEEP`, whatever the precision."""


@dataclass(frozen=True)
class Task:
    """One of our trials."""

    course: Course
    alpha: float
    align: bool
    recipe: tuple[tuple[str, Any], ...]


def folders(course: Course) -> Path:
    """Of our trials."""
    return course.scratch / "trials"


_running: dict[Task, Iterator[EpochResult]] = {}
"""In a worker: the trial that it is at."""


def advance(task: Task) -> float:
    """In a worker: one more epoch of a trial, which goes on from its checkpoint where this is not the worker that it
    was left in; its seconds."""
    if task not in _running:
        _running.clear()
        _running[task] = begin(task)
    epoch = next(one for one in _running[task] if not one.replayed)
    if epoch.epoch == task.course.epochs:
        next(_running.pop(task), None)  # the weights are written after the last one
    return epoch.seconds


def begin(task: Task) -> Iterator[EpochResult]:
    """A trial's epochs."""
    torch.set_num_threads(1)
    data, teacher = material(task.course)
    config = trials.trial(
        task.course.pair,
        data,
        trials.content_of(teacher),
        epochs=task.course.epochs,
        alpha=task.alpha,
        align=task.align,
        **dict(task.recipe),
    )
    course = task.course
    return trials.trained(config, data, teacher, course.bank, folders(course) / str(task.alpha), course.device)


def main() -> None:
    """Print one table a pair."""
    made = parser(__doc__, count=3)
    trials.add_options(made)
    made.add_argument("--epochs", type=int, default=2, help="of each trial (2)")
    made.add_argument("--align", action="store_true", help="with gradient alignment, on both sides")
    made.add_argument("--precisions", nargs="+", choices=["fp32", "bf16"], help="default: those that this machine has")
    options = made.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    count, steps = (1, 2) if options.quick else (options.rounds, options.steps)
    pairs: Sequence[Pair] = [SMALL] if options.quick else options.pairs
    precisions = options.precisions or (["fp32", "bf16"] if bf16_is_fast(options.device) else ["fp32"])
    print_machine()
    for pair in pairs:
        with tempfile.TemporaryDirectory() as scratch:
            course = Course(pair, steps, options.epochs, options.data, Path(scratch), options.device)
            measure(course, precisions, options.align, options.recipe, count)


def measure(course: Course, precisions: Sequence[str], align: bool, recipe: dict[str, Any], count: int) -> None:
    """Run the rounds of one pair, and print its figures."""
    data, teacher = material(course)
    os.environ.update(WORKER_ENVIRONMENT)  # for the workers alone: this process has read it already

    def theirs() -> None:
        for alpha in ALPHAS:
            loop = opponent(course.pair, data, teacher, Options(alpha=alpha, align=align), course.device)
            for _ in range(course.epochs):
                loop.train()
                loop.test()

    with ExitStack() as stack:
        workers = [
            stack.enter_context(ProcessPoolExecutor(1, mp_context=get_context("spawn")))
            for _ in range(len(ALPHAS) if course.device.type == "cuda" else os.cpu_count() or 1)
        ]
        contestants: dict[str, Callable[[], float]] = {THEIRS: lambda: seconds(theirs)}
        for precision in precisions:
            fields = tuple((recipe | {"precision": precision}).items())
            tasks = [Task(course, alpha, align, fields) for alpha in ALPHAS]
            contestants[precision] = lambda tasks=tasks: seconds(lambda: sweep(workers, tasks))  # type: ignore[misc]
        with Load() as load:
            found = rounds(contestants, count)
    made = [
        Row(
            f"{precision}{', aligned' if align else ''}: times as fast as the authors' loop",
            ratios(found[THEIRS], found[precision]),
            None if align else goal(course, precision),
        )
        for precision in precisions
    ]
    steps = f"{count} rounds of {len(ALPHAS)} × {course.epochs * course.steps} steps of {BATCH}"
    print_rows(f"{course.pair}, five alphas from an empty bank: {steps}; {load}", made)
    print_notes({who: f"{spread(values).median:.1f} s a round" for who, values in found.items()})


def goal(course: Course, precision: str) -> Goal | None:
    """Without gradient alignment."""
    if course.device.type == "cuda":
        return ON_A_GPU if course.pair == DEEP else None
    return GOALS.get((course.pair, precision))


def sweep(workers: Sequence[ProcessPoolExecutor], tasks: Sequence[Task]) -> None:
    """All trials, side by side, from an empty bank and without checkpoints of an earlier round."""
    shutil.rmtree(tasks[0].course.bank.folder, ignore_errors=True)
    shutil.rmtree(folders(tasks[0].course), ignore_errors=True)
    left = {task: task.course.epochs for task in tasks}
    waiting, idle = list(tasks), list(workers)
    live: dict[Future[float], tuple[Task, ProcessPoolExecutor]] = {}
    while waiting or live:
        while waiting and idle:
            worker, task = idle.pop(), waiting.pop(0)
            live[worker.submit(advance, task)] = task, worker
        for done in wait(live, return_when=FIRST_COMPLETED).done:
            task, worker = live.pop(done)
            left[task] -= 1
            if left[task] and not pauses(task, [beside for beside, _ in live.values()], waiting, left, done.result()):
                live[worker.submit(advance, task)] = task, worker
                continue
            idle.append(worker)
            if left[task]:
                waiting.append(task)


def pauses(task: Task, beside: Sequence[Task], waiting: Sequence[Task], left: dict[Task, int], seconds: float) -> bool:
    """Whether a trial pauses, as it would in a sweep; `left` are epochs, which all take as long."""
    rest = [[left[one] * seconds for one in some] for some in (beside, waiting)]
    return bool(waiting) and makes_room(left[task] * seconds, seconds, *rest, len(beside) + 1)


if __name__ == "__main__":
    main()
