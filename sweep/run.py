"""Runs a plan: Ray Tune schedules, the ledger remembers, MLflow is told, a table and a figure come out.

A run again of the same spec is a resume: the ledger says which trials ended for good, their folders hold the
checkpoints of those that did not, and only what is missing is run.
"""

from __future__ import annotations

import json
import logging
import os
import secrets
import shutil
import signal
import socket
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from search_spaces.schema import Spec
from sweep import leaderboard as boards
from sweep import lock, report
from sweep.display import Display, Progress
from sweep.events import start_body, stored_teacher_body
from sweep.formats import Format
from sweep.layout import Root, SweepPaths
from sweep.ledger import Ledger
from sweep.plan import Plan, build_plan
from sweep.queue import Job, TrialQueue
from sweep.tracking import Projector, command, delivered, without_password
from trainers.config import DatasetConfig, TeacherConfig
from trainers.errors import InputError
from trainers.files import write_atomically

if TYPE_CHECKING:
    from trainers.teachers import TeacherStore

DONE, SOME_FAILED, WRONG_INPUT, INTERRUPTED = 0, 1, 2, 130
"""Exit codes."""
OBJECT_STORE_BYTES = 100_000_000
"""Ray's shared memory; trials pass next to nothing through it."""
RAY_FOLDER = "sweep-ray-"
"""How the folders of Ray's temporary files begin; the driver's process number follows."""
WORKER_ENVIRONMENT = {
    # Large tensors are reused instead of being given back to the system after every step.
    "MALLOC_MMAP_THRESHOLD_": "1073741824",
    "MALLOC_TRIM_THRESHOLD_": "1073741824",
}


def ended(plan: Plan, teachers: dict[str, TeacherConfig], ledger: Ledger) -> set[str]:
    """Keys of the trials that ended for good; not those of teachers that were trained once but are no longer stored."""
    gone = {slot.id for slot in plan.teachers if slot.id not in teachers}
    return {key for key, body in ledger.finals().items() if not (key in gone and body["state"] == "finished")}


def stored_teachers(plan: Plan, root: Root) -> dict[str, TeacherConfig]:
    """The plan's teachers that are trained already, by slot id. Raises CheckpointError for a damaged one."""
    from trainers.teachers import TeacherStore

    store = TeacherStore(root.teachers)
    found = {}
    for slot in plan.teachers:
        passport = store.trained_by(slot.id)
        if passport is not None:
            store.check(passport)
            found[slot.id] = passport.reference
    return found


def run_sweep(
    spec: Spec, root: Root, uri: str, display: Display, verbose: bool = False, *, only_teachers: bool = False
) -> int:
    """Run what is missing of a sweep, to the table and the figure.

    Args:
        spec: what to run.
        root: below which everything is written.
        uri: MLflow's tracking URI.
        display: what the user sees.
        verbose: let Ray talk.
        only_teachers: leave the students to a later run. The plan that is noted is the whole one; nothing is noted
            where all teachers are stored already.

    Returns:
        The exit code: 0 done, 1 some trials failed, 130 interrupted.

    Raises:
        InputError, CheckpointError, StorageError: see :mod:`trainers.errors`; nothing that was computed is lost.
    """
    from trainers.teachers import TeacherStore

    root.check_writable()
    _environment(root, verbose)
    paths = root.sweep(spec.name)
    with ExitStack() as stack:
        stack.enter_context(lock.exclusive(paths.lock, f"sweep '{spec.name}'"))
        store_named_files(spec, TeacherStore(root.teachers))
        plan = build_plan(spec, TeacherStore(root.teachers))
        teachers = stored_teachers(plan, root)
        wanted = replace(plan, slots=tuple(plan.teachers)) if only_teachers else plan
        if only_teachers and len(teachers) == len(wanted.slots):
            return DONE
        ledger = stack.enter_context(Ledger(paths.ledger))
        queue = TrialQueue(wanted, teachers, ended(plan, teachers, ledger))
        if queue.exhausted and _nothing_new(plan, paths, ledger, uri):
            return _exit_code(wanted, ledger)
        _record_start(spec, plan, paths, ledger)
        _record_stored_teachers(plan, queue, root, ledger)
        projector = Projector(root, paths, uri, display.note)
        projector.start()
        code = WRONG_INPUT
        try:
            code = _run_trials(wanted, queue, root, paths, ledger, display, verbose)
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
        if pending:
            again = command(f"sync {spec.name}", root, uri)
            display.note(f"{pending} events are not in MLflow yet; when {without_password(uri)} is back: {again}")
    return code


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


def describe(job: Job, plan: Plan, root: Root) -> dict[str, Any]:
    """A job as the config that :class:`sweep.trainable.TrialTrainable` takes."""
    return {
        "key": job.key,
        "stage": job.slot.stage,
        "trial": job.trial.model_dump(mode="json"),
        "folder": str(root.sweep(plan.name).trial(job.key).absolute()),
        "teachers": str(root.teachers.absolute()),
        "source": plan.source,
        "cpus": plan.compute["cpus"],
        "gpus": plan.compute["gpus"],
    }


