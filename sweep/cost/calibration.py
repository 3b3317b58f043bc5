"""How many trials side by side a machine trains fastest, and how long their epochs take: measured, and remembered.

For the trial of a plan whose student has the most work, every layout of the machine is tried: on a CPU as many trials
of one thread as there are cores, half as many of two, and so on; on a GPU one trial, two, four, until more bring
nothing or do not fit. Then a trial of each other kind is timed in the best layout. Each rehearsal
(:mod:`trainers.rehearsal`) is a process of its own, as a worker is.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

from sweep.cost import measured as files
from sweep.cost.rehearsals import Layout, rehearse_together
from sweep.layout import Root
from sweep.plan.kinds import kind_name
from trainers.allotment import cores
from trainers.config import TeacherConfig, TrialConfig
from trainers.errors import InputError
from trainers.machine import gpus, processor
from trainers.storage.content import content_key
from trainers.storage.files import write_atomically

if TYPE_CHECKING:
    from sweep.plan.slots import Plan, SearchedCell, Slot
    from trainers.rehearsal import Rehearsal

AUTO = "auto"
"""A spec's `compute.gpus` that is measured."""
GAIN = 1.05
"""A layout of more trials at a time must train so many times the images to be better."""
UNTRAINED = "untrained"
"""Hash of the teacher that stands in."""
GIGABYTE = 10**9


@dataclass(frozen=True)
class Measured:
    """What a layout came to."""

    layout: Layout
    images_per_second: float
    """Of all trials together; 0 where they did not fit."""
    peak_gb: float
    """Of the GPU's memory that one trial held at most, in 10⁹ bytes."""


@dataclass(frozen=True)
class Timed:
    """What an epoch of a kind of trial takes in the best layout."""

    epoch_seconds: float
    teacher_seconds: float
    """What the first trial that asks for its teacher's logits pays beside."""


@dataclass(frozen=True)
class Calibration:
    """What was measured on one kind of machine, by the kind of trial (:func:`kind_name`)."""

    layouts: dict[str, tuple[Measured, ...]] = field(default_factory=dict)
    timed: dict[str, Timed] = field(default_factory=dict)


def best(layouts: tuple[Measured, ...]) -> Measured:
    """The layout that trains the most images; of nearly equal ones that of the fewest trials, whose memory is least."""
    first, *more = sorted(layouts, key=lambda measured: measured.layout.trials)
    for larger in more:
        if larger.images_per_second > GAIN * first.images_per_second:
            first = larger
    return first


# -- what is remembered -----------------------------------------------------------------------------------------------


def machine() -> str:
    """What decides the speed of this machine: processor, cores, GPU, torch, and whether GPUs are shared through MPS."""
    import torch

    from trainers import mps

    return content_key([processor(), cores(), gpus(), torch.__version__, *(["mps"] if mps.is_on() else [])])


def remembered(root: Root) -> Calibration:
    """What was measured below `root` on this kind of machine."""
    return _content(root).get(machine(), Calibration())


def _remember(root: Root, calibration: Calibration) -> None:
    content = {name: asdict(one) for name, one in (_content(root) | {machine(): calibration}).items()}
    write_atomically(root.calibration, json.dumps(content, indent=1).encode())


def _content(root: Root) -> dict[str, Calibration]:
    """What was measured below `root`, by machine."""
    return files.read(root.calibration, Calibration)


# -- what is measured -------------------------------------------------------------------------------------------------


def calibrate(plan: Plan, root: Root, say: Callable[[str], None]) -> tuple[Measured, ...]:
    """Measure what of the plan was not measured on this kind of machine before; the layouts of its heaviest trial.

    Args:
        plan: whose trials are rehearsed; without GPUs where its `compute.gpus` is 0.
        root: where the figures are kept.
        say: is told what is measured next, which takes seconds to minutes.

    Raises:
        InputError: when a trial cannot be trained.
    """
    if plan.compute["workers"] > 1:
        raise InputError("what is calibrated is trials of one worker each: leave out compute.workers")
    on_gpu = plan.compute["gpus"] != 0
    known = remembered(root)
    kinds = _kinds(plan, on_gpu)
    trials = {kind: rehearsed(planned, plan) for kind, planned in kinds.items()}
    heaviest = max(kinds, key=lambda kind: _work(trials[kind], plan))
    if heaviest not in known.layouts:
        layouts, timed = _all_layouts(trials[heaviest], kinds[heaviest].name, plan, on_gpu, say)
        known = Calibration(known.layouts | {heaviest: layouts}, known.timed | {heaviest: timed})
        _remember(root, known)
    layout = best(known.layouts[heaviest]).layout
    for kind in kinds.keys() - known.timed.keys():
        say(f"{kinds[kind].name}, {_said(layout)}")
        known.timed[kind] = _timed(rehearse_together(trials[kind], plan, layout))
        _remember(root, known)
    return known.layouts[heaviest]


