"""Which networks of a sweep are to be logged in MLflow: students and their teachers."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from sweep.ledger.store import Ledger
from sweep.results import read
from sweep.results.read import Results, Trial, merit
from sweep.tracking.run_content import PARENT, accuracies
from trainers.storage.content import content_key


@dataclass(frozen=True)
class Candidate:
    """A network to be logged."""

    id: str
    """The trial's key; of a teacher the content hash of its weights."""
    run: str
    """`sweep.key` of the run that it belongs to."""
    architecture: str
    made_by: str
    """The method, or `teacher`."""
    tags: dict[str, str] = field(default_factory=dict)
    params: dict[str, str] = field(default_factory=dict)
    best: bool = False
    """Of a student: whether it is its cell's best."""

    @property
    def is_teacher(self) -> bool:
        """Whether it is to become a version in the registry as well."""
        return self.made_by == "teacher"

    @property
    def name(self) -> str:
        """Of the logged model: ``resnet8-kd``, ``resnet20-teacher``."""
        return allowed(f"{self.architecture}-{self.made_by}")


def candidates(ledger: Ledger) -> list[Candidate]:
    """The networks that a sweep wants logged, teachers first; none where its plan was made before models were."""
    results = read.read(ledger)
    how = results.plan.tracking.get("models", "none")
    if how == "none":
        return []
    students = [trial for trial in read.distinct(results.trials) if trial.slot.stage != "teacher"]
    best = {trial.key for trial in best_students(results)}
    chosen = [trial for trial in students if trial.state == "finished" and (how == "all" or trial.key in best)]
    return [*_teachers(results), *(_student(trial, trial.key in best) for trial in chosen)]


def outstanding(ledger: Ledger, uri: str) -> bool:
    """Whether a server has not been given all of them yet."""
    wanted = candidates(ledger)
    return bool(wanted) and ledger.fact(fact(uri)) != signature(wanted, ledger)


def signature(wanted: Iterable[Candidate], ledger: Ledger) -> str:
    """What tells networks apart from others that a server may have been given: those of a trial that was trained again
    are others."""
    names = [candidate.id for candidate in wanted]
    return content_key(names + [str(event.seq) for event in ledger.events("again") if event.trial in names])


def last_accuracies(ledger: Ledger, key: str) -> list[tuple[float, int, dict[str, float]]]:
    """What a trial's run holds of the network that came of it: time, epoch and accuracies of the last epoch.

    Of a teacher that was trained again those of its new weights, of which the ledger has no epochs.
    """
    again = list(ledger.events("retrained", trial=key))
    ends = [(event.time, event.body.get("last", event.body)) for event in again or ledger.events("epoch", trial=key)]
    return [(time, last["epoch"], accuracies(last)) for time, last in ends[-1:]]


def allowed(name: str) -> str:
    """A name without the characters that MLflow refuses in those of models."""
    return re.sub(r"[/:.%\"']+", "-", name)


def registered_name(architecture: str, dataset: str) -> str:
    """Of a teacher in the registry: ``resnet20-digits``."""
    return allowed(f"{architecture}-{dataset}")


def fact(uri: str) -> str:
    """The ledger's name for which networks a server has been given."""
    return f"models:{content_key(uri)}"


def best_students(results: Results) -> list[Trial]:
    """Of each cell the trial, among all its rows and seeds, that does best by what may choose under the protocol.

    Where nothing is held out, the first.
    """
    cells: dict[tuple[str, str, str], list[Trial]] = {}
    for trial in results.trials:
        if trial.slot.stage == "confirm" and trial.state == "finished":
            cells.setdefault((trial.slot.recipe, trial.slot.pair, trial.slot.method), []).append(trial)
    return [max(members, key=lambda trial: merit([trial], results.plan.protocol)) for members in cells.values()]


def _student(trial: Trial, best: bool) -> Candidate:
    slot = trial.slot
    tags = {"pair": slot.pair, "method": slot.method, "label": slot.row, "recipe": slot.recipe, "seed": str(slot.seed)}
    params = {name: str(value) for name, value in slot.varied.items()}
    return Candidate(trial.key or "", trial.key or "", slot.config["model"], slot.method, tags, params, best)


def _teachers(results: Results) -> list[Candidate]:
    """Those that the sweep has trained, by their runs, and those that it takes as they are stored, by the parent's."""
    trained = [t for t in results.trials if t.slot.stage == "teacher" and t.state == "finished"]
    runs = {trial.body["teacher"]["hash"]: (trial.key or "", trial.slot.config["model"]) for trial in trained}
    configs = [slot.config for slot in results.plan.students] + [cell.config for cell in results.plan.cells]
    for teacher in (config["teacher"] for config in configs):
        if teacher is not None:
            runs.setdefault(teacher["hash"], (PARENT, teacher["architecture"]))
    return [Candidate(weights, run, architecture, "teacher") for weights, (run, architecture) in runs.items()]
