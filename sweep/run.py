"""Runs a plan: Ray Tune schedules, the ledger remembers, MLflow is told, a table, a figure and a page come out.

A run again of the same spec is a resume: the ledger says which trials ended for good, their folders hold the
checkpoints of those that did not, and only what is missing is run.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from search_spaces.schema import Spec
from sweep import calibration, lock, machines, report, snapshot
from sweep import leaderboard as boards
from sweep.cells import Searches
from sweep.cost import BudgetWatch, estimate
from sweep.display import Display, Progress, nothing_lost
from sweep.events import final_body, start_body, stored_teacher_body
from sweep.formats import Format
from sweep.layout import Root, SweepPaths
from sweep.ledger import Ledger
from sweep.plan import Plan, Slot, build_plan
from sweep.queue import Job, TrialQueue, share
from sweep.tracking import Projector, command, log_models, told_everything, without_password
from trainers.config import DatasetConfig, TeacherConfig
from trainers.content import file_sha256
from trainers.errors import InputError, StorageError
from trainers.files import write_atomically

if TYPE_CHECKING:
    from sweep.recorder import Recorder
    from trainers.teachers import TeacherStore

DONE, SOME_FAILED, WRONG_INPUT, INTERRUPTED = 0, 1, 2, 130
"""Exit codes."""
BY_USER = "stopped"
"""Why a run ended early: by Ctrl-C."""


def ended(plan: Plan, teachers: dict[str, TeacherConfig], ledger: Ledger) -> set[str]:
    """Keys of the trials that ended for good; not those of teachers that were trained once but are no longer stored."""
    gone = {slot.id for slot in plan.teachers if slot.id not in teachers}
    return {key for key, body in ledger.finals().items() if not (key in gone and body["state"] == "finished")}


def stored_teachers(plan: Plan, root: Root) -> dict[str, TeacherConfig]:
    """The plan's teachers that are trained already, by slot id. Raises CheckpointError for a damaged one."""
    from trainers.teachers import TeacherStore

    store = TeacherStore(root.teachers, root.storage)
    found = {}
    for slot in plan.teachers:
        passport = store.trained_by(slot.id)
        if passport is not None:
            store.check(passport)
            found[slot.id] = passport.reference
    return found


