"""What a trial leaves on the card when it ends, and when it runs out of memory."""

from __future__ import annotations

import traceback
from collections.abc import Iterator

import torch

from benchmarks.common import at_least, at_most
from benchmarks.gpu.asked import Asked
from benchmarks.gpu.card import held
from benchmarks.gpu.material import epochs, few_data, size, teacher_of, trial
from sweep.ledger.failures import is_out_of_memory
from trainers.accelerator import given_back, limited
from trainers.result import EpochResult

ROOM_BYTES = 3e9
"""That a trial is left which needs more."""
TOO_LARGE = 4096
"""Images of its batches."""
LEFT_MB = at_most(80)
"""Of which cuBLAS has half for its own work."""
TRUE = at_least(1)


def run(asked: Asked) -> None:
    """End trials well and badly."""
    with asked.trying("a trial to its end"):
        for _ in _trial(asked, 64):
            pass
        _left(asked, "after a trial")
    if not asked.on_a_card:
        asked.say("out of memory", skipped="only a card is divided")
        return
    limited(ROOM_BYTES / torch.cuda.get_device_properties(torch.cuda.current_device()).total_memory)
    for compile_ in (False, True):
        what = f"out of memory, {'compiled' if compile_ else 'eager'}"
        _run_out(asked, what, compile_)
        _left(asked, f"after it ran {what}")
        with asked.trying(f"a trial after {what}"):
            asked.check(f"a trial after {what}: finishes", len(list(_trial(asked, 64))), TRUE)


def _trial(asked: Asked, batch: int, *, compile_: bool = False) -> Iterator[EpochResult]:
    """One epoch."""
    pair, data = size(asked).pair, few_data(asked)
    config = trial(pair, "rkd", batch=batch, epochs=1, compile=compile_)
    return epochs(config, data, teacher_of(pair.teacher, asked), asked.device)


def _run_out(asked: Asked, what: str, compile_: bool) -> None:
    """Train what does not fit."""
    try:
        for _ in _trial(asked, TOO_LARGE, compile_=compile_):
            pass
    except Exception as error:
        said = {"kind": type(error).__name__, "text": str(error)[:200]}
        asked.check(f"{what}: known for what it is", is_out_of_memory(error), TRUE, **said)
        traceback.clear_frames(error.__traceback__)
    else:
        asked.say(what, error=f"a batch of {TOO_LARGE} fitted into {ROOM_BYTES:.2g} bytes, so nothing is known of it")


def _left(asked: Asked, when: str) -> None:
    if asked.on_a_card:
        before = held()["allocated_mb"]
        given_back()
        asked.check(f"MB left {when}", held()["allocated_mb"], LEFT_MB, before=before, reserved=held()["reserved_mb"])