def settled(plan: Plan, root: Root, *, cluster: bool = False) -> Plan:
    """The plan with a number for ``gpus: auto``: the share that was measured to train the most images; 0 where this
    machine has no GPU. Where nothing was measured yet it stays ``auto``.

    Args:
        plan: what is to run.
        root: where calibrations are kept.
        cluster: whether the trials run elsewhere; what any machine below this root measured is then good enough.
    """
    import torch

    if plan.compute["gpus"] != AUTO:
        return plan
    if not cluster and not torch.cuda.device_count():
        return _with_gpus(plan, 0)
    heaviest = max(_kinds(plan, True).values(), key=lambda planned: _work(rehearsed(planned, plan), plan))
    kind = kind_name(heaviest.pair, heaviest.config, True)
    machines = list(_content(root).values()) if cluster else [remembered(root)]
    shares = [best(known.layouts[kind]).layout.gpus for known in machines if kind in known.layouts]
    return _with_gpus(plan, max(shares)) if shares else plan


def _with_gpus(plan: Plan, gpus: float) -> Plan:
    return replace(plan, compute=plan.compute | {"gpus": gpus})


def _kinds(plan: Plan, on_gpu: bool) -> dict[str, Slot | SearchedCell]:
    """One slot or cell of each kind."""
    everything: list[Slot | SearchedCell] = [*plan.slots, *plan.cells]
    return {kind_name(planned.pair, planned.config, on_gpu): planned for planned in everything}


def rehearsed(planned: Slot | SearchedCell, plan: Plan) -> TrialConfig:
    """A trial as it is rehearsed: with a teacher of the right architecture."""
    architectures = {slot.id: slot.config["model"] for slot in plan.teachers}
    config = TrialConfig.model_validate(planned.config)
    if planned.teacher is None:
        return config
    stand_in = TeacherConfig(architecture=architectures[planned.teacher], hash=UNTRAINED)
    return config.model_copy(update={"teacher": stand_in})


def _work(trial: TrialConfig, plan: Plan) -> int:
    """Multiply-accumulates of the student on one image; teachers, which are trained once, count for nothing."""
    from trainers.models.cost import macs

    data = _data(plan)
    taught = trial.teacher is not None or not plan.students
    return macs(trial.model, data.num_classes, data.image_size) if taught else 0


def _data(plan: Plan) -> Any:
    from trainers.data import DATASETS

    return DATASETS[plan.dataset].model_validate(plan.source).load()


def _all_layouts(
    trial: TrialConfig, name: str, plan: Plan, on_gpu: bool, say: Callable[[str], None]
) -> tuple[tuple[Measured, ...], Timed]:
    """Every layout, on a GPU up to the first that brings nothing more; and what an epoch takes in the best of them."""
    tried: list[Measured] = []
    timed: dict[Layout, Timed] = {}
    for layout in _layouts(on_gpu):
        say(f"{name}, {_said(layout)}")
        measured, rehearsals = _try(trial, plan, layout)
        tried.append(measured)
        if not rehearsals:
            break  # more would fit even less
        timed[layout] = _timed(rehearsals)
        if on_gpu and len(tried) > 1 and best(tuple(tried)) is not measured:
            break  # more trials on the GPU bring nothing more
    if not timed:
        raise InputError(f"{name} does not fit on this GPU: a smaller recipe.batch_size needs less memory")
    return tuple(tried), timed[best(tuple(tried)).layout]


def _layouts(on_gpu: bool) -> Iterator[Layout]:
    """In the order in which they are tried."""
    if not on_gpu:
        trials = cores()
        while trials:
            yield Layout(trials, cores() // trials)
            trials //= 2
        return
    trials = 1
    while trials <= cores():
        yield Layout(trials, max(1, cores() // (trials * _gpus())), 1 / trials)
        trials *= 2


def _gpus() -> int:
    import torch

    if not torch.cuda.device_count():
        raise InputError("compute.gpus asks for GPUs, and torch finds none on this machine to calibrate")
    return torch.cuda.device_count()


def _said(layout: Layout) -> str:
    trials = "1 trial" if layout.trials == 1 else f"{layout.trials} trials side by side"
    each = f" on 1/{layout.trials} of a GPU each" if layout.gpus and layout.trials > 1 else ""
    return f"{trials}{each}, {layout.cpus} thread{'s' if layout.cpus > 1 else ''} each"


def _try(trial: TrialConfig, plan: Plan, layout: Layout) -> tuple[Measured, list[Rehearsal]]:
    """The layout's figures; without rehearsals where the trials did not fit."""
    try:
        rehearsals = rehearse_together(trial, plan, layout)
    except MemoryError:
        return Measured(layout, 0.0, 0.0), []
    rate = sum(rehearsal.images_per_second for rehearsal in rehearsals)
    peak = max(rehearsal.peak_bytes for rehearsal in rehearsals)
    return Measured(layout, rate, peak / GIGABYTE), rehearsals


def _timed(rehearsals: list[Rehearsal]) -> Timed:
    """Of trials side by side, which share the work of filling the bank."""
    each = [rehearsal.epoch_seconds for rehearsal in rehearsals]
    return Timed(sum(each) / len(each), sum(rehearsal.teacher_seconds for rehearsal in rehearsals))
