"""One of several runs that divide a sweep's plan below one root, each trial once; then its table, by one of them.

A member notes what it trains in a ledger of its own, which nobody else reads, and tells the others of each trial that
has ended (:mod:`sweep.ledger.ended`). What it trains it has claimed (:mod:`sweep.ledger.claims`). When nothing is left,
one member after the other runs the sweep as ever: the first takes in what all have trained, and makes the table.
"""

from __future__ import annotations

import os
import shutil
import socket
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from search_spaces.schema import Spec
from sweep.cost.budget import BudgetWatch
from sweep.engine import session
from sweep.engine.display import Display
from sweep.engine.dividing import Dividing
from sweep.engine.queue import TrialQueue
from sweep.engine.running import Run
from sweep.engine.until import Until
from sweep.exit_codes import SOME_FAILED
from sweep.layout import Root, SweepPaths
from sweep.ledger import lock
from sweep.ledger.claims import Claims
from sweep.ledger.ended import Ended, give_out
from sweep.ledger.store import Ledger
from sweep.plan.teachers import stored_teachers
from sweep.run import STOPPED, planned, run_here, run_on_ray, run_sweep
from trainers.code import load
from trainers.errors import BusyError, InputError

if TYPE_CHECKING:
    from sweep.plan.slots import Plan

TABLE = "table"
"""What the member has that works with the sweep's own ledger."""


def run_divided(
    spec: Spec,
    root: Root,
    uri: str,
    display: Display,
    verbose: bool = False,
    *,
    local: bool = False,
    until: Until | None = None,
) -> int:
    """Train what others who divide the sweep do not, until nothing is left; then make its table, where nobody has.

    Args:
        spec: what to run; without searches and budgets, which need one driver.
        root: below which all members write, and no storage.
        uri: MLflow's tracking URI.
        display: what the user sees.
        verbose: let Ray talk.
        local: train in this process.
        until: when the run has to be over.

    Returns:
        The exit code, as of :func:`sweep.run.run_sweep`.

    Raises:
        InputError: for what cannot be divided; BusyError where one driver alone runs the sweep.
        CheckpointError, StorageError, MachineError: see :mod:`trainers.errors`.
    """
    _refuse_storage(root)
    root.check_writable()
    paths = root.sweep(spec.name)
    with ExitStack() as stack:
        stack.enter_context(session.put_back())
        session.environment(root, verbose, None)
        load(spec.code)
        claims = stack.enter_context(Claims(paths.divided))
        plan = planned(spec, root, None, display, local)
        _refuse_what_needs_one_driver(plan)
        with claims.alone(TABLE):
            _share_what_is_known(spec, plan, paths)
        stopped = _train(plan, root, claims, display, verbose, local=local, until=until)
        if stopped:
            return STOPPED.get(stopped, SOME_FAILED)
        with claims.alone(TABLE):
            return run_sweep(spec, root, uri, display, verbose, local=local, until=until)


def _refuse_storage(root: Root) -> None:
    if root.storage.uri:
        raise InputError(
            f"--divide is for machines that see one root; with a storage ({root.storage.uri}) a sweep has one driver"
        )


def _refuse_what_needs_one_driver(plan: Plan) -> None:
    if plan.cells:
        raise InputError(
            f"sweep '{plan.name}' has searches, which go by all that they have tried: they cannot be divided among"
            " several runs yet. Run it as one job, or give its searches a spec of their own"
        )
    if any(plan.budget.values()):
        raise InputError(
            f"sweep '{plan.name}' has a budget, which each of several runs would spend by itself: leave `budget` out"
        )


def _share_what_is_known(spec: Spec, plan: Plan, paths: SweepPaths) -> None:
    """Tell the members what the sweep's ledger has; of a teacher that is stored no longer, nothing."""
    from trainers.teacher.store import TeacherStore

    with lock.exclusive(paths.lock, f"sweep '{spec.name}'"):
        if paths.ledger.exists():
            with Ledger(paths.ledger) as ledger:
                give_out(paths, ledger)
    ended, store = Ended(paths.divided), TeacherStore(paths.root.teachers)
    for slot in plan.teachers:
        if slot.id in ended.trials(anew=True) and store.trained_by(slot.id) is None:
            told = ended.read(slot.id)
            if told is not None and told.final["state"] == "finished":
                ended.forget(slot.id)


def _train(
    plan: Plan, root: Root, claims: Claims, display: Display, verbose: bool, *, local: bool, until: Until | None
) -> str:
    """Train what can be claimed until nothing is left; why it was stopped before, empty where it was not."""
    paths = root.sweep(plan.name)
    own = paths.divided / "ledgers" / claims.id
    with Ledger(own / "ledger.db") as ledger:
        ledger.append("sweep", body={"host": socket.gethostname(), "pid": os.getpid()})
        ledger.append("plan", body=plan.to_json())
        queue = TrialQueue(plan, stored_teachers(plan, root), set())
        dividing = Dividing(paths, claims, ledger, display)
        dividing.begin(queue)
        watch = BudgetWatch(plan, ledger)
        run = Run(plan, root, queue, ledger, display, watch, lambda ledger: None, local=local, until=until)
        run = replace(run, lost=claims.is_lost, dividing=dividing)
        stopped = "" if queue.exhausted else run_here(run) if local else run_on_ray(run, verbose)
        display.end()
    shutil.rmtree(own, ignore_errors=True)
    if stopped:
        display.note(f"{stopped}; what this one has not ended the others go on with, or the same command does")
    return stopped


def refuse_where_divided(paths: SweepPaths) -> None:
    """Raises BusyError where members divide the sweep at this moment, whose trials one driver would train as well."""
    who = Claims(paths.divided).others_at_work() if Path(paths.divided).is_dir() else ""
    if who:
        raise BusyError(
            f"sweep '{paths.folder.name}' is being run by several that divide it, such as {who}: wait for them, stop"
            " them first, or join them with --divide"
        )
