"""The files of a pack, laid out in a folder: all made from one copy of the ledger, so that they agree."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from sweep.formats import Format
from sweep.layout import SweepPaths
from sweep.ledger.store import Ledger
from sweep.packs import manifest
from sweep.plan.slots import Plan
from sweep.report import draw, write
from sweep.results import draw as drawn
from sweep.results.board import leaderboard
from sweep.results.read import PASSPORTS, Results, read, stored
from sweep.students.about import told_of
from sweep.tracking.candidates import best_students
from trainers.code import Code
from trainers.errors import CheckpointError, InputError
from trainers.storage.files import write_atomically

FORMATS = {"md": Format.MARKDOWN, "csv": Format.CSV, "json": Format.JSON, "tex": Format.LATEX}
Tell = Callable[[str], None]


def lay_out(paths: SweepPaths, folder: Path, say: Tell, tell: Tell) -> str:
    """Write all that a pack of a sweep holds, which may be running.

    Args:
        paths: the sweep's.
        folder: an empty one, whose name is the sweep's.
        say: is told what is being done, in a few words.
        tell: hears what could not be packed, and why.

    Returns:
        The ledger's id.

    Raises:
        InputError: where the sweep has no plan yet.
        StorageError: when a file cannot be read or written.
    """
    with closing(Ledger(paths.ledger)) as ledger:
        ledger.copy(folder / manifest.LEDGER)
    copied = SweepPaths(folder)
    copied.lock.touch()  # nobody runs the copy: what the sweep left open counts as interrupted, here and elsewhere
    with closing(Ledger(copied.ledger)) as ledger:
        results = read(ledger)
        _passports(results.plan, paths, folder)
        _spec_and_code(ledger, results.plan, paths, folder)
        say(f"drawing the table and the report of {results.plan.name}")
        _tables(ledger, folder)
        draw(leaderboard(ledger), copied.figure)
        write(ledger, copied.report, copied.figures, say)
        say(f"packing the best students of {results.plan.name}")
        _weights(results, paths, folder, tell)
        named, whole = ledger.id, folder.with_suffix(".db")
        ledger.copy(whole)  # one file that was closed, without SQLite's log
    whole.replace(copied.ledger)
    return named


def _passports(plan: Plan, paths: SweepPaths, folder: Path) -> None:
    """Of the teachers that the plan takes as they are stored: the table has their accuracies."""
    for hashed, passport in stored(plan, paths).values():
        write_atomically(folder / PASSPORTS / f"{hashed}.json", passport.read_bytes())


def _spec_and_code(ledger: Ledger, plan: Plan, paths: SweepPaths, folder: Path) -> None:
    """As the ledger's last run had them."""
    begun = ledger.latest("sweep")
    write_atomically(folder / manifest.SPEC, str(begun.body["spec"] if begun else "").encode())
    if not plan.code:
        return
    kept = paths.root.code(plan.code)
    paths.storage.pull(kept)
    if not kept.is_file():
        raise InputError(f"the sweep's own code is missing here: {kept}; run the sweep once more, which keeps it")
    text = kept.read_bytes()
    write_atomically(folder / manifest.CODE, text)
    for path, content in Code.from_json(text.decode("utf-8", "surrogatepass")).files:
        write_atomically(folder / "code" / path, content.encode("utf-8", "surrogatepass"))


def _tables(ledger: Ledger, folder: Path) -> None:
    board = leaderboard(ledger)
    for suffix in manifest.SUFFIXES:
        write_atomically(folder / f"{manifest.TABLE}.{suffix}", drawn.render(board, FORMATS[suffix]).encode())


def _weights(results: Results, paths: SweepPaths, folder: Path, tell: Tell) -> None:
    """The best student of each cell, with what its images go through first, and its whole config."""
    from trainers.exported import PORTABLE, portable

    for trial in best_students(results):
        place = paths.trial(trial.key or "") / "weights.pt"
        paths.storage.pull(place)
        try:
            content = portable(place, told_of(results.plan, trial))
        except CheckpointError as error:
            tell(f"not packed: {trial.slot.name}: {error}")
            continue
        write_atomically(folder / "weights" / f"{trial.key}{PORTABLE}", content)
