"""What is known of a trained student: data, teacher, method, recipe, accuracies, classes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sweep.cost import latency
from sweep.layout import SweepPaths
from sweep.plan.labels import teacher_of
from sweep.plan.slots import Plan
from sweep.results.read import PASSPORTS, Results, Trial
from sweep.statistics.paired import deviation, mean
from sweep.students.choice import Choice, counted, row_at
from trainers.errors import CheckpointError

if TYPE_CHECKING:
    from trainers.teacher.passport import Passport

MEASURED = ("test_acc", "test_acc5", "val_acc")
"""Accuracies of an epoch that are told."""


@dataclass(frozen=True)
class About:
    """A student, for whoever is handed it."""

    sweep: str
    pair: str
    row: str
    seed: int
    key: str
    """Of its trial."""
    config: dict[str, Any]
    """The trial's: data set with its content hash (empty where a server did not tell it), method, recipe, fingerprints
    of the user's own code."""
    images: dict[str, Any]
    """As a plan has them: `size`, `classes`, `mean` and `std`."""
    classes: tuple[str, ...]
    """Their names, in the order of the logits; empty: not known."""
    protocol: str
    accuracy: dict[str, Any]
    """Of this seed after the last epoch, whose weights these are: those of :data:`MEASURED`, in percent."""
    row_accuracy: dict[str, Any]
    """Test accuracies after the last epoch by seed: `mean`, `std`, `n` and the `seeds`."""
    teacher: dict[str, Any] | None = None
    """What taught it: `architecture`, `hash`, and of its passport `test_acc` and `came_from`, as far as they are known;
    None without one."""
    chosen: tuple[str, ...] = ()
    """Why it is this one; empty where it was named."""
    made_with: dict[str, str] = field(default_factory=dict)
    size: dict[str, int] = field(default_factory=dict)
    """Of its architecture `parameters` and `macs`, where they were counted."""
    latency: tuple[dict[str, Any], ...] = ()
    """How long its architecture takes here (:mod:`sweep.cost.latency`); empty: not measured."""
    source: dict[str, Any] = field(default_factory=dict)
    """The data source's options, where the data lie included; no part of what is written."""

    @property
    def architecture(self) -> str:
        """Of the student."""
        return str(self.config["model"])

    @property
    def name(self) -> str:
        """What a person calls it: ``resnet20→resnet8 · kd · seed 0``."""
        return f"{self.pair} · {self.row} · seed {self.seed}"

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the classes, numbers where they are not known."""
        return self.classes or tuple(map(str, range(int(self.images["classes"]))))

    @property
    def told(self) -> dict[str, Any]:
        """As JSON, for a file that travels."""
        return {
            "sweep": self.sweep,
            "place": {"pair": self.pair, "row": self.row, "seed": self.seed, "trial": self.key},
            "architecture": self.architecture,
            "classes": list(self.labels),
            "preprocessing": self.images,
            "config": self.config,
            "teacher": self.teacher,
            "accuracy": self.accuracy,
            "row_accuracy": self.row_accuracy,
            "made_with": self.made_with,
        }


def told_of(plan: Plan, trial: Trial) -> dict[str, Any]:
    """What weights say of themselves wherever they travel, beside what :func:`trainers.fit.fit` has written to them."""
    place = {"pair": trial.slot.pair, "row": trial.slot.row, "seed": trial.slot.seed}
    return {
        "preprocessing": plan.images,
        "config": trial.slot.config,
        "accuracy": {name: value for name, value in trial.body["last"].items() if name.endswith("_acc")},
        "place": place,
    }


def about(paths: SweepPaths, results: Results, choice: Choice, images: dict[str, Any], classes: Sequence[str]) -> About:
    """What a sweep knows of one of its students.

    Args:
        paths: of the sweep.
        results: its.
        choice: the trial.
        images: that it reads, as a plan has them.
        classes: their names, where the weights say them; empty: not known.
    """
    trial, plan = choice.trial, results.plan
    slot = trial.slot
    teacher = _teacher(paths, results, trial)
    taught = {"teacher": {name: teacher[name] for name in ("architecture", "hash")}} if teacher else {}
    data = {"dataset": {"name": plan.dataset, "options": {}, "content": ""}}
    return About(
        sweep=plan.name,
        pair=slot.pair,
        row=slot.row,
        seed=slot.seed,
        key=trial.key or "",
        config=data | slot.config | taught,
        images=images,
        classes=tuple(classes),
        protocol=plan.protocol,
        accuracy={name: trial.body["last"].get(name) for name in MEASURED},
        row_accuracy=_of_row(plan, row_at(results.trials, slot.pair, slot.row, slot.recipe)),
        teacher=teacher,
        chosen=choice.why,
        made_with=trial.body.get("made_with", {}),
        size=plan.networks.get(slot.config["model"], {}),
        latency=tuple(latency.remembered(plan, paths.root).get(slot.config["model"], ())),
        source=plan.source,
    )


def _of_row(plan: Plan, members: Sequence[Trial]) -> dict[str, Any]:
    """Test accuracies of a row's trials after their last epochs."""
    values = {trial.slot.seed: float(trial.body["last"]["test_acc"]) for trial in counted(plan, members)}
    some = list(values.values())
    return {"mean": mean(some), "std": deviation(some), "n": len(some), "seeds": values}


def _teacher(paths: SweepPaths, results: Results, trial: Trial) -> dict[str, Any] | None:
    """What taught a student, with what its passport says where that is here, and what the sweep knows otherwise."""
    reference = _reference(results, trial)
    if reference is None:
        return None
    measured = results.teachers.get(teacher_of(trial.slot.pair))
    known = reference | ({} if measured is None else {"test_acc": measured})
    passport = _passport(paths, str(reference["hash"])) if reference["hash"] else None
    if passport is None:
        return known
    data = {"name": passport.dataset.name, "content": passport.dataset.content}
    return known | {"test_acc": passport.test_acc, "came_from": passport.came_from, "dataset": data}


def _reference(results: Results, trial: Trial) -> dict[str, Any] | None:
    """Architecture and content hash of a student's teacher; None where it has none."""
    if "teacher" not in trial.slot.config:
        return _named(trial)
    if trial.slot.teacher is None:
        stored: dict[str, Any] | None = trial.slot.config["teacher"]
        return stored
    trained = [other for other in results.trials if other.slot.id == trial.slot.teacher and other.state == "finished"]
    return next((other.body["teacher"] for other in trained if "teacher" in other.body), None)


def _named(trial: Trial) -> dict[str, Any] | None:
    """The teacher of a trial that was read off a server, which knows it by its name in the pair alone."""
    from trainers.distillers import METHODS

    method = trial.slot.method
    if method in METHODS and METHODS[method].teacher_needs == "nothing":
        return None
    architecture, _, hashed = teacher_of(trial.slot.pair).partition("@")
    return {"architecture": architecture, "hash": hashed}


def _passport(paths: SweepPaths, hashed: str) -> Passport | None:
    """A teacher's, from the store or from the pack that the sweep came in; None where neither has it."""
    from trainers.teacher.passport import Passport
    from trainers.teacher.store import TeacherStore

    packed: Path = paths.folder / PASSPORTS / f"{hashed}.json"
    if packed.exists():
        return Passport.model_validate(json.loads(packed.read_text(encoding="utf-8")))
    try:
        return TeacherStore(paths.root.teachers, paths.storage).passport(hashed)
    except CheckpointError:  # removed since, or the sweep ran elsewhere: the card says what is left
        return None
