"""What a spec would run: its trials, what of them is done, and what the rest will cost."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from search_spaces.schema import Spec
from sweep.cost import calibration, compiling, estimate, latency
from sweep.formats import Format, listing
from sweep.layout import Root
from sweep.ledger import snapshot
from sweep.ledger.neighbours import Neighbours
from sweep.ledger.store import Ledger
from sweep.plan.compiling import asked
from sweep.plan.expand import build_plan
from sweep.plan.slots import Plan
from sweep.plan.teachers import stored_teachers
from sweep.results.elsewhere import elsewhere
from sweep.results.outgrown import outgrown
from sweep.results.standing import Standing, no_longer_needed, standing
from sweep.search.begun import as_begun
from sweep.search.warm_start import first_points, warm_started
from sweep.text import counted
from trainers import mps
from trainers.data import DATASETS
from trainers.teacher.store import TeacherStore

MEGABYTE = 1_000_000
Row = tuple[str, str, str, str]
"""Stage, recipe, pair and method."""


@dataclass(frozen=True)
class Preview:
    """A plan, and what of it is done."""

    plan: Plan
    over: Standing
    root: Root
    elsewhere: Mapping[str, str] = field(default_factory=dict)
    """Slots that other sweeps below the root have finished, which a run takes over: the sweep of each, by id."""
    remarks: tuple[str, ...] = ()
    """On other sweeps that cannot be read."""
    first_points: tuple[str, ...] = ()
    """With what searches begin that learn from others."""

    @property
    def rows(self) -> list[dict[str, Any]]:
        """One per stage, recipe, pair and method: `trials`, how many are `done` here, how many `elsewhere`, and
        `epochs`."""
        return _rows(self.plan, self.over, self.elsewhere)

    @property
    def epochs_left(self) -> int:
        """To run yet, at most."""
        return _epochs_left(self.plan, replace(self.over, slots=self._ended))

    @property
    def _ended(self) -> frozenset[str]:
        """Slots that need not run."""
        return self.over.slots | self.elsewhere.keys()

    @property
    def _done(self) -> str:
        """``76 done``, or ``64 done here, 12 done in cifar-main``."""
        there = Counter(self.elsewhere.values()).most_common()
        here = f"{self.over.trials} done{' here' if there else ''}"
        return ", ".join([here, *(f"{count} done in {name}" for name, count in there)])

    @property
    def text(self) -> str:
        """All that is known, for a person."""
        plan, over = self.plan, self.over
        left = estimate.estimate(plan, self._ended, over.tried, self.root)
        most = "at most " if plan.cells else ""
        total = f"{most}{plan.count} trials, {plan.epochs} epochs; {self._done}, {self.epochs_left} epochs to run"
        classes = DATASETS[plan.dataset].model_validate(plan.source).load().num_classes
        disk = f"disk: at most {estimate.disk_bytes(plan, classes) / MEGABYTE:,.0f} MB of weights and checkpoints"
        lines = [
            f"{plan.name} on {plan.dataset}",
            listing(self.rows, Format.TABLE),
            f"{total}; {_compute(plan)}",
            left.text(datetime.now()),
            disk,
            *plan.notes,
            *self.first_points,
            *self.remarks,
            *_outgrown(plan, self._ended, self.root),
        ]
        return "\n".join([*lines, ""])


def look_ahead(spec: Spec, root: Root) -> Preview:
    """Plan a spec, and see what of it is done. Writes nothing but the data set's cache, and what it fetches from the
    storage.

    Raises:
        InputError, StorageError, CheckpointError: as a run would.
    """
    root.offer_cache()
    with root.newly_made():
        snapshot.restore(root, spec.name)
        spec = compiling.known(spec, root)
        plan = _with_devices(build_plan(spec, TeacherStore(root.teachers, root.storage)), root)
        plan = replace(plan, notes=(*plan.notes, *_compiling(spec, plan)))
        plan = warm_started(latency.told(plan, latency.remembered(plan, root)), root)
    teachers = stored_teachers(plan, root)
    neighbours = Neighbours(root, plan.name)
    with _ledger(root.sweep(plan.name).ledger) as ledger:
        plan = as_begun(plan, ledger)
        teachers |= no_longer_needed(plan, teachers, ledger)
        over = standing(plan, teachers, ledger)
        shared = elsewhere(plan, teachers, over, neighbours, ledger)
        first = tuple(first_points(plan, ledger))
    return Preview(plan, over, root, shared, tuple(neighbours.remarks.values()), first)


def _compiling(spec: Spec, plan: Plan) -> list[str]:
    """What `compile: auto` comes to, as lines."""
    left = ", ".join(dict.fromkeys(one for kind, one in asked(spec, plan).items() if kind not in spec.compiled))
    measure = "counts as false until it is measured: by `sweep run`, or with --calibrate now"
    return [*compiling.said(spec, plan), *([f"compile: auto of {left} {measure}"] if left else [])]


def preview(spec: Spec, root: Root, how: Format) -> str:
    """What `sweep plan` prints (see :func:`look_ahead`)."""
    ahead = look_ahead(spec, root)
    return ahead.text if how is Format.TABLE else listing(ahead.rows, how)


def _with_devices(plan: Plan, root: Root) -> Plan:
    """The plan with a number for ``gpus: auto``, if need be a guess."""
    known = calibration.settled(plan, root)
    if known.compute["gpus"] != calibration.AUTO:
        return known
    note = "compute.gpus: auto counts as a whole GPU until it is measured: by `sweep run`, or with --calibrate now"
    return replace(plan, compute=plan.compute | {"gpus": 1.0}, notes=(*plan.notes, note))


def calibrated(spec: Spec, root: Root, how: Format, say: Callable[[str], None]) -> str:
    """Measure how many trials side by side this machine trains fastest, and how long their epochs take, as far as that
    was not done before; the layouts as text.

    Raises:
        InputError: when a trial cannot be trained here.
    """
    root.check_writable()
    root.offer_cache()
    snapshot.restore(root, spec.name)  # with what was decided when it was begun
    store = TeacherStore(root.teachers, root.storage)
    plan = build_plan(compiling.settled(spec, root, store, say), store)
    with mps.served(spec.compute.model_dump(), say):
        layouts = calibration.calibrate(plan, root, lambda what: say(f"measuring {what}"))
    chosen = calibration.best(layouts)
    alone = min(layouts, key=lambda measured: measured.layout.trials)
    rows = [
        {
            "side by side": measured.layout.trials,
            "cpus": measured.layout.cpus,
            "gpus": round(measured.layout.gpus, 4),
            "images/s": round(measured.images_per_second, 1),
            "of the fewest": round(measured.images_per_second / alone.images_per_second, 2),
            "peak GB": round(measured.peak_gb, 2),
            "best": "←" if measured is chosen else "",
        }
        for measured in layouts
    ]
    advice = f"compute: {{cpus: {chosen.layout.cpus}, gpus: {chosen.layout.gpus:.4g}}} trains the most here"
    return listing(rows, how) + (f"{advice}\n\n" if how is Format.TABLE else "")


def _rows(plan: Plan, over: Standing, elsewhere: Mapping[str, str]) -> list[dict[str, Any]]:
    trials: Counter[Row] = Counter()
    epochs: Counter[Row] = Counter()
    done: Counter[Row] = Counter()
    shared: Counter[Row] = Counter()
    for slot in plan.slots:
        row: Row = (slot.stage, slot.recipe, slot.pair, slot.label)
        trials[row] += 1
        epochs[row] += slot.epochs
        done[row] += slot.id in over.slots
        shared[row] += slot.id in elsewhere
    for cell in plan.cells:
        confirming = cell.trials - cell.budget - cell.race_trials
        parts = [("search", cell.budget, over.searched)]
        parts += [("race", cell.race_trials, over.raced)] if cell.race_trials else []
        for stage, count, ended in (*parts, ("confirm", confirming, over.confirmed)):
            over_here = ended.get(cell.id, 0)
            row = (stage, cell.recipe, cell.pair, cell.label)
            trials[row] += count
            epochs[row] += count * cell.epochs
            done[row] += over_here
    return [
        {"stage": row[0], "recipe": row[1], "pair": row[2], "method": row[3]}
        | {"trials": count, "done": done[row], "elsewhere": shared[row], "epochs": epochs[row]}
        for row, count in trials.items()
    ]


def _compute(plan: Plan) -> str:
    """What a trial trains on, and what of each batch each of its workers gets."""
    cpus, gpus, workers = (plan.compute[name] for name in ("cpus", "gpus", "workers"))
    cohort = plan.compute.get("cohort", 1)
    if workers == 1:
        share = f", or for up to {cohort} that go together" if cohort > 1 else ""
        return f"{counted(cpus, 'CPU')} and {counted(gpus, 'GPU')} a trial{share}"
    configs = [slot.config for slot in plan.slots] + [cell.config for cell in plan.cells]
    recipes = [config["recipe"] for config in configs]
    batches = sorted({recipe["batch_size"] for recipe in recipes})
    rates = sorted({recipe["lr"] for recipe in recipes})
    shares = " or ".join(f"{math.ceil(size / workers)} of the {size} images" for size in batches)
    return (
        f"{workers} workers a trial, each with {counted(cpus, 'CPU')}, {counted(gpus, 'GPU')} and {shares} of a batch;"
        f" learning rate {' or '.join(f'{rate:g}' for rate in rates)}, as with one"
    )


def _epochs_left(plan: Plan, over: Standing) -> int:
    fixed = sum({slot.id: slot.epochs for slot in plan.slots if slot.id not in over.slots}.values())
    tried = over.tried
    return fixed + sum(max(cell.trials - tried.get(cell.id, 0), 0) * cell.epochs for cell in plan.cells)


@contextmanager
def _ledger(path: Path) -> Iterator[Ledger | None]:
    """A sweep's ledger; None where it has none yet."""
    if not path.exists():
        yield None
        return
    with closing(Ledger(path)) as ledger:
        yield ledger


def _outgrown(plan: Plan, ended: Collection[str], root: Root) -> list[str]:
    """What has a result and runs again all the same, as a line; none where there is nothing of the kind."""
    with _ledger(root.sweep(plan.name).ledger) as ledger:
        remark = outgrown(plan, ended, ledger) if ledger else ""
    return [remark] if remark else []
