"""What the allocator's settings in the workers' environment are worth: a trial in processes that differ in them alone.

    uv run python -m benchmarks.allocator [--pairs "resnet56 -> resnet20"] [--rounds 9] [--quick]

A turn is an epoch of a few steps with one thread and a warm bank, as a trial of a sweep on several cores has. The
processes have the settings as they come, large tensors kept for the next step instead of being given back to the
system, and these in huge pages as well, as `sweep run` has its workers.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from multiprocessing import get_context
from pathlib import Path
from unittest.mock import patch

from benchmarks import trials
from benchmarks.common import Load, Row, parser, print_machine, print_notes, print_rows, ratios, rounds, spread
from benchmarks.trial_speed import Turns, turn
from benchmarks.trials import SMALL, material
from trainers.process import WORKER_ENVIRONMENT

AS_IT_COMES = "as it comes"
KEPT = "large tensors kept"
SETTINGS: Mapping[str, Mapping[str, str]] = {
    AS_IT_COMES: {},
    KEPT: {name: value for name, value in WORKER_ENVIRONMENT.items() if name.startswith("MALLOC_")},
    "and in huge pages": WORKER_ENVIRONMENT,
}


def main() -> None:
    """Print one table a pair."""
    made = parser(__doc__, count=9)
    trials.add_options(made)
    options = made.parse_args()
    count, steps = (1, 2) if options.quick else (options.rounds, options.steps)
    print_machine()
    for pair in [SMALL] if options.quick else options.pairs:
        with tempfile.TemporaryDirectory() as scratch:
            recipe = tuple(options.recipe.items())
            course = Turns(pair, steps, count + 1, options.data, Path(scratch), options.device, recipe)
            measure(course, options.threads or 1, count)


def measure(course: Turns, threads: int, count: int) -> None:
    """Run the rounds of one pair, and print its figures."""
    material(course)  # written before several processes look for it
    with ExitStack() as stack:
        contestants: dict[str, Callable[[], float]] = {}
        for name, settings in SETTINGS.items():
            process = stack.enter_context(ProcessPoolExecutor(1, mp_context=get_context("spawn")))
            with patch.dict(os.environ, settings):
                process.submit(os.getpid).result()  # it starts with its first task
            contestants[name] = lambda process=process: process.submit(turn, course, ("fp32", False), threads).result()  # type: ignore[misc]
        with Load() as load:
            found = rounds(contestants, count)
    rows = [Row(f"{name}: times as fast", ratios(found[AS_IT_COMES], found[name])) for name in list(SETTINGS)[1:]]
    print_rows(f"{course.pair}: {count} rounds of {course.steps} steps, {threads} of the cores each; {load}", rows)
    print_notes({name: f"{1000 * spread(values).median:.1f} ms a step" for name, values in found.items()})


if __name__ == "__main__":
    main()
