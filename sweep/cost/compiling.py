"""Where it pays to compile a student: measured before a sweep begins, decided once, and kept.

A compiled student's epochs are shorter, and its first waits for the compiler. Of each network whose recipe says
`compile: auto` a trial is rehearsed as it is, and, where it takes long enough, compiled: it is compiled from then on
where the epochs of the whole trial save more than the compiler takes.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from search_spaces.schema import Spec
from sweep.cost import measured as files
from sweep.cost.calibration import AUTO, rehearsed
from sweep.cost.estimate import gpu_shares
from sweep.cost.rehearsals import Layout, rehearse_together
from sweep.layout import Root
from sweep.ledger.store import Ledger
from sweep.plan.compiling import asked, trained_as, undecided
from sweep.plan.expand import build_plan
from sweep.text import duration
from trainers.allotment import cores
from trainers.errors import InputError
from trainers.machine import gpus, processor
from trainers.storage.content import content_key
from trainers.storage.files import write_atomically

if TYPE_CHECKING:
    from sweep.plan.slots import Plan, SearchedCell, Slot
    from trainers.config import TrialConfig
    from trainers.rehearsal import Rehearsal
    from trainers.teacher.store import TeacherStore

LEAST_SECONDS = 300.0
"""A trial that takes less is not compiled; it is not measured what the compiler takes, a minute as a rule."""
MARGIN = 1.5
"""What a trial's epochs save must be so many times what the compiler takes: the next machine may be busier."""
Decisions = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Decision:
    """Whether a network's students are compiled, and why."""

    compile: bool
    network: str
    epochs: int
    """Of a trial."""
    plain: float
    """Seconds of an epoch that is not compiled."""
    compiled: float | None = None
    """Of one that is; None where that was not measured."""
    compiler: float | None = None
    """Seconds that the compiler takes."""
    failed: str = ""
    """Why it cannot be compiled here."""

    def told(self) -> str:
        """In a sentence."""
        what = f"compile: auto: {self.network} is {'' if self.compile else 'not '}compiled: "
        if self.failed:
            return f"{what}{self.failed}"
        if self.compiled is None or self.compiler is None:
            return f"{what}its {self.epochs} epochs take {duration(self.epochs * self.plain)}, too short to gain by it"
        instead = (
            f"an epoch takes {self.compiled:.3g} instead of {self.plain:.3g} s, the compiler {self.compiler:.0f} s"
        )
        saved = self.plain - self.compiled
        pays = f", which {self.compiler / saved:.0f} epochs save" if saved > 0 else ""
        return f"{what}{instead}{pays}; a trial has {self.epochs}"


def decide(network: str, epochs: int, plain: float, compiled: float, compiler: float) -> Decision:
    """Whether it pays, by what was measured.

    Args:
        network: its architecture.
        epochs: of a trial.
        plain, compiled: seconds of an epoch.
        compiler: seconds that a first epoch waits for it.
    """
    pays = epochs * (plain - compiled) > MARGIN * compiler
    return Decision(pays, network, epochs, plain, compiled, compiler)


@dataclass(frozen=True)
class Remembered:
    """A decision as it is kept below the root."""

    decision: Decision
    measured_on: dict[str, Any]


def said(spec: Spec, plan: Plan) -> list[str]:
    """What was decided of a plan's networks, in sentences."""
    return [Decision(**spec.compiled[kind]).told() for kind in asked(spec, plan) if kind in spec.compiled]


# -- what is known ----------------------------------------------------------------------------------------------------


def known(spec: Spec, root: Root, *, here: bool = True) -> Spec:
    """The spec with what was decided: when the sweep was begun, or else below this root. What its trials have as their
    key stays so, whatever another machine would measure.

    Args:
        spec: what is to run, or to be shown.
        root: where it is kept.
        here: whether its trials run on this machine.
    """
    if not undecided(spec):
        return spec
    spec = replace(spec, compiled=_when_it_was_begun(spec, root))
    memory = _content(root)
    found = {kind: memory.get(_remembered_as(kind, spec, here)) for kind in undecided(spec)}
    there = {kind: asdict(one.decision) for kind, one in found.items() if one is not None}
    return replace(spec, compiled={**spec.compiled, **there})


def _when_it_was_begun(spec: Spec, root: Root) -> dict[str, Any]:
    path = root.sweep(spec.name).ledger
    if not path.exists():
        return {}
    with closing(Ledger(path)) as ledger:
        noted = ledger.latest("plan")
    return dict(noted.body.get("compiled", {})) if noted is not None else {}