def _nothing_new(plan: Plan, paths: SweepPaths, ledger: Ledger, uri: str) -> bool:
    """Whether this very plan ran to its end before, its reports are there, and the tracking server knows it all."""
    latest = ledger.latest("plan")
    if latest is None or latest.body != json.loads(json.dumps(plan.to_json())):
        return False
    report, stop, last = ledger.latest("report"), ledger.latest("stop"), ledger.last_seq()
    if report is None or stop is None or stop.seq != last or delivered(ledger, uri) != last:
        return False  # the last run did not come to its end, or this server was not told
    files = [paths.leaderboard, *([paths.folder / report.body["figure"]] if report.body["figure"] else [])]
    return all(file.exists() for file in files)


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


def _record_stored_teachers(plan: Plan, queue: TrialQueue, root: Root, ledger: Ledger) -> None:
    """A teacher that another sweep trained has a place in this ledger too."""
    from trainers.teachers import TeacherStore

    known = ledger.finals()
    store = TeacherStore(root.teachers)
    for slot in plan.teachers:
        if slot.id in queue.teachers and slot.id not in known:
            passport = store.trained_by(slot.id)
            if passport is not None:
                ledger.append("start", slot.id, body=start_body(Job(slot, slot.trial())))
                ledger.append("final", slot.id, body=stored_teacher_body(passport))


def _make_reports(paths: SweepPaths, ledger: Ledger) -> None:
    """Table and figure from the ledger, as files and as an event for MLflow."""
    board = boards.leaderboard(ledger)
    markdown = boards.render(board, Format.MARKDOWN)
    write_atomically(paths.leaderboard, markdown.encode())
    drawn = report.draw(board, paths.figure)
    body = {"markdown": markdown, "records": boards.records(board), "figure": paths.figure.name if drawn else None}
    latest = ledger.latest("report")
    if latest is None or latest.body != body:
        ledger.append("report", body=body)


# -- the run ----------------------------------------------------------------------------------------------------------


def _run_trials(
    plan: Plan, queue: TrialQueue, root: Root, paths: SweepPaths, ledger: Ledger, display: Display, verbose: bool
) -> int:
    """Run what the queue holds; the exit code."""
    done, epochs_left = _standing(plan, ledger)
    if not queue.exhausted:
        with _local_ray(verbose) as temporary:
            _check_resources(plan)
            progress = Progress(plan, done, epochs_left)
            for trial in _trials(plan, ledger):
                if trial.state == "finished" and trial.slot.stage != "teacher":
                    progress.add(trial.slot.pair, trial.slot.label, trial.body)
            display.begin(progress)
            stopped = _tune(plan, queue, root, paths, ledger, display, temporary)
        for slot in queue.lost:
            display.note(f"not run: {slot.name}: its teacher failed")
        if stopped:
            display.end()
            display.note("stopped; nothing is lost. The same command goes on from here")
            return INTERRUPTED
    return _exit_code(plan, ledger)


def _trials(plan: Plan, ledger: Ledger) -> list[boards.Trial]:
    """The ledger's trials, without those of its plan that `plan`, which may be a part of it, leaves out."""
    whole, found = boards.trials(ledger)
    left_out = {slot.id for slot in whole.slots} - {slot.id for slot in plan.slots}
    return [trial for trial in found if trial.slot.id not in left_out]


def _exit_code(plan: Plan, ledger: Ledger) -> int:
    return DONE if all(trial.state == "finished" for trial in _trials(plan, ledger)) else SOME_FAILED


def _standing(plan: Plan, ledger: Ledger) -> tuple[int, int]:
    """How many trials ended for good, and how many epochs the others have."""
    trials = boards.distinct(_trials(plan, ledger))
    left = [trial for trial in trials if trial.state not in ("finished", "diverged")]
    return len(trials) - len(left), sum(trial.slot.epochs for trial in left)


