"""Every method with `deterministic: true`, twice over, in a process that trains nothing else: whether it repeats.

In a process of their own, since torch looks once, at the first product of matrices, whether cuBLAS was told to repeat.
The first of them again at the end, after a trial that is not deterministic: as a worker does that trains many.
"""

from __future__ import annotations

import time

from benchmarks.common import at_least
from benchmarks.gpu.asked import Asked
from benchmarks.gpu.material import epochs, trial
from benchmarks.gpu.stages.methods import BATCH, PAIR, chosen, few_threads, material

REPEATS = at_least(1)
FIRST = "kd"


def run(asked: Asked) -> None:
    """Train every method twice."""
    few_threads()
    data, teacher = material(asked)

    def seconds_of_two(method: str) -> tuple[bool, float]:
        started = time.perf_counter()
        config = trial(PAIR, method, batch=BATCH, epochs=2, deterministic=True)
        one, two = (list(epochs(config, data, teacher, asked.device)) for _ in range(2))
        return one == two, (time.perf_counter() - started) / 2

    for method in chosen(asked):
        with asked.trying(f"{method}: repeats"):
            repeats, seconds = seconds_of_two(method)
            asked.check(f"{method}: repeats", repeats, REPEATS, seconds_a_trial=seconds)
    again = f"{FIRST}: repeats, after a trial that is not deterministic"
    with asked.trying(again):
        list(epochs(trial(PAIR, FIRST, batch=BATCH, epochs=1), data, teacher, asked.device))
        asked.check(again, seconds_of_two(FIRST)[0], REPEATS)