def run_sweep(
    spec: Spec,
    root: Root,
    uri: str,
    display: Display,
    verbose: bool = False,
    *,
    address: str | None = None,
    only_teachers: bool = False,
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

    Returns:
        The exit code: 0 done; 1 some trials failed, the budget is used up or the cluster was lost; 130 interrupted.

    Raises:
        InputError, CheckpointError, StorageError, MachineError: see :mod:`trainers.errors`; nothing that was computed
            is lost.
    """
    from trainers.teachers import TeacherStore

    root.check_writable()
    machines.environment(root, verbose, address)
    paths = root.sweep(spec.name)
    with ExitStack() as stack:
        stack.enter_context(lock.exclusive(paths.lock, f"sweep '{spec.name}'"))
        snapshot.take_over(root, spec.name, display.note)
        store = TeacherStore(root.teachers, root.storage)
        store_named_files(spec, store)
        store.offer()
        plan = _with_devices(build_plan(spec, store), root, address, display)
        teachers = stored_teachers(plan, root)
        wanted = replace(plan, slots=tuple(plan.teachers), cells=()) if only_teachers else plan
        if only_teachers and len(teachers) == len(wanted.slots):
            return DONE
        ledger = stack.enter_context(Ledger(paths.ledger))
        searches = Searches(wanted, ledger)
        queue = TrialQueue(wanted, teachers, ended(plan, teachers, ledger), searches)
        if queue.exhausted and _nothing_new(plan, paths, ledger, uri):
            with snapshot.kept(root, spec.name, display.note):
                pass  # the storage may have been away when the last run ended
            return _exit_code(wanted, ledger)
        watch = BudgetWatch(wanted, ledger)
        if any(wanted.budget.values()) and not queue.exhausted:
            over, tried = _over(wanted, queue, ledger)
            watch.refuse(estimate(wanted, over, tried, root), datetime.now())
        _record_start(spec, plan, paths, ledger)
        drop = stack.enter_context(snapshot.kept(root, spec.name, display.note))
        _record_stored_teachers(plan, queue, root, ledger, drop)
        projector = Projector(root, paths, uri, display.note)
        projector.start()
        code = WRONG_INPUT
        try:
            code = _run_trials(wanted, queue, root, paths, ledger, display, verbose, watch, address, drop)
        except KeyboardInterrupt:
            code = INTERRUPTED
            raise
        finally:
            display.end()
            try:
                _make_reports(paths, ledger)
                ledger.append("stop", body={"exit_code": code})
            finally:
                pending = projector.close()
        again = command(f"sync {spec.name}", root, uri)
        if pending:
            display.note(f"{pending} events are not in MLflow yet; when {without_password(uri)} is back: {again}")
        elif code in (DONE, SOME_FAILED):
            _log_models(spec.name, root, uri, display, again)
    return code


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


def store_named_files(spec: Spec, store: TeacherStore) -> None:
    """Import the teachers that the spec names by their files; those that are stored already stay as they are.

    Raises:
        InputError, CheckpointError: when a file is no teacher for the spec's data.
    """
    from trainers.data import DATASETS
    from trainers.pretrained import read

    files = [Path(pair.teacher) for pair in spec.pairs if pair.kind == "file"]
    if not files:
        return
    source = DATASETS[spec.dataset].model_validate(spec.dataset_options)
    data = source.load()
    dataset = DatasetConfig(name=spec.dataset, options=source.identity, content=data.content)
    for file in files:
        store.adopt(read(file), data, dataset)


def _over(plan: Plan, queue: TrialQueue, ledger: Ledger) -> tuple[set[str], dict[str, int]]:
    """Ids of the slots that have ended, and how many trials of each search, its confirming ones included."""
    waiting = queue.waiting_ids
    over = {slot.id for slot in plan.slots} - waiting
    ended = {event.trial for event in ledger.events("pruned", "final")}
    tried = Counter(event.body["cell"] for event in ledger.events("ask") if event.trial in ended)
    won = {event.body["cell"]: event.body["slots"] for event in ledger.events("chosen")}
    for cell in plan.cells:
        if tried[cell.id] >= cell.budget:  # a search that grew may choose others
            confirming = {slot["id"] for slot in won.get(cell.id, ()) if slot["seed"] != plan.seeds[0]}
            tried[cell.id] += len(confirming - waiting)
    return over, dict(tried)


def describe(job: Job, plan: Plan, root: Root) -> dict[str, Any]:
    """A job as the config that :class:`sweep.trainable.TrialTrainable` takes."""
    return {
        "key": job.key,
        "stage": job.slot.stage,
        "trial": job.trial.model_dump(mode="json"),
        "folder": str(root.sweep(plan.name).trial(job.key).absolute()),
        "teachers": str(root.teachers.absolute()),
        "root": str(root.path.absolute()),
        "storage": root.storage.uri,
        "bank": str(root.bank.absolute()),
        "bank_gb": plan.compute["bank_gb"],
        "source": plan.source,
        "workers": plan.compute["workers"],
        "cpus": plan.compute["cpus"],
        "gpus": share(plan.compute["gpus"], job.crowded),
    }


def _nothing_new(plan: Plan, paths: SweepPaths, ledger: Ledger, uri: str) -> bool:
    """Whether this very plan ran to its end before, its reports are there, and the tracking server knows it all."""
    latest = ledger.latest("plan")
    if latest is None or latest.body != json.loads(json.dumps(plan.to_json())):
        return False
    report, stop, last = ledger.latest("report"), ledger.latest("stop"), ledger.last_seq()
    if report is None or stop is None or stop.seq != last or not told_everything(ledger, uri):
        return False  # the last run did not come to its end, or this server was not told
    drawn = [report.body["figure"], report.body.get("page", {}).get("file")]
    return paths.leaderboard.exists() and all((paths.folder / file).exists() for file in drawn if file)


# -- the ledger's bookkeeping -----------------------------------------------------------------------------------------


def _record_start(spec: Spec, plan: Plan, paths: SweepPaths, ledger: Ledger) -> None:
    write_atomically(paths.spec, spec.text.encode())
    if ledger.latest("plan"):  # a driver that was killed could not note what it left
        for trial in boards.distinct(boards.trials(ledger)[1]):
            if trial.state == "running":
                ledger.append("interrupted", trial.key)
    body = {"spec": spec.text, "source": spec.source, "host": socket.gethostname(), "pid": os.getpid()}
    ledger.append("sweep", body=body)
    ledger.append("plan", body=plan.to_json())


def _record_stored_teachers(
    plan: Plan, queue: TrialQueue, root: Root, ledger: Ledger, drop: Callable[[Path], None]
) -> None:
    """A teacher that another sweep trained has a place in this ledger too; so has one of this sweep whose driver was
    killed before it heard that the teacher was stored."""
    from trainers.teachers import TeacherStore

    known = ledger.finals()
    store = TeacherStore(root.teachers, root.storage)
    for slot in plan.teachers:
        if slot.id in queue.teachers and slot.id not in known:
            passport = store.trained_by(slot.id)
            if passport is not None:
                checkpoints = root.sweep(plan.name).trial(slot.id) / "checkpoints"
                root.storage.pull(checkpoints)
                epochs = _all_epochs(slot, checkpoints)
                ledger.append("start", slot.id, body=start_body(Job(slot, slot.trial())))
                for epoch in epochs:
                    ledger.append("epoch", slot.id, epoch["epoch"], epoch)
                own = final_body("finished", epochs, plan.protocol) | {"teacher": passport.reference.model_dump()}
                ledger.append("final", slot.id, body=own if epochs else stored_teacher_body(passport))
                shutil.rmtree(checkpoints, ignore_errors=True)
                drop(checkpoints)


def _all_epochs(slot: Slot, checkpoints: Path) -> list[dict[str, Any]]:
    """The results of a teacher that was trained here to its end and not noted; none where that was elsewhere."""
    from trainers.checkpoint import Checkpoints

    state = Checkpoints(checkpoints).newest()
    whole = state is not None and state["key"] == slot.id and len(state["history"]) == slot.epochs
    return list(state["history"]) if state is not None and whole else []


def _make_reports(paths: SweepPaths, ledger: Ledger, *, with_page: bool = True) -> None:
    """Table, figure and page from the ledger, as files and as an event for MLflow; the page takes the longest."""
    board = boards.leaderboard(ledger)
    markdown = boards.render(board, Format.MARKDOWN)
    write_atomically(paths.leaderboard, markdown.encode())
    drawn = report.draw(board, paths.figure)
    body: dict[str, Any] = {"markdown": markdown, "records": boards.records(board)}
    body["figure"] = paths.figure.name if drawn else None
    if with_page:
        report.write(ledger, paths.report)
        body["page"] = {"file": paths.report.name, "sha256": file_sha256(paths.report)}
    latest = ledger.latest("report")
    if latest is None or latest.body != body:
        ledger.append("report", body=body)


def _log_models(name: str, root: Root, uri: str, display: Display, again: str) -> None:
    """Trained networks, when nothing trains any more; what stops it here is made good by the command `again`."""
    try:
        outcome = log_models(root, name, uri, lambda what: display.note(f"{what}; Ctrl-C leaves them to: {again}"))
    except KeyboardInterrupt:
        display.note(f"not all models are in MLflow yet: {again}")
    except StorageError as error:
        display.note(f"{error}: {again}")
    else:
        for refused in outcome.refused:
            display.note(f"not logged as a model: {refused}")


# -- the run ----------------------------------------------------------------------------------------------------------


def _run_trials(
    plan: Plan,
    queue: TrialQueue,
    root: Root,
    paths: SweepPaths,
    ledger: Ledger,
    display: Display,
    verbose: bool,
    watch: BudgetWatch,
    address: str | None,
    drop: Callable[[Path], None],
) -> int:
    """Run what the queue holds; the exit code."""
    done, epochs_left = _standing(plan, ledger)
    if not queue.exhausted:
        with machines.session(address, verbose) as temporary:
            machines.check_resources(plan, machines.JOIN_SECONDS if address else 0)
            progress = Progress(plan, done, epochs_left)
            for trial in _trials(plan, ledger):
                if trial.state == "finished" and trial.slot.stage != "teacher":
                    progress.add(trial.slot.pair, trial.slot.label, trial.body)
            display.begin(progress)
            stopped = _tune(plan, queue, root, paths, ledger, display, temporary, watch, address, drop)
        for lost in queue.lost:
            display.note(f"not run: {lost.name}: its teacher failed")
        if stopped:
            display.end()
            display.note(f"{stopped}; {nothing_lost()}")
            return INTERRUPTED if stopped == BY_USER else SOME_FAILED
    return _exit_code(plan, ledger)


def _trials(plan: Plan, ledger: Ledger) -> list[boards.Trial]:
    """The ledger's trials, without those of its plan that `plan`, which may be a part of it, leaves out."""
    whole, found = boards.trials(ledger)
    left_out = {slot.id for slot in whole.slots} - {slot.id for slot in plan.slots}
    return [trial for trial in found if trial.slot.id not in left_out]


def _exit_code(plan: Plan, ledger: Ledger) -> int:
    """Some failed where a trial of the table did, or a search trial broke; its bad ends are part of a search."""
    trials = _trials(plan, ledger)
    good = {"search": ("finished", "pruned", "diverged")}
    fine = all(trial.state in good.get(trial.slot.stage, ("finished",)) for trial in trials)
    won = {event.body["cell"] for event in ledger.events("chosen") if event.body["slots"]}
    return DONE if fine and {cell.id for cell in plan.cells} <= won else SOME_FAILED


def _standing(plan: Plan, ledger: Ledger) -> tuple[int, int]:
    """How many trials ended for good, and how many epochs the others have."""
    trials = boards.distinct(_trials(plan, ledger))
    done = [trial for trial in trials if trial.state in ("finished", "diverged", "pruned")]
    return len(done), plan.epochs - sum(trial.slot.epochs for trial in done)


def _tune(
    plan: Plan,
    queue: TrialQueue,
    root: Root,
    paths: SweepPaths,
    ledger: Ledger,
    display: Display,
    temporary: Path,
    watch: BudgetWatch,
    address: str | None,
    drop: Callable[[Path], None],
) -> str:
    """Let Ray Tune run the queue; why it was stopped before its end, and nothing where it was not."""
    from ray import tune

    from sweep.actors import own_workers
    from sweep.recorder import Recorder
    from sweep.search import MOST_AT_ONCE, CellScheduler, PlanSearcher, StopAfterEpoch
    from sweep.trainable import TrialTrainable

    recorder = Recorder(paths, ledger, queue, display, watch, drop)
    room = machines.Room(plan, changes=address is not None)
    tuner = tune.Tuner(
        tune.with_resources(TrialTrainable, _devices),
        tune_config=tune.TuneConfig(
            search_alg=PlanSearcher(queue, lambda job: describe(job, plan, root), recorder.stopped, room),
            scheduler=CellScheduler(queue, room),
            num_samples=-1,
            max_concurrent_trials=MOST_AT_ONCE,
            reuse_actors=True,
        ),
        run_config=tune.RunConfig(
            name=plan.name,
            storage_path=str(temporary / "tune"),
            verbose=0,
            callbacks=[recorder],
            checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),  # checkpoints are the trainer's own
            stop=StopAfterEpoch(recorder.stopped),
        ),
    )
    with _stop_signals(recorder, display), own_workers():
        try:
            with machines.watched(recorder.lose_cluster, partial(_end_without_head, recorder, paths, display, address)):
                tuner.fit()
        except KeyboardInterrupt:
            recorder.stop_requested = True
    display.end()
    recorder.interrupt_live()
    if recorder.fatal is not None:
        raise recorder.fatal
    if recorder.cluster_lost:
        return _gone(address)
    return (watch.over(datetime.now()) or BY_USER) if recorder.stop_requested else ""


