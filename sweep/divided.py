"""One of several runs that divide a sweep's plan below one root, each trial once; then its table, by one of them.

A member notes what it trains in a ledger of its own, which nobody else reads, and tells the others of each trial that
has ended (:mod:`sweep.ledger.ended`), and of each step of a search (:mod:`sweep.ledger.histories`). What it trains or
searches it has claimed (:mod:`sweep.ledger.claims`). When nothing is left,
one member after the other runs the sweep as ever: the first takes in what all have trained, and makes the table.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from search_spaces.schema import Spec
from sweep.cost.budget import BudgetWatch
from sweep.engine import session
from sweep.engine.display import Display
from sweep.engine.divided_queue import DividedQueue
from sweep.engine.dividing import Dividing
from sweep.engine.running import OUT_OF_TIME, Run
from sweep.engine.stop_signals import NOTICE
from sweep.engine.until import Until
from sweep.exit_codes import CAME_TO_ITS_END, SOME_FAILED, TIME_UP
from sweep.layout import Root, SweepPaths
from sweep.ledger import histories, lock
from sweep.ledger.claims import LOOK_SECONDS, Claims
from sweep.ledger.earlier import go_on
from sweep.ledger.ended import Ended, give_out
from sweep.ledger.store import Ledger
from sweep.plan.divisible import refuse_what_needs_one_driver
from sweep.plan.teachers import stored_teachers
from sweep.run import STOPPED, planned, record_start, run_here, run_on_ray, run_sweep
from sweep.search.begun import as_begun
from sweep.search.warm_start import warm_started
from trainers.code import load
from trainers.errors import BusyError, InputError

if TYPE_CHECKING:
    from sweep.plan.slots import Plan

Result = TypeVar("Result")
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
        spec: what to run; without what needs one driver (:mod:`sweep.plan.divisible`).
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
        claims = stack.enter_context(Claims(paths.divided, spec.text))
        claims.refuse_another_spec(spec.name)
        plan = planned(spec, root, None, display, local, divided=True)
        refuse_what_needs_one_driver(plan)
        with _table(claims, display, until) as ours:
            share = partial(_share_what_is_known, spec, plan, paths)
            begun = _when_free(share, claims, display, until) if ours else None
        if begun is None:
            return TIME_UP
        after, plan = begun
        stopped = _train(plan, root, claims, display, verbose, local=local, until=until)
        if stopped:
            return STOPPED.get(stopped, SOME_FAILED)
        with _table(claims, display, until, after_all=True) as ours:

            def make() -> int:
                made = _made_since(after, paths)
                if made is not None:
                    return made
                return run_sweep(spec, root, uri, display, verbose, local=local, until=until, lost=claims.is_lost)

            code = _when_free(make, claims, display, until) if ours else None
            return TIME_UP if code is None else code


@contextmanager
def _table(claims: Claims, display: Display, until: Until | None, *, after_all: bool = False) -> Iterator[bool]:
    """Have the sweep's own ledger, in turn; False where the time is up before.

    Args:
        claims: the member's.
        display: hears of a wait.
        until: when the run has to be over.
        after_all: when no other member trains any more: what one has given up, or an absent one did, is trained there.

    Raises:
        KeyboardInterrupt: for Ctrl-C, and for SIGTERM, while it waits.
        BusyError: when it stood still for so long that the others have gone on without it.
    """
    with ExitStack() as stack:
        with _waiting() as notice:

            def look() -> None:
                if claims.is_lost():
                    raise BusyError(claims.is_lost())
                if notice.is_set() or (until is not None and until.left() <= 0):
                    raise TimeoutError

            try:
                if after_all:
                    _outlast(claims, display, look)
                stack.enter_context(claims.alone(TABLE, look))
                ours = True
            except TimeoutError:
                display.note(f"{OUT_OF_TIME}; the others make the table, or the same command does")
                ours = False
        yield ours


def _when_free(work: Callable[[], Result], claims: Claims, display: Display, until: Until | None) -> Result | None:
    """What comes of work with the sweep's own ledger, which a member that stood still while it had its turn may hold
    until it goes on, and ends; None where the time is up before.

    Raises:
        KeyboardInterrupt: for Ctrl-C, and for SIGTERM, while it waits.
        BusyError: where somebody else has the ledger, or this one was itself taken for dead.
    """
    said = False
    while True:
        try:
            return work()
        except BusyError as error:
            busy = error
        if claims.is_lost() or not claims.took_over(TABLE):
            raise busy
        with _waiting() as notice:
            if not said:
                display.note(f"{busy}; it stands still, so it is waited for")
            said = True
            if notice.wait(LOOK_SECONDS) or (until is not None and until.left() <= 0):
                return None


def _outlast(claims: Claims, display: Display, look: Callable[[], None]) -> None:
    """Wait until no other member trains; `look` is called meanwhile."""
    claims.rest()
    if claims.others_train():
        display.note("nothing is left to claim; waiting for what the others train")
    while claims.others_train():
        look()
        time.sleep(LOOK_SECONDS)


@contextmanager
def _waiting() -> Iterator[threading.Event]:
    """A context in which SIGTERM is a Ctrl-C, as SIGINT is; the event is set by a batch system's notice."""
    notice = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield notice
        return
    before = [
        (signal.SIGINT, signal.signal(signal.SIGINT, signal.default_int_handler)),  # a shell's `&` has it ignored
        (signal.SIGTERM, signal.signal(signal.SIGTERM, signal.default_int_handler)),
        (NOTICE, signal.signal(NOTICE, lambda number, frame: notice.set())),
    ]
    try:
        yield notice
    finally:
        for number, handler in before:
            signal.signal(number, handler)