def _remembered_as(kind: str, spec: Spec, here: bool) -> str:
    """What decides it, whatever the sweep: the images and the device too."""
    from trainers.data import DATASETS

    content = DATASETS[spec.dataset].model_validate(spec.dataset_options).load().content
    return content_key(["gpu" if _on_gpu(spec.compute.gpus, here) else "cpu", content, kind])


def _on_gpu(share: float | str, here: bool) -> bool:
    """Whether trials have a GPU, or a share of one, which may be `auto`."""
    import torch

    return share != 0 and not (share == AUTO and here and not torch.cuda.device_count())


def _content(root: Root) -> dict[str, Remembered]:
    return files.read(root.compiling, Remembered)


def _remember(root: Root, kind: str, spec: Spec, decision: Decision) -> None:
    import torch

    here = {"processor": processor(), "cores": cores(), "gpus": gpus(), "torch": str(torch.__version__)}
    content = {_remembered_as(kind, spec, True): Remembered(decision, here)} | _content(root)
    whole = {name: asdict(one) for name, one in content.items()}
    write_atomically(root.compiling, json.dumps(whole, indent=1).encode())


# -- what is measured -------------------------------------------------------------------------------------------------


def settled(
    spec: Spec,
    root: Root,
    store: TeacherStore,
    say: Callable[[str], None],
    *,
    here: bool = True,
    alone: bool = True,
) -> Spec:
    """The spec with everything decided; what was not is measured now.

    Args:
        spec: what is to run.
        root: where it is kept.
        store: with the teachers that the spec names.
        say: is told what is measured, which takes a minute or two for each network, and what comes of it.
        here: whether the trials run on this machine.
        alone: whether nobody else may decide meanwhile for the same trials.

    Raises:
        InputError: when a trial cannot be trained; where something is left to be decided that cannot be here.
    """
    spec = known(spec, root, here=here)
    if not undecided(spec):
        return spec
    plan = build_plan(spec, store)
    left = {kind: network for kind, network in asked(spec, plan).items() if kind not in spec.compiled}
    if left and not (here and alone):
        raise InputError(
            f"recipe.compile: auto is not decided yet for {', '.join(dict.fromkeys(left.values()))}: run `sweep plan"
            f" {spec.source} --calibrate` with this root on one of the machines that train, or write true or false"
        )
    if left and _on_gpu(spec.compute.gpus, here) and not gpus():
        raise InputError("compute.gpus asks for GPUs, and torch finds none on this machine to measure compile: auto on")
    for kind in left:
        decision = _measured(_trained_so(kind, plan), plan, say)
        say(decision.told())
        _remember(root, kind, spec, decision)
    return known(spec, root, here=here)


def _trained_so(kind: str, plan: Plan) -> TrialConfig:
    """A trial of the plan that stands for a kind of training."""
    everything: list[Slot | SearchedCell] = [*plan.slots, *plan.cells]
    found = next(one for one in everything if trained_as(one.config["model"], one.config["recipe"]) == kind)
    return rehearsed(found, plan)


def _measured(trial: TrialConfig, plan: Plan, say: Callable[[str], None]) -> Decision:
    model, epochs, layout = trial.model, trial.recipe.epochs, _layout(plan)
    say(f"measuring an epoch of {model}, for compile: auto")
    plain = rehearse_together(trial, plan, layout)
    if epochs * _epoch(plain) < LEAST_SECONDS:
        return Decision(False, model, epochs, _epoch(plain))
    say(f"measuring an epoch of {model} compiled, and the compiler")
    recipe = trial.recipe.model_copy(update={"compile": True})
    try:
        compiled = rehearse_together(trial.model_copy(update={"recipe": recipe}), plan, layout)
    except (InputError, MemoryError) as error:  # what trains uncompiled is no mistake of the user's
        return Decision(False, model, epochs, _epoch(plain), failed=str(error))
    again = rehearse_together(trial, plan, layout)  # what else runs here may have gone meanwhile
    compiler = max(_first(compiled) - _first(again), 0.0)
    return decide(model, epochs, min(_epoch(plain), _epoch(again)), _epoch(compiled), compiler)


def _epoch(rehearsals: list[Rehearsal]) -> float:
    return statistics.mean(one.epoch_seconds for one in rehearsals)


def _first(rehearsals: list[Rehearsal]) -> float:
    return statistics.mean(one.first_seconds for one in rehearsals)


def _layout(plan: Plan) -> Layout:
    """Trials as they stand side by side; on a GPU whose share is not measured yet, one."""
    cpus, asked = plan.compute["cpus"], plan.compute["gpus"]
    share = asked if asked != AUTO else float(_on_gpu(asked, here=True))
    beside = gpu_shares(1, share) if share else cores() // cpus
    return Layout(max(1, min(beside, plan.count)), cpus, min(share, 1))