def _devices(job: dict[str, Any]) -> Any:
    """What Ray reserves for a job; one that ran out of memory on a share of a GPU gets a larger one. Several workers
    reserve their devices themselves."""
    from ray.tune import PlacementGroupFactory

    if job["workers"] > 1:
        return PlacementGroupFactory([{"memory": 1}])  # next to nothing, which Ray does not take
    return PlacementGroupFactory([{"CPU": job["cpus"], "GPU": job["gpus"]}])


def _gone(address: str | None) -> str:
    return f"the Ray cluster at {address} is gone" if address else "Ray has died on this machine"


def _end_without_head(recorder: Recorder, paths: SweepPaths, display: Display, address: str | None) -> None:
    """Note what is left, beside the main thread (see :func:`sweep.machines.watched`), and end this process; Ray would
    abort it soon. MLflow is told by the next run."""
    recorder.lose_cluster()
    display.end()
    try:
        with closing(Ledger(paths.ledger)) as ledger:
            recorder.interrupt_live(ledger)
            _make_reports(paths, ledger, with_page=False)
            ledger.append("stop", body={"exit_code": SOME_FAILED})
        display.note(f"{_gone(address)}; {nothing_lost()}")
    except StorageError as error:
        display.note(f"{_gone(address)}, and {error}")
    finally:
        sys.stdout.flush()
        os._exit(SOME_FAILED)


@contextmanager
def _stop_signals(recorder: Any, display: Display) -> Iterator[None]:
    """The first SIGINT or SIGTERM ends the sweep after the epochs in flight; the second ends it now."""

    def stop(number: int, frame: Any) -> None:
        if recorder.stop_requested:  # by the user or the budget before, or because the cluster is gone
            raise KeyboardInterrupt
        recorder.stop_requested = True
        display.note("stopping after the epochs in flight; once more stops now")

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
