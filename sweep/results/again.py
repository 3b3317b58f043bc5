"""Which trials somebody asks for again: by method, by name, or those that went wrong."""

from __future__ import annotations

import shutil
from dataclasses import dataclass

from sweep.layout import SweepPaths
from sweep.ledger.ended import forget
from sweep.ledger.failures import BROKEN
from sweep.ledger.store import Ledger
from sweep.plan.labels import ARROW
from sweep.results.read import Trial, trials
from sweep.terminal import spelt
from trainers.errors import InputError, unknown_name

TROUBLED = (*BROKEN, "diverged")
"""States of trials that gave no number, and will not without somebody's doing."""
SHORTEST = 6
"""Characters of a key that name a trial."""


@dataclass(frozen=True)
class Again:
    """What somebody asks for again."""

    methods: tuple[str, ...] = ()
    """All trials of these methods."""
    trials: tuple[str, ...] = ()
    """Trials by their names or keys, or all of a row by its label."""
    failed: bool = False
    """Of these, or of all where none are named, only those that broke or diverged."""

    def chosen(self, ledger: Ledger) -> list[str]:
        """The keys of the trials that are to be trained once more, in the plan's order; teachers are none of them.

        Raises:
            InputError: where nothing is asked for, a name is unknown, or none of what it names has begun.
        """
        plan, every = trials(ledger)
        students = [trial for trial in every if trial.slot.stage != "teacher"]
        if not (self.methods or self.trials or self.failed):
            raise InputError("say what is to be done again: --method NAME, --trial NAME, or --failed")
        named = self._named(students) if self.methods or self.trials else students
        begun = [trial for trial in named if trial.key and (trial.state in TROUBLED or not self.failed)]
        if not begun:
            what = "has failed or diverged" if self.failed else "has begun; sweep run trains them"
            raise InputError(f"none of {'these' if named is not students else 'the'} trials of '{plan.name}' {what}")
        return list(dict.fromkeys(trial.key or "" for trial in begun))

    def begin(self, paths: SweepPaths, ledger: Ledger) -> None:
        """Set aside what is known of them. Their checkpoints go first, which a run would go on from, and what those who
        divided the sweep have told of them.

        Raises:
            InputError: see :meth:`chosen`.
            StorageError: when it cannot be written.
        """
        keys = self.chosen(ledger)
        for key in keys:
            checkpoints = paths.trial(key) / "checkpoints"
            shutil.rmtree(checkpoints, ignore_errors=True)
            paths.storage.remove(checkpoints)
        forget(paths, keys)
        ledger.set_aside(keys)

    def _named(self, students: list[Trial]) -> list[Trial]:
        by_method = [trial for name in self.methods for trial in _of_method(name, students)]
        return [*by_method, *(trial for name in self.trials for trial in _called(name, students))]


def _of_method(name: str, students: list[Trial]) -> list[Trial]:
    found = [trial for trial in students if trial.slot.method == name]
    if not found:
        raise InputError(unknown_name("method", name, {trial.slot.method for trial in students}))
    return found


def _called(name: str, students: list[Trial]) -> list[Trial]:
    """The trials of a name, also as a terminal without arrows spells it, a key or the beginning of one, or a row."""
    wanted = ARROW.join(part.strip() for part in " ".join(name.split()).replace("->", ARROW).split(ARROW))
    found = [trial for trial in students if wanted in _names(trial)]
    spelt_so = [trial for trial in students if name in {spelt(one, "ascii") for one in _names(trial)}]
    return found or spelt_so or _of_key(name, students)


def _of_key(beginning: str, students: list[Trial]) -> list[Trial]:
    long_enough = len(beginning) >= SHORTEST
    found = [trial for trial in students if long_enough and (trial.key or "").startswith(beginning)]
    keys = sorted({trial.key or "" for trial in found})
    if len(keys) > 1:
        raise InputError(f"trial '{beginning}' may be any of {', '.join(keys)}")
    if not found:
        known = unknown_name("trial", beginning, {trial.slot.row for trial in students})
        raise InputError(f"{known}; or a trial's name or key, as sweep status lists them")
    return found


def _names(trial: Trial) -> set[str]:
    return {trial.slot.name, trial.slot.row, trial.slot.label, trial.key or trial.slot.name}
