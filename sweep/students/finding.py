"""A sweep's student with all that is known of it: what both the command line and Python ask for."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing

from sweep.layout import SweepPaths
from sweep.ledger.store import Ledger
from sweep.results.read import Results, read
from sweep.students.about import About, about
from sweep.students.choice import Choice
from sweep.students.student import Student, fetch_student, images_of, read_student, weights_of
from trainers.exported import told


def find(paths: SweepPaths, choose: Callable[[Results], Choice]) -> tuple[Student, About]:
    """A student and what is known of it, which the ledger, its weights and its teacher's passport tell.

    Args:
        paths: of the sweep.
        choose: which trial it is.

    Raises:
        InputError, CheckpointError, StorageError: as :func:`sweep.students.student.read_student` and `choose`.
    """
    with closing(Ledger(paths.ledger)) as ledger:
        known = read(ledger)
    choice = choose(known)
    student = read_student(paths, known.plan, choice.trial, known.trials)
    classes = told(weights_of(paths, choice.trial)).get("classes", ())
    return student, about(paths, known, choice, known.plan.images, tuple(map(str, classes)))


def find_on_server(paths: SweepPaths, uri: str, choose: Callable[[Results], Choice]) -> tuple[Student, About]:
    """The same of a sweep that ran elsewhere, as an MLflow server has it; it knows no names of classes.

    Args:
        paths: of a sweep of that name here; a teacher's passport may lie below its root.
        uri: of the server.
        choose: which trial it is.

    Raises:
        InputError, CheckpointError, StorageError: as :func:`sweep.tracking.fetched.fetch` and `choose`.
    """
    from sweep.tracking import read_back

    known = read_back.read(paths.folder.name, uri)
    choice = choose(known)
    student = fetch_student(known.plan.name, uri, choice.trial)
    return student, about(paths, known, choice, images_of(student), ())
