"""One trial against the authors' loop on one card; its step's floor; how busy it keeps the card."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from benchmarks.common import at_least, at_most, seconds
from benchmarks.gpu.asked import Asked
from benchmarks.gpu.card import busy
from benchmarks.gpu.contest import Contestant, Turns, contest
from benchmarks.gpu.material import DHKD, Size, size, timed_data
from trainers.fit import seeded_model

EAGER, COMPILED = at_least(10), at_least(20)
FLOOR = at_most(1.15)
BUSY = at_least(0.8)
BF16_COMPILED = "bf16, compiled"
CONTESTANTS = {
    BF16_COMPILED: Contestant("dhkd", DHKD, {"precision": "bf16", "compile": True}, COMPILED),
    "bf16": Contestant("dhkd", DHKD, {"precision": "bf16"}, EAGER),
    "tf32": Contestant("dhkd", DHKD, {"tf32": True}, EAGER),
    "fp32": Contestant("dhkd", DHKD, {}, EAGER),
}
STEPS = 200
"""Of the bare student, a turn."""


def run(asked: Asked) -> None:
    """Race, then look closer at the compiled trial."""
    how = size(asked)
    for name, turns in contest(asked, how.pair, CONTESTANTS, timed_data(asked)):
        if name == BF16_COMPILED:
            with asked.trying("GPU busy"):
                _busy(asked, turns)
            with asked.trying("floor"):
                _floor(asked, how, turns)


def _busy(asked: Asked, turns: Turns) -> None:
    """The share of an epoch, evaluation included, in which the card computes. The profiler slows the host but not the
    card, so the epoch's time is that of the epochs without it."""
    if not asked.on_a_card:
        asked.say("GPU busy", skipped="only a card has a profiler for it")
        return
    wall = turns.epoch_seconds
    seen = busy(turns)
    beside = {"busy_seconds": seen.seconds, "epoch_seconds": wall}
    asked.figure("GPU busy, of a compiled epoch", [seen.seconds / wall], BUSY, **beside)


def _floor(asked: Asked, how: Size, turns: Turns) -> None:
    """A compiled step over forward and backward of the bare compiled student."""
    bare = _bare(asked, how)
    ours = [1000 * how.batch / epoch.images_per_second for epoch in turns.seen[1 : 1 + how.rounds]]
    asked.figure(
        "a compiled step over the bare compiled student's",
        [step / floor for step, floor in zip(ours, bare, strict=True)],
        FLOOR,
        step_ms=ours,
        bare_ms=bare,
    )


def _bare(asked: Asked, how: Size) -> list[float]:
    """Milliseconds of forward and backward of the student alone, in bf16 and channels last, compiled as a whole."""
    place = torch.device(asked.device)
    layout = torch.channels_last
    student = seeded_model(how.pair.student, how.classes, seed=0).train().to(place).to(memory_format=layout)
    images = torch.randn(how.batch, 3, how.side, how.side).to(place).to(memory_format=layout)
    targets = (torch.arange(how.batch) % how.classes).to(place)
    passed = torch.compile(_Loss(student), dynamic=False, mode="reduce-overhead" if asked.on_a_card else "default")

    def steps(count: int) -> None:
        for _ in range(count):
            student.zero_grad(set_to_none=True)
            with torch.autocast(place.type, torch.bfloat16):
                loss = passed(images, targets)
            loss.backward()
        if asked.on_a_card:
            torch.cuda.synchronize()

    count = 3 if asked.quick else STEPS
    steps(5)  # compiled, then recorded
    return [1000 * seconds(lambda: steps(count)) / count for _ in range(how.rounds)]


class _Loss(nn.Module):
    def __init__(self, student: nn.Module) -> None:
        super().__init__()
        self.student = student

    def forward(self, images: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Cross-entropy of a batch."""
        return F.cross_entropy(self.student(images).float(), targets)
