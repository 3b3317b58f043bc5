"""What is measured, each in a process of its own: processor time, the most memory that was held, and bytes written."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.scale.material import METRICS, NAME, grid, made, searched, teachers
from sweep.engine.queue import TrialQueue
from sweep.layout import SweepPaths
from sweep.ledger.earlier import go_on, note_plan
from sweep.ledger.store import Ledger
from sweep.plan.expand import build_plan
from sweep.results.standing import ended, no_longer_needed
from sweep.search.begun import as_begun
from sweep.search.searches import Searches

EPOCHS = 10
"""Of a trial, where a measure does not say how many."""
REPORT_EPOCHS = 240
LEFT = 4
"""Trials that a resumed sweep has yet to run."""


@dataclass
class Found:
    """What one measure came to."""

    trials: int = 0
    cpu: float = 0.0
    """Seconds of processor time, of what is measured alone."""
    memory: float = 0.0
    """Megabytes: the most that the process held beyond its imports, its preparations included."""
    sizes: dict[str, float] = field(default_factory=dict)
    """What else is of interest, by what it is."""


Measure = Callable[[Path, int, Found], None]
"""Measures something below a folder at a size, and notes it."""


@contextmanager
def timed(found: Found) -> Iterator[None]:
    """Count the processor time of a block."""
    begun = time.process_time()
    yield
    found.cpu += time.process_time() - begun


def plan(folder: Path, trials: int, found: Found) -> None:
    """A spec's plan, and its place in a ledger: the first run's, and that of a run that goes on."""
    asked, paths = grid(trials), SweepPaths(folder)
    with timed(found):
        planned = build_plan(asked)
        with Ledger(paths.ledger) as ledger:
            note_plan(ledger, planned)
    found.trials = planned.count
    found.sizes["MB in the ledger"] = _written(paths) / 1e6
    with Ledger(paths.ledger) as ledger:
        note_plan(ledger, planned)
    found.sizes["MB of the same plan again"] = _written(paths) / 1e6 - found.sizes["MB in the ledger"]


def resume(folder: Path, trials: int, found: Found) -> None:
    """From a plan to the first job of a run that goes on, with all but a few trials done."""
    paths = SweepPaths(folder / "sweeps" / NAME)
    asked, planned, _ = made(paths.folder, trials, epochs=EPOCHS, left=LEFT)
    with timed(found), Ledger(paths.ledger) as ledger:
        known = teachers(planned)
        go_on(ledger, asked, planned)
        planned = as_begun(planned, ledger)
        known |= no_longer_needed(planned, known, ledger)
        queue = TrialQueue(planned, known, ended(planned, known, ledger), Searches(planned, ledger))
        assert queue.waiting == LEFT
        assert queue.next() is not None
    found.trials = planned.count


def driver(folder: Path, trials: int, found: Found) -> None:
    """A run of a whole grid of one epoch, with workers that answer at once."""
    from benchmarks.scale.driver import Driver

    paths, planned = SweepPaths(folder / "sweeps" / NAME), build_plan(grid(trials, 1))
    with Ledger(paths.ledger) as ledger:
        ledger.append("plan", body=planned.to_json())
        with timed(found):
            found.trials = Driver(paths, planned, ledger).run()
    found.sizes["ms a trial"] = 1000 * found.cpu / found.trials


def search(folder: Path, trials: int, found: Found) -> None:
    """The replay of a search of one cell from its ledger, when all its trials have ended."""
    from benchmarks.scale.driver import Driver

    paths, planned = SweepPaths(folder / "sweeps" / NAME), build_plan(searched(trials, EPOCHS))
    with Ledger(paths.ledger) as ledger:
        begun = time.process_time()
        found.trials = Driver(paths, planned, ledger).run()
        found.sizes["ms a trial while it ran"] = 1000 * (time.process_time() - begun) / found.trials
        with timed(found):
            Searches.read(planned, ledger)


def report(folder: Path, trials: int, found: Found) -> None:
    """The page of a sweep that is done."""
    from sweep.report.page import write

    _, planned, paths = made(folder, trials, epochs=REPORT_EPOCHS)
    with timed(found), Ledger(paths.ledger) as ledger:
        write(ledger, paths.report)
    found.trials = planned.count
    found.sizes |= {"MB of HTML": paths.report.stat().st_size / 1e6, "MB of ledger": _written(paths) / 1e6}


def ledger(folder: Path, trials: int, found: Found) -> None:
    """What a ledger takes of the disk for each epoch, all else of its trial included, and what reading it costs."""
    from sweep.cli.status import look
    from sweep.results.board import leaderboard
    from sweep.results.export import export

    with timed(found):
        _, planned, paths = made(folder, trials, epochs=REPORT_EPOCHS)
    found.trials = planned.count
    of_it = {"status": lambda: (look(paths).rows(), look(paths).summary)}
    with Ledger(paths.ledger) as opened:
        epochs = sum(opened.epochs_done().values())
        found.sizes["bytes of an epoch and metric"] = _written(paths) / epochs / METRICS
        of_it["leaderboard"] = lambda: leaderboard(opened)
        of_it["export"] = lambda: export(opened, folder / "epochs.parquet")
        for name, read in of_it.items():
            begun = time.process_time()
            read()
            found.sizes[f"{name}, s"] = time.process_time() - begun


def _written(paths: SweepPaths) -> int:
    """Bytes of a ledger that nobody has open."""
    with Ledger(paths.ledger) as opened:
        opened._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return paths.ledger.stat().st_size


MEASURES: dict[str, Measure] = {each.__name__: each for each in (plan, resume, driver, search, ledger, report)}
"""By name."""


def measured(name: str, trials: int) -> Found:
    """One measure at one size, in a new process."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as alone:
        return alone.submit(_measured, name, trials).result()


def _measured(name: str, trials: int) -> Found:
    build_plan(grid(0))  # what is imported on the way counts for nothing
    found, before = Found(), _held()
    with TemporaryDirectory() as folder:
        MEASURES[name](Path(folder), trials, found)
    found.memory = _held() - before
    return found


def _held() -> float:
    """Megabytes: the most that this process has held so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