def _tune(
    plan: Plan, queue: TrialQueue, root: Root, paths: SweepPaths, ledger: Ledger, display: Display, temporary: Path
) -> bool:
    """Let Ray Tune run the queue; True when it was stopped before its end."""
    from ray import tune

    from sweep.recorder import Recorder
    from sweep.search import PlanSearcher, StopAfterEpoch
    from sweep.trainable import TrialTrainable

    recorder = Recorder(paths, ledger, queue, display)
    share = {"cpu": plan.compute["cpus"], "gpu": plan.compute["gpus"]}
    tuner = tune.Tuner(
        tune.with_resources(TrialTrainable, share),
        tune_config=tune.TuneConfig(
            search_alg=PlanSearcher(queue, lambda job: describe(job, plan, root), recorder.stopped),
            num_samples=-1,
            max_concurrent_trials=_room(plan),
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
    with _stop_signals(recorder, display):
        try:
            tuner.fit()
        except KeyboardInterrupt:
            recorder.stop_requested = True
    display.end()
    recorder.interrupt_live()
    if recorder.fatal is not None:
        raise recorder.fatal
    return recorder.stop_requested


@contextmanager
def _stop_signals(recorder: Any, display: Display) -> Iterator[None]:
    """The first SIGINT or SIGTERM ends the sweep after the epochs in flight; the second ends it now."""

    def stop(number: int, frame: Any) -> None:
        if recorder.stop_requested:
            raise KeyboardInterrupt
        recorder.stop_requested = True
        display.note("stopping after the epochs in flight; once more stops now")

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _local_ray(verbose: bool) -> Iterator[Path]:
    """A Ray of our own, silent unless `verbose`, with a token of its own (Ray listens on all interfaces).

    Yields the folder of its temporary files. It lies in the system's, not below the root: Ray's sockets have paths of
    at most 107 characters. It is removed at the end.
    """
    _remove_leftovers()
    temporary = Path(tempfile.mkdtemp(prefix=f"{RAY_FOLDER}{os.getpid()}-"))
    import ray

    logging.getLogger("ray.tune").setLevel(logging.INFO if verbose else logging.CRITICAL)
    try:
        ray.init(
            address="local",  # not a cluster that RAY_ADDRESS happens to name
            include_dashboard=False,
            log_to_driver=verbose,
            logging_level=logging.INFO if verbose else logging.ERROR,
            object_store_memory=OBJECT_STORE_BYTES,
            runtime_env={"env_vars": WORKER_ENVIRONMENT | _hidden()},
            _temp_dir=str(temporary),
        )
        yield temporary
    finally:
        ray.shutdown()
        shutil.rmtree(temporary, ignore_errors=True)


def _hidden() -> dict[str, str]:
    """The tracking server's address and credentials, blanked for workers: they have no business there."""
    return {name: "" for name in os.environ if name.startswith(("MLFLOW_TRACKING", "MLFLOW_BACKEND"))}


def _remove_leftovers() -> None:
    """Ray's temporary files of drivers that were killed before they could remove them."""
    for folder in Path(tempfile.gettempdir()).glob(f"{RAY_FOLDER}*"):
        pid = folder.name.removeprefix(RAY_FOLDER).partition("-")[0]
        if pid.isdigit() and not _alive(int(pid)):
            shutil.rmtree(folder, ignore_errors=True)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _environment(root: Root, verbose: bool) -> None:
    """What Ray and matplotlib read when they are imported."""
    root.offer_cache()
    os.environ.setdefault("MPLCONFIGDIR", str(root.matplotlib.absolute()))
    quiet = {} if verbose else {"RAY_AIR_NEW_OUTPUT": "0", "TUNE_PRINT_ALL_TRIAL_ERRORS": "0"}
    os.environ.update(
        quiet
        | {
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": secrets.token_hex(32),
            "RAY_CHDIR_TO_TRIAL_DIR": "0",  # relative data paths of a spec stay relative to the user's folder
            "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",  # workers use this very environment, not a copy made by uv
            "RAY_TRAIN_ENABLE_V2_MIGRATION_WARNINGS": "0",
            "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
            "TUNE_DISABLE_SIGINT_HANDLER": "1",
            "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",  # a failed trial reports no metric
        }
    )
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")


def _check_resources(plan: Plan) -> None:
    """Raises InputError when no machine of the cluster has room for one trial: Ray would wait for ever."""
    if _room(plan) > 0:
        return
    cpus, gpus = plan.compute["cpus"], plan.compute["gpus"]
    have = ", ".join(f"{node.get('CPU', 0):g} CPUs and {node.get('GPU', 0):g} GPUs" for node in _nodes())
    raise InputError(
        f"a trial asks for {cpus} CPUs and {gpus:g} GPUs (compute: in the spec), but this machine has {have};"
        " lower compute.cpus or compute.gpus"
    )


def _room(plan: Plan) -> int:
    """How many trials fit side by side."""
    room = 0
    for have in _nodes():
        fits = [have.get("CPU", 0) // plan.compute["cpus"]]
        if plan.compute["gpus"]:
            fits.append(_shares(have.get("GPU", 0), plan.compute["gpus"]))
        room += int(min(fits))
    return room


def _shares(gpus: float, each: float) -> int:
    """How many trials of `each` GPUs go on a machine's; a fraction never spans two."""
    return int(gpus) * int(1 / each + 1e-9) if each < 1 else int(gpus // each)


def _nodes() -> list[dict[str, float]]:
    """The resources of every machine of the cluster that is alive."""
    import ray

    return [node["Resources"] for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]
