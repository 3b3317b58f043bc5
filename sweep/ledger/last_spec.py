"""The spec of a sweep as it was last run, with the code that it had then: both are kept with the sweep."""

from __future__ import annotations

from search_spaces.schema import Spec
from sweep.layout import SweepPaths
from sweep.ledger.store import Ledger
from sweep.plan.code import kept
from trainers.errors import InputError


def last_spec(ledger: Ledger) -> Spec:
    """The spec that a sweep was last run with. Loads its code, and of a smoke run the data set.

    Raises:
        InputError: where the sweep has not run yet, its code is missing, or its name is not the spec's.
        SpecError: where an earlier release has read what this one does not.
    """
    from search_spaces.loader import parse_spec

    paths = SweepPaths(ledger.path.parent)
    run, planned = ledger.latest("sweep"), ledger.latest("plan")
    if run is None or planned is None:
        raise InputError(f"{ledger.path} holds no plan yet")
    key = planned.body.get("code", "")
    code = kept(paths.root.code(key), paths.storage) if key else None
    source = run.body.get("file") or run.body.get("source") or "spec.yaml"
    return of_sweep(parse_spec(run.body["spec"], source, code=code), paths)


def of_sweep(spec: Spec, paths: SweepPaths) -> Spec:
    """A spec as a sweep runs it: shrunk where that is its smoke run.

    Raises:
        InputError: where it is another sweep's.
    """
    from search_spaces.smoke import shrunk, smoke_name

    name = paths.folder.name
    if spec.name == name:
        return spec
    if smoke_name(spec.name) != name:
        raise InputError(f"{spec.source} is the spec of sweep '{spec.name}', not of '{name}'")
    paths.root.offer_cache()
    return shrunk(spec)
