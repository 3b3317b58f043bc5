"""What came of a sweep, in Python's hands: tables, comparisons, the figure, the students themselves."""

from __future__ import annotations

import shutil
import weakref
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from tempfile import mkdtemp
from typing import TYPE_CHECKING, Literal

from sweep import formats
from sweep.layout import PACK, Root
from sweep.python.comparison import Comparison
from sweep.python.frames import to_pandas, trial_records
from sweep.python.html import leaderboard, plain
from sweep.python.place import place
from trainers.errors import InputError, unknown_name

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa
    from matplotlib.figure import Figure

    from sweep.ledger.store import Ledger
    from sweep.python.student import Student
    from sweep.results.board import Leaderboard

Kind = Literal["table", "trials", "epochs"]
KINDS: tuple[Kind, ...] = ("table", "trials", "epochs")


def open(
    name: str | None = None,
    *,
    root: str | Path | None = None,
    storage: str | None = None,
    tracking_uri: str | None = None,
) -> Results:
    """Open what came of a sweep, that of one that runs yet included.

    Args:
        name: of the sweep; None for the latest. Or a pack's file, ``….sweep.zip``, which is opened in a temporary
            folder and needs no root; its students are the best of each cell.
        root: below which it lies; by default SWEEP_ROOT, or ``runs``.
        storage: what several machines share; by default SWEEP_STORAGE, or none.
        tracking_uri: of the MLflow server that it was tracked on, where it ran elsewhere; its results are then read
            from there.

    Raises:
        InputError: where there is no such sweep.
        StorageError: when the storage, or the server, does not answer.
    """
    if name is not None and name.endswith(PACK):
        return _packed(Path(name))
    below = place(root, storage)
    if tracking_uri is not None:
        from sweep.tracking import address, read_back

        uri = address.tracking_uri(below, tracking_uri)
        return Results(read_back.read(name, uri).plan.name, below, uri)
    from sweep.ledger.snapshot import restore

    with below.newly_made():
        restore(below, name)
    return Results(below.choose(name), below)


def _packed(path: Path) -> Results:
    """A pack's, for as long as they are used."""
    from sweep.packs.unpacking import unpack

    below = Root(Path(mkdtemp(prefix="sweep-")))
    try:
        results = Results(unpack(path.expanduser(), below), below)
    except BaseException:
        shutil.rmtree(below.path, ignore_errors=True)
        raise
    weakref.finalize(results, shutil.rmtree, below.path, ignore_errors=True)
    return results


