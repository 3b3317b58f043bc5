"""The stages by part, in the order in which they run: what is lost when a lease breaks off is the least.

Nothing here imports torch: each stage's module is imported in a process of its own.
"""

from __future__ import annotations

from benchmarks.gpu.running import Stage


def _stage(name: str, seconds: float, settles: str) -> Stage:
    return Stage(name, f"{__name__}.{name}", seconds, settles)


MACHINE = _stage("machine", 45, "what the rest was measured on")
PARTS: dict[str, list[Stage]] = {
    "correctness": [
        MACHINE,
        _stage("views", 45, "whether a GPU draws the order and the views that a CPU draws"),
        _stage("folding", 60, "whether the same batch norms of a teacher are folded on every device, TF32 or not"),
        _stage("methods", 90, "whether every method trains as on a CPU"),
        _stage("deterministic", 60, "whether every method repeats with `deterministic: true`"),
        _stage("memory", 60, "what a trial leaves on the card, and whether one that runs out of memory is known"),
        _stage("compiled", 150, "whether compiled trials learn the same, take CUDA graphs and give memory back"),
    ],
    "speed": [
        MACHINE,
        _stage("speed", 140, "one trial against the authors' loop; its step's floor; how busy the card is"),
        _stage("sld", 100, "the same of SLD, which sees two views"),
        _stage("cohort", 90, "five alphas in one process against the loop five times"),
        _stage("sharing", 90, "what several trials on one card are worth, with MPS and without"),
    ],
    "more": [
        MACHINE,
        _stage("options", 60, "what `deterministic: true` costs, and a bank that has nothing yet"),
        _stage("parts", 110, "kernels, calls and waits of a step, and the card's time in them"),
        _stage("pairs", 150, "one trial of the two other pairs"),
    ],
}
"""The limits of a part add up to more than it may take: they are for what hangs."""


def every() -> dict[str, Stage]:
    """All stages by name, in order."""
    return {stage.name: stage for stages in PARTS.values() for stage in stages}
