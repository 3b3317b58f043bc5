"""Runs a plan: Ray Tune schedules, or this process trains; the ledger remembers, MLflow is told, and a table, a figure
and a page come out.

A run again of the same spec is a resume: the ledger says which trials ended for good, their folders hold the
checkpoints of those that did not, and only what is missing is run.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from datetime import datetime
from functools import partial

from search_spaces.schema import Spec
from sweep.cluster.carried import nothing_lost
from sweep.cost import calibration, compiling, latency
from sweep.cost.budget import BudgetWatch
from sweep.cost.estimate import estimate
from sweep.engine import room, session
from sweep.engine.display import Display, Progress
from sweep.engine.local import alone, train_here
from sweep.engine.queue import TrialQueue
from sweep.engine.running import BY_USER, OUT_OF_TIME, Run
from sweep.engine.sharing import Sharing
from sweep.engine.stored_teachers import record_stored_teachers
from sweep.engine.tuning import tune
from sweep.engine.until import Until
from sweep.exit_codes import CAME_TO_ITS_END, DONE, INTERRUPTED, SOME_FAILED, TIME_UP, WRONG_INPUT
from sweep.layout import Root, SweepPaths
from sweep.ledger import histories, lock, provenance, snapshot
from sweep.ledger.claims import refuse_where_divided
from sweep.ledger.earlier import go_on, note_plan, spec_file
from sweep.ledger.ended import take_in
from sweep.ledger.neighbours import Neighbours
from sweep.ledger.store import Ledger
from sweep.plan import code as own
from sweep.plan.expand import build_plan
from sweep.plan.slots import Plan
from sweep.plan.teachers import store_named_files, stored_teachers
from sweep.report.make import make_reports
from sweep.results import read
from sweep.results.again import Again
from sweep.results.elsewhere import elsewhere
from sweep.results.standing import done_and_left, ended, exit_code, no_longer_needed, standing, trials_of
from sweep.search.begun import as_begun
from sweep.search.searches import Searches
from sweep.search.warm_start import warm_started
from sweep.tracking.address import command
from sweep.tracking.projector import Projector
from sweep.tracking.sync import log_models, told_everything
from trainers import mps
from trainers.code import load
from trainers.errors import InputError, StorageError
from trainers.storage.files import write_atomically

STOPPED = {BY_USER: INTERRUPTED, OUT_OF_TIME: TIME_UP}
"""The exit code of a run that was stopped; for any other reason it is that of trials that failed."""


def run_sweep(
    spec: Spec,
    root: Root,
    uri: str,
    display: Display,
    verbose: bool = False,
    *,
    address: str | None = None,
    only_teachers: bool = False,
    local: bool = False,
    fresh: bool = False,
    again: Again | None = None,
    until: Until | None = None,
    lost: Callable[[], str] | None = None,
) -> int:
    """Run what is missing of a sweep, to the table and the figure.

    Args:
        spec: what to run.
        root: below which everything is written.
        uri: MLflow's tracking URI.
        display: what the user sees.
        verbose: let Ray talk.
        address: of a running Ray cluster, whose machines see the root and the data under the same paths, or have roots
            of their own at that path in front of one storage; None for a Ray of our own.
        only_teachers: leave the students to a later run. The plan that is noted is the whole one; nothing is noted
            where all teachers are stored already.
        local: train in this process, one trial at a time, without Ray, to the same numbers; a debugger works there.
        fresh: take nothing over that other sweeps have finished; what this one has done, or taken over before, is done.
        again: trials to train once more, from their beginning, whatever is known of them.
        until: when the run has to be over: no epoch begins that cannot end by then.
        lost: of one of several who divide the sweep, why it has to end, as a message.

    Returns:
        The exit code: 0 done; 1 some trials failed, a report could not be written, the budget is used up or the cluster
        was lost; 75 its time was up, and the same command goes on; 130 interrupted.

    Raises:
        InputError, CheckpointError, StorageError, MachineError: see :mod:`trainers.errors`; nothing that was computed
            is lost.
    """
    if local and address is not None:
        raise InputError(f"--local trains in this process, and --address ({address}) elsewhere: leave one of them out")
    root.check_writable()
    paths = root.sweep(spec.name)
    with ExitStack() as stack:
        stack.enter_context(session.put_back())
        session.environment(root, verbose, address)
        if address is None and not local:
            stack.enter_context(mps.served(spec.compute.model_dump(), display.note))
        load(spec.code)  # another spec may have been read since
        stack.enter_context(lock.exclusive(paths.lock, f"sweep '{spec.name}'"))
        if lost is None:
            refuse_where_divided(paths.divided, spec.name, display.note)
        lease = stack.enter_context(snapshot.take_over(root, spec.name, display.note))
        plan = warm_started(planned(spec, root, address, display, local), root)
        teachers = stored_teachers(plan, root)
        if only_teachers and len(teachers) == len(plan.teachers):
            return DONE
        ledger = stack.enter_context(Ledger(paths.ledger))
        go_on(ledger, spec, plan)
        searched = histories.take_in(paths, ledger, {cell.id for cell in plan.cells})
        take_in(paths, ledger, {slot.id for slot in plan.slots} | searched)
        plan = as_begun(plan, ledger)
        wanted = replace(plan, slots=tuple(plan.teachers), cells=()) if only_teachers else plan
        if again is not None:
            again.begin(root.sweep(spec.name), ledger)
        teachers |= no_longer_needed(wanted, teachers, ledger)
        queue = TrialQueue(wanted, teachers, ended(plan, teachers, ledger), Searches(wanted, ledger))
        if queue.exhausted and _nothing_new(plan, paths, ledger, uri):
            with snapshot.kept(root, spec.name, display.note):
                pass  # the storage may have been away when the last run ended
            return exit_code(wanted, ledger)
        watch = BudgetWatch(wanted, ledger)
        if any(wanted.budget.values()) and not queue.exhausted:
            over = standing(wanted, teachers, ledger)
            shared = {} if fresh else elsewhere(wanted, teachers, over, Neighbours(root, spec.name), ledger)
            watch.refuse(estimate(wanted, over.slots | shared.keys(), over.tried, root), datetime.now())
        record_start(spec, plan, paths, ledger)
        drop = stack.enter_context(snapshot.kept(root, spec.name, display.note, lease.is_lost))
        record_stored_teachers(plan, queue, root, ledger, drop)
        if not fresh:
            Sharing(paths, ledger, plan.protocol, display, drop).begin(queue)
        report = partial(_make_reports, paths, display, with_page=False)
        lost = lost or lease.is_lost
        run = Run(wanted, root, queue, ledger, display, watch, report, drop, address, local, until, lost)
        return _run_and_tell(run, uri, verbose)


def planned(
    spec: Spec, root: Root, address: str | None, display: Display, local: bool, *, divided: bool = False
) -> Plan:
    """The spec's plan, the teachers that it names by files stored, ``compile: auto`` decided, a number for
    ``gpus: auto``, and the latencies. One of several that divide the sweep decides nothing by itself."""
    from trainers.teacher.store import TeacherStore

    store = TeacherStore(root.teachers, root.storage)
    store_named_files(spec, store, display.note)
    store.offer()
    own.keep(spec.code, root)
    spec = compiling.settled(spec, root, store, display.note, here=address is None, alone=not divided)
    plan = build_plan(spec, store)
    plan = alone(plan) if local else _with_devices(plan, root, address, display)
    return latency.told(plan, latency.wanted(plan, root, display.note))


def _with_devices(plan: Plan, root: Root, address: str | None, display: Display) -> Plan:
    """The plan with a number for ``gpus: auto``, which is measured now where that was not done before.

    Raises:
        InputError: when it was not, and the GPUs are a cluster's.
    """
    known = calibration.settled(plan, root, cluster=address is not None)
    if known.compute["gpus"] != calibration.AUTO:
        return known
    if address is not None:
        raise InputError(
            "compute.gpus: auto is not measured yet for these trials: run `sweep plan SPEC --calibrate` with this root"
            " on a machine of the cluster first, or write a number"
        )
    calibration.calibrate(plan, root, lambda what: display.note(f"measuring {what}"))
    return calibration.settled(plan, root)


def _nothing_new(plan: Plan, paths: SweepPaths, ledger: Ledger, uri: str) -> bool:
    """Whether this very plan ran to its end before, its reports are there, and the tracking server knows it all."""
    latest = ledger.latest("plan")
    if latest is None or not plan.is_noted_as(latest.body):
        return False
    report, stop, last = ledger.latest("report"), ledger.latest("stop"), ledger.last_seq()
    if report is None or stop is None or stop.seq != last or not told_everything(ledger, uri):
        return False  # the last run did not come to its end, or this server was not told
    if report.body.get("unwritten"):
        return False  # perhaps it can be written now
    drawn = [paths.leaderboard.name, report.body["figure"], report.body.get("page", {}).get("file")]
    return all((paths.folder / file).is_file() for file in drawn if file)


# -- the ledger's bookkeeping -----------------------------------------------------------------------------------------


def record_start(spec: Spec, plan: Plan, paths: SweepPaths, ledger: Ledger) -> None:
    """Note that a run begins, and of what."""
    write_atomically(paths.spec, spec.text.encode())
    own.lay_out(spec.code, paths)
    if ledger.latest("plan"):  # a driver that was killed could not note what it left
        for trial in read.distinct(read.trials(ledger)[1]):
            if trial.state == "running":
                ledger.append("interrupted", trial.key)
    origin = {"spec": spec.text, "source": spec.source, "file": spec_file(spec)}
    here = {"host": socket.gethostname(), "pid": os.getpid(), "provenance": provenance.of_run(spec)}
    ledger.append("sweep", body=origin | here)
    note_plan(ledger, plan)


# -- the run ----------------------------------------------------------------------------------------------------------


def _run_and_tell(run: Run, uri: str, verbose: bool) -> int:
    """Run the trials while MLflow hears of them, then make the reports and log the models; the exit code."""
    run.display.begun |= run.queue.exhausted  # nothing is prepared any more
    projector = Projector(run.root, run.paths, uri, run.display.note)
    projector.start()
    code = WRONG_INPUT
    try:
        code = _run_trials(run, verbose)
    except KeyboardInterrupt:
        code = INTERRUPTED
        raise
    finally:
        run.display.end()
        try:
            whole = code == TIME_UP or _make_reports(run.paths, run.display, run.ledger)  # for which there is no time
            code = SOME_FAILED if code == DONE and not whole else code
            run.ledger.append("stop", body={"exit_code": code})
        finally:
            pending = projector.close()
    again = command(f"sync {run.plan.name}", run.root, uri)
    if pending:
        run.display.note(f"{pending} events are not in MLflow yet, which this delivers later: {again}")
    elif code in CAME_TO_ITS_END:
        _log_models(run, uri, again)
    return code


def _make_reports(paths: SweepPaths, display: Display, ledger: Ledger, *, with_page: bool = True) -> bool:
    """Make table, figure and page, and tell which of them could not be written; whether all of them were."""
    unwritten = make_reports(paths, ledger, with_page=with_page)
    for line in unwritten:
        display.note(line)
    return not unwritten


def _run_trials(run: Run, verbose: bool) -> int:
    """Run what the queue holds; the exit code."""
    plan, queue, display = run.plan, run.queue, run.display
    if not queue.exhausted:
        stopped = run_here(run) if run.local else run_on_ray(run, verbose)
        for lost in queue.lost:
            display.note(f"not run: {lost.name}: its teacher failed")
        if stopped:
            display.end()
            display.note(f"{stopped}; {nothing_lost()}")
            return STOPPED.get(stopped, SOME_FAILED)
    return exit_code(plan, run.ledger)


def run_here(run: Run) -> str:
    run.display.begin(_progress(run.plan, run.ledger))
    return train_here(run)


def run_on_ray(run: Run, verbose: bool) -> str:
    with session.session(run.address, verbose) as temporary:
        room.check_resources(run.plan, room.JOIN_SECONDS if run.address else 0)
        run.display.begin(_progress(run.plan, run.ledger))
        return tune(run, temporary)


def _progress(plan: Plan, ledger: Ledger) -> Progress:
    """How far earlier runs have come, with the accuracies of the students that have finished."""
    progress = Progress(plan, *done_and_left(plan, ledger))
    for trial in trials_of(plan, ledger):
        if trial.state == "finished" and trial.slot.stage != "teacher":
            progress.add(trial.slot.pair, trial.slot.label, trial.body)
    return progress


def _log_models(run: Run, uri: str, again: str) -> None:
    """Trained networks, when nothing trains any more; what stops it here is made good by the command `again`."""
    note = run.display.note
    try:
        outcome = log_models(run.root, run.plan.name, uri, lambda what: note(f"{what}; Ctrl-C leaves them to: {again}"))
    except KeyboardInterrupt:
        note(f"not all models are in MLflow yet: {again}")
    except StorageError as error:
        note(f"{error}: {again}")
    else:
        for refused in outcome.refused:
            note(f"not logged as a model: {refused}")
