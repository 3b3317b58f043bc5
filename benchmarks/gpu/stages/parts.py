"""What a step asks of the card, and what the card does of it: as its profiler sees it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.gpu.asked import Asked
from benchmarks.gpu.card import busy
from benchmarks.gpu.material import DHKD, QUICK, empty_bank, epochs, few_data, fill, size, teacher_of, trial
from benchmarks.trials import SMALL, Pair

EPOCHS = 3
"""One that is not counted, one that is timed, one with the profiler."""


def run(asked: Asked) -> None:
    """Look at an epoch of several trials."""
    deep, small = size(asked).pair, QUICK.pair if asked.quick else SMALL
    whole = {"compile": True, "precision": "bf16"}
    cases: dict[str, tuple[Pair, str, Mapping[str, Any], Mapping[str, Any]]] = {
        "dhkd": (deep, "dhkd", DHKD, {}),
        "dhkd, bf16": (deep, "dhkd", DHKD, {"precision": "bf16"}),
        "dhkd, bf16, compiled": (deep, "dhkd", DHKD, whole),
        "dhkd, aligned": (deep, "dhkd", DHKD | {"align": True}, {}),
        "sld": (deep, "sld", {"start": 0}, {}),
        "reviewkd": (deep, "reviewkd", {}, {}),
        "scratch, autoaugment": (small, "scratch", {}, {"views": "autoaugment"}),
    }
    for name, case in cases.items():
        if not (asked.quick and "compile" in case[3]):
            with asked.trying(name):
                _look(asked, name, *case)


def _look(
    asked: Asked, name: str, pair: Pair, method: str, params: Mapping[str, Any], recipe: Mapping[str, Any]
) -> None:
    how, data, teacher = size(asked), few_data(asked), teacher_of(pair.teacher, asked)
    config = trial(pair, method, params, batch=how.batch, epochs=EPOCHS, **recipe)
    steps = -(-len(data.train) // how.batch)
    with empty_bank() as bank:
        if config.teacher is not None:
            fill(bank, config, data, teacher, asked.device)
        running = epochs(config, data, teacher, asked.device, bank)
        next(running)
        timed = next(running)
        seen = {"images_per_second": timed.images_per_second, "epoch_ms_a_step": 1000 * timed.seconds / steps}
        if asked.on_a_card:
            did = busy(lambda: next(running))
            seen |= {"kernels_a_step": did.kernels / steps, "calls_a_step": did.calls / steps}
            seen |= {"waits_an_epoch": did.waits, "busy_ms_a_step": 1000 * did.seconds / steps}
        asked.say(f"{pair}: {name}", **seen)
