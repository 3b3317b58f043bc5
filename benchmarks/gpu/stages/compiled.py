"""Compiled trials, one after the other in one process: the same losses, CUDA graphs taken, memory given back."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from typing import Any

from benchmarks.common import at_most
from benchmarks.gpu.asked import Asked
from benchmarks.gpu.card import held
from benchmarks.gpu.material import DHKD, epochs, few_data, size, teacher_of, trial
from trainers.accelerator import given_back
from trainers.result import EpochResult

CASES: tuple[tuple[str, Mapping[str, Any]], ...] = (
    ("dhkd", DHKD),
    ("kd", {}),
    ("dhkd", DHKD),
    ("sld", {"start": 0}),
    ("dhkd", DHKD | {"align": True}),
    ("fitnet", {}),
)
"""The first once more, as in a worker that trains many. What is raced in other stages comes first: they find it
compiled."""
QUICK = (("dhkd", DHKD), ("dhkd", DHKD))
FIRST_EPOCH = at_most(2e-2)
"""Relative difference of the first epoch's loss: bfloat16 is rounded elsewhere."""
NONE = at_most(0)
LEFT_MB = at_most(80)
"""Of which cuBLAS has half for its own work."""
EPOCHS = 4


def run(asked: Asked) -> None:
    """Train every case eagerly and compiled."""
    for number, (method, params) in enumerate(QUICK if asked.quick else CASES, start=1):
        name = f"{number}. {method}{', aligned' if params.get('align') else ''}"
        with asked.trying(name):
            _compare(asked, name, method, params)
        if asked.on_a_card:
            before = held()["allocated_mb"]
            given_back()
            asked.check(f"{name}: MB left", held()["allocated_mb"], LEFT_MB, before=before)


def _compare(asked: Asked, name: str, method: str, params: Mapping[str, Any]) -> None:
    """One case, its last batch of each epoch smaller than the others, and evaluated in between."""
    from torch._dynamo.utils import counters  # with which all of the compiler is imported: it takes seconds

    counters.clear()
    eager, compiled = (_trained(asked, method, params, compile_) for compile_ in (False, True))
    off = [abs(a.loss - b.loss) / abs(a.loss) for a, b in zip(eager, compiled, strict=True)]
    rates = {word: _rate(seen) for word, seen in (("eager", eager), ("compiled", compiled))}
    asked.check(f"{name}: loss beside the eager one's", off[0], FIRST_EPOCH, last=off[-1], images_per_second=rates)
    skips, breaks = int(counters["inductor"]["cudagraph_skips"]), sum(counters["graph_break"].values())
    seen = {"frames": dict(counters["frames"]), "recompiled": dict(counters["recompiles"]), "breaks": breaks}
    asked.check(f"{name}: CUDA graphs not taken", skips, NONE, **seen)
    asked.say(f"{name}: compiler", first_epoch_seconds=compiled[0].seconds)


def _trained(asked: Asked, method: str, params: Mapping[str, Any], compile_: bool) -> list[EpochResult]:
    how = size(asked)
    count = 2 if asked.quick else EPOCHS
    config = trial(how.pair, method, params, batch=how.batch, epochs=count, precision="bf16", compile=compile_)
    return list(epochs(config, few_data(asked), teacher_of(how.pair.teacher, asked), asked.device))


def _rate(seen: list[EpochResult]) -> float:
    """Images per second, without the first epoch."""
    return statistics.median(epoch.images_per_second for epoch in seen[1:])
