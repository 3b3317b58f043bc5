"""What the sweep has cost, and what pruning and the logit bank have saved."""

from __future__ import annotations

from sweep.engine.meter import GPU, GPU_MEMORY, PROCESS_CPU, PROCESS_MEMORY
from sweep.report.history import History
from sweep.report.markup import facts
from sweep.report.section import Section
from sweep.report.use import Use
from sweep.text import duration

ENDED = ("finished", "diverged", "pruned")


def section(history: History) -> Section | None:
    """Device hours, pace, and savings; nothing before the first epoch."""
    effort = history.effort
    if not effort.device_seconds:
        return None
    device = "GPU" if history.plan.compute["gpus"] else "CPU"
    told = [("device hours", f"{effort.device_seconds / 3600:.2f} ({device}s of a trial × hours of its epochs)")]
    ended = sum(trial.state in ENDED for trial in history.trials)
    if effort.wall_seconds:
        told.append(("time at work", duration(effort.wall_seconds)))
        told.append(("trials per hour", f"{ended / effort.wall_seconds * 3600:.1f} ({ended} that ended)"))
    return Section(
        "cost", "Cost", facts([*told, *_used(effort.use), *_saved_by_pruning(history), *_saved_by_bank(history)])
    )


def _used(use: Use) -> list[tuple[str, str]]:
    """What the epochs that were measured took: processors, GPUs, memory and energy; nothing of an older ledger."""
    of = f"{use.epochs:,} epochs"
    cores, busy, energy = use.mean(PROCESS_CPU), use.mean(GPU), use.watt_hours
    told = [] if cores is None else [("processor use", f"{cores / 100:.1f} cores a process, over {of}")]
    if busy is not None:
        told.append(("GPU use", f"busy in {busy:.0f} % of the time, over {of}"))
    if energy is not None:
        told.append(("energy", f"{energy:,.1f} Wh of the GPUs (their mean power × device hours), over {of}"))
    peaks = [(use.peak(GPU_MEMORY), "a GPU"), (use.peak(PROCESS_MEMORY), "a process")]
    memory = [f"{peak / 1000:.1f} GB of {whose}" for peak, whose in peaks if peak is not None]
    return [*told, ("peak memory", ", ".join(memory))] if memory else told


def _saved_by_pruning(history: History) -> list[tuple[str, str]]:
    """Epochs that search trials were planned for and that those which were given up did not run."""
    planned = sum(trial.slot.epochs for trial in history.searched)
    saved = sum(trial.slot.epochs - trial.epochs for trial in history.searched if trial.state == "pruned")
    if not planned:
        return []
    return [("saved by pruning", f"{100 * saved / planned:.0f} % of the searches’ epochs ({saved:,} of {planned:,})")]


def _saved_by_bank(history: History) -> list[tuple[str, str]]:
    """Epochs that needed nothing of the teacher itself."""
    effort = history.effort
    if not effort.taught_epochs:
        return []
    share = effort.served_epochs / effort.taught_epochs
    return [
        (
            "served by the logit bank",
            f"{100 * share:.0f} % of the epochs without running the teacher ({effort.served_epochs:,} of"
            f" {effort.taught_epochs:,}); in the others it was run on {effort.teacher_images:,} images",
        )
    ]