class Results:
    """What came of a sweep: what :func:`open` gives. Each call reads it anew, so that of a sweep that runs one sees how
    far it is. A notebook shows the table."""

    def __init__(self, name: str, below: Root, uri: str | None = None) -> None:
        """`uri`: of the server that they are read from; None for those below the root."""
        self.name = name
        self._below, self._uri = below, uri

    # -- tables -----------------------------------------------------------------------------------------------------

    def table(self) -> pd.DataFrame:
        """The leaderboard: of each row mean, deviation, difference to the baseline, p-values (docs/leaderboard.md)."""
        return to_pandas(self.arrow("table"))

    def trials(self) -> pd.DataFrame:
        """A line for each trial, under each of its pairs: state, accuracies in percent, reason of a bad end. A server
        tells of no epochs."""
        return to_pandas(self.arrow("trials"))

    def epochs(self) -> pd.DataFrame:
        """A line for each epoch of each trial, as `sweep export` writes them (docs/leaderboard.md). From a server they
        come curve by curve, which takes long where there are many trials."""
        return to_pandas(self.arrow("epochs"))

    def studies(self) -> pd.DataFrame:
        """A line for each searched cell, as `sweep studies --format json` has them (docs/specs.md): the best so far
        over the epochs spent, what was given up and why, importances, and what one more trial promises. Those of
        several values are lists and dictionaries.

        Raises:
            InputError: where nothing was searched, and of results that are read off a server, which is not told why
                trials were given up.
        """
        import pandas as pd

        from sweep.results.studies import record, studies

        if self._uri is not None:
            raise InputError(f"searches are read off the ledger of '{self.name}', which lies where the sweep ran")
        with self._ledger() as ledger:
            return pd.DataFrame([record(study) for study in studies(ledger)])

    def arrow(self, what: Kind = "table") -> pa.Table:
        """One of the three as an Arrow table: ``table``, ``trials`` or ``epochs``.

        Raises:
            InputError: for another word.
        """
        if what not in KINDS:
            raise InputError(unknown_name("table", what, KINDS))
        if what == "table":
            from sweep.results.records import records

            return formats.to_arrow(records(self._board()))
        return self._trials() if what == "trials" else self._epochs()

    def _trials(self) -> pa.Table:
        from sweep.results import read

        if self._uri is not None:
            from sweep.tracking import read_back

            told = read_back.read(self.name, self._uri)
            return formats.to_arrow(trial_records(told.plan, told.trials, counted=False))
        with self._ledger() as ledger:
            return formats.to_arrow(trial_records(*read.trials(ledger)))

    def _epochs(self) -> pa.Table:
        from sweep.results import export

        if self._uri is not None:
            from sweep.tracking import curves, read_back

            return curves.read(read_back.read(self.name, self._uri), self._uri)
        with self._ledger() as ledger:
            return export.epochs(ledger)

    @property
    def headline(self) -> str:
        """What came out, in one sentence: which row leads where, by how much, and how sure that is."""
        from sweep.results.headline import headline

        return headline(self._board())

    @property
    def states(self) -> dict[str, int]:
        """How many trials are in each state: finished, diverged, failed, running …"""
        return self._board().states

    # -- what they say ----------------------------------------------------------------------------------------------

    def compare(self, ours: str, theirs: str) -> Comparison:
        """What two methods differ by under each pair, over their common seeds, and whether that shows.

        Args:
            ours: a row's label, such as ``dhkd α=0.5``, or a method with one row under each pair.
            theirs: the same of what it is compared with.

        Raises:
            InputError: for a name that has no row, or several under a pair, and where no pair has both.
        """
        return Comparison(ours, theirs, self._board())

    def figure(self) -> Figure:
        """The sweep's figure: accuracy against a swept number, or a point a method; a panel a pair.

        Raises:
            InputError: where there is no result to draw yet.
        """
        from sweep.python.shown_figure import shown
        from sweep.report.figure import figure

        drawn = figure(self._board())
        if drawn is None:
            raise InputError(f"sweep '{self.name}' has no result to draw yet")
        return shown(drawn)

    def student(
        self, pair: str, method: str | None = None, seed: int | None = 0, *, recipe: str | None = None
    ) -> Student:
        """A trained student in evaluation mode, on the CPU, which normalises its images itself.

        From a server it is the graph of its pass that was logged there: it is not trained any further, and none of the
        sweep's own code is run.

        Args:
            pair: as the table names it, or as the spec does (``resnet20 -> resnet8``).
            method: a row's label, or a method with one row under the pair; None for the best row of the pair, by what
                may choose under the protocol (docs/students.md).
            seed: one of the sweep's; None for the row's best by validation.
            recipe: as the table names it, where the sweep has several.

        Raises:
            InputError: where there is no such trial, it has not finished, or the server has no model of it.
            CheckpointError: when its weights are missing or damaged.
            StorageError: when the server does not answer.
        """
        from sweep.python.student import Student
        from sweep.students.choice import choose
        from sweep.students.finding import find, find_on_server

        meant = partial(choose, pair=pair, method=method, seed=seed, recipe=recipe)
        paths = self._below.sweep(self.name)
        return Student.of(*(find_on_server(paths, self._uri, meant) if self._uri is not None else find(paths, meant)))

    # -- shown ------------------------------------------------------------------------------------------------------

    def _board(self) -> Leaderboard:
        from sweep.results import board

        if self._uri is not None:
            from sweep.tracking import read_back

            return board.board_of(read_back.read(self.name, self._uri))
        with self._ledger() as ledger:
            return board.leaderboard(ledger)

    @contextmanager
    def _ledger(self) -> Iterator[Ledger]:
        """The sweep's ledger, where its results are read below a root."""
        from sweep.ledger.store import Ledger

        with closing(Ledger(self._below.sweep(self.name).ledger)) as ledger:
            yield ledger

    def __repr__(self) -> str:
        from sweep.results.caption import below
        from sweep.results.draw import to_text
        from sweep.results.headline import headline

        board = self._board()
        told = f"{board.plan.name} on {board.plan.dataset}\n{headline(board)}"
        return plain("\n\n".join([told, to_text(board) + "\n".join(below(board))]))

    def _repr_html_(self) -> str:
        return leaderboard(self._board())
