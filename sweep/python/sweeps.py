"""A spec in Python's hands: planned and run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sweep.exit_codes import INTERRUPTED, TIME_UP
from sweep.python.given import spec_of
from sweep.python.place import place
from sweep.python.planned import Planned
from sweep.python.progress import display_for
from sweep.python.results import Results

if TYPE_CHECKING:
    from search_spaces.schema import Spec
    from sweep.layout import Root


def load(spec: str | Path | Mapping[str, Any], *, smoke: bool = False) -> Sweep:
    """Load a sweep's spec.

    Args:
        spec: a YAML file, a shipped spec's name, or the content of one as a dictionary, of which no file is written.
        smoke: shrink it to about a minute on a CPU, as a sweep NAME-smoke of its own.

    Raises:
        InputError: when there is no such spec.
        SpecError: with all mistakes of the spec.
    """
    from search_spaces.loader import load_spec

    return Sweep(spec_of(spec) if isinstance(spec, Mapping) else load_spec(str(spec)), smoke=smoke)


class Sweep:
    """A sweep that can be planned and run: what :func:`load` gives."""

    def __init__(self, spec: Spec, *, smoke: bool = False) -> None:
        self._spec, self._smoke = spec, smoke

    @property
    def name(self) -> str:
        """Of the sweep, by which :func:`sweep.open` finds its results."""
        from search_spaces.smoke import smoke_name

        return smoke_name(self._spec.name) if self._smoke else self._spec.name

    def plan(self, root: str | Path | None = None, *, storage: str | None = None) -> Planned:
        """What would run, what of it is done, and what the rest will cost; nothing starts.

        Args:
            root: below which everything is written; by default SWEEP_ROOT, or ``runs``.
            storage: what several machines share; by default SWEEP_STORAGE, or none.

        Raises:
            InputError, StorageError, CheckpointError: see :mod:`trainers.errors`.
        """
        from sweep.results.preview import look_ahead

        below = place(root, storage)
        return Planned(look_ahead(self._shrunk(below), below))

    def run(
        self,
        root: str | Path | None = None,
        *,
        storage: str | None = None,
        tracking_uri: str | None = None,
        progress: bool = True,
        local: bool = False,
        address: str | None = None,
        fresh: bool = False,
    ) -> Results:
        """Run what of the sweep is not done yet, as `sweep run` does; what came of it.

        Trials that failed are in the results with their reasons, and are no error of this call.

        Args:
            root: below which everything is written; by default SWEEP_ROOT, or ``runs``.
            storage: what several machines share; by default SWEEP_STORAGE, or none.
            tracking_uri: of MLflow; by default MLFLOW_TRACKING_URI, or a database below the root.
            progress: show it, in a notebook or on a terminal, until all is done.
            local: train in this process, one trial at a time, without Ray: breakpoints work.
            address: of a running Ray cluster; by default a Ray of its own.
            fresh: train also what other sweeps below the root have finished, which is else taken over.

        Raises:
            KeyboardInterrupt: when it was interrupted, or a batch system says that its time is up. As at the command,
                once lets the epochs in flight end, twice does not; the same call goes on from there.
            InputError, StorageError, CheckpointError, MachineError: see :mod:`trainers.errors`; nothing that was
                computed is lost.
        """
        from sweep.run import run_sweep
        from sweep.tracking.address import tracking_uri as known_uri

        below = place(root, storage)
        uri, display = known_uri(below, tracking_uri), display_for(progress, local)
        code = run_sweep(self._shrunk(below), below, uri, display, address=address, local=local, fresh=fresh)
        if code in (INTERRUPTED, TIME_UP):
            raise KeyboardInterrupt(f"sweep '{self.name}' was stopped; the same call goes on from here")
        return Results(self.name, below)

    def _shrunk(self, below: Root) -> Spec:
        """The spec as it is run, its own code at hand; data sets are decoded into the cache below the root."""
        from search_spaces.smoke import shrunk
        from trainers.code import load as load_code

        load_code(self._spec.code)  # another spec may have been read since
        if not self._smoke:
            return self._spec
        below.offer_cache()
        with below.newly_made():
            return shrunk(self._spec)

    def __repr__(self) -> str:
        spec = self._spec
        pairs, seeds = (
            f"{count} {what}{'s' if count != 1 else ''}"
            for count, what in ((len(spec.pairs), "pair"), (len(spec.seeds), "seed"))
        )
        methods = ", ".join(dict.fromkeys(method.name for method in spec.methods))
        return f"Sweep('{self.name}' on {spec.dataset}: {pairs}; {methods}; {seeds})"