def _refuse_storage(root: Root) -> None:
    if root.storage.uri:
        raise InputError(
            f"--divide is for machines that see one root; with a storage ({root.storage.uri}) a sweep has one driver"
        )


def _made_since(begun: int, paths: SweepPaths) -> int | None:
    """The exit code of the member that has made the table since this one began; None where none has."""
    with Ledger(paths.ledger) as ledger:
        stop = ledger.latest("stop")
        if stop is None or stop.seq <= begun or stop.seq != ledger.last_seq():
            return None
    code = int(stop.body["exit_code"])
    return code if code in CAME_TO_ITS_END else None


def _share_what_is_known(spec: Spec, plan: Plan, paths: SweepPaths) -> tuple[int, Plan]:
    """Tell the members what the sweep's ledger has; of a teacher that is stored no longer, nothing.

    Returns:
        The number of that ledger's last event, and the plan with its searches as that ledger has begun them.

    Raises:
        InputError: where the ledger is of another spec of that name.
        BusyError: where one driver alone runs the sweep.
    """
    from trainers.teacher.store import TeacherStore

    with lock.exclusive(paths.lock, f"sweep '{spec.name}'"), Ledger(paths.ledger) as ledger:
        plan = warm_started(plan, paths.root)
        go_on(ledger, spec, plan)
        plan = as_begun(plan, ledger)
        record_start(spec, plan, paths, ledger)
        give_out(paths, ledger)
        histories.give_out(paths, ledger, [cell.id for cell in plan.cells])
        begun = ledger.last_seq()
    ended, store = Ended(paths.divided), TeacherStore(paths.root.teachers)
    for slot in plan.teachers:
        if slot.id in ended.trials(anew=True) and store.trained_by(slot.id) is None:
            told = ended.read(slot.id)
            if told is not None and told.final["state"] == "finished":
                ended.forget(slot.id)
    return begun, plan


def _train(
    plan: Plan, root: Root, claims: Claims, display: Display, verbose: bool, *, local: bool, until: Until | None
) -> str:
    """Train what can be claimed until nothing is left; why it was stopped before, empty where it was not."""
    paths = root.sweep(plan.name)
    own = paths.divided / "ledgers" / claims.id
    with Ledger(own / "ledger.db") as ledger:
        ledger.append("sweep", body={"host": socket.gethostname(), "pid": os.getpid()})
        ledger.append("plan", body=plan.to_json())
        queue = DividedQueue(plan, stored_teachers(plan, root), ledger)
        dividing = Dividing(paths, claims, ledger, display)
        dividing.begin(queue)
        watch = BudgetWatch(plan, ledger)
        run = Run(plan, root, queue, ledger, display, watch, lambda ledger: None, local=local, until=until)
        run = replace(run, lost=claims.is_lost, dividing=dividing)
        stopped = "" if queue.exhausted else run_here(run) if local else run_on_ray(run, verbose)
        dividing.searches.tell()
        display.end()
    shutil.rmtree(own, ignore_errors=True)
    if stopped:
        display.note(f"{stopped}; what this one has not ended the others go on with, or the same command does")
    return stopped
